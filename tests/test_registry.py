from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import registry
from bench.errors import BenchError
from bench.registry import MethodEntry, Spec, find_method, parse_spec
from bench.training.method import Method, TrainedMethod

PLUGIN = '''"""A file with a method, which fails when it is imported without need."""

from bench.api import DualEncoder, Method, Retriever


class Mine(Method):
    """Keeps the encoder as it is.

    More about it.
    """

    name = "mine"
    source = "a test"
    uses = ("bitext", "relevance")

    def fit(self, task):
        return DualEncoder(task.teacher, task.teacher)


class NoMethod:
    pass
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    return path


def test_listing_methods_imports_none_of_them() -> None:
    code = (
        "import sys, bench.registry as r\n"
        "for entry in {**r.methods(), **r.references()}.values(): assert entry.describe()['description']\n"
        "print([name for name in ('torch', 'transformers', 'ot', 'methods.optical') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_installed_methods_and_references_load() -> None:
    assert {"optical", "adversarial", "distillation"} <= set(registry.methods())
    assert set(registry.references()) == {"zero-shot", "untrained", "oracle"}
    for name, entry in {**registry.methods(), **registry.references()}.items():
        method = entry.load()
        assert issubclass(method, Method)
        assert method.name == name


@pytest.mark.parametrize("name", ["optical", "adversarial", "distillation", "zero-shot", "untrained", "oracle"])
def test_what_is_read_from_the_source_is_what_the_class_says(name: str) -> None:
    entry = find_method(name)
    method = entry.load()
    assert entry.describe() == {
        "description": (method.__doc__ or "").split("\n")[0],
        "source": method.source,
        "uses": method.uses,
    }


def test_methods_train_and_references_do_not() -> None:
    for entry in registry.methods().values():
        assert not entry.reference
        assert issubclass(entry.load(), TrainedMethod)
    for entry in registry.references().values():
        assert entry.reference


def test_unknown_method_is_refused_with_a_suggestion() -> None:
    with pytest.raises(BenchError, match="unknown method 'optcal'; did you mean optical"):
        find_method("optcal")


def test_class_in_a_file_is_a_method(plugin: Path) -> None:
    entry = find_method(f"{plugin}:Mine")
    assert (entry.name, entry.reference) == ("Mine", False)
    assert entry.load().uses == ("bitext", "relevance")
    assert entry.describe() == {
        "description": "Keeps the encoder as it is.",
        "source": "a test",
        "uses": ("bitext", "relevance"),
    }


def test_file_is_not_run_before_the_method_is_used(tmp_path: Path) -> None:
    path = tmp_path / "loud.py"
    path.write_text(f"open({str(tmp_path / 'touched')!r}, 'w').close()\n{PLUGIN}")
    entry = find_method(f"{path}:Mine")
    assert entry.describe()["source"] == "a test"
    assert not (tmp_path / "touched").exists()
    entry.load()
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("gone.py:Mine", "there is no file"), ("plugin.py:Yours", "defines no class Yours")],
)
def test_file_or_class_that_is_not_there_is_refused(plugin: Path, name: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        find_method(str(plugin.parent / name))


def test_class_that_is_no_method_is_refused(plugin: Path) -> None:
    with pytest.raises(BenchError, match="NoMethod is not a subclass of bench"):
        find_method(f"{plugin}:NoMethod").load()


def test_file_that_cannot_be_imported_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(f"import nothing_of_this_name\n{PLUGIN}")
    with pytest.raises(BenchError, match="cannot be imported: ModuleNotFoundError") as caught:
        find_method(f"{path}:Mine").load()
    assert "\n" not in str(caught.value)


def test_module_without_the_class_describes_as_nothing() -> None:
    entry = MethodEntry("gone", "methods.optical", "Gone")
    assert entry.describe() == {"description": "", "source": "", "uses": ()}
    with pytest.raises(BenchError, match="cannot be imported"):
        entry.load()


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("optical", [Spec("optical")]),
        ("optical:epsilon=1e+2:solver=exact", [Spec("optical", (("epsilon", 100.0), ("solver", "exact")))]),
        ("optical:a=2+x:y=1", [Spec("optical", (("a", 2),)), Spec("x", (("y", 1),))]),
        (
            "one+my/file.py:Class:a=true+./b.py:C",
            [Spec("one"), Spec("my/file.py:Class", (("a", True),)), Spec("./b.py:C")],
        ),
    ],
)
def test_a_text_asks_for_methods_with_settings(text: str, specs: list[Spec]) -> None:
    assert parse_spec(text) == tuple(specs)


def test_a_variant_is_its_method_configured(plugin: Path) -> None:
    plugin.write_text(
        PLUGIN + '\n\nclass Varied(Mine):\n    variants = {"often": {"times": 3}, "seldom": {"times": 1}}\n'
    )
    found = find_method(f"{plugin}:Varied").variants()
    assert [(entry.name, entry.base, entry.settings) for entry in found] == [
        ("often", "Varied", (("times", 3),)),
        ("seldom", "Varied", (("times", 1),)),
    ]
    assert found[0].describe()["description"] == "Varied with times=3"


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    points = [EntryPoint("same", f"package{i}:Class", registry.METHODS) for i in (1, 2)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(BenchError, match="two packages offer a method 'same'"):
        registry._entries(registry.METHODS, reference=False)
    monkeypatch.setattr(registry, "entry_points", lambda group: [points[0], points[0]])
    assert list(registry._entries(registry.METHODS, reference=False)) == ["same"]
