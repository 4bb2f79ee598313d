from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import duplicates
from bench.data.duplicates import near_duplicates
from bench.data.normalise import normalise

FISHERMEN = "The fishermen of the eastern village mend their nets in the morning before they row out to the reef."
DIACRITICS = "Àwọn apẹja ìlú náà ń tún àwọ̀n wọn ṣe ní òwúrọ̀ kí wọ́n tó lọ sí òkun"
KHMER = "អ្នកនេសាទនៅភូមិខាងកើតជួសជុលសំណាញ់របស់ពួកគេនៅពេលព្រឹក"
CHINESE = "东边村庄的渔民每天早上出海之前都在岸边修补他们的渔网和小船"


def kind(text: str, other: str) -> str | None:
    found = near_duplicates([normalise(text)], [normalise(other)])
    return found[0].kind if found else None


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (FISHERMEN, FISHERMEN.replace("row", "sail")),
        (FISHERMEN, FISHERMEN.upper().replace("MORNING", "morn-ing").replace(".", " !!")),
        (DIACRITICS, "Awon apeja ilu naa n tun awon won se ni owuro ki won to lo si okun"),
        (KHMER, KHMER.removesuffix("ព្រឹក") + "យប់"),
        (CHINESE, "\u200b".join(CHINESE) + "。"),
        (CHINESE, " ".join(CHINESE[:-1])),
    ],
)
def test_a_text_with_few_letters_changed_is_near_in_any_script(text: str, other: str) -> None:
    assert kind(text, other) == kind(other, text) == "near"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Who?", "Who is?"),  # too short to tell
        ("She went blind.", "He went blind."),
        ("Who was the first king of Denmark?", "Who was the first king of Sweden?"),
        (FISHERMEN, FISHERMEN.replace("morning", "evening").replace("reef", "sandbank").replace("nets", "sails")),
        (CHINESE, CHINESE.replace("早上", "晚上").replace("修补", "出卖")),
        (
            "किताब मेज़ पर रखी है और खिड़की खुली है",
            "कताब मज पर रख ह और खडक खल ह",
        ),  # vowel signs are letters' parts, not accents
    ],
)
def test_a_text_with_more_changed_is_another(text: str, other: str) -> None:
    assert kind(text, other) is kind(other, text) is None


def test_a_long_text_inside_a_longer_one_is_contained() -> None:
    passage = f"The reef lies an hour to the south. {FISHERMEN} Nobody else fishes there, and the market is far away."
    assert kind(passage, FISHERMEN) == "contained"
    assert kind(passage, FISHERMEN.replace("reef", "reefs")) == "contained"
    assert kind(FISHERMEN, passage) is None  # what a test has more than training is not leaked
    assert kind(passage, "the market is far away") is None  # short enough to be there by chance


@pytest.mark.parametrize(("shared", "expected"), [(8, "near"), (7, None)])
def test_similarity_is_jaccard_and_its_threshold_belongs_to_it(shared: int, expected: str | None) -> None:
    letters = "abcdefghijklmnopqrst"
    other = letters[:14]  # ten shingles
    assert kind(letters[: shared + 4], other) == expected  # of which the text has the first
    if expected:
        assert near_duplicates([letters[: shared + 4]], [other])[0].similarity == 0.8


def slow(texts: list[str], others: list[str]) -> set[tuple[int, int, str, float]]:
    """The definition, word for word."""

    def shingles(text: str) -> set[str]:
        letters = text.replace(" ", "")
        return {letters[i : i + 5] for i in range(len(letters)) if len(letters[i : i + 5]) == 5}

    found = set()
    sets = [shingles(text) for text in texts], [shingles(other) for other in others]
    for i, one in enumerate(sets[0]):
        for j, other in enumerate(sets[1]):
            if len(other) >= 10 and len(one & other) / len(one | other) >= 0.8:
                found.add((i, j, "near", len(one & other) / len(one | other)))
            elif len(other) >= 40 and len(one & other) / len(other) >= 0.9:
                found.add((i, j, "contained", len(one & other) / len(other)))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_fast_way_finds_what_comparing_all_finds(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "CHUNK", 37)
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdeкმक字", k=rng.randint(1, 8))) for _ in range(60)]
    others = [" ".join(rng.choices(words, k=rng.randint(0, 25))) for _ in range(80)]
    texts = []
    for _ in range(200):
        letters = list(rng.choice(others))
        for _ in range(rng.randint(0, 6)):
            letters.insert(rng.randint(0, len(letters)), rng.choice(["", "z", " b", "字"]))
        texts.append("".join(letters) + " ".join(rng.choices(words, k=rng.choice([0, 0, 1, 40]))))
    found = near_duplicates(texts, others)
    assert found == sorted(found)
    assert set(found) == slow(texts, others)
    assert {near.kind for near in found} == {"near", "contained"}


@given(st.lists(st.text(alphabet="ab c", max_size=40), max_size=8), st.lists(st.text(alphabet="ab c"), max_size=8))
def test_any_texts_are_compared_by_the_definition(texts: list[str], others: list[str]) -> None:
    assert set(near_duplicates(texts, others)) == slow(texts, others)
