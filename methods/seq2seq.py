"""Translators: a pretrained sequence-to-sequence model, or a student encoder with a small decoder of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from bench.api import (
    BenchError,
    Encoder,
    OnBatch,
    describe,
    read_encoder,
    read_json,
    write_json,
)
from bench.pretrained import files_fingerprint, model_folder

BATCH = 32
"""Texts that are translated together."""


class Translator(ABC):
    """Translates texts, always into one language."""

    def translate(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[str]:
        """The translations in the order of the texts; equal texts have equal ones."""
        unique = sorted(dict.fromkeys(texts), key=len, reverse=True)
        found: dict[str, str] = {}
        for start in range(0, len(unique), BATCH):
            batch = unique[start : start + BATCH]
            found.update(zip(batch, self.translate_batch(batch), strict=True))
            if on_batch is not None:
                on_batch(len(batch))
        return [found[text] for text in texts]

    @abstractmethod
    def translate_batch(self, texts: Sequence[str]) -> list[str]:
        """The translations of a few texts."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write to a new folder what `load_translator` makes it from; never a pickle."""


def load_translator(folder: Path, teacher: Encoder) -> Translator:
    """What a translator's `save` wrote. Raises `BenchError` if it cannot be had or is no longer what it was."""
    return (Pretrained if read_json(folder / "model.json") else Learned).load(folder, teacher)


@dataclass(frozen=True)
class Seq2Seq:
    """A sequence-to-sequence model of the Hugging Face hub, or of a local folder in its layout, and what to tell it.

    `source_code` and `target_code` name the languages to a model that has tokens for them (NLLB, M2M, mBART); `prefix`
    goes before each text.
    """

    name: str
    prefix: str = ""
    source_code: str = ""
    target_code: str = ""
    beams: int = 1
    max_length: int = 128


class Pretrained(Translator):
    """A model that others have trained. Weights are safetensors; nothing is ever unpickled.

    Raises `BenchError` if the model cannot be had or read, or does not know a language.
    """

    def __init__(self, given: Seq2Seq, device: torch.device) -> None:
        self.given = given
        self.model, self.tokenizer = read_seq2seq(model_folder(given.name), given.name)
        self.model.to(device).eval()
        self.how: dict[str, Any] = {"num_beams": given.beams, "do_sample": False, "max_new_tokens": given.max_length}
        if given.source_code:
            language_token(self.tokenizer, given.source_code, given.name)
            self.tokenizer.src_lang = given.source_code
        if given.target_code:
            self.how["forced_bos_token_id"] = language_token(self.tokenizer, given.target_code, given.name)
        positions = getattr(self.model.config, "max_position_embeddings", None) or 512
        self.limit = min(self.tokenizer.model_max_length, positions, 512)

    @torch.no_grad()
    def translate_batch(self, texts: Sequence[str]) -> list[str]:
        prompted = [self.given.prefix + text.strip() for text in texts]
        batch = self.tokenizer(prompted, padding=True, truncation=True, max_length=self.limit, return_tensors="pt")
        batch = {name: batch[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
        return self.tokenizer.batch_decode(self.model.generate(**batch, **self.how), skip_special_tokens=True)

    def save(self, folder: Path) -> None:
        """Write which model it is, and its fingerprint."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "model.json", {**asdict(self.given), "fingerprint": _fingerprint(self.given)})

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Pretrained:
        saved = read_json(folder / "model.json")
        fingerprint, given = saved.pop("fingerprint"), Seq2Seq(**saved)
        if _fingerprint(given) != fingerprint:
            raise BenchError(f"{folder} was made with another version of the translator '{given.name}'")
        return cls(given, teacher.device)


def _fingerprint(given: Seq2Seq) -> str:
    return files_fingerprint(model_folder(given.name))


def read_seq2seq(folder: Path, name: str) -> tuple[Any, Any]:
    """The model of a folder, in float32, and its tokenizer. Raises `BenchError` if they cannot be read."""
    if not any(folder.glob("*.safetensors")):
        raise BenchError(f"model '{name}': {folder} has no safetensors weights (pickled weights are never loaded)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model, report = AutoModelForSeq2SeqLM.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise BenchError(f"model '{name}': {folder} cannot be read as a translator: {describe(error)}") from error
    if report["missing_keys"]:
        raise BenchError(f"model '{name}': {folder} lacks the weights {', '.join(sorted(report['missing_keys'])[:3])}")
    return model, tokenizer


def language_token(tokenizer: Any, code: str, name: str) -> int:
    """The id of a language's token: its code, or that between underscores, as M2M writes it."""
    for token in (code, f"__{code}__"):
        number = tokenizer.convert_tokens_to_ids(token)
        if hasattr(tokenizer, "src_lang") and number not in (None, tokenizer.unk_token_id):
            return int(number)
    raise BenchError(f"model '{name}' has no token for the language '{code}'")


class Learned(Translator):
    """An encoder whose token embeddings a small decoder reads; `tokenizer` is that of the language it writes."""

    def __init__(self, encoder: Encoder, decoder: Decoder, tokenizer: Any, *, max_length: int = 128) -> None:
        self.encoder, self.decoder, self.tokenizer, self.max_length = (
            encoder.eval(),
            decoder.eval(),
            tokenizer,
            max_length,
        )

    def translate_batch(self, texts: Sequence[str]) -> list[str]:
        ids = self.write(self.encoder.tokenize(texts, "query"))
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)

    @torch.no_grad()
    def write(self, source: Sequence[Sequence[int]]) -> list[list[int]]:
        """The word pieces of the translations, by the tokenizer's ids, of texts as token ids of the encoder."""
        batch = self.encoder.collate(source)
        memory = self.encoder.token_embeddings(batch)
        return self.decoder.write(memory, batch.attention_mask, self.max_length)

    def save(self, folder: Path) -> None:
        self.encoder.save(folder / "encoder")
        save_file(self.decoder.state_dict(), folder / "decoder.safetensors")
        write_json(folder / "decoder.json", {"max_length": self.max_length})

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Learned:
        """Read what `save` wrote; it writes with the teacher's tokenizer."""
        encoder = read_encoder(folder / "encoder", teacher.name).to(teacher.device)
        tensors = load_file(folder / "decoder.safetensors")
        decoder = Decoder(tensors["embeddings.weight"], tensors["pieces"])
        decoder.load_state_dict(tensors)
        return cls(encoder, decoder.to(teacher.device), teacher.tokenizer, **read_json(folder / "decoder.json"))


class Decoder(nn.Module):
    """Writes a sentence word piece by word piece, each given those before it and an encoder's token embeddings.

    One recurrent layer whose states attend to the token embeddings (Luong et al. 2015, arXiv 1508.04025, with their
    "general" score and without input feeding). Its own ids are rows of `embeddings`: 0 is the boundary that starts
    and ends every sentence, i > 0 is the word piece `pieces[i - 1]` of a tokenizer. Embeddings are tied: what is
    predicted is the row with the largest inner product.
    """

    pieces: Tensor

    def __init__(self, embeddings: Tensor, pieces: Tensor, dropout: float = 0.0) -> None:
        super().__init__()
        dimension = embeddings.shape[1]
        self.register_buffer("pieces", pieces)
        self.embeddings = nn.Embedding.from_pretrained(embeddings.clone(), freeze=False)
        self.recurrent = nn.GRU(dimension, dimension, batch_first=True)
        self.attention = nn.Linear(dimension, dimension, bias=False)
        self.combine = nn.Linear(2 * dimension, dimension)
        self.norm = nn.LayerNorm(dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, memory: Tensor, mask: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What `logits` says the next ids by, (n, length, dimension), and the recurrent state after the last.

        `ids` (n, length) int64; `memory` (n, m, dimension) with its `mask` (n, m), 0 on padding; `state` is what an
        earlier call returned for the ids before these.
        """
        hidden, state = self.recurrent(self.dropout(self.embeddings(ids)), state)
        scores = self.attention(hidden) @ memory.transpose(1, 2) / memory.shape[-1] ** 0.5
        weights = scores.masked_fill(mask[:, None] == 0, -torch.inf).softmax(dim=-1)
        output = torch.tanh(self.combine(torch.cat([hidden, weights @ memory], dim=-1)))
        return self.norm(self.dropout(output)), state

    def logits(self, output: Tensor) -> Tensor:
        """Of every id that may come next, (..., rows)."""
        return output @ self.embeddings.weight.T

    @torch.no_grad()
    def write(self, memory: Tensor, mask: Tensor, max_length: int) -> list[list[int]]:
        """The likeliest piece at every step, as ids of the tokenizer, up to the boundary or `max_length` pieces."""
        last, state = torch.zeros(len(memory), 1, dtype=torch.long, device=memory.device), None
        written = last[:, :0]
        while written.shape[1] < max_length and not (written == 0).any(dim=1).all():
            output, state = self(last, memory, mask, state)
            last = self.logits(output).argmax(dim=-1)
            written = torch.cat([written, last], dim=1)
        sentences = [row[: row.index(0)] if 0 in row else row for row in written.tolist()]
        return [self.pieces[torch.tensor(row, dtype=torch.long) - 1].tolist() for row in sentences]
