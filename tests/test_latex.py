"""LaTeX tables: what they say, read by a parser, and that an engine compiles them where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cells import add
from hypothesis import given
from hypothesis import strategies as st
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexNode, LatexWalker

from bench.report.latex import escaped
from bench.report.leaderboard import leaderboard
from bench.results.store import Store

HOSTILE = r"a_b <50%> & #1 {x|y} ~z^2 \end{table} $5"
ENGINES = ("pdflatex", "lualatex", "xelatex")
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\begin{document}
\input{leaderboard}
\end{document}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The tables of two collections, with a method that is better than the baseline and a name full of commands."""
    store, easy = Store(tmp_path).open(), np.random.default_rng(0).random(60)
    for dataset in ("conlang", "some_data"):
        for method, share in (("zero-shot", 2), ("optical", 1), (HOSTILE, 4)):
            scores = {f"q{i}": value / share for i, value in enumerate(easy.tolist())}
            config = "x=1%" if method == "optical" else ""
            add(store, {"RR@10": scores}, method=method, config=config, dataset=dataset)
    leaderboard(store).write()
    return tmp_path / "leaderboard.tex"


def environments(nodes: list[LatexNode], name: str) -> Iterator[LatexEnvironmentNode]:
    for node in nodes:
        if node.isNodeType(LatexEnvironmentNode):
            if node.environmentname == name:
                yield node
            yield from environments(node.nodelist, name)


def test_a_parser_finds_the_rows(written: Path) -> None:
    nodes, _, _ = LatexWalker(written.read_text(encoding="utf-8"), tolerant_parsing=False).get_latex_nodes()
    tables = list(environments(nodes, "table"))
    assert len(tables) == 2
    for table in tables:
        (tabular,) = environments(table.nodelist, "tabular")
        assert tabular.nodeargd.argnlist[0].latex_verbatim() == "{lr}"
        said = [node.latex_verbatim().strip() for node in tabular.nodelist]
        assert said.count("&") == said.count(r"\\") == 4  # a heading and three systems


def test_latex_marks_the_best_and_what_differs_from_the_baseline(written: Path) -> None:
    text, easy = written.read_text(encoding="utf-8"), np.random.default_rng(0).random(60)
    assert rf"optical x=1\% & \textbf{{{easy.mean():.3f}}}$^{{\uparrow}}$ \\" in text
    assert rf"zero-shot & {easy.mean() / 2:.3f} \\" in text
    assert rf"{escaped(HOSTILE)} & {easy.mean() / 4:.3f}$^{{\downarrow}}$ \\" in text


def test_an_engine_compiles_them(written: Path, tmp_path: Path) -> None:
    engine = next(filter(shutil.which, ENGINES), None)
    if engine is None:
        pytest.skip("there is no TeX engine (Debian: texlive-latex-recommended); a parser read the tables, see above")
    (tmp_path / "paper.tex").write_text(DOCUMENT, encoding="utf-8")
    call = [engine, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 5_000


@given(st.text())
def test_escaped_text_has_no_command_of_latex(text: str) -> None:
    plain = escaped(text)
    for found in ("backslash", "asciitilde", "asciicircum", "less", "greater", "bar"):
        plain = plain.replace(f"\\text{found}{{}}", "")
    for character in "&%$#_{}":
        plain = plain.replace("\\" + character, "")
    assert not set(plain) & set("\\&%$#_{}~^<>|")
