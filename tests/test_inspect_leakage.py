"""`bench inspect leakage` on two collections written by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from world import World

from bench.cli import main

FERRY = "the ferry to the northern islands leaves at six in the morning"
TRAINING = {
    "queries": ["Une.", "deux", "trois", "quatre", "cinq"],
    "documents": [
        "One",
        f"{FERRY} sharp",
        f"Bring warm clothes. {FERRY}, and it is never late.",
        FERRY.upper(),
        "Something else",
    ],
}
TEST = {"queries": ["une", "bac", "rien"], "documents": ["one", FERRY, "nothing"]}


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """The options that name a bitext `b` and a test `t`."""
    world = World(tmp_path)
    for name, role, sides in (("b", "bitext", TRAINING), ("t", "test", TEST)):
        queries, documents = ("".join(f"{text}\n" for text in texts) for texts in sides.values())
        world.aligned(name, role, queries, documents, "fon-eng")
    return [*world.options, "--train", "b"]


def test_counts_rows_and_queries_and_shows_the_doubtful_first(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "leakage", *options, "--limit", "2"]) == 0
    out = capsys.readouterr().out
    # Of three queries two are met, both exactly; of five rows two leak exactly, though one of them on both sides.
    assert ["fon-eng", "t", "3", "2", "2", "b", "bitext", "5", "2", "1", "1"] in [
        line.split() for line in out.splitlines()
    ]
    # 51 letters make 47 shingles, five more letters 52: 47/52.
    assert out.index("near 0.90, document side of row 1\n") < out.index(f"training: {FERRY} sharp\n")
    assert "contained 1.00, document side of row 2\n" in out
    assert "  and 3 more\n" in out


def test_writes_everything_as_csv(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "leakage", *options, "--limit", "0", "--output", str(tmp_path / "all.csv")]) == 0
    assert FERRY not in capsys.readouterr().out
    with (tmp_path / "all.csv").open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert {(row["pair"], row["test"], row["training"], row["role"]) for row in found} == {
        ("fon-eng", "t", "b", "bitext")
    }
    assert [(row["row"], row["side"], row["kind"], row["queries"]) for row in found] == [
        ("0", "query", "exact", "1"),
        ("0", "document", "exact", "1"),
        ("1", "document", "near", "2"),
        ("2", "document", "contained", "2"),
        ("3", "document", "exact", "2"),
    ]
    assert (found[0]["training_text"], found[0]["test_text"]) == ("Une.", "une")


def test_what_is_clean_or_could_not_be_checked_is_said(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mirror/owner/t/q").unlink()
    assert main(["inspect", "leakage", *options, "--offline"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "fon-eng: NOT CHECKED: t: " in said.err
