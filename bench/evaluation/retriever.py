"""Retrievers, the results of methods: dual encoders and rankers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.data import Ids
from bench.encoders.encoder import Encoder
from bench.encoders.folders import read_encoder, read_json, save_encoder, write_json
from bench.errors import BenchError

QUERY_PRECISION = "float32"
"""The precision of queries. Queries are short, and those of a student lose more in bfloat16 than documents do."""
OnBatch = Callable[[int], None]
"""A callback with the number of texts encoded or read since its last call."""


class Retriever(ABC):
    """The result of a method: a `DualEncoder` or a `Ranker`."""

    scorings: ClassVar[tuple[str, ...]]
    """The supported scorings of documents."""

    @abstractmethod
    def save(self, folder: Path, teacher: Encoder) -> None:
        """Write everything that `load` of its method needs, without the frozen teacher and without pickles."""


class Ranker(Retriever):
    """A retriever without embeddings, such as a lexical one."""

    @abstractmethod
    def rank(
        self, queries: Sequence[str], documents: Sequence[str], ids: Ids, depth: int, on_texts: OnBatch
    ) -> Mapping[str, Sequence[tuple[str, float]]]:
        """Return query id -> (document id, score) for the `depth` documents with the largest scores, or more.

        The order is free, scores can be equal, and queries and documents without a match can be left out. If documents
        have equal scores, those with the first ids must be included.

        `documents` may exceed memory: slice or iterate them in order, and never copy them as a whole. Call `on_texts`
        with the number of queries and documents read since the last call. A method that does not call it for a long
        time is stopped.
        """


@dataclass(frozen=True)
class DualEncoder(Retriever):
    """An encoder of queries, and the same or another encoder of documents.

    `single-vector` scoring is the inner product of the two L2-normalised embeddings. `maxsim` is late interaction
    (`bench.evaluation.maxsim`).
    """

    scorings = ("single-vector", "maxsim")

    query_encoder: Encoder
    document_encoder: Encoder

    def rewrite(self, queries: Sequence[str], on_batch: OnBatch | None = None) -> Sequence[str]:
        """Return the texts to encode in place of the queries, in their order (default: the queries)."""
        return queries

    def encode_queries(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
        """Return L2-normalised embeddings of queries, (n, dimension) float32."""
        return self.query_encoder.encode(texts, "query", on_batch=on_batch)

    def encode_documents(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
        """Return L2-normalised embeddings of documents, (n, dimension) float32."""
        return self.document_encoder.encode(texts, "document", on_batch=on_batch)

    def save(self, folder: Path, teacher: Encoder) -> None:
        """Write the encoders. For a copy of the frozen teacher, only its fingerprint is written."""
        folder.mkdir(parents=True, exist_ok=True)
        places: dict[str, str] = {}
        fingerprint = teacher.fingerprint()
        for side, encoder in (("query", self.query_encoder), ("document", self.document_encoder)):
            if encoder.fingerprint() == fingerprint:
                places[side] = "teacher"
            elif side == "document" and encoder is self.query_encoder:
                places[side] = "query"
            else:
                places[side] = side
                save_encoder(encoder, folder / side)
        about = {**places, "teacher": {"name": teacher.name, "fingerprint": fingerprint}}
        write_json(folder / "retriever.json", about)

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> DualEncoder:
        """Return the retriever of a folder. Raises `BenchError` if it was made with another teacher."""
        saved = read_json(folder / "retriever.json")
        if not saved:
            raise BenchError(f"{folder} holds no retriever")
        if saved["teacher"]["fingerprint"] != teacher.fingerprint():
            raise BenchError(f"{folder} was made with another teacher than this {teacher.name}")
        encoders: dict[str, Encoder] = {"teacher": teacher}
        for side in ("query", "document"):
            if saved[side] not in encoders:
                encoder = read_encoder(folder / saved[side], teacher.name).to(teacher.device)
                encoders[saved[side]] = encoder.eval()
        return cls(encoders[saved["query"]], encoders[saved["document"]])
