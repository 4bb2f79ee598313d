"""Collections through ir_datasets: the same path as every card, here with datasets that the tests register."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.data import Pair
from bench.data.cards import IR_DATASETS, Card, load_cards
from bench.data.fetch import fetch
from bench.data.files import Resolver
from bench.data.loading import available, load_rows, load_test
from bench.data.training_data import training_data
from bench.errors import BenchError, MissingFile
from bench.progress import Display

SWH = Pair("swh", "eng")
ENG = Pair("eng", "eng")
ENGLISH = ["Goats eat thorns.", "The market opens at dawn.", "Rain fell on the hills."]
SWAHILI = ["Mbuzi hula miiba.", "Soko hufunguliwa alfajiri.", "Mvua ilinyesha milimani.", "Hakuna jibu."]
numbers = itertools.count()


class Library:
    """Datasets in the registry of ir_datasets, from files written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, rows: Sequence[str]) -> Any:
        from ir_datasets.util import LocalDownload

        path = self.folder / f"{next(numbers)}-{name}"
        path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        return LocalDownload(path)

    def register(self, *components: Any) -> str:
        import ir_datasets

        name = f"bench-test-{next(numbers)}"
        ir_datasets.registry.register(name, ir_datasets.Dataset(*components))
        return name

    def documents(self, texts: Sequence[str] = ENGLISH) -> Any:
        from ir_datasets.formats import TsvDocs

        return TsvDocs(self.write("documents", [f"d{i}\t{text}" for i, text in enumerate(texts)]))

    def queries(self, name: str, texts: Sequence[str]) -> Any:
        from ir_datasets.formats import TsvQueries

        return TsvQueries(self.write(name, [f"q{i}\t{text}" for i, text in enumerate(texts)]))

    def qrels(self, *rows: str) -> Any:
        from ir_datasets.formats import TrecQrels

        return TrecQrels(self.write("qrels", rows), {})

    def whole(self) -> str:
        """Four queries; the third has no document that is in the corpus, the last is judged not to have any."""
        qrels = self.qrels("q0 0 d0 3", "q0 0 d1 0", "q1 0 d1 1", "q2 0 elsewhere 1", "q3 0 d2 0")
        return self.register(self.documents(), self.queries("queries", SWAHILI), qrels)

    def far(self) -> str:
        """One whose documents would have to be downloaded, from where nobody answers."""
        from ir_datasets.formats import TsvDocs
        from ir_datasets.util import Download, RequestsDownload

        documents = TsvDocs(Download([RequestsDownload("http://127.0.0.1:9/x", tries=1)], self.folder / "far"))
        return self.register(documents, self.queries("queries", SWAHILI), self.qrels("q0 0 d0 1"))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def card(role: str = "test", name: str = "mine", **options: Any) -> Card:
    keys = {"pairs": ["eng-eng" if role == "relevance" else "swh-eng"]}
    entry = {"role": role, "format": "ir-datasets", "options": options, **keys}
    about = {"name": name, "description": "d", "licence": "CC0", "source": IR_DATASETS}
    return Card.model_validate({**about, "codes": {"swh": "sw"}, "data": [entry]})


@pytest.fixture
def offline(tmp_path: Path) -> Resolver:
    return Resolver(cache=tmp_path / "cache", offline=True)


def test_queries_without_a_relevant_document_are_left_out(library: Library, offline: Resolver) -> None:
    test = load_test(card(dataset=library.whole()), SWH, offline, {})
    assert (test.query_ids, test.queries) == (("q0", "q1"), tuple(SWAHILI[:2]))
    assert (test.document_ids, list(test.documents)) == (("d0", "d1", "d2"), ENGLISH)
    assert test.qrels == {"q0": {"d0": 3, "d1": 0}, "q1": {"d1": 1}}
    assert (test.left_out, test.oracle_queries) == (2, None)


def test_documents_stay_on_the_disk_and_read_like_a_list(library: Library, offline: Resolver) -> None:
    documents = load_test(card(dataset=library.whole()), SWH, offline, {}).documents
    assert not isinstance(documents, tuple)
    assert (len(documents), documents[1], documents[-1]) == (3, ENGLISH[1], ENGLISH[2])
    for part in (slice(1, 3), slice(2, None), slice(2, 1), slice(None, None, 2), slice(None, None, -1), slice(9, 12)):
        assert documents[part] == ENGLISH[part]
    with pytest.raises(IndexError):
        documents[3]


def test_parts_of_several_datasets_and_a_chosen_field(library: Library, offline: Resolver) -> None:
    from ir_datasets.formats import TrecQueries

    topic = (
        "<top>\n<num> Number: q0\n<title> mbuzi\n<desc> Description:\nMbuzi hula nini?\n<narr> Narrative:\n-\n</top>"
    )
    topics = library.register(TrecQueries(library.write("sw", [topic])))
    english = library.register(library.queries("english", ["What do goats eat?", "Another."]))
    corpus = library.register(library.documents(), library.qrels("q0 0 d0 1"))
    mine = card(dataset=corpus, queries=topics, field="description", oracles=english)
    test = load_test(mine, SWH, offline, {})
    assert (test.queries, test.oracle_queries) == (("Mbuzi hula nini?",), ("What do goats eat?",))


def test_placeholders_stand_for_the_codes_of_the_card() -> None:
    mine = card(dataset="x/{query}-{document}", rows=3)
    assert mine.options(mine.entry("test", SWH), SWH) == {"dataset": "x/sw-eng", "rows": 3}


def test_training_pairs_up_to_a_number_of_rows(library: Library, offline: Resolver) -> None:
    name = library.register(
        library.documents(),
        library.queries("queries", ["a", "b", "c"]),
        library.qrels("q1 0 d2 1", "q0 0 d1 0", "q0 0 d0 1", "q2 0 d0 1"),
    )
    rows = load_rows(card("relevance", dataset=name, rows=2), "relevance", ENG, offline)
    assert (rows.queries, rows.positives) == (("b", "a"), (ENGLISH[2], ENGLISH[0]))
    assert len(load_rows(card("relevance", dataset=name), "relevance", ENG, offline)) == 3


def test_missing_data_are_refused_in_one_line_offline(library: Library, offline: Resolver) -> None:
    far = card(dataset=library.far())
    with pytest.raises(MissingFile, match=r"^mine: not downloaded; run bench fetch mine$"):
        load_test(far, SWH, offline, {})
    assert not available(far, "test", SWH, offline, {})
    assert available(card(dataset=library.whole()), "test", SWH, offline, {})


def test_a_download_is_tried_only_after_its_licence_was_shown(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MissingFile, match=r"^mine: ir_datasets cannot read it: .*refused"):
        load_test(card(dataset=library.far()), SWH, Resolver(display=Display()), {})
    printed = capsys.readouterr().err
    assert printed.index("mine: licence: CC0\n") < printed.index("[INFO]")


def test_leakage_is_removed_against_local_tests_without_downloads(library: Library) -> None:
    pairs = {"near": card(name="near", dataset=library.whole()), "far": card(name="far", dataset=library.far())}
    relevance = library.register(
        library.documents(), library.queries("english", ["goats?", "rain?"]), library.qrels("q0 0 d0 1", "q1 0 d2 1")
    )
    pairs["train"] = card("relevance", name="train", dataset=relevance)
    data = training_data(["train"], [SWH], Resolver(), pairs)
    report: Any = data.report
    assert data.relevance.queries == ("rain?",)  # of the documents, only those judged relevant are protected
    none = {"exact": 0, "near": 0, "contained": 0}
    assert report["leakage"] == {"near": {"bitext": none, "relevance": {**none, "exact": 1}}}
    assert report["not_checked"] == {"far": "far: not downloaded; run bench fetch far"}


def test_fetch_downloads_through_ir_datasets(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    cards = {"near": card(name="near", dataset=library.whole()), "far": card(name="far", dataset=library.far())}
    assert fetch(["near", "far"], [SWH], cards, Resolver(), Display(quiet=True)) == 1
    captured = capsys.readouterr()
    assert "far: ir_datasets cannot read it" in captured.err
    rows = {line.split()[0]: line.split()[1:] for line in captured.out.splitlines() if line.split()}
    assert rows["near"] == ["CC0", "by", "ir_datasets", "-", "1", "0", "0"]
    assert rows["far"] == ["CC0", "by", "ir_datasets", "-", "0", "0", "1"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"dataset": "no/such"}, "mine: ir_datasets has no dataset 'no/such', named for qrels"),
        ({"datset": "x"}, "unknown option of mine 'datset'; did you mean dataset"),
        ({}, "mine: ir_datasets has no dataset ''"),
    ],
)
def test_a_card_with_an_unknown_dataset_or_option_is_refused(
    offline: Resolver, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint):
        load_test(card(**options), SWH, offline, {})


def test_documents_that_have_to_be_put_there_by_hand(library: Library, offline: Resolver) -> None:
    from ir_datasets.formats import TsvDocs
    from ir_datasets.util import LocalDownload

    nowhere = TsvDocs(LocalDownload(library.folder / "nowhere"))
    name = library.register(nowhere, library.queries("queries", SWAHILI), library.qrels("q0 0 d0 1"))
    with pytest.raises(MissingFile, match=r"mine: ir_datasets lacks .*nowhere, which it cannot download; see bench"):
        load_test(card(dataset=name), SWH, offline, {})


def test_without_the_library_the_error_says_what_to_install(offline: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(
        MissingFile, match=r"^mine: needs the library ir_datasets; install it with pip install 'clir-bench"
    ):
        load_test(card(dataset="x"), SWH, offline, {})


BUILTIN = [
    pytest.param(card.options(entry, key), entry.role, id=f"{card.name} {key}")
    for card in load_cards().values()
    for entry in card.data
    for key in entry.keys
    if card.source == IR_DATASETS
]


@pytest.mark.parametrize(("options", "role"), BUILTIN)
def test_every_dataset_of_a_builtin_card_is_registered(options: dict[str, Any], role: str) -> None:
    import ir_datasets

    for part in ("queries", "documents", "qrels", *(["oracles"] if "oracles" in options else [])):
        name = options.get(part) or options["dataset"]
        if name in set(ir_datasets.registry):
            kind = {"documents": "docs", "oracles": "queries"}.get(part, part)
            assert ir_datasets.load(name).has(kind)
        else:  # loading one of those would download the list of them
            assert any(pattern.match(name) for pattern, _ in ir_datasets.registry._patterns)
