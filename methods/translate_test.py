"""Translate-test: queries are translated into the documents' language; then an English retriever is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from bench.api import (
    BenchError,
    DualEncoder,
    Encoder,
    Method,
    MethodConfig,
    OnBatch,
    Task,
    describe,
    read_json,
    write_json,
)
from bench.pretrained import files_fingerprint, model_folder
from methods.translation_table import TableConfig, words

BATCH = 32
"""Texts that are translated together."""


class TranslateTestConfig(TableConfig):
    translator: str = "gloss"
    """`gloss`: word by word, by a table learned from the task's bitext. Otherwise a pretrained sequence model: a folder
    or an id of the Hugging Face hub, with safetensors weights."""
    alternatives: int = Field(1, gt=0)
    """The number of translations that a gloss has of each word, the most probable first."""
    prefix: str = ""
    """A pretrained translator's instruction before each text: `>>eng<< ` or `translate Swahili to English: `."""
    source_code: str = ""
    """A pretrained translator's token of the queries' language; `{language}` in it stands for the ISO 639-3 code, as in
    `{language}_Latn` for NLLB."""
    target_code: str = ""
    """A pretrained translator's token of the documents' language, with which it begins, as `eng_Latn`."""
    beams: int = Field(1, gt=0)
    """Beams of a pretrained translator's search; 1 is greedy."""
    max_length: int = Field(128, gt=0)
    """Longest translation of a pretrained translator, in word pieces."""


@dataclass(frozen=True)
class Gloss:
    """A word-by-word translator: each word becomes its most probable translations, and stays itself without any."""

    table: Mapping[str, Sequence[str]]

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Return the translations of a batch of texts: casefolded words, separated by spaces."""
        return [" ".join(other for word in words(text) for other in self.table.get(word, [word])) for text in texts]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "gloss.json", dict(self.table))

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Gloss:
        return cls(read_json(folder / "gloss.json"))


class Pretrained:
    """A pretrained translator. Weights are safetensors; nothing is ever unpickled.

    Raises `BenchError` if the model cannot be loaded, or does not know a language.
    """

    def __init__(self, config: TranslateTestConfig, device: torch.device) -> None:
        self.config = config
        self.model, self.tokenizer = read_model(model_folder(config.translator), config.translator)
        self.model.to(device).eval()
        self.how: dict[str, Any] = {"num_beams": config.beams, "do_sample": False, "max_new_tokens": config.max_length}
        if config.source_code:
            self.language_token(config.source_code)
            self.tokenizer.src_lang = config.source_code
        if config.target_code:
            self.how["forced_bos_token_id"] = self.language_token(config.target_code)
        positions = getattr(self.model.config, "max_position_embeddings", None) or 512
        self.limit = min(self.tokenizer.model_max_length, positions, 512)

    def language_token(self, code: str) -> int:
        """Return the id of a language's token: its code or, as in M2M, the code between underscores."""
        for token in (code, f"__{code}__"):
            number = self.tokenizer.convert_tokens_to_ids(token)
            if hasattr(self.tokenizer, "src_lang") and number not in (None, self.tokenizer.unk_token_id):
                return int(number)
        raise BenchError(f"model '{self.config.translator}' has no token for the language '{code}'")

    @torch.no_grad()
    def translate(self, texts: Sequence[str]) -> list[str]:
        """Return the translations of a batch of texts."""
        prompted = [self.config.prefix + text.strip() for text in texts]
        batch = self.tokenizer(prompted, padding=True, truncation=True, max_length=self.limit, return_tensors="pt")
        batch = {name: batch[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
        return self.tokenizer.batch_decode(self.model.generate(**batch, **self.how), skip_special_tokens=True)

    def save(self, folder: Path) -> None:
        """Write the configuration, with the model's name, and the model's fingerprint."""
        folder.mkdir(parents=True, exist_ok=True)
        fingerprint = files_fingerprint(model_folder(self.config.translator))
        write_json(folder / "model.json", {"fingerprint": fingerprint, "config": self.config.model_dump()})

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Pretrained:
        saved = read_json(folder / "model.json")
        config = TranslateTestConfig(**saved["config"])
        if files_fingerprint(model_folder(config.translator)) != saved["fingerprint"]:
            raise BenchError(f"{folder} was made with another version of the translator '{config.translator}'")
        return cls(config, teacher.device)


def read_model(folder: Path, name: str) -> tuple[Any, Any]:
    """Return the model of a folder, in float32, and its tokenizer. Raises `BenchError` if they cannot be read."""
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


@dataclass(frozen=True)
class Translating(DualEncoder):
    """A retriever that translates queries. Both sides are then the teacher's."""

    translator: Gloss | Pretrained

    def rewrite(self, queries: Sequence[str], on_batch: OnBatch | None = None) -> list[str]:
        """Return the translations in the order of the queries. Equal queries have equal ones."""
        unique = sorted(dict.fromkeys(queries), key=len, reverse=True)
        translations: dict[str, str] = {}
        for start in range(0, len(unique), BATCH):
            batch = unique[start : start + BATCH]
            translations.update(zip(batch, self.translator.translate(batch), strict=True))
            if on_batch is not None:
                on_batch(len(batch))
        return [translations[query] for query in queries]

    def save(self, folder: Path, teacher: Encoder) -> None:
        super().save(folder, teacher)
        self.translator.save(folder / "translator")


class TranslateTest(Method):
    """Queries are translated into the documents' language, and the unmodified teacher does the rest.

    By default the translation is a gloss: each word is replaced by its most probable translation e, by p(e|f) of IBM
    Model 1 on the bitext. Words without a translation stay as they are, and the order of words does not change. The
    table costs seconds, and no step of training. The translated test queries are stored with each run
    (`rewritten.tsv`).

    Known limits: a gloss has no grammar, and its words are not chosen by their context. Languages that are trained
    together share one table.
    """

    name = "translate-test"
    source = "machine translation of queries, any model; the gloss by Brown et al. 1993, IBM Model 1"
    supervision: tuple[str, ...] = ("bitext",)
    depends_on: tuple[str, ...] = ("data",)
    Config = TranslateTestConfig

    def __init__(self, config: MethodConfig | None = None) -> None:
        super().__init__(config)
        if self.config.translator != "gloss":
            self.supervision = self.depends_on = ()

    @property
    def models(self) -> tuple[str, ...]:
        return () if self.config.translator == "gloss" else (self.config.translator,)

    def fit(self, task: Task) -> Translating:
        config, bitext = self.config, task.data.bitext
        if config.translator == "gloss":
            table, _ = config.table(bitext.query_side, bitext.document_side)
            return Translating(task.teacher, task.teacher, Gloss({word: list(best) for word, best in table.items()}))
        code = config.source_code.replace("{language}", task.data.pairs[0].query)
        translator = Pretrained(config.model_copy(update={"source_code": code}), task.teacher.device)
        return Translating(task.teacher, task.teacher, translator)

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Translating:
        """Read the retriever. Raises `BenchError` if a pretrained translator cannot be loaded or has changed."""
        dual, place = DualEncoder.load(folder, teacher), folder / "translator"
        kind = Pretrained if (place / "model.json").exists() else Gloss
        return Translating(dual.query_encoder, dual.document_encoder, kind.load(place, teacher))
