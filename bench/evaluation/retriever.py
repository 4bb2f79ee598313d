"""A retriever: what every method ends in, and all that the pipeline knows of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.encoders.encoder import Encoder, Side, read_encoder, read_json, write_json
from bench.errors import BenchError

OnBatch = Callable[[int], None]
"""Called with the number of texts that were just encoded."""


@dataclass(frozen=True)
class Retriever:
    """Encodes queries with one encoder and documents with the same or another; `mean` scoring is the inner product
    of the two L2-normalised embeddings.
    """

    query_encoder: Encoder
    document_encoder: Encoder

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
    def load(cls, folder: Path, teacher: Encoder) -> Retriever:
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
