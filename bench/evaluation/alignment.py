"""Quality of word alignments on generated languages with a known alignment."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from bench.encoders.encoder import Encoder

Row = tuple[Sequence[str], Sequence[str], Sequence[tuple[int, int]]]
"""English tokens, foreign tokens, and the gold links between them."""
Relatedness = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""A function that returns the relatedness of English and foreign words, (words, words); 0 is none."""


def alignment_f1(english: Encoder, foreign: Encoder, rows: Sequence[Row]) -> float:
    """Return the F1 of links between mutually nearest words by cosine."""
    return mutual_f1(lambda one, other: word_embeddings(english, one) @ word_embeddings(foreign, other).T, rows)


def chance_f1(rows: Sequence[Row], rng: np.random.Generator) -> float:
    return mutual_f1(lambda english, foreign: rng.random((len(english), len(foreign))), rows)


def mutual_f1(relatedness: Relatedness, rows: Sequence[Row]) -> float:
    """Return the F1 over all rows of links between words that are mutually most related.

    A word has at most one such link but may have several gold links, so the maximum is below 1.
    """
    predicted = correct = gold = 0
    for english_words, foreign_words, links in rows:
        matrix = relatedness(english_words, foreign_words)
        pairs = {
            (row, int(column))
            for row, column in enumerate(matrix.argmax(axis=1))
            if matrix[:, column].argmax() == row and matrix[row, column] != 0
        }
        predicted, correct, gold = predicted + len(pairs), correct + len(pairs & set(links)), gold + len(links)
    return 2 * correct / (predicted + gold) if correct else 0.0


@torch.no_grad()
def word_embeddings(encoder: Encoder, words: Sequence[str]) -> np.ndarray:
    """Return the L2-normalised mean of the pieces of each word, (words, dimension) float32; zero if truncated."""
    ids, word_ids = word_pieces(encoder, words)
    hidden = encoder.token_embeddings(encoder.collate([ids]))[0].float().cpu()
    vectors = torch.zeros(len(words), hidden.shape[1])
    for piece, word in enumerate(word_ids):
        if word is not None:
            vectors[word] += hidden[piece]
    return functional.normalize(vectors, dim=-1).numpy()


def word_pieces(encoder: Encoder, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
    """Return the token ids of a sentence, and the position of the word of each token, None for special tokens."""
    pieces = encoder.tokenizer(list(words), is_split_into_words=True, truncation=True, max_length=encoder.max_length)
    return pieces["input_ids"], pieces.word_ids()
