"""Retrievers: what every method ends in, and all that the pipeline knows of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.data import Ids
from bench.encoders.encoder import Encoder, Side, read_encoder, read_json, write_json
from bench.errors import BenchError

OnBatch = Callable[[int], None]
"""Called with the number of texts that were just encoded or read."""


class Retriever(ABC):
    """What every method ends in. The pipeline knows two kinds: `DualEncoder` and `Ranker`."""

    scorings: ClassVar[tuple[str, ...]]
    """What it can score documents by; those of its method."""

    @abstractmethod
    def save(self, folder: Path, teacher: Encoder) -> None:
        """Write to a new folder what its method's `load` makes it from, the frozen teacher apart; never a pickle."""


class Ranker(Retriever):
    """A retriever without embeddings, such as a lexical one: it ranks the documents itself."""

    @abstractmethod
    def rank(
        self, queries: Sequence[str], documents: Sequence[str], ids: Ids, depth: int, on_texts: OnBatch
    ) -> Mapping[str, Sequence[tuple[str, float]]]:
        """Query id -> (document id, score), at least for the `depth` documents with the largest scores.

        Their order does not matter, scores may be equal, and a query or document for which nothing was found may be
        left out. Of equal scores those of the first document ids must be among them.

        `documents` are possibly more than memory holds: slice or iterate them in order, as often as needed, and never
        copy them as a whole. `on_texts` is called with the number of texts that were just read, queries and documents;
        a method that is silent for long is given up.
        """


@dataclass(frozen=True)
class DualEncoder(Retriever):
    """Encodes queries with one encoder and documents with the same or another. `mean` scoring is the inner
    product of the two L2-normalised embeddings, `maxsim` that of `bench.evaluation.maxsim`.
    """

    scorings = ("mean", "maxsim")

    query_encoder: Encoder
    document_encoder: Encoder

    def rewrite(self, queries: Sequence[str], on_batch: OnBatch | None = None) -> Sequence[str]:
        """What is encoded in place of the queries, in their order; the queries themselves unless a method says
        otherwise.
        """
        return queries

    def encode_queries(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
        """L2-normalised embeddings of queries, (n, dimension) float32."""
        return self.query_encoder.encode(texts, "query", on_batch=on_batch)

    def encode_documents(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
        """L2-normalised embeddings of documents, (n, dimension) float32."""
        return self.document_encoder.encode(texts, "document", on_batch=on_batch)

    def encoder(self, side: Side) -> Encoder:
        return self.query_encoder if side == "query" else self.document_encoder

    def save(self, folder: Path, teacher: Encoder) -> None:
        """Write the encoders; one that is a copy of the frozen teacher is only named, by its fingerprint."""
        folder.mkdir(parents=True, exist_ok=True)
        places = {}
        fingerprint = teacher.fingerprint()
        for side in ("query", "document"):
            encoder = self.encoder(side)
            if encoder.fingerprint() == fingerprint:
                places[side] = "teacher"
            elif side == "document" and encoder is self.query_encoder:
                places[side] = "query"
            else:
                places[side] = side
                encoder.save(folder / side)
        write_json(
            folder / "retriever.json",
            {**places, "teacher": {"name": teacher.name, "fingerprint": fingerprint}},
        )

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> DualEncoder:
        """Read what `save` wrote. Raises `BenchError` if it was made with another teacher."""
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
