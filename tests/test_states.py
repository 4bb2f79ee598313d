"""Inputs that change in place: results of two states never stand side by side, and a state that returns is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import english_sentences, make_encoder

from bench.cli import main

TEXTS = english_sentences()[:20]


def change_judgments(folder: Path, state: int) -> None:
    (folder / "beir" / "qrels").mkdir(parents=True, exist_ok=True)
    rows = [f"q{i}\td{(i + 3 * state) % 20}\t1\n" for i in range(20)]
    (folder / "beir" / "qrels" / "test.tsv").write_text("".join(rows))


def change_corpus(folder: Path, state: int) -> None:
    for name, key, column in (("queries", "q", TEXTS), ("corpus", "d", TEXTS[::-1] if state else TEXTS)):
        rows = [json.dumps({"_id": f"{key}{i}", "text": text}) for i, text in enumerate(column)]
        (folder / "beir" / f"{name}.jsonl").write_text("\n".join(rows) + "\n")


def change_encoder(folder: Path, state: int) -> None:
    make_encoder(seed=state).save(folder / "encoder")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (change_judgments, "test collection beir qaz-eng"),
        (change_corpus, "test collection beir qaz-eng"),
        (change_encoder, "encoder"),
    ],
)
def test_back_in_an_earlier_state_its_results_are_shown_again(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, int], None],
    what: str,
) -> None:
    monkeypatch.setattr("bench.results.provenance.package_commit", dict)  # asking git takes longer than all the rest
    for each in (change_judgments, change_corpus, change_encoder):
        each(tmp_path, 0)
    inputs = ["--datasets", str(tmp_path / "beir"), "--pairs", "qaz-eng", "--encoder", str(tmp_path / "encoder")]
    results, boards = tmp_path / "results", []
    for state in (0, 1, 0):
        change(tmp_path, state)
        capsys.readouterr()
        run = ["run", "--methods", "zero-shot", *inputs, "--threads", "1", "--quiet", "--results", str(results)]
        assert main(run) == 0
        boards.append((results / "leaderboard.csv").read_bytes())
    assert boards[0] == boards[2] != boards[1]
    assert f"left out: 1 cell with another {what}" in capsys.readouterr().err
    assert main(["leaderboard", "--results", str(results)]) == 0
    assert (results / "leaderboard.csv").read_bytes() == boards[0]
    assert len(list(results.glob("cells/*"))) == 2  # nothing was computed a third time
