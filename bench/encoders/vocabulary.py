"""Vocabulary replacement, which turns an English-only encoder into a student for another language."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, trainers
from torch import nn

from bench.dependencies.fingerprint import code_digest, library_versions
from bench.encoders.encoder import Encoder, Side
from bench.errors import BenchError
from bench.recipe import Recipe
from bench.sampling import torch_generator
from bench.storage.hashing import digest, digest_texts
from bench.storage.sealed import remembered

ALPHABET = 2000
"""The number of characters in a new vocabulary, the most frequent ones; rarer ones become [UNK]."""

MULTILINGUAL_VOCABULARY = 60_000
"""Encoders with at least this many word pieces (mBERT 119k, XLM-R 250k, LaBSE 501k) keep their vocabulary."""


def is_multilingual(encoder: Encoder) -> bool:
    """Return whether an encoder's vocabulary is as large as a multilingual one."""
    return len(encoder.tokenizer) >= MULTILINGUAL_VOCABULARY


def make_student(
    teacher: Encoder, texts: Sequence[str], recipe: Recipe, seed: int, cache: Path | None = None
) -> Encoder:
    """Return the student that every method starts from.

    It is a copy of the teacher with a vocabulary learned on `texts`, or with its own if that is multilingual, and with
    the recipe's dropout and prompts. `cache` is the folder of learned vocabularies.
    """
    if is_multilingual(teacher):
        student = teacher.copy()
    else:
        student = replace_vocabulary(teacher, texts, recipe.vocabulary_size, torch_generator(seed, "vocabulary"), cache)
    prompts: dict[Side, str | None] = {"query": recipe.query_prompt, "document": recipe.document_prompt}
    student.prompts |= {side: prompt for side, prompt in prompts.items() if prompt is not None}
    for parameter in student.parameters():
        parameter.requires_grad_(True)
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.dropout
    return student.train()


def replace_vocabulary(
    encoder: Encoder, texts: Sequence[str], size: int, generator: torch.Generator, cache: Path | None = None
) -> Encoder:
    """Return a copy of `encoder` with a WordPiece vocabulary of at most `size` pieces learned on `texts`.

    The tokenizer keeps its special tokens and its word splitting, but no longer strips accents: they carry meaning in
    many languages. Embeddings of pieces that the old vocabulary shares are copied exactly; a new piece is drawn from a
    normal distribution with the old matrix's mean and standard deviation per dimension. All layers stay the same.

    Raises `BenchError` if the encoder's tokenizer is not a WordPiece one.
    """
    student = encoder.copy()
    student.tokenizer = relearn_tokenizer(student.tokenizer, texts, size, encoder.name, cache)
    old = encoder.word_embeddings.weight.detach()
    noise = torch.randn(len(student.tokenizer), old.shape[1], generator=generator)
    weights = old.mean(dim=0) + noise.to(old.device) * old.std(dim=0)
    old_vocabulary = encoder.tokenizer.get_vocab()
    for piece, row in student.tokenizer.get_vocab().items():
        if piece in old_vocabulary:
            weights[row] = old[old_vocabulary[piece]]
    student.transformer.resize_token_embeddings(len(weights), mean_resizing=False)
    with torch.no_grad():
        student.word_embeddings.weight.copy_(weights)
    student.word_embeddings.padding_idx = student.tokenizer.pad_token_id
    return student


def relearn_tokenizer(tokenizer: Any, texts: Sequence[str], size: int, name: str, cache: Path | None = None) -> Any:
    """Return a copy of a tokenizer with a WordPiece vocabulary learned on `texts`, the same for the same texts."""
    model = tokenizer.backend_tokenizer.model
    if not isinstance(model, models.WordPiece):
        raise BenchError(f"the vocabulary of '{name}' cannot be replaced: its tokenizer is not a WordPiece one")
    if hasattr(tokenizer.backend_tokenizer.normalizer, "strip_accents"):
        tokenizer.backend_tokenizer.normalizer.strip_accents = False
    # The new tokenizer would inherit the arguments of the last call.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    # Training on nothing leaves the special tokens, renumbered from 0 wherever the tokenizer refers to them.
    fresh = tokenizer.train_new_from_iterator([], vocab_size=size, show_progress=False)
    special = [piece for piece, _ in sorted(fresh.get_vocab().items(), key=lambda item: item[1])]
    learn = partial(learn_wordpieces, texts, size, special, fresh.backend_tokenizer)
    if cache is None:
        pieces = learn()
    else:
        state = json.loads(fresh.backend_tokenizer.to_str())
        splitting = [state["normalizer"], state["pre_tokenizer"], model.continuing_subword_prefix, model.unk_token]
        code = [code_digest("bench.encoders.vocabulary"), library_versions("tokenizers")]
        key = digest([digest_texts(texts), size, special, splitting, code])
        pieces = remembered(cache / "vocabularies" / f"{key}.json", learn)
    fresh.backend_tokenizer.model = models.WordPiece(
        {piece: i for i, piece in enumerate(pieces)},
        unk_token=model.unk_token,
        continuing_subword_prefix=model.continuing_subword_prefix,
        max_input_chars_per_word=model.max_input_chars_per_word,
    )
    fresh.strip_accents = False  # saved with it, and set over the normalizer when it is loaded again
    return fresh


def learn_wordpieces(texts: Sequence[str], size: int, special: Sequence[str], like: Tokenizer) -> list[str]:
    """Return at most `size` word pieces of `texts` in vocabulary order, `special` first; `like` splits the words.

    The trainer numbers word-internal characters in the order of a randomly seeded hash map and breaks ties between
    merges by those numbers, so that two calls differ. Declaring these characters as special tokens, in a fixed order,
    makes it deterministic.
    """
    prefix = like.model.continuing_subword_prefix
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(like.normalizer.normalize_str(text) if like.normalizer else text)
    frequent = sorted(counts, key=lambda character: (-counts[character], character))[:ALPHABET]
    alphabet = sorted(character for character in frequent if not character.isspace())
    learner = Tokenizer(models.WordPiece(unk_token=like.model.unk_token))
    learner.normalizer = like.normalizer
    learner.pre_tokenizer = like.pre_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*special, *(prefix + character for character in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=prefix,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    return [piece for piece, _ in sorted(learner.get_vocab().items(), key=lambda item: item[1])]
