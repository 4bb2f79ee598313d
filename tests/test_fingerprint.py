"""Fingerprints change with all that changes a number, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fingerprint import _closure, code_digest, digest, digest_texts, library_versions

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


def digest_of(folder: Path, code: str, name: str) -> str:
    """Each under its own name, because digests are kept for the process."""
    path = folder / f"{name}.py"
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
    assert digest_of(tmp_path, CODE.replace(old, new), "edited") == digest_of(tmp_path, CODE, "original")


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
    assert digest_of(tmp_path, CODE.replace(old, new), "edited") != digest_of(tmp_path, CODE, "original")


def test_digest_of_a_file_does_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert digest_of(tmp_path, CODE, "one") == digest_of(tmp_path / "a", CODE, "two")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write_package(root: Path, name: str, **modules: str) -> str:
    (root / name).mkdir()
    for module, code in {"__init__": "", **modules}.items():
        (root / name / f"{module}.py").write_text(code)
    return f"{name}.main"


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("followed1", "from . import helper"),
        ("followed2", "from .helper import f"),
        ("followed3", "import followed3.helper"),
        ("followed4", "from followed4 import helper"),
        ("followed5", "def g():\n    from followed5.helper import f"),
    ],
)
def test_digest_follows_imports_within_the_package(package: Path, name: str, statement: str) -> None:
    main = write_package(package, name, main=statement, helper="def f(): return 1")
    before = code_digest(main)
    (package / name / "helper.py").write_text("def f(): return 2")
    code_digest.cache_clear()
    assert code_digest(main) != before


def test_digest_changes_when_an_imported_module_of_an_imported_module_does(package: Path) -> None:
    main = write_package(
        package, "chained", main="from .middle import g", middle="from .last import f as g", last="def f(): return 1"
    )
    before = code_digest(main)
    (package / "chained" / "last.py").write_text("def f(): return 2")
    assert code_digest(main) == before  # kept for the process
    code_digest.cache_clear()
    assert code_digest(main) != before


def test_digest_ignores_modules_that_are_not_imported(package: Path) -> None:
    main = write_package(package, "lonely", main="x = 1", other="y = 1")
    before = code_digest(main)
    (package / "lonely" / "other.py").write_text("y = 2")
    code_digest.cache_clear()
    assert code_digest(main) == before


def test_method_depends_on_the_loop_that_trains_it_and_not_on_another_method() -> None:
    closure = set(_closure("methods.optical"))
    assert {
        "methods.optical",
        "methods.transport",
        "bench.training.loop",
        "bench.encoders.encoder",
        "bench.training.sampling",
    } <= closure
    assert not closure & {"methods.adversarial", "methods.distillation", "bench.report.leaderboard", "bench.cli"}


def test_file_depends_on_what_it_imports_of_this_project(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from bench.api import info_nce\nfrom methods.transport import cosine_cost\n")
    assert {"<file>", "bench.api", "bench.training.losses", "methods.transport"} <= set(_closure(str(path)))


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


def test_digest_of_lists_depends_on_their_order() -> None:
    assert digest([1, 2]) != digest([2, 1])


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


@given(st.lists(st.lists(st.text(max_size=4), max_size=3), max_size=3))
def test_digest_of_texts_is_that_of_equal_texts(columns: list[list[str]]) -> None:
    assert digest_texts(*columns) == digest_texts(*(tuple(column) for column in columns))


def test_library_versions_are_those_installed() -> None:
    import sys

    import numpy

    found = library_versions("numpy")
    assert found == {"numpy": numpy.__version__, "python": sys.version.split()[0]}
