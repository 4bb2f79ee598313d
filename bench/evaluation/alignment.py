"""How well two encoders' token embeddings align words, on generated languages, whose true alignment is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from bench.encoders.encoder import Encoder, Side

Row = tuple[Sequence[str], Sequence[str], Sequence[tuple[int, int]]]
"""English tokens, foreign tokens, and the gold links between them."""


def alignment_f1(english: Encoder, foreign: Encoder, rows: Sequence[Row]) -> float:
    """F1 of the links between words that are each other's nearest by cosine, against the gold links, over all rows.

    `english` reads the English words and `foreign` the others, each as a whole sentence; a word's embedding is the mean
    of its pieces'. A word may have one such link at most and several gold links, so that 1 is out of reach.
    """
    found = right = gold = 0
    for english_words, foreign_words, links in rows:
        one = word_embeddings(english, english_words, "document")
        other = word_embeddings(foreign, foreign_words, "query")
        similarity = one @ other.T
        pairs = {
            (row, int(column))
            for row, column in enumerate(similarity.argmax(axis=1))
            if similarity[:, column].argmax() == row
        }
        found, right, gold = found + len(pairs), right + len(pairs & set(links)), gold + len(links)
    return 2 * right / (found + gold) if right else 0.0


@torch.no_grad()
def word_embeddings(encoder: Encoder, words: Sequence[str], side: Side) -> np.ndarray:
    """L2-normalised means of the word pieces of each word, (words, dimension) float32; zero for a word cut off."""
    pieces = encoder.tokenizer(list(words), is_split_into_words=True, truncation=True, max_length=encoder.max_length)
    hidden = encoder.token_embeddings(encoder.collate([pieces["input_ids"]]))[0].float().cpu()
    vectors = torch.zeros(len(words), hidden.shape[1])
    for piece, word in enumerate(pieces.word_ids()):
        if word is not None:
            vectors[word] += hidden[piece]
    return functional.normalize(vectors, dim=-1).numpy()
