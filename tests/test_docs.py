"""README, docs and help: sentences are short and plain, links lead to files, and marked command blocks run."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent

import pytest
from pages import ROOT, make_parser, parsers

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "results").rglob("README.md")]
MOST_WORDS = 30
BANNED = re.compile(
    r"(line|file|value|option|name|card|row|table|which) (says?|speaks?|asks?|knows?|tells?)\b"
    r"|\b(but for|at hand|has met|(is|are) told|keep their word|is all of them|that none has|said so)\b"
)
"""Files and values that act like people, and phrases that readers did not understand."""
RUN = re.compile(r"^<!-- run -->\n+((?: {4}.*\n|\n)+)", re.M)
"""A block of commands that the tests run."""


def prose(markdown: str) -> Iterator[str]:
    """Yield the paragraphs, list items and parts of table cells of a page; inline code counts as one word."""
    text = re.sub(r"^```.*?^```$|<!--.*?-->", "", markdown, flags=re.M | re.S)
    text = re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.M)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]+`", "CODE", text))
    for block in re.split(r"\n\s*\n|\n(?=[-*#|]|\d+\. )", text):
        yield from re.split(r"[|;]", block) if block.startswith("|") else [block]


def complaints(text: str) -> list[str]:
    """Return the sentences of a text that are too long or have a banned phrase."""
    sentences = re.split(r"(?<=[.!?])(?<! al\.)(?<!\bMr\.)(?<!e\.g\.)[)\"*]*\s+", " ".join(text.split()))
    return [each for each in sentences if len(re.findall(r"\b\w[\w'’.-]*", each)) > MOST_WORDS or BANNED.search(each)]


def test_long_sentences_and_banned_phrases_are_found() -> None:
    long = " ".join(["word"] * 31) + "."
    assert complaints(f"A short one. {long} Another.") == [long]
    assert complaints("All rows stay, but for one. Doe et al. 2020 do it. A line says which.") == [
        "All rows stay, but for one.",
        "A line says which.",
    ]
    assert " ".join(prose("| a | b; c |\n\n    code\n\n- [d](e) `f g`")).split() == ["a", "b", "c", "-", "d", "CODE"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_of_a_page_are_short_and_plain(page: Path) -> None:
    assert [line for block in prose(page.read_text(encoding="utf-8")) for line in complaints(block)] == []


def test_sentences_of_the_help_are_short_and_plain() -> None:
    texts = (
        text
        for parser in (make_parser(), *parsers())
        for text in (parser.description, *(action.help for action in parser._actions))
    )
    assert [line for text in texts for line in complaints(text or "")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_to_files(page: Path) -> None:
    """The build of the site checks links between pages and their anchors."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [
        pytest.param(dedent(block), id=f"{page.name} {number}")
        for page in PAGES
        for number, block in enumerate(RUN.findall(page.read_text(encoding="utf-8")))
    ],
)
def test_a_marked_block_of_commands_runs(block: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "BENCH_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def constants(file: Path, *, docstrings: bool) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring of a module, or of each other text."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and docstrings == (id(node) in documentation):
            yield node.lineno, node.value


@pytest.mark.parametrize("folder", ["bench", "methods"])
def test_sentences_of_docstrings_are_short_and_plain(folder: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {complaint}"
        for file in (ROOT / folder).rglob("*.py")
        for line, text in constants(file, docstrings=True)
        for block in prose(cleandoc(text))
        for complaint in complaints(block)
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["bench", "methods"])
def test_messages_name_no_file_of_the_checkout(folder: str) -> None:
    """Users of the wheel have neither the docs nor the constraints."""
    names = re.compile(r"\b(docs/\w|constraints\.txt)|'\.\[")
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in (ROOT / folder).rglob("*.py")
        for line, text in constants(file, docstrings=False)
        if names.search(text)
    ]
    assert found == []
