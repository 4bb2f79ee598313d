"""Budget and recipe of a training, the same for every method of a comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import BenchError

UNITS = ("seconds", "steps", "tokens", "examples", "cpu_seconds")
COUNTED = ("tokens", "examples")
"""Units that are written with a prefix of `FACTORS`."""
FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}
LARGEST = 10**12


@dataclass(frozen=True)
class Budget:
    """`amount` of `unit`, the name of a field of `Spent`."""

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `600steps`, `2Mtokens`, `64kexamples`, `90s` or `90cpu-s`; a bare number means steps."""
        units = "s|sec|seconds?|steps?|tokens?|examples?|cpu-s|cpu-sec|cpu-seconds?"
        match = re.fullmatch(rf"0*([1-9][0-9]{{0,12}})\s*([kM]?)\s*(|{units})", text.strip())
        if match is None or int(match[1]) * FACTORS[match[2]] > LARGEST:
            accepted = "600steps, 64kexamples, 2Mtokens, 90seconds or 90cpu-seconds"
            raise BenchError(f"budget '{text:.80}' cannot be read; write {accepted}; at most {LARGEST:g}")
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
    """Tokens that the student has read, without padding, with mining and validation."""
    examples: int = 0
    """Rows of batches: a translation pair, a judged query with its passage or an unpaired sentence is one example. A
    combination's batch has the rows of all its parts. Mined negatives do not count."""
    bitext_rows: dict[str, int] = field(default_factory=dict)
    """The translation pairs among the examples, by language pair."""
    seconds: float = 0.0
    """Wall-clock time, with mining and validation."""
    cpu_seconds: float = 0.0
    """Processor time of all threads, with waiting threads. With one thread it hardly depends on other programs."""
    extra_texts: int = 0
    """Texts encoded to find training examples, by any encoder."""
    extra_seconds: float = 0.0
    validation_seconds: float = 0.0

    def share(self, budget: Budget) -> float:
        """Return the spent share of `budget`, 0 to 1, for schedules."""
        return min(1.0, getattr(self, budget.unit) / budget.amount)


SHARED = ("document_encoder", "learning_rate_factor")
"""Settings that must be equal for the methods of a combination, since they train one student."""


class Recipe(BaseModel):
    """The optimisation of a student, part of the fingerprint of every training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(64, gt=0, le=1_000_000)
    """Training examples (sentence pairs, or their equivalent number of texts) per step."""
    learning_rate: float = Field(1e-4, gt=0)
    embedding_learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of the word-embedding matrix, the part of a student that does not start as a copy of the teacher.
    """
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled weight decay, without biases, normalisation weights and word embeddings."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the budget over which learning rates rise linearly. Then they fall linearly to zero."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the student, 0 by default, since short budgets on frozen targets underfit."""
    clip_norm: float = Field(1.0, gt=0)
    language_sampling: float = Field(1.0, ge=0, le=1)
    """Sampling exponent for students of several languages. Each batch has one language. Its probability is proportional
    to its number of rows to this power: 1 is proportional, 0 uniform, 1/T temperature sampling."""
    recompute: bool = False
    """True: keep the activations of a few thousand tokens at a time, and compute the others again for gradients.
    Batches of any size fit into memory, and a step takes longer. The result is the same."""
    combined_batches: Literal["same", "split"] = "same"
    """Batches of combined methods. `same`: each part reads a whole batch, and parts with the same data read the same
    one. `split`: the parts split a batch."""
    selection: Literal["last", "english"] = "last"
    """Final weights of a training. `last`: after the last step. `english`: those of ten checkpoints with the lowest
    loss on held-out judgments in the document language, a tenth of all (Elmahdy et al. 2024).
    """
    query_prompt: str | None = None
    """Prefix of every query of a student, in training and in retrieval. None: the prefix of its teacher."""
    document_prompt: str | None = None
    """Prefix of every document of a student. None: the prefix of its teacher."""
    max_length: int = Field(128, gt=2, le=1_000_000)
    """Maximum of word pieces of a training text. Evaluation uses the limit of the encoder."""
    vocabulary: Literal["new", "extended"] = "extended"
    """`new`: learned word pieces replace those of the teacher. `extended`: they are appended, so that names are read
    as in English. A student that encodes documents always has an extended vocabulary."""
    vocabulary_size: int = Field(24_000, gt=0, le=1_000_000)
    """Number of word pieces learned for the query languages. The vocabulary of a multilingual teacher stays."""
    initialisation: Literal["translations", "shared", "noise"] = "translations"
    """First embeddings of learned pieces. `translations`: the mean of the teacher's embeddings of their translations,
    by a table learned from the bitext. `shared`: those of equal pieces of the teacher, or noise. `noise`: noise.
    """
