"""Fingerprints change with all that changes a number, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.code import code_modules
from bench.fingerprint import code_digest, digest, digest_texts, library_versions

CODE = '''"""What this module does."""

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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE = 3", "# how fast\nRATE = 3  # per step"),
        ("RATE = 3", "\n\n\nRATE   =   3"),
        ('"""What this module does."""', ""),
        ('"""A thing."""', '"""Another description\n\n    of the thing.\n    """'),
        ('        """Make it larger."""\n', ""),
        ("by * RATE", "(by * RATE)"),
    ],
    ids=["comment", "blank lines", "module docstring", "class docstring", "method docstring", "parentheses"],
)
def test_code_that_computes_the_same_has_the_same_digest(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert digest_of(tmp_path / "edited", CODE.replace(old, new)) == digest_of(tmp_path / "original", CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE = 3", "RATE = 4"),
        ("by * RATE", "RATE * by"),
        ("size = 1", 'size = "1"'),
        ("return self.size", "return -self.size"),
        ("class Thing", "class Thing2"),
        ("if by:", "if not by:"),
    ],
)
def test_code_that_differs_has_another_digest(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert digest_of(tmp_path / "edited", CODE.replace(old, new)) != digest_of(tmp_path / "original", CODE)


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
    import sys

    import numpy

    found = library_versions("numpy")
    assert found == {"numpy": numpy.__version__, "python": sys.version.split()[0]}
