"""Fingerprints change with all that changes a number, and with nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.dependencies.code import code_modules
from bench.dependencies.fingerprint import code_digest, library_versions
from bench.storage.hashing import digest, digest_texts

CODE = '''"""The purpose of this module."""

RATE = 3


class Thing:
    """A thing."""

    size = 1

    def grow(self, by):
        """Make it larger."""
        if by:
            self.size += by * RATE
        return self.size
'''


def digest_of(folder: Path, code: str) -> str:
    """Return the digest of a file with that code, in a folder of its own."""
    folder.mkdir()
    path = folder / "mine.py"
    path.write_text(code, encoding="utf-8")
    return code_digest(str(path))


SAME = [
    ("RATE = 3", "# how fast\nRATE = 3  # per step"),
    ("RATE = 3", "\n\n\nRATE   =   3"),
    ('"""The purpose of this module."""', ""),
    ('"""A thing."""', '"""Another description\n\n    of the thing.\n    """'),
    ('        """Make it larger."""\n', ""),
    ("by * RATE", "(by * RATE)"),
]
"""Edits of comments, blank lines, docstrings and parentheses."""
OTHER = [
    ("RATE = 3", "RATE = 4"),
    ("by * RATE", "RATE * by"),
    ("size = 1", 'size = "1"'),
    ("return self.size", "return -self.size"),
    ("class Thing", "class Thing2"),
    ("if by:", "if not by:"),
]


@pytest.mark.parametrize("edit", [*SAME, *OTHER])
def test_only_an_edit_that_can_change_a_number_changes_the_digest(tmp_path: Path, edit: tuple[str, str]) -> None:
    assert edit[0] in CODE
    same = digest_of(tmp_path / "edited", CODE.replace(*edit)) == digest_of(tmp_path / "original", CODE)
    assert same == (edit in SAME)


def test_digest_is_kept_for_the_process(tmp_path: Path) -> None:
    before = digest_of(tmp_path / "edited", CODE)
    (tmp_path / "edited" / "mine.py").write_text("RATE = 4", encoding="utf-8")
    assert code_digest(str(tmp_path / "edited" / "mine.py")) == before
    code_modules.cache_clear()
    assert code_digest(str(tmp_path / "edited" / "mine.py")) != before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.randoms())
def test_digest_does_not_depend_on_the_order_of_keys(value: dict, random: object) -> None:
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert digest({key: value[key] for key in keys}) == digest(value)


@given(JSON, JSON)
def test_digest_tells_values_apart(one: object, other: object) -> None:
    assert (digest(one) == digest(other)) == (repr(sort_keys(one)) == repr(sort_keys(other)))


def sort_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    return [sort_keys(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([["ab", "c"]], [["a", "bc"]]),
        ([["a"], ["b"]], [["a", "b"]]),
        ([["a"], []], [[], ["a"]]),
        ([["a"], []], [["a"]]),
        ([[""]], [[]]),
        ([["a", ""]], [["a"]]),
        ([["a", "b"]], [["b", "a"]]),
        ([["é"]], [["e\u0301"]]),
    ],
)
def test_digest_of_texts_knows_where_each_text_and_column_ends(one: list, other: list) -> None:
    assert digest_texts(*one) != digest_texts(*other)


def test_library_versions_are_those_installed() -> None:
    assert library_versions("numpy") == {"numpy": numpy.__version__, "python": sys.version.split()[0]}
