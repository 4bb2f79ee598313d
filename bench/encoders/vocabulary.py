"""WordPiece vocabularies for the students of an English encoder."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, trainers

from bench.data import TrainingData
from bench.dependencies.fingerprint import code_digest, library_versions
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.storage.hashing import digest, digest_texts
from bench.storage.sealed import remembered

ALPHABET = 2000
"""The number of characters in a new vocabulary, the most frequent ones; rarer ones become [UNK]."""

LONGEST_WORD = 1000
"""The most letters between two spaces that are split into pieces and are not one [UNK]. The usual 100 are too few for
scripts without spaces, such as Khmer."""

ENGLISH_SHARE = 4
"""Every fourth text in the document language is read for a vocabulary of the query languages: most are English, and
would otherwise take most of the pieces."""


def new_tokenizer(teacher: Encoder, data: TrainingData, size: int, extended: bool, cache: Path | None = None) -> Any:
    """Return a WordPiece tokenizer for the languages of the data.

    It has at most `size` pieces, learned on all texts in the query languages and on every `ENGLISH_SHARE`th text in the
    document language. If it is `extended`, it has all pieces of the teacher, and at most `size` pieces learned on the
    query languages are appended.

    The tokenizer keeps its special tokens and its word splitting. Raises `BenchError` if it is not a WordPiece one.
    """
    own = for_all_scripts(teacher.copy().tokenizer)
    foreign, english = (
        [unicodedata.normalize("NFC", text) for text in data.texts(query_languages=side)] for side in (True, False)
    )
    texts = foreign if foreign and extended else [*foreign, *english[:: ENGLISH_SHARE if foreign else 1]]
    learned = relearn_tokenizer(own, texts, size, teacher.name, cache)
    if not extended:
        return learned
    return with_pieces(own, list(dict.fromkeys([*pieces_of(teacher.tokenizer), *pieces_of(learned)])))


def for_all_scripts(tokenizer: Any) -> Any:
    """Return the tokenizer, changed to keep accents and to replace the digits of every script by 0 to 9.

    Accents carry meaning in many languages. The teacher has embeddings of 0 to 9, and bitext may lack other digits.
    """
    backend = tokenizer.backend_tokenizer
    if hasattr(backend.normalizer, "strip_accents"):
        backend.normalizer.strip_accents = False
    replaced = [normalizers.Replace(Regex(f"[{digits}]"), str(value)) for value, digits in enumerate(other_digits())]
    backend.normalizer = normalizers.Sequence([*replaced, *filter(None, [backend.normalizer])])
    return tokenizer


@cache
def other_digits() -> list[str]:
    """Return the characters of all scripts for the digits 0 to 9, without those of ASCII."""
    digits = [character for character in map(chr, range(128, sys.maxunicode)) if character.isdecimal()]
    return ["".join(digit for digit in digits if int(digit) == value) for value in range(10)]


def relearn_tokenizer(tokenizer: Any, texts: Sequence[str], size: int, name: str, cache: Path | None = None) -> Any:
    """Return a copy of a tokenizer with a WordPiece vocabulary learned on `texts`, the same for the same texts."""
    model = tokenizer.backend_tokenizer.model
    if not isinstance(model, models.WordPiece):
        raise BenchError(f"the vocabulary of '{name}' cannot be replaced: its tokenizer is not a WordPiece one")
    # The new tokenizer would inherit the arguments of the last call.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    # Training on nothing leaves the special tokens, renumbered from 0 wherever the tokenizer refers to them.
    fresh = tokenizer.train_new_from_iterator([], vocab_size=size, show_progress=False)
    special = pieces_of(fresh)
    learn = partial(learn_wordpieces, texts, size, special, fresh.backend_tokenizer)
    if cache is None:
        pieces = learn()
    else:
        state = json.loads(fresh.backend_tokenizer.to_str())
        splitting = [state["normalizer"], state["pre_tokenizer"], model.continuing_subword_prefix, model.unk_token]
        code = [code_digest("bench.encoders.vocabulary"), library_versions("tokenizers")]
        key = digest([digest_texts(texts), size, special, splitting, code])
        pieces = remembered(cache / "vocabularies" / f"{key}.json", learn)
    return with_pieces(fresh, pieces)


def with_pieces(tokenizer: Any, pieces: Sequence[str]) -> Any:
    """Return the tokenizer with a WordPiece vocabulary of these pieces in this order."""
    backend, model = tokenizer.backend_tokenizer, tokenizer.backend_tokenizer.model
    backend.model = models.WordPiece(
        {piece: i for i, piece in enumerate(pieces)},
        unk_token=model.unk_token,
        continuing_subword_prefix=model.continuing_subword_prefix,
        max_input_chars_per_word=LONGEST_WORD,
    )
    return tokenizer


def pieces_of(tokenizer: Any) -> list[str]:
    """Return the vocabulary of a tokenizer in the order of its ids."""
    return [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]


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
