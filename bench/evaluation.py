"""Evaluating one retriever on one test collection: encode, index, search."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.atomic import atomic_write
from bench.data import TestCollection
from bench.encoders import Encoder
from bench.fingerprint import digest, digest_texts, library_versions
from bench.retrieval import Ids, Run, search
from bench.retriever import OnBatch, Retriever


@dataclass(frozen=True)
class Evaluation:
    """A run and what it cost; `seconds` has `encode_documents` 0 where they came from the cache."""

    run: Run
    seconds: dict[str, float]
    documents_cached: bool


@dataclass(frozen=True)
class EmbeddingCache:
    """Document embeddings of frozen encoders, kept by content: which encoder, which texts, which libraries."""

    folder: Path

    def documents(self, encoder: Encoder, texts: Sequence[str], on_texts: OnBatch) -> tuple[np.ndarray, bool]:
        """Embeddings, (n, dim) float32, and whether they were there already."""
        key = digest(
            {
                "encoder": encoder.fingerprint(),
                "texts": digest_texts(texts),
                "libraries": library_versions("torch", "transformers", "tokenizers", "numpy"),
                "device": encoder.device.type,
            }
        )
        path = self.folder / f"{key}.npy"
        if path.is_file():
            return np.load(path, allow_pickle=False), True
        vectors = encoder.encode(texts, "document", on_batch=on_texts)
        with atomic_write(path, "wb") as file:
            np.save(file, vectors, allow_pickle=False)
        return vectors, False


def evaluate(
    retriever: Retriever,
    test: TestCollection,
    *,
    oracle: bool,
    cache: EmbeddingCache,
    on_texts: OnBatch = lambda count: None,
) -> Evaluation:
    """The run of a retriever on a test collection, by `mean` scoring.

    Documents of an encoder that does not train are taken from `cache`. Raises `BenchError` if an embedding is not a
    number.
    """
    queries = test.queries
    if oracle:
        if test.oracle_queries is None:
            raise ValueError(f"{test.name} has no translation of its queries")
        queries = test.oracle_queries
    encoder = retriever.document_encoder
    frozen = not any(parameter.requires_grad for parameter in encoder.parameters())
    started = time.perf_counter()
    if frozen:
        documents, cached = cache.documents(encoder, test.documents, on_texts)
    else:
        documents, cached = retriever.encode_documents(test.documents, on_texts), False
    documents_done = time.perf_counter()
    vectors = retriever.encode_queries(queries, on_texts)
    queries_done = time.perf_counter()
    run = search(vectors, documents, Ids(test.query_ids, test.document_ids))
    return Evaluation(
        run,
        {
            "encode_documents": 0.0 if cached else documents_done - started,
            "encode_queries": queries_done - documents_done,
            "search": time.perf_counter() - queries_done,
        },
        cached,
    )
