"""Embeddings in shards: whatever is there already, the same bytes come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.encoders.encoder import Encoder, Side
from bench.evaluation.embeddings import Shards, shards_folder
from bench.evaluation.retriever import DualEncoder, OnBatch

TEXTS = [f"the {'very ' * (i % 7)}old boat number {i}" for i in range(50)]


@pytest.fixture(autouse=True, params=[24, 64], ids=["blocks", "one-block"])
def small_shards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven shards, in three blocks or in one."""
    monkeypatch.setattr("bench.evaluation.embeddings.SHARD", 8)
    monkeypatch.setattr("bench.evaluation.embeddings.BLOCK", request.param)


class Counted:
    """An encoder's documents, counting calls; it dies at the call `dies_at`."""

    def __init__(self, encoder: Encoder, dies_at: int = 0) -> None:
        self.retriever, self.calls, self.dies_at = DualEncoder(encoder, encoder), 0, dies_at

    def __call__(self, texts: Sequence[str], on_texts: OnBatch) -> np.ndarray:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        return self.retriever.encode_documents(texts, on_texts)


def ignore(count: int) -> None:
    pass


def encode_in_shards(
    encode: Counted, texts: Sequence[str], folder: Path, on_texts: OnBatch = ignore
) -> tuple[np.ndarray, bool]:
    """All embeddings, and whether they were there already."""
    shards = Shards(encode, texts, folder, on_texts)
    vectors = np.concatenate(list(shards))
    assert (shards.seconds == 0) == (encode.calls == 0)
    return vectors, shards.seconds == 0


def test_rows_are_in_the_order_of_the_texts(encoder: Encoder, tmp_path: Path) -> None:
    vectors, complete = encode_in_shards(Counted(encoder), TEXTS, tmp_path)
    assert not complete
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS, "document"), atol=1e-6)


@pytest.mark.parametrize("dies_at", [1, 2, 5, 7])
def test_encoding_that_died_goes_on_and_ends_in_the_same_bytes(encoder: Encoder, tmp_path: Path, dies_at: int) -> None:
    whole, _ = encode_in_shards(Counted(encoder), TEXTS, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        encode_in_shards(Counted(encoder, dies_at), TEXTS, tmp_path / "died")
    rest = Counted(encoder)
    resumed, complete = encode_in_shards(rest, TEXTS, tmp_path / "died")
    assert rest.calls == 7 - (dies_at - 1)
    assert complete == (rest.calls == 0)
    assert resumed.tobytes() == whole.tobytes()


def test_second_time_nothing_is_encoded(encoder: Encoder, tmp_path: Path) -> None:
    first, _ = encode_in_shards(Counted(encoder), TEXTS, tmp_path)
    counts: list[int] = []
    again = Counted(encoder)
    second, complete = encode_in_shards(again, TEXTS, tmp_path, counts.append)
    assert (again.calls, complete, sum(counts)) == (0, True, len(TEXTS))
    assert second.tobytes() == first.tobytes()


def test_repeated_text_of_a_block_has_one_embedding(encoder: Encoder, tmp_path: Path) -> None:
    texts = [*TEXTS[:16], TEXTS[3], *TEXTS[:5]]
    again = Counted(encoder)
    vectors, _ = encode_in_shards(again, texts, tmp_path)
    assert again.calls == 2
    assert vectors.shape == (len(texts), encoder.dimension)
    assert vectors[16].tobytes() == vectors[3].tobytes()
    assert vectors[17:].tobytes() == vectors[:5].tobytes()


def test_damaged_shard_is_made_again(encoder: Encoder, tmp_path: Path) -> None:
    whole, _ = encode_in_shards(Counted(encoder), TEXTS, tmp_path)
    data = bytearray((tmp_path / "00002.npy").read_bytes())
    data[-200] ^= 4
    (tmp_path / "00002.npy").write_bytes(data)
    again = Counted(encoder)
    vectors, complete = encode_in_shards(again, TEXTS, tmp_path)
    assert (again.calls, complete) == (1, False)
    assert vectors.tobytes() == whole.tobytes()
    assert encode_in_shards(Counted(encoder), TEXTS, tmp_path)[1]


def test_exchanged_shards_are_made_again(encoder: Encoder, tmp_path: Path) -> None:
    whole, _ = encode_in_shards(Counted(encoder), TEXTS, tmp_path)
    one, other = tmp_path / "00002.npy", tmp_path / "00003.npy"
    one.rename(tmp_path / "aside"), other.rename(one), (tmp_path / "aside").rename(other)
    again = Counted(encoder)
    vectors, _ = encode_in_shards(again, TEXTS, tmp_path)
    assert again.calls == 2
    assert vectors.tobytes() == whole.tobytes()


def test_embeddings_that_cannot_be_kept_are_made_all_the_same(encoder: Encoder, tmp_path: Path) -> None:
    whole, _ = encode_in_shards(Counted(encoder), TEXTS, tmp_path / "folder")
    (tmp_path / "file").write_text("in the way")
    vectors, _ = encode_in_shards(Counted(encoder), TEXTS, tmp_path / "file")
    assert vectors.tobytes() == whole.tobytes()


def test_folder_tells_numbers_of_threads_apart(encoder: Encoder, tmp_path: Path) -> None:
    one = shards_folder(tmp_path, encoder, "query", TEXTS)
    torch.set_num_threads(2)
    try:
        assert shards_folder(tmp_path, encoder, "query", TEXTS) != one
    finally:
        torch.set_num_threads(1)


def test_folder_tells_encoders_sides_and_texts_apart(build_encoder: Callable[..., Encoder], tmp_path: Path) -> None:
    one, other = (build_encoder(seed=seed).freeze() for seed in (0, 1))
    sides: tuple[Side, ...] = ("query", "document")
    folders = {
        shards_folder(tmp_path, encoder, side, texts)
        for encoder in (one, other)
        for side in sides
        for texts in (TEXTS, TEXTS[::-1])
    }
    assert len(folders) == 8
    assert shards_folder(tmp_path, one.copy(), "query", TEXTS) in folders
