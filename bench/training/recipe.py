"""The optimisation recipe of the harness: equal for every method of a comparison."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """How a student is optimised; part of every training's fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(64, gt=0)
    """Training examples (sentence pairs, or their equivalent number of texts) per step."""
    learning_rate: float = Field(1e-4, gt=0)
    embedding_learning_rate: float = Field(1e-3, gt=0)
    """Of the word-embedding matrix: the only part of a student that starts from noise."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled decay; not applied to biases, normalisation weights and word embeddings."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the budget over which learning rates rise linearly; afterwards they fall linearly to zero."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of the student. None by default: short budgets on frozen targets underfit rather than overfit."""
    clip_norm: float = Field(1.0, gt=0)
    language_sampling: float = Field(1.0, ge=0, le=1)
    """How a student of several languages meets them: a batch is of one language, drawn with a probability proportional
    to its number of rows to this power. 1 is proportional, 0 uniform; between lies temperature sampling, 1/T."""
    selection: Literal["last", "english"] = "last"
    """Which weights a training ends with: the last, or those that, of ten on the way, have the lowest loss on judgments
    within the document language (usually English), a tenth of which is held out for it (Elmahdy et al. 2024)."""
    query_prompt: str | None = None
    """What a student reads before every query, in training as in retrieval; None is what its teacher does."""
    document_prompt: str | None = None
    """The same for documents that the student encodes."""
    max_length: int = Field(128, gt=2)
    """Longest training text, in word pieces. Evaluation uses the encoder's own limit."""
    vocabulary_size: int = Field(24_000, gt=0)
    """Word pieces of a student whose vocabulary is replaced."""
