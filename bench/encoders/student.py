"""Students: copies of the teacher with a vocabulary for other languages and its first embeddings."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.data import Bitext, TrainingData
from bench.data.ibm_model_1 import ibm_model_1
from bench.dependencies.fingerprint import code_digest, library_versions
from bench.encoders.encoder import Encoder, Side
from bench.encoders.vocabulary import new_tokenizer, pieces_of
from bench.recipe import Recipe
from bench.sampling import torch_generator
from bench.storage.hashing import digest, digest_texts
from bench.storage.sealed import remembered

ITERATIONS = 5
MINIMUM = 0.02
"""Minimum probability of a translation."""
ALTERNATIVES = 5
"""Maximum number of translations of a piece."""
TOKEN_PAIRS = 1 << 26
"""Maximum number of pairs of tokens (about 65,000 pairs of sentences) for learning the table, which bounds time and
memory."""

MULTILINGUAL_VOCABULARY = 60_000
"""Encoders with at least this many word pieces (mBERT 119k, XLM-R 250k, LaBSE 501k) keep their vocabulary."""


def is_multilingual(encoder: Encoder) -> bool:
    """Return True if the vocabulary of an encoder is as large as a multilingual one."""
    return len(encoder.tokenizer) >= MULTILINGUAL_VOCABULARY


def make_student(
    teacher: Encoder,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    *,
    reads_documents: bool = False,
    cache: Path | None = None,
) -> Encoder:
    """Return the initial student of every method.

    It is a copy of the teacher with the vocabulary of `new_tokenizer`, or with its own if that is multilingual, and
    with the recipe's initialisation, dropout and prompts. `cache` is the folder of learned vocabularies and tables.
    """
    student = teacher.copy()
    if not is_multilingual(teacher):
        extended = reads_documents or recipe.vocabulary == "extended"
        student.tokenizer = new_tokenizer(teacher, data, recipe.vocabulary_size, extended, cache)
        weights = initial_embeddings(teacher, student, data, recipe, torch_generator(seed, "vocabulary"), cache)
        student.transformer.resize_token_embeddings(len(weights), mean_resizing=False)
        with torch.no_grad():
            student.word_embeddings.weight.copy_(weights)
        student.word_embeddings.padding_idx = student.tokenizer.pad_token_id
    prompts: dict[Side, str | None] = {"query": recipe.query_prompt, "document": recipe.document_prompt}
    student.prompts |= {side: prompt for side, prompt in prompts.items() if prompt is not None}
    for parameter in student.parameters():
        parameter.requires_grad_(True)
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.dropout
    student.recompute = recipe.recompute
    return student.train()


def initial_embeddings(
    teacher: Encoder,
    student: Encoder,
    data: TrainingData,
    recipe: Recipe,
    generator: torch.Generator,
    cache: Path | None = None,
) -> Tensor:
    """Return the first word embeddings of a student, (pieces, dimension) float32, by `recipe.initialisation`.

    - `noise`: normal, with the teacher's mean and standard deviation per dimension.
    - `shared`: pieces of the teacher's vocabulary have its embeddings, others noise.
    - `translations`: in addition, a piece f of the query languages has the mean of the teacher's embeddings E of its
      translations e, sum_e p(e|f) E(e). Source: Tran 2020 (arXiv 2002.07306). IBM Model 1 learns p(e|f) between the
      pieces of both sides of the bitext. A piece of both languages has the mean of both embeddings, weighted by its
      frequency.

    Special tokens always have the teacher's embeddings.
    """
    old = teacher.word_embeddings.weight.detach()
    vocabulary, teachers = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    noise = torch.randn(len(vocabulary), old.shape[1], generator=generator)
    weights = old.mean(dim=0) + noise.to(old.device) * old.std(dim=0)
    special = set(student.tokenizer.all_special_tokens)
    for piece, row in vocabulary.items():
        if piece in teachers and (recipe.initialisation != "noise" or piece in special):
            weights[row] = old[teachers[piece]]
    if recipe.initialisation == "translations" and len(data.bitext):
        for row, translations in piece_translations(teacher, student, data.bitext, recipe.max_length, cache).items():
            columns, shares = zip(*translations, strict=True)
            weights[int(row)] = torch.tensor(shares, dtype=old.dtype, device=old.device) @ old[list(columns)]
    return weights


def piece_translations(
    teacher: Encoder, student: Encoder, bitext: Bitext, limit: int, cache: Path | None = None
) -> dict[str, list[tuple[int, float]]]:
    """Return the teacher's pieces, with weights that sum to 1, for each piece id of the query side.

    The table is learned once and stored in `cache`.
    """

    def learn() -> dict[str, list[tuple[int, float]]]:
        foreign = pieces(student, bitext.query_side, limit)
        english, read = (pieces(encoder, bitext.document_side, limit) for encoder in (teacher, student))
        shape = (len(student.tokenizer), len(teacher.tokenizer))
        rows = sample(foreign, english)
        source, target = ([side[row] for row in rows] for side in (foreign, english))
        table, _ = ibm_model_1(source, target, shape, ITERATIONS, MINIMUM)
        here, there = (
            np.bincount(np.fromiter(chain(*side), dtype=int), minlength=shape[0]) for side in (foreign, read)
        )
        teachers = teacher.tokenizer.get_vocab()
        found = {}
        for row, piece in enumerate(pieces_of(student.tokenizer)):
            columns, values = (part[table.indptr[row] : table.indptr[row + 1]] for part in (table.indices, table.data))
            best = np.argsort(-values, kind="stable")[:ALTERNATIVES]
            if not len(best) or piece in student.tokenizer.all_special_tokens:
                continue
            share = here[row] / (here[row] + there[row]) if piece in teachers else 1.0
            weights = share * values[best] / values[best].sum()
            found[str(row)] = list(zip(columns[best].tolist(), weights.tolist(), strict=True))
            if share < 1:
                found[str(row)].append((teachers[piece], 1 - share))
        return found

    if cache is None:
        return learn()
    code = [code_digest("bench.encoders.student"), library_versions("numpy", "scipy", "pandas")]
    tokenizers = [encoder.tokenizer_state() for encoder in (student, teacher)]
    key = digest([digest_texts(bitext.query_side, bitext.document_side), tokenizers, limit, code])
    return remembered(cache / "tables" / f"{key}.json", learn)


def pieces(encoder: Encoder, texts: Sequence[str], limit: int) -> list[list[int]]:
    """Return the word pieces of each text, without special tokens and prompts."""
    composed = [unicodedata.normalize("NFC", text) for text in texts]
    return encoder.tokenizer(composed, truncation=True, max_length=limit, add_special_tokens=False)["input_ids"]


def sample(source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> np.ndarray:
    """Return a fixed random sample of a bitext, in order, with at most `TOKEN_PAIRS` pairs of tokens."""
    sizes = np.array([len(one) * len(other) for one, other in zip(source, target, strict=True)])
    order = np.random.default_rng(0).permutation(len(sizes))
    return np.sort(order[sizes[order].cumsum() <= TOKEN_PAIRS])
