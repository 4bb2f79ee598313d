"""Embeddings on disk, in shards: interrupted encoding continues, and those of a frozen encoder are reused."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.dependencies.fingerprint import library_versions
from bench.encoders.encoder import Encoder, Side
from bench.evaluation.retriever import OnBatch
from bench.storage.atomic import sweep
from bench.storage.hashing import digest, digest_texts
from bench.storage.sealed import Damaged, keep_sealed, read_sealed

SHARD = 4096
"""Texts per file."""
BLOCK = 16 * SHARD
"""Texts in memory at once."""

Encode = Callable[[Sequence[str], OnBatch], np.ndarray]


@dataclass
class Shards:
    """Embeddings of texts, block by block. Iterating encodes those that are not in `folder` yet.

    The folder must belong to these texts and this encoder alone. A text that occurs twice in a block is encoded once,
    so that its embeddings are exactly equal. The longest texts of a block come first, so that the texts of a batch are
    of similar length. The batches do not depend on the files that exist, so resumed encoding ends in the same bytes.
    Files are verified when they are read, and damaged ones are replaced. A file that cannot be written is not stored.
    """

    encode: Encode
    texts: Sequence[str]
    folder: Path
    on_texts: OnBatch
    seconds: float = 0.0
    """Time spent on encoding so far; 0 if everything was in the folder."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield arrays of (up to BLOCK, dimension) float32, in the order of the texts."""
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
        try:
            vectors: np.ndarray = np.load(io.BytesIO(read_sealed(path)), allow_pickle=False)
            if len(vectors) == len(texts):
                self.on_texts(len(texts))
                return vectors
        except Damaged:
            pass
        started = time.perf_counter()
        vectors = self.encode(texts, self.on_texts)
        buffer = io.BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        keep_sealed(path, buffer.getvalue())
        self.seconds += time.perf_counter() - started
        return vectors


def shards_folder(folder: Path, encoder: Encoder, side: Side, texts: Sequence[str]) -> Path:
    """Return a folder in `folder` for an encoder's embeddings of these texts, named by all that can change them."""
    key = {
        "encoder": encoder.fingerprint(),
        "side": side,
        "texts": digest_texts(texts),
        "block": BLOCK,
        "libraries": library_versions("torch", "transformers", "tokenizers", "numpy"),
        "device": encoder.device.type,
        "threads": torch.get_num_threads(),
    }
    return folder / digest(key)
