"""Printed tables: at every width, in a pipe and on a terminal, nothing is broken and no line is too long."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cells import add
from conftest import Cli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from bench.evaluation.run_files import write_run
from bench.report.leaderboard import leaderboard
from bench.report.tables import LATEX, MARKDOWN, paper, tables
from bench.results.store import RUN, Store
from bench.tables import NAME_WIDTH, WIDTH, Column, middle, print_table

WIDTHS = (60, 80, 100, 120, 200)
METHODS = {
    "oracle": ("", "", 0.95),
    "zero-shot": ("", "", 0.4),
    "contrastive+translate-distill": ("contrastive.temperature=0.05 weight=0.5", "relevance + bitext", 0.9),
    "optical+dynamic-negatives": ("optical.epsilon=0.05 optical.solver=unbalanced weight=0.5", "bitext", 0.85),
    "hybrid-batch": ("recipe.selection=english", "relevance + bitext (start)", 0.7),
    "psq": ("", "bitext", 0.6),
}
MEASURES = ("nDCG@10", "RR@10", "Success@1")
NUMBER = st.from_regex(
    r"[0-9]\.[0-9]{3} \[-?[0-9]\.[0-9]{3}, [0-9]\.[0-9]{3}\]|<?\.[0-9]{3}|[0-9]{1,6}", fullmatch=True
)
WORD = st.text(st.sampled_from("abcxyz-_.=+0123漢語"), min_size=1, max_size=50)
TEXT = st.lists(st.text(st.sampled_from("abcdef"), min_size=1, max_size=24), min_size=1, max_size=20).map(" ".join)
CELLS = {"number": NUMBER, "word": WORD.map(lambda text: text[:20]), "name": WORD, "text": TEXT}


@st.composite
def printed_tables(draw: st.DrawFn) -> tuple[list[Column], list[list[str]]]:
    kinds = ["name", *draw(st.lists(st.sampled_from(list(CELLS)), max_size=12))]
    columns = [
        Column(f"{kind}{i}", kind, draw(st.integers(0, 5)) if i else 0)  # type: ignore[arg-type]
        for i, kind in enumerate(kinds)
    ]
    rows = draw(st.lists(st.tuples(*(CELLS[kind] for kind in kinds)), min_size=1, max_size=6))
    return columns, [list(row) for row in rows]


def is_short_for(shown: str, name: str) -> bool:
    """Return True if a text is the name, perhaps with one ellipsis in place of its middle."""
    head, ellipsis, tail = shown.partition("…")
    kept = len(head) + len(tail) < len(name) and name.startswith(head) and name.endswith(tail)
    return shown == name or (ellipsis == "…" and "…" not in tail and kept)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(table=printed_tables(), width=st.sampled_from(WIDTHS), wide=st.booleans())
def test_every_cell_is_whole_or_a_shortened_name_and_no_line_is_too_long(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    table: tuple[list[Column], list[list[str]]],
    width: int,
    wide: bool,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    columns, rows = table
    print_table(columns, rows, wide=wide)
    out = capsys.readouterr().out
    longest = max(cell_len(cell) for row in rows for cell in row)
    assert max(map(cell_len, out.splitlines())) <= max(width, 2 * longest + 4)
    if longest < 25:
        assert max(map(cell_len, out.splitlines())) <= width
    note = " ".join(out.partition(" not shown: ")[2].split())
    heads = [line.split() for line in re.findall(r"(.*)\n─", out)]
    shown = {name for head in heads for name in head}
    assert {column.name for column in columns if column.priority == 0 or wide} <= shown
    assert all((column.name in shown) != (f"{column.name};" in note or f"{column.name}." in note) for column in columns)
    assert ("--wide" in note) == (len(shown) < len(columns))
    words = out.split()
    for i, column in enumerate(columns):
        for row in rows if column.name in shown else ():
            if column.kind == "text":
                assert all(word in words for word in row[i].split())
            elif column.kind == "name":
                assert any(is_short_for(word, row[i]) for word in words)
            else:
                assert row[i] in out
    firsts = {line.split()[0] for block in re.findall(r"─\n(.*?)\n\n", out, re.S) for line in block.splitlines()}
    assert {row[0] for row in rows} == {row[0] for row in rows if any(is_short_for(each, row[0]) for each in firsts)}


@given(st.text(min_size=1), st.integers(3, 40))
def test_shortened_name_is_as_wide_as_its_column_and_has_both_ends(name: str, width: int) -> None:
    shown = middle(name, width, width // 2)
    assert cell_len(shown) <= width
    assert shown == name if cell_len(name) <= width else "…" in shown


def test_shortened_names_stay_distinct(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    names = [f"optical+dynamic-negatives epsilon=0.{i} solver=unbalanced weight=0.5" for i in range(5)]
    print_table([Column("method", "name"), Column("score")], [[name, "0.500"] for name in names])
    shown = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[2:7]]
    assert len(set(shown)) == 5 and min(map(len, shown)) > NAME_WIDTH


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with six methods on two pairs of a collection and one of another, with runs."""
    store = Store(tmp_path_factory.mktemp("results")).open()
    for i, (dataset, pair) in enumerate(
        [*(("ntrex-documents", f"{query}-eng") for query in ("swh", "hau")), ("afriqa", "swh-eng")]
    ):
        for j, (method, (config, supervision, centre)) in enumerate(METHODS.items()):
            values = np.clip(np.random.default_rng([i, j]).normal(centre, 0.1, (len(MEASURES), 12)), 0, 1).tolist()
            scores = {name: {f"q{k}": x for k, x in enumerate(row)} for name, row in zip(MEASURES, values, strict=True)}
            changes: dict[str, Any] = {} if supervision else {"train": "", "budget": "", "seed": ""}
            cell = add(
                store, scores, method=method, config=config, supervision=supervision, dataset=dataset, pair=pair,
                encoder="paraphrase-multilingual-MiniLM-L12-v2", **changes,
            )  # fmt: skip
            documents = [(f"document-of-a-collection-{k:08}", 1 - k / 10) for k in range(7)]
            write_run(cell.folder / RUN, {f"q{k}": documents for k in range(12)}, tag="x")
    return store.root


CALLS = [
    "leaderboard --results {results}",
    "leaderboard --results {results} --wide",
    "leaderboard --results {results} --measures RR@10 --datasets afriqa --methods psq zero-shot",
    "compare psq zero-shot --results {results}",
    "compare psq zero-shot --results {results} --measures nDCG@10 RR@10 --wide",
    "inspect query q1 --results {results} --dataset afriqa",
    *("ls methods", "ls datasets", "ls datasets --wide", "ls pairs", "ls encoders", "ls measures", "ls datasets ntrex"),
    "power --queries 100 --seeds 1 --repetitions 100",
]
ON_A_TERMINAL = """
import contextlib, fcntl, io, json, struct, sys, termios
from bench.cli import main
from bench.report import leaderboard as module
make, made = module.leaderboard, []
module.leaderboard = lambda *arguments: made[0] if made else made.append(make(*arguments)) or made[0]
for width in json.loads(sys.argv[2]):
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    for call in json.loads(sys.argv[1]):
        print(f"\\n>>> {width} {call}", flush=True)
        with contextlib.redirect_stderr(io.StringIO()):
            assert main(call.split()) == 0, call
"""


@pytest.fixture(scope="module")
def printed(results: Path) -> dict[tuple[int, str], str]:
    """The output of every call in a pseudo-terminal of every width, without its styles."""
    calls = [call.format(results=results) for call in CALLS]
    ours, theirs = pty.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[1] &= ~termios.ONLCR
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    command = [sys.executable, "-c", ON_A_TERMINAL, json.dumps(calls), json.dumps(WIDTHS)]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    out = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # Linux reports the end of a pseudo-terminal as an error
            break
        if not part:
            break
        out += part
    assert process.wait() == 0, process.communicate()[1].decode()
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.decode())
    assert text != out.decode()  # it was a terminal
    parts = re.split(r"\n>>> (\d+) (.*)\n", text)[1:]
    found = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {(int(width), CALLS[calls.index(call)]): shown for width, call, shown in found}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_longer_than_the_terminal(printed: dict[tuple[int, str], str], width: int, call: str) -> None:
    lines = printed[width, call].splitlines()
    assert [line for line in lines if cell_len(line) > width and " " in line.strip()] == []  # one word, such as an URL
    assert "─" in printed[width, call]
    shown = set(re.findall(r"\d\.\d{3} \[.*?\]", printed[200, call])) - {"0"}
    assert shown == set(re.findall(r"\d\.\d{3} \[.*?\]", printed[width, call]))  # all intervals are there, and whole


@pytest.mark.parametrize("call", CALLS[:2])
@pytest.mark.parametrize("width", WIDTHS)
def test_boards_have_all_cells_of_the_columns_that_are_shown(
    printed: dict[tuple[int, str], str], results: Path, width: int, call: str
) -> None:
    out, found = printed[width, call], leaderboard(Store(results))
    boards = out.split("queries, encoder")[1:]
    assert len(boards) == 3
    for text, table in zip(boards, tables(found).values(), strict=True):
        heads = "  ".join(re.findall(r"(.*)\n─", text)).split("  ")
        shown = {head.strip() for head in heads} - {""}
        note = " ".join(text.partition(" not shown: ")[2].split()).partition(". --wide")[0]
        assert shown | set(filter(None, note.split("; "))) == set(table.columns)
        assert {"rank", "method", "nDCG@10 [95 %]"} <= shown
        assert shown == set(table.columns) or (width < 200 and "--wide" not in call)
        cells = [cell.strip() for line in text.splitlines() for cell in line.split("  ")]
        for name in shown:
            assert all(any(is_short_for(cell, own) for cell in cells) for own in table[name])


def test_pipe_has_lines_of_the_documented_length(cli: Cli, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    longest = max(map(len, cli("leaderboard", "--results", results, "--wide").out.splitlines()))
    assert 100 < longest <= WIDTH
    monkeypatch.setenv("COLUMNS", "300")
    assert WIDTH < max(map(len, cli("leaderboard", "--results", results, "--wide").out.splitlines())) <= 300


def test_bounds_have_no_rank_and_are_never_bold(results: Path) -> None:
    found = leaderboard(Store(results))
    assert found.wide.groupby("method")["nDCG@10 best rank"].first()["oracle"] == 1  # the file ranks all systems
    for table in tables(found).values():
        ranks = table.set_index("method")["rank"]
        assert ranks["oracle"] == "-"
        assert ranks.drop("oracle").tolist()[0].startswith("1")
        assert max(int(rank.split("-")[-1]) for rank in ranks.drop("oracle")) == 5
    assert "oracle & 0." in paper(found, "nDCG@10", found.choose(), LATEX)


def test_grid_of_a_paper_has_means_over_languages_and_marks(results: Path, cli: Cli) -> None:
    found = leaderboard(Store(results))
    chosen = found.choose(["psq", "zero-shot", "oracle"], ["ntrex-documents"])
    rows = paper(found, "nDCG@10", chosen, MARKDOWN).splitlines()
    assert rows[2] == "| method | hau-eng | swh-eng | mean |"
    cells = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in rows[4:]}
    means = found.wide[found.wide["dataset"] == "ntrex-documents"].set_index(["method", "pair"])["nDCG@10"]
    for method, marks in (("oracle", "↑"), ("psq", "↑"), ("zero-shot", "")):
        own = means[method].sort_index()
        texts = [*(f"{value:.3f}" for value in own), f"{own.mean():.3f}"]
        bold = [f"**{text}**" if method == "psq" else text for text in texts]
        assert [cell.strip() for cell in cells[method]] == [*(text + marks for text in bold[:-1]), bold[-1]]
    printed = cli("leaderboard", "--results", results, "--layout", "paper", "--datasets", "ntrex-documents").out
    assert "| **0.9" in printed and r"& \textbf{0.9" in printed and printed.count(r"\begin{table}") == 1
    assert r"oracle & 0.9" in printed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--methods", "pqs"], "unknown method in the results: 'pqs'; did you mean psq"),
        (["--datasets", "afrqa"], "unknown dataset in the results: 'afrqa'; did you mean afriqa"),
        (["--pairs", "xho-eng"], "unknown pair in the results: 'xho-eng'"),
        (["--datasets", "afriqa", "--pairs", "hau-eng"], "no system has one of these methods, collections and pairs"),
    ],
)
def test_filter_without_systems_is_refused(cli: Cli, results: Path, arguments: list[str], complaint: str) -> None:
    assert cli("leaderboard", "--results", results, *arguments, code=2).line(complaint)


def test_filters_choose_rows_and_leave_numbers_as_they_are(cli: Cli, results: Path) -> None:
    table = tables(leaderboard(Store(results)))[0].set_index("method")
    out = cli("leaderboard", "--results", results, "--datasets", "afriqa", "--methods", "psq", "zero-shot").out
    lines = [line.split() for line in out.splitlines() if line.split()[1:2] in (["psq"], ["zero-shot"])][:2]
    assert [line[:3] for line in lines] == [
        [table.loc[name, "rank"], name, table.loc[name, "trains on"]] for name in ("psq", "zero-shot")
    ]


def test_lists_are_filtered_and_are_json(cli: Cli) -> None:
    names = {row["dataset"] for row in json.loads(cli("ls", "datasets", "--pairs", "swh-eng", "--json").out)}
    assert {"tatoeba", "standard"} <= names and not {"conlang", "qed"} & names
    (pair,) = json.loads(cli("ls", "pairs", "--pairs", "swh-eng", "--json").out)
    assert (pair["queries"], pair["documents"]) == ("Swahili", "English")
    assert json.loads(cli("ls", "datasets", "conlang", "--json").out)["name"] == "conlang"
    assert cli("ls", "datasets", "--pairs", "qqq-eng", code=2).line("no collection has the pair 'qqq-eng'")
    assert cli("ls", "methods", "--pairs", "swh-eng", code=2).line("bench ls methods takes no --pairs")
