"""Embeddings in shards: whatever is there already, the same bytes come out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_encoder

from bench.encoders.encoder import Encoder, Side
from bench.errors import BenchError
from bench.evaluation.embeddings import Embeddings
from bench.evaluation.retriever import DualEncoder, OnBatch

TEXTS = [f"the {'very ' * (i % 7)}old boat number {i}" for i in range(50)]


@pytest.fixture(autouse=True, params=[24, 64], ids=["blocks", "one-block"])
def small_shards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven shards, in three blocks or in one."""
    monkeypatch.setattr("bench.evaluation.embeddings.SHARD", 8)
    monkeypatch.setattr("bench.evaluation.embeddings.BLOCK", request.param)


class Embed:
    """Embeds documents in a folder; dies at the call `dies_at` of the encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def __call__(self, parent: Path, texts: Sequence[str] = TEXTS, dies_at: int = 0) -> tuple[bytes, int]:
        """Return the embeddings' bytes and the number of calls of the encoder."""
        calls, counts = 0, []

        class Counted(DualEncoder):
            def encode_documents(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
                nonlocal calls
                calls += 1
                if calls == dies_at:
                    raise KeyboardInterrupt
                return super().encode_documents(texts, on_batch)

        embeddings = Embeddings(Counted(self.encoder, self.encoder), "document", texts, parent, counts.append)
        self.vectors = np.concatenate(list(embeddings))
        assert (embeddings.seconds == 0) == (calls == 0)
        assert sum(counts) == len(texts) or len(set(texts)) < len(texts)
        return self.vectors.tobytes(), calls


@pytest.fixture
def embed(encoder: Encoder) -> Embed:
    return Embed(encoder)


def test_rows_are_in_the_order_of_the_texts_and_encoded_once(embed: Embed, tmp_path: Path) -> None:
    whole, _ = embed(tmp_path)
    np.testing.assert_allclose(embed.vectors, embed.encoder.encode(TEXTS, "document"), atol=1e-6)
    assert embed(tmp_path) == (whole, 0)


@pytest.mark.parametrize("dies_at", [1, 2, 5, 7])
def test_encoding_that_died_goes_on_and_ends_in_the_same_bytes(embed: Embed, tmp_path: Path, dies_at: int) -> None:
    whole, _ = embed(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        embed(tmp_path / "died", dies_at=dies_at)
    assert embed(tmp_path / "died") == (whole, 7 - (dies_at - 1))


def test_repeated_text_of_a_block_has_one_embedding(embed: Embed, tmp_path: Path) -> None:
    _, calls = embed(tmp_path, [*TEXTS[:16], TEXTS[3], *TEXTS[:5]])
    assert calls == 2
    assert embed.vectors[16].tobytes() == embed.vectors[3].tobytes()
    assert embed.vectors[17:].tobytes() == embed.vectors[:5].tobytes()


def test_damaged_and_exchanged_shards_are_made_again(embed: Embed, tmp_path: Path) -> None:
    whole, _ = embed(tmp_path)
    _, _, one, other, *_ = sorted(tmp_path.rglob("*.npy"))
    data = bytearray(one.read_bytes())
    data[-200] ^= 4
    one.write_bytes(data)
    assert embed(tmp_path) == (whole, 1)
    one.rename(tmp_path / "aside"), other.rename(one), (tmp_path / "aside").rename(other)
    assert embed(tmp_path) == (whole, 2)
    assert embed(tmp_path) == (whole, 0)


def test_embeddings_that_cannot_be_kept_are_made_all_the_same(embed: Embed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert embed(tmp_path / "file") == embed(tmp_path / "folder")


def test_dimension_that_changes_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    class Shrinking(DualEncoder):
        def encode_documents(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
            return np.eye(len(texts), 4 if TEXTS[0] in texts else 5, dtype=np.float32)

    embeddings = Embeddings(Shrinking(encoder, encoder), "document", TEXTS, tmp_path, lambda count: None)
    with pytest.raises(BenchError, match=r"must return \(\d, \d\) float32, not \(\d, \d\) float32"):
        list(embeddings)


def test_folder_is_that_of_encoder_side_texts_and_threads(tmp_path: Path) -> None:
    def folder(encoder: Encoder, side: Side = "query", texts: Sequence[str] = TEXTS) -> Path:
        return Embeddings(DualEncoder(encoder, encoder), side, texts, tmp_path, lambda count: None).folder

    one, other = (make_encoder(seed=seed).freeze() for seed in (0, 1))
    sides: tuple[Side, ...] = ("query", "document")
    folders = {folder(each, side, texts) for each in (one, other) for side in sides for texts in (TEXTS, TEXTS[::-1])}
    assert len(folders) == 8
    assert folder(one.copy()) in folders
    torch.set_num_threads(2)  # each test begins with one
    assert folder(one) not in folders
