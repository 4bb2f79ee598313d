"""Students: their vocabulary, their first embeddings, and that both are the same every time."""

import copy
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import make_encoder
from tokenizers import Tokenizer, models
from transformers import BertTokenizer

from bench.data import Bitext, Relevance, TrainingData
from bench.encoders.encoder import Encoder
from bench.encoders.folders import read_encoder, save_encoder
from bench.encoders.student import is_multilingual, make_student
from bench.encoders.vocabulary import pieces_of
from bench.errors import BenchError
from bench.recipe import Recipe
from bench.sampling import numpy_generator

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
RECIPE = Recipe(vocabulary="new", vocabulary_size=250, initialisation="shared")


@pytest.fixture
def student(encoder: Encoder, data: TrainingData) -> Encoder:
    return make_student(encoder, data, RECIPE, 0)


def first_rows(data: TrainingData) -> TrainingData:
    return replace(data, bitext=data.bitext.take(range(25)))


def test_shared_pieces_and_all_layers_are_kept_exactly(encoder: Encoder, student: Encoder) -> None:
    old, new = encoder.tokenizer.get_vocab(), student.tokenizer.get_vocab()
    before, after = dict(encoder.named_parameters()), dict(student.named_parameters())
    assert after.keys() == before.keys()
    for name in before:
        assert name.endswith("word_embeddings.weight") or torch.equal(after[name], before[name]), name
    shared = set(old) & set(new)
    assert len(SPECIAL) < len(shared) < len(new)
    assert any(old[piece] != new[piece] for piece in shared)  # they move, so that copying whole blocks would fail
    for piece in shared:
        rows = student.word_embeddings.weight[new[piece]], encoder.word_embeddings.weight[old[piece]]
        assert torch.equal(*rows), piece
    assert shared.issuperset(SPECIAL)
    assert student.tokenizer.all_special_tokens == encoder.tokenizer.all_special_tokens
    ids = student.tokenize(["the cat"], "query")[0]
    assert student.tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["[CLS]", "[SEP]"]


def test_new_pieces_have_embeddings_of_their_own(encoder: Encoder, student: Encoder) -> None:
    old, new = encoder.tokenizer.get_vocab(), student.tokenizer.get_vocab()
    rows = student.word_embeddings.weight[[row for piece, row in new.items() if piece not in old]]
    assert len(rows) > 20
    assert not (rows[:, None] == encoder.word_embeddings.weight[None]).all(dim=2).any()
    assert len(torch.unique(rows, dim=0)) == len(rows)


def test_new_pieces_are_distributed_like_the_old_ones(encoder: Encoder, data: TrainingData) -> None:
    weight = encoder.word_embeddings.weight
    with torch.no_grad():
        weight[:, 0] += 5
        weight[:, 1] *= 10
    student = make_student(encoder, data, RECIPE, 0)
    old = encoder.tokenizer.get_vocab()
    rows = student.word_embeddings.weight[[row for p, row in student.tokenizer.get_vocab().items() if p not in old]]
    error = weight.std(dim=0) / len(rows) ** 0.5
    assert ((rows.mean(dim=0) - weight.mean(dim=0)).abs() < 5 * error).all()
    assert ((rows.std(dim=0) / weight.std(dim=0)).log().abs() < 0.5).all()


def test_same_texts_and_seed_give_the_same_student(encoder: Encoder, data: TrainingData) -> None:
    before = encoder.fingerprint()
    students = [make_student(encoder, data, RECIPE, seed) for seed in (0, 0, 1)]
    one, same, other_seed = (student.fingerprint() for student in students)
    assert one == same != other_seed
    assert make_student(encoder, first_rows(data), RECIPE, 0).fingerprint() != one
    with torch.no_grad():
        for parameter in students[0].parameters():
            parameter.zero_()
    assert encoder.fingerprint() == before


def test_vocabulary_is_no_larger_than_asked_for_and_fits_the_matrix(encoder: Encoder, data: TrainingData) -> None:
    for size in (60, 250, 100_000):
        student = make_student(encoder, data, RECIPE.model_copy(update={"vocabulary_size": size}), 0)
        assert len(student.tokenizer) <= size
        assert len(student.word_embeddings.weight) == len(student.tokenizer) == student.transformer.config.vocab_size


def test_accents_are_kept(encoder: Encoder, student: Encoder) -> None:
    word = student.tokenizer.tokenize("taC\u00e9")
    assert "".join(piece.removeprefix("##") for piece in word) == "tac\u00e9"
    assert "\u00e9" not in "".join(encoder.tokenizer.tokenize("tac\u00e9"))


@pytest.mark.parametrize("kind", ["generic", "BertTokenizer"])
def test_accents_are_still_kept_after_saving(encoder: Encoder, data: TrainingData, tmp_path: Path, kind: str) -> None:
    """A tokenizer of BERT's own class sets its normaliser anew when it is loaded."""
    if kind == "BertTokenizer":
        encoder.tokenizer = BertTokenizer(vocab=encoder.tokenizer.get_vocab(), do_lower_case=True)
    student = make_student(encoder, data, RECIPE, 0)
    save_encoder(student, tmp_path)
    found = read_encoder(tmp_path, "small")
    assert found.fingerprint() == student.fingerprint()
    for word in ("taC\u00e9", "tace" * 200, "\u17e3"):
        assert found.tokenize([word], "query") == student.tokenize([word], "query")


def test_long_runs_of_letters_are_no_unknown_words(student: Encoder) -> None:
    assert student.unknown_pieces(["tac" * 300], "query") == 0
    assert student.unknown_pieces(["tac" * 400, "tac"], "query") == pytest.approx(1 / 7)


@pytest.mark.parametrize(
    "script", ["THAI", "LAO", "MYANMAR", "TIBETAN", "KHMER", "ETHIOPIC", "ARABIC", "HEBREW", "TAMIL", "DEVANAGARI"]
)
def test_text_without_spaces_is_read_in_every_script(encoder: Encoder, data: TrainingData, script: str) -> None:
    """Random letters and digits of a script, 400 in a text. All digits are read as 0 to 9."""
    characters = [
        character for character in map(chr, range(0x500, 0x1900)) if script in unicodedata.name(character, "")
    ]
    letters = [character for character in characters if unicodedata.category(character)[0] in "LM"]
    digits = [character for character in characters if character.isdecimal()]
    rng = numpy_generator(0, script)
    texts = ["".join(rng.choice([*letters, *"0123456789"], 400)) for _ in data.bitext.query_side]
    student = make_student(encoder, replace(data, bitext=replace(data.bitext, query_side=tuple(texts))), RECIPE, 0)
    unseen = ["".join(rng.choice([*letters, *digits], 400)) for _ in range(20)]
    assert student.unknown_pieces(unseen, "query") < 0.01
    assert len(set(map(tuple, student.tokenize(unseen, "query")))) == 20
    for text in unseen:
        plain = "".join(str(int(character)) if character.isdecimal() else character for character in text)
        forms = [text, plain, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))]
        assert len(set(map(tuple, student.tokenize(forms, "query")))) == 1


@pytest.mark.parametrize("text", ["taC\u00e9", "\u0622\u0628", "\u0915\u093c", "\uac00", "\u1e09"])
def test_composed_and_decomposed_letters_have_the_same_pieces(student: Encoder, text: str) -> None:
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert student.tokenize(forms[:1], "query") == student.tokenize(forms[1:], "query")


def test_student_reads_what_the_encoder_cannot(encoder: Encoder, student: Encoder, data: TrainingData) -> None:
    foreign = data.bitext.query_side[0]
    assert len(student.tokenize([foreign], "query")[0]) < len(encoder.tokenize([foreign], "query")[0])


def test_multilingual_encoder_keeps_its_vocabulary(
    encoder: Encoder, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_multilingual(encoder)
    assert make_student(encoder, data, RECIPE, 0).fingerprint() != encoder.fingerprint()
    monkeypatch.setattr("bench.encoders.student.MULTILINGUAL_VOCABULARY", len(encoder.tokenizer))
    assert is_multilingual(encoder)
    student = make_student(encoder, data, RECIPE, 0)
    assert student.fingerprint() == encoder.fingerprint()
    assert student is not encoder


def test_student_of_a_frozen_teacher_trains_with_the_recipes_dropout(teacher: Encoder, data: TrainingData) -> None:
    student = make_student(teacher, data, Recipe(vocabulary_size=250, dropout=0.25), 0)
    assert student.training
    assert all(parameter.requires_grad for parameter in student.parameters())
    dropouts = [module.p for module in student.modules() if isinstance(module, torch.nn.Dropout)]
    assert set(dropouts) == {0.25}
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_tokenizer_that_is_no_wordpiece_is_refused(data: TrainingData) -> None:
    encoder = make_encoder(name="other")
    encoder.tokenizer = copy.deepcopy(encoder.tokenizer)
    encoder.tokenizer._tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    with pytest.raises(BenchError, match="vocabulary of 'other' cannot be replaced"):
        make_student(encoder, data, RECIPE, 0)


def test_student_reads_the_recipes_prompts_and_keeps_the_encoders_where_there_are_none(data: TrainingData) -> None:
    encoder = make_encoder(prompts={"query": "q: ", "document": "d: "})
    asked = make_student(encoder, data, RECIPE.model_copy(update={"query_prompt": "Query: "}), seed=0)
    assert asked.prompts == {"query": "Query: ", "document": "d: "}
    assert encoder.prompts == {"query": "q: ", "document": "d: "}


def test_student_is_the_same_with_a_cache_which_spares_the_learning(
    encoder: Encoder, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make_student(encoder, data, RECIPE, 0).fingerprint()
    assert make_student(encoder, data, RECIPE, 0, cache=tmp_path).fingerprint() == expected
    (path,) = (tmp_path / "vocabularies").iterdir()
    path.write_bytes(path.read_bytes().replace(b"cat", b"dog", 1))
    assert make_student(encoder, data, RECIPE, 0, cache=tmp_path).fingerprint() == expected
    fewer = make_student(encoder, first_rows(data), RECIPE, 0).fingerprint()
    assert make_student(encoder, first_rows(data), RECIPE, 0, cache=tmp_path).fingerprint() == fewer
    smaller = RECIPE.model_copy(update={"vocabulary_size": 100})
    assert len(make_student(encoder, data, smaller, 0, cache=tmp_path).tokenizer) == 100
    (tmp_path / "file").write_text("in the way")
    assert make_student(encoder, data, RECIPE, 0, cache=tmp_path / "file").fingerprint() == expected
    monkeypatch.setattr("bench.encoders.vocabulary.learn_wordpieces", lambda *_: pytest.fail("learned again"))
    assert make_student(encoder, data, RECIPE, 0, cache=tmp_path).fingerprint() == expected


def test_pieces_start_as_the_mean_of_their_translations(encoder: Encoder, data: TrainingData) -> None:
    """Every foreign word has one translation here, and `a` is a word of both languages."""
    words = {"ixo": "the", "uxo": "cat", "exo": "dog", "a": "saw"}
    foreign = [*words, "ixo uxo", "uxo a", "exo a", "ixo exo"] * 9
    english = [" ".join(words[word] for word in text.split()) for text in foreign] + ["a"] * 11
    bitext = Bitext.of(data.pairs[0], [*foreign, *["zz"] * 11], english, "hand")
    recipe = Recipe(vocabulary_size=250)
    student = make_student(encoder, replace(data, bitext=bitext, relevance=Relevance.join([])), recipe, 0)

    def first(word: str, which: Encoder) -> torch.Tensor:
        (piece,) = which.tokenizer(word, add_special_tokens=False)["input_ids"]
        return which.word_embeddings.weight[piece]

    for word in ("ixo", "uxo", "exo"):
        assert torch.allclose(first(word, student), first(words[word], encoder), atol=0.05), word
    share = 27 / (27 + 11)  # `a` occurs 27 times on the foreign side, and 11 times on the English side
    expected = share * first("saw", encoder) + (1 - share) * first("a", encoder)
    assert torch.allclose(first("a", student), expected, atol=0.05)
    for piece in SPECIAL:
        old, new = (which.tokenizer.convert_tokens_to_ids(piece) for which in (encoder, student))
        assert torch.equal(student.word_embeddings.weight[new], encoder.word_embeddings.weight[old])


def test_only_special_tokens_are_kept_when_all_others_start_from_noise(encoder: Encoder, data: TrainingData) -> None:
    student = make_student(encoder, data, RECIPE.model_copy(update={"initialisation": "noise"}), 0)
    old, new = encoder.tokenizer.get_vocab(), student.tokenizer.get_vocab()
    before, after = encoder.word_embeddings.weight, student.word_embeddings.weight
    kept = {piece for piece in set(old) & set(new) if torch.equal(after[new[piece]], before[old[piece]])}
    assert kept == set(SPECIAL)


@pytest.mark.parametrize(("vocabulary", "reads_documents"), [("new", True), ("extended", False)])
def test_student_with_an_extended_vocabulary_keeps_all_pieces_of_its_teacher(
    encoder: Encoder, data: TrainingData, vocabulary: str, reads_documents: bool
) -> None:
    recipe = RECIPE.model_copy(update={"vocabulary": vocabulary})
    student = make_student(encoder, data, recipe, 0, reads_documents=reads_documents)
    size = len(encoder.tokenizer)
    assert pieces_of(student.tokenizer)[:size] == pieces_of(encoder.tokenizer)
    assert torch.equal(student.word_embeddings.weight[:size], encoder.word_embeddings.weight)
    english, foreign = list(data.bitext.document_side), list(data.bitext.query_side)
    assert (student.encode(english, "document") == encoder.encode(english, "document")).all()
    assert sum(map(len, student.tokenize(foreign, "query"))) < sum(map(len, encoder.tokenize(foreign, "query")))


def test_table_of_translations_is_learned_once(
    encoder: Encoder, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(vocabulary_size=250)
    expected = make_student(encoder, data, recipe, 0, cache=tmp_path).fingerprint()
    monkeypatch.setattr("bench.encoders.student.ibm_model_1", lambda *_: pytest.fail("learned again"))
    assert make_student(encoder, data, recipe, 0, cache=tmp_path).fingerprint() == expected
    with pytest.raises(pytest.fail.Exception, match="learned again"):
        make_student(encoder, first_rows(data), recipe, 0, cache=tmp_path)
