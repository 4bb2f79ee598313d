"""The settings of a training that are equal for every method of a comparison: its budget and its recipe."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import BenchError

UNITS = ("seconds", "steps", "tokens", "examples", "cpu_seconds")
COUNTED = ("tokens", "examples")
"""The units of large numbers, which are written with the prefixes of `FACTORS`."""
FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}
LARGEST = 10**12


@dataclass(frozen=True)
class Budget:
    """`amount` in `unit`, the name of one of the expenses in `Spent`."""

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `600steps`, `2Mtokens`, `64kexamples`, `90s` or `90cpu-s`; a bare number means steps."""
        units = "s|sec|seconds?|steps?|tokens?|examples?|cpu-s|cpu-sec|cpu-seconds?"
        match = re.fullmatch(rf"0*([1-9][0-9]{{0,12}})\s*([kM]?)\s*(|{units})", text.strip())
        if match is None or int(match[1]) * FACTORS[match[2]] > LARGEST:
            accepted = "600steps, 64kexamples, 2Mtokens, 90seconds or 90cpu-seconds"
            raise BenchError(f"budget '{text:.80}' does not parse; write {accepted}; at most {LARGEST:g}")
        unit = next(unit for unit in UNITS if unit.startswith(match[3].replace("-", "_") or "steps"))
        return cls(int(match[1]) * FACTORS[match[2]], unit)

    def __str__(self) -> str:
        prefixes = ("M", "k", "") if self.unit in COUNTED else ("",)
        prefix = next(prefix for prefix in prefixes if self.amount % FACTORS[prefix] == 0)
        return f"{self.amount // FACTORS[prefix]}{prefix}{self.unit.replace('_', '-')}"


@dataclass
class Spent:
    """The expenses of a training so far."""

    steps: int = 0
    tokens: int = 0
    """Tokens that the student has read, padding excluded; mining and validation included."""
    examples: int = 0
    """Rows of batches: a translation pair, a judged query with its passage or an unpaired sentence is one example. A
    combination's batch has the rows of all its parts. Mined negatives are no examples."""
    bitext_rows: dict[str, int] = field(default_factory=dict)
    """The translation pairs among the examples, by language pair."""
    seconds: float = 0.0
    """Wall-clock time, mining and validation included."""
    cpu_seconds: float = 0.0
    """The processor's time of all threads, waiting threads included; busy and idle machines compare with one thread."""
    extra_texts: int = 0
    """Texts that any encoder has encoded to find training examples."""
    extra_seconds: float = 0.0
    validation_seconds: float = 0.0

    def share(self, budget: Budget) -> float:
        """Return the spent share of `budget`, 0 to 1, which schedules follow."""
        return min(1.0, getattr(self, budget.unit) / budget.amount)


SHARED = ("document_encoder", "learning_rate_factor")
"""The settings that the methods of a combination have in common, because they train one student."""


class Recipe(BaseModel):
    """The optimisation of a student; part of every training's fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(64, gt=0, le=1_000_000)
    """Training examples (sentence pairs, or their equivalent number of texts) per step."""
    learning_rate: float = Field(1e-4, gt=0)
    embedding_learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of the word-embedding matrix, the only part of a student that is not the teacher's."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled decay; not applied to biases, normalisation weights and word embeddings."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the budget over which learning rates rise linearly; afterwards they fall linearly to zero."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the student. None by default: short budgets on frozen targets underfit rather than overfit."""
    clip_norm: float = Field(1.0, gt=0)
    language_sampling: float = Field(1.0, ge=0, le=1)
    """The sampling exponent for students of several languages. Each batch is of one language, drawn with a probability
    proportional to its number of rows to this power: 1 is proportional, 0 uniform, 1/T temperature sampling."""
    combined_batches: Literal["same", "split"] = "same"
    """The examples of combined methods: each part reads a batch, the same one where parts sample the same data, or the
    parts split the batch."""
    selection: Literal["last", "english"] = "last"
    """The weights that a training ends with: the last, or those of ten checkpoints with the lowest loss on judgments
    within the document language (usually English), a tenth of which is held out for it (Elmahdy et al. 2024)."""
    query_prompt: str | None = None
    """Text that a student reads before every query, in training and in retrieval; None for that of its teacher."""
    document_prompt: str | None = None
    """Text that a student reads before every document; None for that of its teacher."""
    max_length: int = Field(128, gt=2, le=1_000_000)
    """Longest training text, in word pieces. Evaluation uses the encoder's own limit."""
    vocabulary: Literal["new", "extended"] = "extended"
    """`new`: learned word pieces replace those of the teacher. `extended`: they are appended, so that names are read
    as in English. A student that encodes documents always has an extended one."""
    vocabulary_size: int = Field(24_000, gt=0, le=1_000_000)
    """Word pieces that are learned for the query languages; a multilingual teacher's vocabulary stays."""
    initialisation: Literal["translations", "shared", "noise"] = "translations"
    """The first embeddings of learned pieces: the mean of the teacher's embeddings of their translations, by a table
    learned from the bitext; those of equal pieces of the teacher, and noise otherwise; or noise."""
