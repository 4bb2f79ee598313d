from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.data import Pair, TestCollection
from bench.data.formats import Source, bucc
from bench.errors import BenchError

CMN = Pair("cmn", "eng")
FILES = {
    "queries": "zh-1\t下雨了。\nzh-2\t没有人来。\nzh-3\t我同意。 \nzh-4\t下雨了。\nzh-5\t天亮了。\n",
    "documents": "en-1\tI agree.\nen-2\tA dog.\nen-3\tIt rains.\nen-4\tIt is raining.\n",
    "gold": "zh-3\ten-1\nzh-1\ten-3\nzh-1\ten-4\n",
}


def source(folder: Path, **changes: str) -> Source:
    for part, text in {**FILES, **changes}.items():
        (folder / part).write_text(text, encoding="utf-8")
    return Source("mine", {part: (folder / part,) for part in FILES})


def test_mining_has_all_sentences_and_every_other_one_for_tuning(tmp_path: Path) -> None:
    assert bucc.mining(source(tmp_path), CMN) == TestCollection(
        name="mine",
        pair=CMN,
        query_ids=("zh-1", "zh-2", "zh-3", "zh-4", "zh-5"),
        queries=("下雨了。", "没有人来。", "我同意。 ", "下雨了。", "天亮了。"),
        document_ids=("en-1", "en-2", "en-3", "en-4"),
        documents=("I agree.", "A dog.", "It rains.", "It is raining."),
        qrels={"zh-1": {"en-3": 1, "en-4": 1}, "zh-3": {"en-1": 1}},
        tuning=("zh-1", "zh-3", "zh-5"),
    )


def test_translations_are_relevant_to_gold_sentences(tmp_path: Path) -> None:
    test = bucc.retrieval(source(tmp_path), CMN)
    assert test.task == "retrieval" and test.oracle_queries is None
    assert (test.query_ids, test.queries) == (("zh-3", "zh-1"), ("我同意。 ", "下雨了。"))
    assert len(test.documents) == 4
    assert test.qrels == {"zh-1": {"en-3": 1, "en-4": 1}, "zh-3": {"en-1": 1}}


@pytest.mark.parametrize("parse", [bucc.mining, bucc.retrieval])
@pytest.mark.parametrize(
    ("part", "text", "complaint"),
    [
        ("queries", "zh-1\tone\nzh-2\n", "queries: line 2: expected id <tab> sentence"),
        ("documents", "en-1\tone\ttwo\n", "documents: line 1: expected id <tab> sentence"),
        ("documents", "en-1\t \n", "documents: line 1: expected id <tab> sentence"),
        ("queries", "zh-1\tone\nzh-1\ttwo\n", "queries: line 2: the id 'zh-1' occurs twice"),
        ("gold", "zh-1 en-1\n", "gold: line 1: expected id <tab> id"),
        ("gold", "zh-1\ten-1\nzh-9\ten-1\n", "gold: line 2: .*queries has no sentence 'zh-9'"),
        ("gold", "zh-1\tzh-1\n", "gold: line 1: .*documents has no sentence 'zh-1'"),
    ],
)
def test_malformed_files_are_refused_with_their_place(
    tmp_path: Path, parse: Callable[[Source, Pair], TestCollection], part: str, text: str, complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint):
        parse(source(tmp_path, **{part: text}), CMN)
