"""Off the shelf: a pretrained retriever, usually a multilingual one, without further training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.api import BenchError, DualEncoder, Encoder, Method, MethodConfig, Task, read_json, write_json
from bench.pretrained import load_encoder


class OffTheShelfConfig(MethodConfig):
    always_shown = ("encoder",)

    encoder: str = "multilingual-e5-small"
    """A known encoder, a folder or an id of the Hugging Face hub, with safetensors weights, in sentence-transformers'
    layout or as a bare transformer. Its maximal length is respected."""
    query_prefix: str | None = None
    """Text before each query. The default is that of the known encoder or of its folder, or none."""
    document_prefix: str | None = None
    """Text before each document, likewise."""
    pooling: Literal["as stated", "mean", "cls", "max"] = "as stated"
    """Pooling of token embeddings. `as stated` follows the encoder's folder, and is `mean` without a statement."""


@dataclass(frozen=True)
class Shelved(DualEncoder):
    """A retriever that is saved by name only."""

    config: OffTheShelfConfig

    @classmethod
    def make(cls, config: OffTheShelfConfig, teacher: Encoder) -> Shelved:
        """Load the encoder to the teacher's device. Raises `BenchError` if it cannot be loaded."""
        encoder = load_encoder(config.encoder)
        if config.query_prefix is not None:
            encoder.prompts["query"] = config.query_prefix
        if config.document_prefix is not None:
            encoder.prompts["document"] = config.document_prefix
        if config.pooling != "as stated":
            encoder.pooling = config.pooling
        encoder = encoder.to(teacher.device)
        return cls(encoder, encoder, config)

    def save(self, folder: Path, teacher: Encoder) -> None:
        """Write the configuration, with the encoder's name, and the encoder's fingerprint."""
        folder.mkdir(parents=True, exist_ok=True)
        fingerprint = self.query_encoder.fingerprint()
        write_json(folder / "retriever.json", {"fingerprint": fingerprint, "config": self.config.model_dump()})


class OffTheShelf(Method):
    """A retriever that others have trained, as it is: one encoder for queries and documents, whatever the teacher.

    Known limits: neither its training data nor its budget are the comparison's, and it may have been trained on the
    test collections.
    """

    name = "off-the-shelf"
    source = "by default multilingual E5 (Wang et al. 2024, arXiv 2402.05672)"
    depends_on = ()
    Config = OffTheShelfConfig

    @property
    def models(self) -> tuple[str, ...]:
        return (self.config.encoder,)

    def fit(self, task: Task) -> Shelved:
        return Shelved.make(self.config, task.teacher)

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Shelved:
        """Read the retriever. Raises `BenchError` if the encoder cannot be loaded or has changed."""
        saved = read_json(folder / "retriever.json")
        retriever = Shelved.make(OffTheShelfConfig(**saved["config"]), teacher)
        if retriever.query_encoder.fingerprint() != saved["fingerprint"]:
            raise BenchError(f"{folder} was made with another version of the encoder {retriever.config.encoder}")
        return retriever
