"""Glosses: which words are replaced by what, and how often."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from bench.data import Bitext, Pair, Relevance, TrainingData
from bench.errors import BenchError
from methods.glossing import Glossary, GlossConfig, english_judgments, glossed

TABLE = {"cat": {"paka": 0.9}, "house": {"chumba": 0.1, "nyumba": 0.3}}
GLOSSARY = Glossary(TABLE)
ENG, QAA = Pair("eng", "eng"), Pair("qaa", "eng")


@given(st.text() | st.lists(st.sampled_from(["cat", "House", "a", "'s ", " "])).map("".join))
def test_probability_0_changes_nothing(text: str) -> None:
    assert GLOSSARY.gloss(text, 0.0, np.random.default_rng(0)) == text


def test_probability_1_replaces_every_word_with_a_translation_and_the_rest_stays() -> None:
    rng = np.random.default_rng(0)
    forms = {GLOSSARY.gloss("The Cat's  house, (a cat-house)?", 1.0, rng) for _ in range(200)}
    assert forms == {f"The paka's  {one}, (a paka-{two})?" for one in TABLE["house"] for two in TABLE["house"]}


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_frequencies_are_those_of_the_probability_and_of_the_table(probability: float) -> None:
    """`house` becomes `chumba` in a quarter of the replacements, since its translations have 0.1 and 0.3."""
    drawn = Counter(GLOSSARY.gloss("house " * 20_000, probability, np.random.default_rng(0)).split())
    expected = {"house": 1 - probability, "chumba": probability / 4, "nyumba": probability * 3 / 4}
    expected = {word: 20_000 * share for word, share in expected.items() if share}
    assert set(drawn) == set(expected)
    assert chisquare([drawn[word] for word in expected], [*expected.values()]).pvalue > 0.01


def test_pair_decides_if_passages_are_glossed_and_the_seed_decides_all() -> None:
    judgments = Relevance.of(ENG, ["a cat", "my house"], ["The house.", "Cat!"], "hand")
    across, within = (
        glossed(judgments, pair, GLOSSARY, 1.0, np.random.default_rng(1)) for pair in (QAA, Pair("qaa", "qaa"))
    )
    assert across.positives == judgments.positives
    assert across.queries[0] == within.queries[0] == "a paka"
    assert within.positives[0] in {"The chumba.", "The nyumba."}
    assert within.positives[1] == "paka!"
    assert set(across.origins) == {("glossed", QAA)}
    assert within == glossed(judgments, Pair("qaa", "qaa"), GLOSSARY, 1.0, np.random.default_rng(1))


def test_glossary_is_learned_from_the_bitext_of_its_language() -> None:
    """Each word has one partner in all its sentences, another one in each language."""
    english = ("cat house", "cat", "house")
    bitext = [
        Bitext.of(QAA, ("paka nyumba", "paka", "nyumba"), english, "hand"),
        Bitext.of(Pair("qab", "eng"), ("mace gida", "mace", "gida"), english, "hand"),
    ]
    data = TrainingData((QAA, Pair("qab", "eng")), Bitext.join(bitext), Relevance.join([]))
    rng = np.random.default_rng(0)
    found = [
        GlossConfig(minimum_probability=0.5).glossary(data, name).gloss("Cat house", 1, rng) for name in ("qaa", "qab")
    ]
    assert found == ["paka nyumba", "mace gida"]


def test_missing_data_is_an_error_of_one_line(data: TrainingData) -> None:
    with pytest.raises(BenchError, match="no judgments within eng"):
        english_judgments(replace(data, relevance=Relevance.join([])))
    with pytest.raises(BenchError, match="no bitext"):
        GlossConfig().glossary(data, "qab")
