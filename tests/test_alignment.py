"""Word alignment by token embeddings, against links worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.encoders.encoder import Encoder
from bench.evaluation.alignment import alignment_f1, word_embeddings

WORDS = ["the", "cat", "saw", "an", "open", "book", "."]


def test_word_is_the_mean_of_its_pieces(encoder: Encoder) -> None:
    words = ["the", "teacherdog", "saw"]
    pieces = [encoder.tokenizer.tokenize(word) for word in words]
    assert len(pieces[1]) > 1
    hidden = encoder.token_embeddings(encoder.collate(encoder.tokenize([" ".join(words)], "document")))[0]
    hidden = hidden.detach().numpy()[1:-1]  # [CLS] and [SEP] belong to no word
    ends = np.cumsum([len(piece) for piece in pieces])
    expected = [part.mean(axis=0) for part in np.split(hidden, ends[:-1])]
    found = word_embeddings(encoder, words, "document")
    for vector, mean in zip(found, expected, strict=True):
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_sentence_aligns_with_itself_word_by_word(encoder: Encoder) -> None:
    links = [(i, i) for i in range(len(WORDS))]
    assert alignment_f1(encoder, encoder, [(WORDS, WORDS, links)]) == 1


def test_f1_of_the_mutual_links_by_hand(encoder: Encoder) -> None:
    """Seven links are found, each word with itself; of three gold links two are among them: F1 = 2 * 2 / (7 + 3)."""
    assert alignment_f1(encoder, encoder, [(WORDS, WORDS, [(0, 0), (1, 1), (2, 3)])]) == pytest.approx(0.4)


def test_nothing_right_is_zero(encoder: Encoder) -> None:
    assert alignment_f1(encoder, encoder, [(WORDS, WORDS, [(0, 1)])]) == 0
    assert alignment_f1(encoder, encoder, []) == 0


def test_other_weights_align_worse(encoder: Encoder, build_encoder: Callable[..., Encoder]) -> None:
    links = [(i, i) for i in range(len(WORDS))]
    assert alignment_f1(encoder, build_encoder(seed=5), [(WORDS, WORDS, links)]) < 1
