"""Embeddings on disk, in shards: encoding that dies goes on where it was, and what a frozen encoder said is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.atomic import atomic_write, sweep
from bench.encoders.encoder import Encoder, Side
from bench.evaluation.retriever import OnBatch
from bench.fingerprint import digest, digest_texts, library_versions

SHARD = 4096
"""Texts per file."""

Encode = Callable[[Sequence[str], OnBatch], np.ndarray]


def encode_in_shards(encode: Encode, texts: Sequence[str], folder: Path, on_texts: OnBatch) -> tuple[np.ndarray, bool]:
    """Embeddings of `texts`, (n, dimension) float32, and whether all of them were in `folder` already.

    The folder must belong to these texts and this encoder alone. A text that occurs twice is encoded once, so that its
    embeddings are exactly equal; texts go longest first, so that those of a batch are of similar length. Which texts
    are encoded together does not depend on what is there already: a resumed encoding ends in the same bytes.
    """
    sweep(folder)
    unique = sorted(dict.fromkeys(texts), key=len, reverse=True)
    parts, complete = [], True
    for number, start in enumerate(range(0, len(unique), SHARD)):
        path, shard = folder / f"{number:05d}.npy", unique[start : start + SHARD]
        vectors = _read(path, len(shard))
        if vectors is None:
            complete = False
            vectors = encode(shard, on_texts)
            with atomic_write(path, "wb") as file:
                np.save(file, vectors, allow_pickle=False)
        else:
            on_texts(len(shard))
        parts.append(vectors)
    row_of = {text: row for row, text in enumerate(unique)}
    return np.concatenate(parts)[[row_of[text] for text in texts]], complete


def shards_folder(folder: Path, encoder: Encoder, side: Side, texts: Sequence[str]) -> Path:
    """A folder in `folder` for an encoder's embeddings of these texts, named by all that can change them."""
    key = digest(
        {
            "encoder": encoder.fingerprint(),
            "side": side,
            "texts": digest_texts(texts),
            "libraries": library_versions("torch", "transformers", "tokenizers", "numpy"),
            "device": encoder.device.type,
        }
    )
    return folder / key


def _read(path: Path, rows: int) -> np.ndarray | None:
    """A shard; None if there is none, or if something has damaged it."""
    try:
        vectors = np.load(path, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return vectors if vectors.ndim == 2 and len(vectors) == rows else None
