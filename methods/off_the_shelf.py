"""Off the shelf: another retriever, multilingual if it is to be of use, as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.api import (
    BenchError,
    DualEncoder,
    Encoder,
    Method,
    MethodConfig,
    Retriever,
    Side,
    Task,
    read_json,
    write_json,
)
from bench.pretrained import load_encoder


class OffTheShelfConfig(MethodConfig):
    always_shown = ("encoder",)

    encoder: str = "multilingual-e5-small"
    """A known encoder, a folder or an id of the Hugging Face hub; safetensors weights, in sentence-transformers' layout
    or as a bare transformer. Its maximal length is honoured."""
    query_prefix: str | None = None
    """What is put before queries; unless given, what is known of the encoder or its folder says, else nothing."""
    document_prefix: str | None = None
    """The same for documents."""
    pooling: Literal["as stated", "mean", "cls", "max"] = "as stated"
    """How token embeddings become one; `as stated` in its folder, which is `mean` where it states nothing."""


@dataclass(frozen=True)
class Shelved(DualEncoder):
    """A retriever of which only the name is kept."""

    config: OffTheShelfConfig

    def save(self, folder: Path, teacher: Encoder) -> None:
        """Write which encoder it is, and its fingerprint."""
        folder.mkdir(parents=True, exist_ok=True)
        fingerprint = self.query_encoder.fingerprint()
        write_json(folder / "retriever.json", {"fingerprint": fingerprint, "config": self.config.model_dump()})


class OffTheShelf(Method):
    """A retriever that others have trained, as it is: one encoder for queries and documents, whatever the teacher.

    Known limits: neither its training data nor its budget are the comparison's, and it may have been trained on what
    the tests judge by.
    """

    name = "off-the-shelf"
    source = "by default multilingual E5 (Wang et al. 2024, arXiv 2402.05672)"
    depends_on = ()
    Config = OffTheShelfConfig

    @property
    def models(self) -> tuple[str, ...]:
        return (self.config.encoder,)

    def fit(self, task: Task) -> Retriever:
        encoder = encoder_of(self.config).to(task.teacher.device)
        return Shelved(encoder, encoder, self.config)

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Retriever:
        """Raises `BenchError` if the encoder cannot be had or is no longer what it was."""
        saved = read_json(folder / "retriever.json")
        config = OffTheShelfConfig(**saved["config"])
        encoder = encoder_of(config).to(teacher.device)
        if encoder.fingerprint() != saved["fingerprint"]:
            raise BenchError(f"{folder} was made with another version of the encoder {config.encoder}")
        return Shelved(encoder, encoder, config)


def encoder_of(config: OffTheShelfConfig) -> Encoder:
    """The frozen encoder that a configuration describes. Raises `BenchError` if it cannot be had."""
    encoder = load_encoder(config.encoder)
    given: dict[Side, str | None] = {"query": config.query_prefix, "document": config.document_prefix}
    encoder.prompts |= {side: prefix for side, prefix in given.items() if prefix is not None}
    if config.pooling != "as stated":
        encoder.pooling = config.pooling
    return encoder
