"""Vocabulary replacement: what is kept exactly, what is drawn anew, and that both are the same every time."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from conftest import make_encoder
from tokenizers import Tokenizer, models
from transformers import BertTokenizer

from bench.data import TrainingData
from bench.encoders.encoder import Encoder, read_encoder
from bench.encoders.vocabulary import is_multilingual, make_student, replace_vocabulary
from bench.errors import BenchError
from bench.recipe import Recipe
from bench.sampling import torch_generator

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
RECIPE = Recipe(vocabulary_size=250)


@pytest.fixture
def texts(data: TrainingData) -> list[str]:
    return [*data.bitext.query_side, *data.bitext.document_side]


@pytest.fixture
def student(encoder: Encoder, texts: list[str]) -> Encoder:
    return replace_vocabulary(encoder, texts, 250, torch_generator(0, "vocabulary"))


def test_shared_pieces_keep_their_embeddings_exactly(encoder: Encoder, student: Encoder, texts: list[str]) -> None:
    old, new = encoder.tokenizer.get_vocab(), student.tokenizer.get_vocab()
    before, after = encoder.word_embeddings.weight, student.word_embeddings.weight
    shared = set(old) & set(new)
    assert len(SPECIAL) < len(shared) < len(new)
    assert len(student.tokenize(texts[:1], "query")[0]) < len(encoder.tokenize(texts[:1], "query")[0])  # a foreign text
    assert any(old[piece] != new[piece] for piece in shared)  # they move, so that copying whole blocks would fail
    for piece in shared:
        assert torch.equal(after[new[piece]], before[old[piece]]), piece
    # New pieces have embeddings of their own.
    rows = student.word_embeddings.weight[[row for piece, row in new.items() if piece not in old]]
    assert len(rows) > 20
    assert not (rows[:, None] == encoder.word_embeddings.weight[None]).all(dim=2).any()
    assert len(torch.unique(rows, dim=0)) == len(rows)


def test_new_pieces_are_distributed_like_the_old_ones(encoder: Encoder, texts: list[str]) -> None:
    weight = encoder.word_embeddings.weight
    with torch.no_grad():
        weight[:, 0] += 5
        weight[:, 1] *= 10
    student = replace_vocabulary(encoder, texts, 250, torch_generator(0, "vocabulary"))
    old = encoder.tokenizer.get_vocab()
    rows = student.word_embeddings.weight[[row for p, row in student.tokenizer.get_vocab().items() if p not in old]]
    error = weight.std(dim=0) / len(rows) ** 0.5
    assert ((rows.mean(dim=0) - weight.mean(dim=0)).abs() < 5 * error).all()
    assert ((rows.std(dim=0) / weight.std(dim=0)).log().abs() < 0.5).all()


def test_special_tokens_keep_their_embeddings_and_their_roles(encoder: Encoder, student: Encoder) -> None:
    for piece in SPECIAL:
        before = encoder.word_embeddings.weight[encoder.tokenizer.convert_tokens_to_ids(piece)]
        assert torch.equal(student.word_embeddings.weight[student.tokenizer.convert_tokens_to_ids(piece)], before)
    assert student.tokenizer.all_special_tokens == encoder.tokenizer.all_special_tokens
    ids = student.tokenize(["the cat"], "query")[0]
    assert student.tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["[CLS]", "[SEP]"]


def test_all_layers_are_copied(encoder: Encoder, student: Encoder) -> None:
    before, fingerprint = dict(encoder.named_parameters()), encoder.fingerprint()
    after = dict(student.named_parameters())
    assert after.keys() == before.keys()
    with torch.no_grad():
        for name, parameter in after.items():
            assert name.endswith("word_embeddings.weight") or torch.equal(parameter, before[name]), name
            parameter.zero_()
    assert encoder.fingerprint() == fingerprint


def test_same_texts_and_seed_give_the_same_student(encoder: Encoder, texts: list[str]) -> None:
    one, same, other_seed = (
        replace_vocabulary(encoder, texts, 250, torch_generator(seed, "vocabulary")).fingerprint() for seed in (0, 0, 1)
    )
    assert one == same != other_seed
    other_texts = replace_vocabulary(encoder, texts[:100], 250, torch_generator(0, "vocabulary"))
    assert other_texts.fingerprint() != one


def test_vocabulary_is_no_larger_than_asked_for_and_fits_the_matrix(encoder: Encoder, texts: list[str]) -> None:
    for size in (60, 250, 100_000):
        student = replace_vocabulary(encoder, texts, size, torch_generator(0, "vocabulary"))
        assert len(student.tokenizer) <= size
        assert len(student.word_embeddings.weight) == len(student.tokenizer) == student.transformer.config.vocab_size


@pytest.mark.parametrize("kind", ["generic", "BertTokenizer"])
def test_accents_are_kept_also_after_saving(encoder: Encoder, texts: list[str], tmp_path: Path, kind: str) -> None:
    """A tokenizer of BERT's own class sets its normaliser anew when it is loaded."""
    assert "\u00e9" not in "".join(encoder.tokenizer.tokenize("tac\u00e9"))
    if kind == "BertTokenizer":
        encoder.tokenizer = BertTokenizer(vocab=encoder.tokenizer.get_vocab(), do_lower_case=True)
    student = replace_vocabulary(encoder, texts, 250, torch_generator(0, "vocabulary"))
    word = student.tokenizer.tokenize("taC\u00e9")
    assert "".join(piece.removeprefix("##") for piece in word) == "tac\u00e9"
    student.save(tmp_path)
    found = read_encoder(tmp_path, "small")
    assert found.fingerprint() == student.fingerprint()
    assert found.tokenize(["taC\u00e9"], "query") == student.tokenize(["taC\u00e9"], "query")


def test_multilingual_encoder_keeps_its_vocabulary(
    encoder: Encoder, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_multilingual(encoder)
    assert make_student(encoder, texts, RECIPE, 0).fingerprint() != encoder.fingerprint()
    monkeypatch.setattr("bench.encoders.vocabulary.MULTILINGUAL_VOCABULARY", len(encoder.tokenizer))
    assert is_multilingual(encoder)
    student = make_student(encoder, texts, RECIPE, 0)
    assert student.fingerprint() == encoder.fingerprint()
    assert student is not encoder


def test_student_of_a_frozen_teacher_trains_with_the_recipes_dropout(teacher: Encoder, texts: list[str]) -> None:
    student = make_student(teacher, texts, Recipe(vocabulary_size=250, dropout=0.25), 0)
    assert student.training
    assert all(parameter.requires_grad for parameter in student.parameters())
    dropouts = [module.p for module in student.modules() if isinstance(module, torch.nn.Dropout)]
    assert set(dropouts) == {0.25}
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_tokenizer_that_is_no_wordpiece_is_refused(texts: list[str]) -> None:
    encoder = make_encoder(name="other")
    encoder.tokenizer = copy.deepcopy(encoder.tokenizer)
    encoder.tokenizer._tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    with pytest.raises(BenchError, match="vocabulary of 'other' cannot be replaced"):
        replace_vocabulary(encoder, texts, 250, torch_generator(0, "vocabulary"))


def test_student_reads_the_recipes_prompts_and_keeps_the_encoders_where_there_are_none(texts: list[str]) -> None:
    encoder = make_encoder(prompts={"query": "q: ", "document": "d: "})
    asked = make_student(encoder, texts, RECIPE.model_copy(update={"query_prompt": "Query: "}), seed=0)
    assert asked.prompts == {"query": "Query: ", "document": "d: "}
    assert encoder.prompts == {"query": "q: ", "document": "d: "}


def test_student_is_the_same_with_a_cache_which_spares_the_learning(
    encoder: Encoder, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make_student(encoder, texts, RECIPE, 0).fingerprint()
    assert make_student(encoder, texts, RECIPE, 0, tmp_path).fingerprint() == expected
    fewer = make_student(encoder, texts[:50], RECIPE, 0).fingerprint()
    assert make_student(encoder, texts[:50], RECIPE, 0, tmp_path).fingerprint() == fewer
    smaller = RECIPE.model_copy(update={"vocabulary_size": 100})
    assert len(make_student(encoder, texts, smaller, 0, tmp_path).tokenizer) == 100
    (tmp_path / "file").write_text("in the way")
    assert make_student(encoder, texts, RECIPE, 0, tmp_path / "file").fingerprint() == expected
    monkeypatch.setattr("bench.encoders.vocabulary.learn_wordpieces", lambda *_: pytest.fail("learned again"))
    assert make_student(encoder, texts, RECIPE, 0, tmp_path).fingerprint() == expected


def test_damaged_vocabulary_is_learned_again(encoder: Encoder, texts: list[str], tmp_path: Path) -> None:
    expected = make_student(encoder, texts, RECIPE, 0, tmp_path).fingerprint()
    (path,) = (tmp_path / "vocabularies").iterdir()
    path.write_bytes(path.read_bytes().replace(b"cat", b"dog", 1))
    assert make_student(encoder, texts, RECIPE, 0, tmp_path).fingerprint() == expected
