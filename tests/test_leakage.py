"""Repeated texts: copies, near-duplicates, leakage of tests into training data, and parallel groups."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st
from small_bench import rows
from test_formats import memory
from world import World

from bench.data import Bitext, Pair, Relevance, TestCollection, containment, duplicates, word_changes
from bench.data.containment import containing
from bench.data.duplicates import near_duplicates
from bench.data.leakage import Leak, count_rows, find_leaks, protected, remove
from bench.data.normalise import normalise
from bench.data.parallel import parallel_groups
from bench.data.word_changes import one_word_apart

SWH = Pair("swh", "eng")
ENG = Pair("eng", "eng")
FISHERMEN = "The fishermen of the eastern village mend their nets in the morning before they row out to the reef."
DIACRITICS = "Àwọn apẹja ìlú náà ń tún àwọ̀n wọn ṣe ní òwúrọ̀ kí wọ́n tó lọ sí òkun"
KHMER = "អ្នកនេសាទនៅភូមិខាងកើតជួសជុលសំណាញ់របស់ពួកគេនៅពេលព្រឹក"
CHINESE = "东边村庄的渔民每天早上出海之前都在岸边修补他们的渔网和小船"
FERRY = "the ferry to the northern islands leaves at six in the morning"
LONGER = f"Bring warm clothes. {FERRY}, and it is never late."
TEXT = st.integers(0, 25).map(lambda number: f"text {number}")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The dog is here.", "the dog is  here", True),
        ("Don't!", "don\u2019t", True),
        ("\ufb01sh", "FISH", True),
        ("Stra\u00dfe", "STRASSE", True),
        ("zero\u200bwidth", "zerowidth", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("\u00abyes\u00bb \u2014 no\u2026", "yes no", True),
        ("The dog", "The dogs", False),
        ("\u0915\u093f", "\u0915", False),  # a Devanagari vowel sign is a letter's part, not punctuation
        ("\u1ecdm\u1ecd", "omo", False),  # Yoruba's dots below tell words apart
        ("5", "6", False),
    ],
)
def test_copies_of_one_sentence_are_the_same_text_and_others_are_not(one: str, other: str, same: bool) -> None:
    assert (normalise(one) == normalise(other)) == same


@given(st.text())
def test_normalising_keeps_no_space_to_spare(text: str) -> None:
    assert normalise(text) == " ".join(normalise(text).split())
    assert normalise(text) == normalise(f"  {text} ")


def kind(text: str, other: str) -> str | None:
    found = near_duplicates([normalise(text)], [normalise(other)])
    return found[0].kind if found else None


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        (FISHERMEN, FISHERMEN.replace("row", "sail"), "near"),
        (FISHERMEN, FISHERMEN.upper().replace("MORNING", "morn-ing").replace(".", " !!"), "near"),
        (DIACRITICS, "Awon apeja ilu naa n tun awon won se ni owuro ki won to lo si okun", "near"),
        (KHMER, KHMER.removesuffix("ព្រឹក") + "យប់", "near"),
        (CHINESE, "\u200b".join(CHINESE) + "。", "near"),
        (CHINESE, " ".join(CHINESE[:-1]), "near"),
        ("Who?", "Who is?", None),  # too short to tell
        ("She went blind.", "He went blind.", None),
        ("Who was the first king of Denmark?", "Who was the first king of Sweden?", None),
        (FISHERMEN, FISHERMEN.replace("morning", "evening").replace("reef", "bank").replace("nets", "sails"), None),
        (CHINESE, CHINESE.replace("早上", "晚上").replace("修补", "出卖"), None),
        # Vowel signs are letters' parts, not accents.
        ("किताब मेज़ पर रखी है और खिड़की खुली है", "कताब मज पर रख ह और खडक खल ह", None),
    ],
)
def test_a_text_with_few_letters_changed_is_near_in_any_script(text: str, other: str, expected: str | None) -> None:
    assert kind(text, other) == kind(other, text) == expected


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


BOAT = "we sold our old boat"


def inner(text: str, other: str) -> float | None:
    found = containing([normalise(text)], [normalise(other)])
    return found[0].similarity if found else None


@pytest.mark.parametrize(
    ("text", "other", "similarity"),
    [
        (f"He said: {BOAT.title()}, and we never bought another one after that.", BOAT, 1.0),
        ("Nobody knows it, but last year my brother and I were poor and we sold our óld b\u00f3at!", BOAT, 1.0),
        (f"{BOAT}; {BOAT}", BOAT, 1.0),
        ("they all were sad when we sold our old boats there", BOAT, None),  # no whole word
        ("Then what is new, if I may ask that much?", "what is new", None),  # too short
        ("where is the boat? gone", "where is the boat", 1.0),  # 14 letters, more than half of it
        ("since nobody told me, where is the boat? gone", "where is the boat", None),  # 14 letters, less than half
        ("we sold our", "we sold our old", None),  # too short
        ("our old boat is", "Once our old boat is sold", 12 / 20),
        ("our old boat is", "After a summer on the sea our old boat is sold.", None),  # a small part of the test text
        (FISHERMEN, f"The reef lies an hour to the south. {FISHERMEN} {'It is far away. ' * 9}", 81 / 207),
        ("因此" + CHINESE[:20] + "了", CHINESE[:20], 1.0),  # no spaces, no boundaries
    ],
)
def test_a_whole_text_inside_another_is_found_from_a_length_on(text: str, other: str, similarity: float | None) -> None:
    assert inner(text, other) == pytest.approx(similarity)


def test_a_text_in_many_others_is_a_common_phrase() -> None:
    rows = [f"{number} times the captain told us that {BOAT}" for number in range(containment.COMMON)]
    assert len(containing(rows, [BOAT])) == containment.COMMON
    assert containing([*rows, f"once more the captain told us that {BOAT}"], [BOAT]) == []


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ("we sold our old red boat", True),
        ("we sold our boat", True),
        ("we our sold old boat", True),
        ("we solt our old boat", True),
        ("we slod our old boat", True),
        ("we sold our new boat", False),  # another sentence
        ("we sold my boat", False),
        ("she sold our old red boat", False),
        ("we", False),
        ("", False),
    ],
)
def test_one_word_more_or_less_or_misspelt_or_another_order_is_near(other: str, found: bool) -> None:
    assert bool(one_word_apart([BOAT], [other])) == bool(one_word_apart([other], [BOAT])) == found


def test_another_word_is_near_only_in_a_long_text() -> None:
    long = "the fishermen mend their nets in the morning"
    assert one_word_apart([long], [long.replace("nets", "sails")])[0].similarity == 33 / 38
    assert not one_word_apart(["Who was the first king of Denmark"], ["Who was the first king of Sweden"])


@pytest.mark.parametrize("seed", range(4))
def test_windows_and_sums_of_words_find_what_comparing_all_finds(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few words, so that most texts are near another one, in chunks that divide the texts."""
    monkeypatch.setattr(containment, "CHUNK", 7)
    monkeypatch.setattr(word_changes, "CHUNK", 7)
    monkeypatch.setattr(containment, "COMMON", 1000)
    rng = random.Random(seed)
    words = ["nets", "boats", "net", "morning", "sea", "fishermen", "a"]
    texts, others = ([" ".join(rng.choices(words, k=rng.randint(0, 7))) for _ in range(60)] for _ in range(2))
    near, within = set(), set()
    for i, one in enumerate(texts):
        for j, other in enumerate(others):
            mine, theirs = len(one.replace(" ", "")), len(other.replace(" ", ""))
            if f" {other} " in f" {one} " and theirs >= 12 and (theirs >= 16 or theirs * 2 >= mine):
                within.add((i, j))
            if f" {one} " in f" {other} " and mine >= 12 and (mine >= 44 or mine * 2 >= theirs):
                within.add((i, j))
            more, less = list(one.split()), list(other.split())
            for word in other.split():
                if word in more:
                    more.remove(word)
                    less.remove(word)
            shared = mine - sum(map(len, more))
            misspelt = {*more, *less} in ({"nets", "net"}, {"net", "nets"})
            if len(more) <= 1 and len(less) <= 1:
                least = 12 if not (more and less) else 6 if misspelt else 30
                near |= {(i, j)} if shared >= least else set()
    assert {pair[:2] for pair in one_word_apart(texts, others)} == near
    assert {pair[:2] for pair in containing(texts, others)} == within
    assert near and within


@given(
    st.lists(st.text(alphabet="ab c\u0301\u4e00", max_size=40), max_size=6), st.lists(st.text(max_size=40), max_size=6)
)
def test_any_texts_contain_themselves_if_they_are_long_enough(texts: list[str], others: list[str]) -> None:
    texts, others = ([normalise(text) for text in column] for column in (texts, others))
    found = {(near.text, near.other) for near in containing([*texts, *others], [*others, *texts])}
    for row, text in enumerate(texts):
        if len(text.replace(" ", "")) >= 60:
            assert (row, len(others) + row) in found
    one_word_apart(texts, others)


def collection(oracle: tuple[str, ...] | None = None) -> TestCollection:
    return TestCollection(
        name="t",
        pair=SWH,
        query_ids=("q1", "q2"),
        queries=("Mbwa yuko wapi?", "Paka"),
        document_ids=("d1", "d2", "d3"),
        documents=("The dog is here.", "A distractor.", "Judged, but not relevant."),
        qrels={"q1": {"d1": 1, "d3": 0}, "q2": {"d1": 1}},
        oracle_queries=oracle,
    )


def test_queries_oracles_and_relevant_documents_are_protected_and_no_others() -> None:
    both = frozenset({"q1", "q2"})
    texts = {"mbwa yuko wapi": frozenset({"q1"}), "paka": frozenset({"q2"}), "the dog is here": both}
    assert protected(collection()) == texts
    assert protected(collection(("Where is the dog?", "..."))) == {**texts, "where is the dog": frozenset({"q1"})}


def test_of_a_mining_collection_only_the_gold_pairs_are_protected() -> None:
    """Both parts count: the pairs to tune on and the pairs to test."""
    mining = replace(
        collection(),
        query_ids=("q1", "q2", "q3"),
        queries=("Mbwa yuko wapi?", "Paka", "Kuku"),
        qrels={"q1": {"d1": 1}, "q3": {"d3": 1}},
        tuning=("q1", "q2"),
    )
    assert set(protected(mining)) == {"mbwa yuko wapi", "kuku", "the dog is here", "judged but not relevant"}


def test_rows_go_if_either_side_is_protected() -> None:
    bitext = Bitext(
        ("mbwa yuko wapi", "Ng'ombe", "Mbuzi", "Kondoo"),
        ("Some dog", "THE DOG IS HERE!", "A distractor.", "A sheep"),
        ("a", "a", "b", "b"),
        (SWH,) * 4,
    )
    tests = {"t": protected(collection()), "u": {"some dog", "a sheep"}}
    leaks = find_leaks(bitext, tests)
    assert leaks == [
        Leak(0, 0, "t", "mbwa yuko wapi", "exact", 1.0),
        Leak(0, 1, "u", "some dog", "exact", 1.0),
        Leak(1, 1, "t", "the dog is here", "exact", 1.0),
        Leak(3, 1, "u", "a sheep", "exact", 1.0),
    ]
    assert remove(bitext, leaks) == Bitext.of(SWH, ["Mbuzi"], ["A distractor."], "b")
    relevance = Relevance(*bitext.columns)
    assert find_leaks(relevance, tests) == leaks
    assert remove(relevance, leaks) == Relevance.of(SWH, ["Mbuzi"], ["A distractor."], "b")
    assert find_leaks(bitext, {}) == []
    assert remove(bitext, []) == bitext
    counts = count_rows(leaks, [*tests, "v"])
    assert counts == {test: {"exact": rows, "near": 0, "contained": 0} for test, rows in (("t", 2), ("u", 2), ("v", 0))}


def test_near_copies_leak_on_either_side_and_a_row_counts_once_by_its_worst() -> None:
    queries = (f"{FERRY} sharp", LONGER, FERRY, "Kivuko")
    bitext = Bitext.of(SWH, queries, ("a", "b", FERRY.replace("leaves", "leave"), "The ferry leaves."), "s")
    tests = {"t": {FERRY}}
    leaks = find_leaks(bitext, tests)
    kinds = [(leak.row, leak.side, leak.kind) for leak in leaks]
    assert kinds == [(0, 0, "near"), (1, 0, "contained"), (2, 0, "exact"), (2, 1, "near")]
    assert all((leak.similarity == 1) == (leak.kind != "near") for leak in leaks)
    assert count_rows(leaks, tests) == {"t": {"exact": 1, "near": 1, "contained": 1}}
    assert remove(bitext, leaks).query_side == ("Kivuko",)


def brute_force(rows: list[tuple[str, str]]) -> list[set[int]]:
    """Per row, all rows that a chain of equal texts reaches."""
    reached = [{row} for row in range(len(rows))]
    for _ in rows:
        for here in reached:
            texts = {text for row in here for text in rows[row]}
            here |= {row for row, sides in enumerate(rows) if texts & set(sides)}
    return reached


@given(st.lists(st.tuples(TEXT, TEXT), max_size=20))
def test_groups_are_the_chains_of_equal_texts(pairs: list[tuple[str, str]]) -> None:
    groups = parallel_groups(pairs)
    assert [set(np.flatnonzero(groups == group)) for group in groups] == brute_force(pairs)
    spelled = [(one.upper() + "!", f" {other}.") if i % 2 else (one, other) for i, (one, other) in enumerate(pairs)]
    assert parallel_groups(spelled).tolist() == groups.tolist()


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """The options that name a bitext `b` and a test `t`."""
    world, training = World(tmp_path), ("One", f"{FERRY} sharp", LONGER, FERRY.upper(), "Something else")
    world.aligned("b", "bitext", "Une.\ndeux\ntrois\nquatre\ncinq\n", "\n".join(training) + "\n", "fon-eng")
    world.aligned("t", "test", "une\nbac\nrien\n", f"one\n{FERRY}\nnothing\n", "fon-eng")
    return [*world.options, "--train", "b"]


def test_counts_rows_and_queries_and_shows_the_doubtful_first(options: list[str], cli: Cli) -> None:
    out = cli("inspect", "leakage", *options, "--limit", "2").out
    # Of three queries two are met, both exactly; of five rows two leak exactly, though one of them on both sides.
    assert ["fon-eng", "t", "3", "2", "2", "b", "bitext", "5", "2", "1", "1"] in [
        line.split() for line in out.splitlines()
    ]
    # 51 letters make 47 shingles, five more letters 52: 47/52.
    assert out.index("near 0.90, document side, line 2\n") < out.index(f"training: {FERRY} sharp\n")
    assert "contained 1.00, document side, line 3\n" in out
    assert "  and 3 more\n" in out


def test_writes_everything_as_csv(options: list[str], tmp_path: Path, cli: Cli) -> None:
    assert FERRY not in cli("inspect", "leakage", *options, "--limit", "0", "--output", tmp_path / "all.csv").out
    found = rows(tmp_path, "all.csv")
    assert [" ".join(list(row.values())[:7]) + f", query {row['queries']}" for row in found] == [
        "fon-eng t b bitext line 1 query exact, query 1",
        "fon-eng t b bitext line 1 document exact, query 1",
        "fon-eng t b bitext line 2 document near, query 2",
        "fon-eng t b bitext line 3 document contained, query 2",
        "fon-eng t b bitext line 4 document exact, query 2",
    ]
    assert (found[0]["training_text"], found[0]["test_text"]) == ("Une.", "une")


def test_what_could_not_be_checked_is_reported(options: list[str], tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mirror/owner/t/q").unlink()
    said = cli("inspect", "leakage", *options, "--offline")
    assert said.out == ""
    assert said.line("fon-eng: NOT CHECKED: t: ")


def test_places_are_those_of_the_files(tmp_path: Path, cli: Cli) -> None:
    """Past empty and repeated lines, a heading, and verses that are missing or merged."""
    world = World(tmp_path)
    world.aligned("t", "test", f"une\nrien\n{FERRY} aussi\n", f"one boat\nnothing\n{FERRY}\n", "fon-eng")
    world.aligned("lines", "bitext", "deux\ndeux\n\nune\n", "two\ntwo\n\nthe boat\n", "fon-eng")
    columns = {"format": "tab-separated", "pairs": ["fon-eng"], "role": "bitext", "options": {"header": True}}
    world.add("table", {"f": f"fon\teng\ntrois\tthree\nune\t{FERRY}\n"}, data=[{**columns, "files": {"rows": "f"}}])
    bible = {"format": "verses", "pairs": ["fon-eng"], "role": "bitext"}
    bible["files"] = {"queries": "q", "documents": "d", "references": "r"}
    names, texts = "MAT 1:1\nMAT 1:2\nMAT 1:3\nMAT 1:4\n", (f"Up\n\n{FERRY},\n<range>\n", "A\nB\nC\nD\n")
    world.add("bible", {"q": texts[0], "d": texts[1], "r": names}, data=[bible])
    asked = {"role": "relevance", "format": "qed", "pairs": ["eng-eng"], "files": {"examples": "f"}}
    examples = [{"question_text": text, "paragraph_text": "Yes."} for text in ("How many?", FERRY)]
    world.add("asked", {"f": "\n".join(map(json.dumps, examples))}, data=[asked])
    xml = "".join(f'<seg id="b.MAR.1.{verse}">{text}</seg>' for verse, text in ((1, "Up"), (2, FERRY)))
    gospel = {**bible, "options": {"books": {"MAR": "MRK"}}, "files": {**bible["files"], "queries": "q.xml"}}
    files = {"q.xml": f"<cesDoc>{xml}</cesDoc>", "d": "A\nB\n", "r": "MRK 1:1\nMRK 1:2\n"}
    world.add("gospel", files, data=[gospel])
    units = {"u1": {"fon": "un", "eng": "one"}, "u2": {"fon": "deux", "eng": FERRY}}
    entry = {"format": "tmx-zip", "pairs": ["fon-eng"], "role": "bitext", "files": {"memories": "m"}}
    world.add("memory", {"m": memory(**units)}, data=[entry])
    world.squad("squad", ("who", "Elsewhere."), ("when", FERRY))
    labels = "neutral", "entailment", "entailment"
    inferred = [[f"{text}\t{i}\t{label}\n" for i, label in enumerate(labels)] for text in ("Pluie", "Rain")]
    inferred[1][2] = f"Rain\t{FERRY}\tentailment\n"
    parts = {"queries": "f", "documents": "e", "english": "e"}
    entry = {"format": "xnli-entailment", "pairs": ["fon-eng"], "role": "bitext", "files": parts}
    world.add("inferred", {name: "".join(side) for name, side in zip("fe", inferred, strict=True)}, data=[entry])
    names = "lines", "table", "bible", "asked", "gospel", "memory", "squad", "inferred"
    options = [*world.options, "--train", ",".join(names), "--output", tmp_path / "all.csv"]
    cli("inspect", "leakage", *options, "--pairs", "fon-eng")
    assert {(row["training"], row["side"], row["row"]) for row in rows(tmp_path, "all.csv")} == {
        ("lines", "query", "line 4"),
        ("table", "query", "line 3"),
        ("table", "document", "line 3"),
        ("bible", "query", "line 3, MAT 1:3"),
        ("asked", "query", f"{world.file('asked', 'f')}: line 2"),
        ("gospel", "query", "MRK 1:2"),
        ("memory", "document", "unit u2"),
        ("inferred", "document", "line 3"),
        ("squad", "document", f"{world.file('squad', 'f')}: data[0].paragraphs[1].qas[0]"),
    }
