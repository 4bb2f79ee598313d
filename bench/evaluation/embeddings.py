"""Embeddings in files of a fixed number of texts, so that interrupted encoding continues."""

import io
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from bench.dependencies.fingerprint import library_versions
from bench.encoders.encoder import Side
from bench.errors import BenchError
from bench.evaluation.retrieval import count_unnormalised
from bench.evaluation.retriever import DualEncoder, OnBatch
from bench.storage.atomic import sweep
from bench.storage.hashing import digest, digest_texts
from bench.storage.sealed import Damaged, keep_sealed, read_sealed

SHARD = 4096
"""Number of texts per file."""
BLOCK = 16 * SHARD
"""Number of texts in memory."""


class Embeddings:
    """Embeddings of queries or documents, block by block.

    Iterating encodes texts without a stored embedding. Files are in a folder below `parent` whose name is a hash of all
    inputs. Equal texts of a block are encoded once. The longest texts come first, independent of existing files, so
    resumed encoding ends in the same bytes. Damaged files are replaced.
    """

    def __init__(
        self, retriever: DualEncoder, side: Side, texts: Sequence[str], parent: Path, on_texts: OnBatch
    ) -> None:
        encoder = retriever.query_encoder if side == "query" else retriever.document_encoder
        key = {
            "encoder": encoder.fingerprint(),
            "side": side,
            "texts": digest_texts(texts),
            "block": BLOCK,
            "libraries": library_versions("torch", "transformers", "tokenizers", "numpy"),
            "device": encoder.device.type,
            "autocast": torch.is_autocast_enabled(encoder.device.type),
            "threads": torch.get_num_threads(),
        }
        self.encode = retriever.encode_queries if side == "query" else retriever.encode_documents
        self.texts, self.folder, self.on_texts = texts, parent / digest(key), on_texts
        self.dimension = 0  # of the first vectors, valid for all
        self.seconds = 0.0
        """Seconds of encoding; 0 if all embeddings were stored."""
        self.unnormalised = 0
        """Number of vectors whose length is not 1, in the current iteration."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield arrays (up to BLOCK, dimension) float32. Raises `BenchError` for another shape or type."""
        sweep(self.folder)
        self.unnormalised, on_texts = 0, self.on_texts
        paths = (self.folder / f"{number:05d}.npy" for number in itertools.count())
        for start in range(0, len(self.texts), BLOCK):
            yield self._block(self.texts[start : start + BLOCK], paths)
        self.on_texts = lambda count: on_texts(0)  # a second iteration starts again

    def _block(self, texts: Sequence[str], paths: Iterator[Path]) -> np.ndarray:
        unique = sorted(dict.fromkeys(texts), key=len, reverse=True)
        parts = [self._shard(unique[start : start + SHARD], next(paths)) for start in range(0, len(unique), SHARD)]
        row_of = {text: row for row, text in enumerate(unique)}
        block: np.ndarray = np.concatenate(parts)[[row_of[text] for text in texts]]
        self.unnormalised += count_unnormalised(block)
        return block

    def _shard(self, texts: Sequence[str], path: Path) -> np.ndarray:
        try:
            vectors: np.ndarray = np.load(io.BytesIO(read_sealed(path)), allow_pickle=False)
            if len(vectors) == len(texts):
                self.dimension = vectors.shape[1]
                self.on_texts(len(texts))
                return vectors
        except Damaged:
            pass
        started = time.perf_counter()
        vectors = self.encode(texts, self.on_texts)
        if (
            not isinstance(vectors, np.ndarray)
            or vectors.dtype != np.float32
            or vectors.shape[:-1] != (len(texts),)
            or self.dimension not in (0, vectors.shape[-1])
        ):
            got = f"{vectors.shape} {vectors.dtype}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
            expected = f"({len(texts)}, {self.dimension or 'dimension'}) float32"
            raise BenchError(f"{self.encode.__name__} must return {expected}, not {got}")
        self.dimension = vectors.shape[-1]
        buffer = io.BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        keep_sealed(path, buffer.getvalue())
        self.seconds += time.perf_counter() - started
        return vectors
