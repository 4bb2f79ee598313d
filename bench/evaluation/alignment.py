"""How well words are aligned, on generated languages, whose true alignment is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from bench.encoders.encoder import Encoder, Side

Row = tuple[Sequence[str], Sequence[str], Sequence[tuple[int, int]]]
"""English tokens, foreign tokens, and the gold links between them."""


Relatedness = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""How much each word of an English sentence has to do with each of its translation, (words, words); 0 is nothing."""


def alignment_f1(english: Encoder, foreign: Encoder, rows: Sequence[Row]) -> float:
    """F1 of the links between words that are each other's nearest by cosine.

    `english` reads the English words and `foreign` the others, each as a whole sentence; a word's embedding is the mean
    of its pieces'.
    """

    def cosine(english_words: Sequence[str], foreign_words: Sequence[str]) -> np.ndarray:
        one = word_embeddings(english, english_words, "document")
        return one @ word_embeddings(foreign, foreign_words, "query").T

    return mutual_f1(cosine, rows)


def chance_f1(rows: Sequence[Row], rng: np.random.Generator) -> float:
    """The same for words that have as much to do with each other as random numbers say."""
    return mutual_f1(lambda english, foreign: rng.random((len(english), len(foreign))), rows)


def mutual_f1(relatedness: Relatedness, rows: Sequence[Row]) -> float:
    """F1 of the links between words that are each other's most related, against the gold links, over all rows.

    Of equals the first counts. A word may have one such link at most and several gold links, so
    that 1 is out of reach.
    """
    found = right = gold = 0
    for english_words, foreign_words, links in rows:
        matrix = relatedness(english_words, foreign_words)
        pairs = {
            (row, int(column))
            for row, column in enumerate(matrix.argmax(axis=1))
            if matrix[:, column].argmax() == row and matrix[row, column] != 0
        }
        found, right, gold = found + len(pairs), right + len(pairs & set(links)), gold + len(links)
    return 2 * right / (found + gold) if right else 0.0


@torch.no_grad()
def word_embeddings(encoder: Encoder, words: Sequence[str], side: Side) -> np.ndarray:
    """L2-normalised means of the word pieces of each word, (words, dimension) float32; zero for a word cut off."""
    ids, word_ids = word_pieces(encoder, words)
    hidden = encoder.token_embeddings(encoder.collate([ids]))[0].float().cpu()
    vectors = torch.zeros(len(words), hidden.shape[1])
    for piece, word in enumerate(word_ids):
        if word is not None:
            vectors[word] += hidden[piece]
    return functional.normalize(vectors, dim=-1).numpy()


def word_pieces(encoder: Encoder, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
    """Token ids of a sentence that is given as words, and the position of the word that each is a piece of, or None."""
    pieces = encoder.tokenizer(list(words), is_split_into_words=True, truncation=True, max_length=encoder.max_length)
    return pieces["input_ids"], pieces.word_ids()
