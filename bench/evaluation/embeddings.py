"""Embeddings on disk, in shards: encoding that dies goes on where it was, and what a frozen encoder said is kept."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.atomic import sweep
from bench.encoders.encoder import Encoder, Side
from bench.evaluation.retriever import OnBatch
from bench.fingerprint import digest, digest_texts, library_versions
from bench.sealed import Damaged, keep_sealed, read_sealed

SHARD = 4096
"""Texts per file."""
BLOCK = 16 * SHARD
"""Texts that are in memory at once."""

Encode = Callable[[Sequence[str], OnBatch], np.ndarray]


@dataclass
class Shards:
    """Embeddings of texts: iterating encodes those that are not in `folder` yet, and gives all of them block by block.

    The folder must belong to these texts and this encoder alone. A text that occurs twice in a block is encoded once,
    so that its embeddings are exactly equal; the texts of a block go longest first, so that those of a batch are of
    similar length. Which texts are encoded together does not depend on what is there already: a resumed encoding ends
    in the same bytes. A file is verified whenever it is read, and a damaged one is encoded again; one that cannot be
    written is not kept.
    """

    encode: Encode
    texts: Sequence[str]
    folder: Path
    on_texts: OnBatch
    seconds: float = 0.0
    """Spent on encoding so far; 0 as long as everything was in the folder."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Arrays of (up to BLOCK, dimension) float32, in the order of the texts."""
        sweep(self.folder)
        paths = (self.folder / f"{number:05d}.npy" for number in itertools.count())
        for start in range(0, len(self.texts), BLOCK):
            yield self._block(self.texts[start : start + BLOCK], paths)

    def _block(self, texts: Sequence[str], paths: Iterator[Path]) -> np.ndarray:
        unique = sorted(dict.fromkeys(texts), key=len, reverse=True)
        parts = [self._shard(unique[start : start + SHARD], next(paths)) for start in range(0, len(unique), SHARD)]
        row_of = {text: row for row, text in enumerate(unique)}
        return np.concatenate(parts)[[row_of[text] for text in texts]]

    def _shard(self, texts: Sequence[str], path: Path) -> np.ndarray:
        vectors = _read(path, len(texts))
        if vectors is None:
            started = time.perf_counter()
            vectors = self.encode(texts, self.on_texts)
            buffer = io.BytesIO()
            np.save(buffer, vectors, allow_pickle=False)
            keep_sealed(path, buffer.getvalue())
            self.seconds += time.perf_counter() - started
        else:
            self.on_texts(len(texts))
        return vectors


def shards_folder(folder: Path, encoder: Encoder, side: Side, texts: Sequence[str]) -> Path:
    """A folder in `folder` for an encoder's embeddings of these texts, named by all that can change them."""
    key = digest(
        {
            "encoder": encoder.fingerprint(),
            "side": side,
            "texts": digest_texts(texts),
            "block": BLOCK,
            "libraries": library_versions("torch", "transformers", "tokenizers", "numpy"),
            "device": encoder.device.type,
            "threads": torch.get_num_threads(),
        }
    )
    return folder / key


def _read(path: Path, rows: int) -> np.ndarray | None:
    """Return a shard; None if there is none, or it is damaged."""
    try:
        vectors = np.load(io.BytesIO(read_sealed(path)), allow_pickle=False)
    except Damaged:
        return None
    return vectors if len(vectors) == rows else None
