from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import registry
from bench.cli import main
from bench.errors import BenchError
from bench.registry import MethodEntry, find_method
from bench.running.rows import expand
from bench.spec import NamedMethod, parse_methods
from bench.training.method import Method

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
    for entry in registry.known().values():
        method = entry.load()
        assert issubclass(method, Method)
        assert method.name == entry.base


@pytest.mark.parametrize("name", ["optical", "adversarial", "distillation", "zero-shot", "untrained", "oracle"])
def test_what_is_read_from_the_source_is_what_the_class_says(name: str) -> None:
    entry = find_method(name)
    method = entry.load()
    assert entry.describe() == {
        "description": (method.__doc__ or "").split("\n")[0],
        "source": method.source,
        "uses": method.uses,
    }


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


def test_trained_method_needs_the_settings_that_all_of_them_have(plugin: Path) -> None:
    trained = "from bench.api import MethodConfig, TrainedMethod\n\n\nclass Trained(TrainedMethod):\n"
    plugin.write_text(f"{PLUGIN}\n\n{trained}    Config = MethodConfig\n")
    with pytest.raises(BenchError, match=r"its Config is not a subclass of bench\.api\.TrainedConfig"):
        find_method(f"{plugin}:Trained").load()


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
        ("optical", [NamedMethod("optical")]),
        ("optical:epsilon=1e+2:solver=exact", [NamedMethod("optical", (("epsilon", 100.0), ("solver", "exact")))]),
        ("optical:a=2+x:y=1", [NamedMethod("optical", (("a", 2),)), NamedMethod("x", (("y", 1),))]),
        (
            "one+my/file.py:Class:a=true+./b.py:C",
            [NamedMethod("one"), NamedMethod("my/file.py:Class", (("a", True),)), NamedMethod("./b.py:C")],
        ),
    ],
)
def test_a_text_asks_for_methods_with_settings(text: str, specs: list[NamedMethod]) -> None:
    assert parse_methods(text) == tuple(specs)


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


Install = Callable[..., None]
BROKEN = {
    "no-module": ("gone.inner:Mine", "", "there is no module gone.inner"),
    "no-syntax": ("syntax:Mine", "class Mine(:", "syntax does not parse"),
    "no-class": ("classless:Mine", PLUGIN.replace("Mine", "Yours"), "classless defines no class Mine"),
    "no-method": ("shapeless:Mine", "class Mine:\n    pass\n", "shapeless:Mine is not a subclass of bench"),
    "no-library": (
        "needy:Mine",
        f"import no_such_library\n{PLUGIN}",
        "imports no_such_library, which is not installed",
    ),
    "no-colon": ("colonless", PLUGIN, "its entry point is not module:Class"),
    "no-table": ("listing:Mine", f"{PLUGIN}".replace("    uses", "    variants = [1]\n    uses", 1), "AttributeError"),
    "optical": ("usurper:Mine", PLUGIN, "this project itself has that name"),
    "zero-shot": ("usurper:Mine", PLUGIN, "this project itself has that name"),
    "all": ("usurper:Mine", PLUGIN, "this project itself has that name"),
}
RAISES = {
    "raises": ("raiser:Mine", f"{PLUGIN}\nraise RuntimeError('no GPU\\nhere')\n", "RuntimeError: no GPU"),
    "exits": ("exiter:Mine", f"{PLUGIN}\nraise SystemExit(3)\n", "SystemExit: 3"),
    "no-kin": ("stranger:Mine", "class Mine(dict):\n    pass\n", "is not a subclass of bench.api.Method"),
    "no-config": (
        "bare:Mine",
        PLUGIN.replace("    uses", "    Config = dict\n    uses", 1),
        "its Config is not a subclass",
    ),
}
"""What shows only when it is imported."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package, which is a module and an entry point, for the time of a test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, target: str, source: str, package: str = "") -> None:
        package = package or f"package-{name}"
        about = site / f"{package.replace('-', '_')}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{registry.METHODS}]\n{name} = {target}\n")
        if source:
            (site / f"{target.partition(':')[0]}.py").write_text(source)
        registry._catalogue.cache_clear()

    yield install
    registry._catalogue.cache_clear()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugin_is_left_out_with_its_reason(
    name: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    target, source, reason = BROKEN[name]
    before = dict(registry.known())
    install(name, target, source)
    install("sound", "sound:Mine", PLUGIN)
    assert set(registry.known()) == {*before, "sound"}
    assert all(registry.known()[known] == entry for known, entry in before.items())
    assert main(["ls", "methods"]) == 0
    out, err = capsys.readouterr()
    assert "Keeps the encoder as it is." in out
    assert err.startswith(f"skipped: method '{name}' of the package package-{name}: ")
    assert reason in err
    assert err.count("\n") == 1
    if name in before:
        return
    assert main(["run", "--methods", f"sound,{name}" if name != "all" else "al"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", RAISES)
def test_plugin_that_cannot_be_imported_is_left_out_of_all(
    name: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    target, source, reason = RAISES[name]
    own, usual = expand(["all"], {})
    install(name, target, source)
    install("sound", "sound:Mine", PLUGIN)
    methods, notes = expand(["all", "optical"], {})
    assert set(methods) == {*own, "sound"}
    (note,) = set(notes) - set(usual)
    assert note.startswith("skipped: ")
    assert reason in note
    assert main(["ls", "methods"]) == 0
    out, err = capsys.readouterr()
    assert err == f"{note}\n"
    assert name not in out.split()
    assert "sound" in out.split()
    with pytest.raises(BenchError, match=name):
        find_method(name).load()


def test_name_of_two_plugins_is_that_of_neither(install: Install) -> None:
    variants = PLUGIN.replace("    uses", "    variants = {'double': {}}\n    uses", 1)
    install("same", "first:Mine", PLUGIN, "package-a")
    install("same", "second:Mine", PLUGIN, "package-b")
    install("third", "third:Mine", variants, "package-c")
    install("fourth", "fourth:Mine", variants, "package-d")
    assert {"third", "fourth"} <= set(registry.methods())
    assert not {"same", "double"} & set(registry.methods())
    assert [(each.name, each.package) for each in registry.broken()] == [
        *(("double", "package-c"), ("double", "package-d"), ("same", "package-a"), ("same", "package-b"))
    ]
    with pytest.raises(BenchError, match="offered by package-a and package-b, so by none"):
        find_method("same")


def test_class_that_its_module_only_imports_is_described_without_importing_it(install: Install, tmp_path: Path) -> None:
    package = tmp_path / "site" / "wide"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\nfrom .deep import Mine as Outer\n")
    (package / "deep.py").write_text(PLUGIN)
    install("wide", "wide:Outer", "")
    assert registry.broken() == []
    assert registry.known()["wide"].describe()["source"] == "a test"


def test_all_leaves_out_what_needs_a_download(install: Install) -> None:
    hook = """
    models = ("the/moon",)
"""
    install("far", "far:Mine", PLUGIN.replace("\n\nclass NoMethod", f"{hook}\n\nclass NoMethod"))
    methods, notes = expand(["all"], {})
    assert "far" not in methods
    assert "skipped: far: it needs the/moon, which is not on this machine; named, it is tried" in notes
    install(
        "lost",
        "lost:Mine",
        PLUGIN.replace("\n\nclass NoMethod", "\n    models = 1\n\n\nclass NoMethod"),
    )
    methods, notes = expand(["all"], {})
    assert "optical" in methods
    assert any(note.startswith("skipped: method 'lost': TypeError: ") for note in notes)
    assert expand(["far"], {}) == (("far",), [])


def test_own_names_are_each_the_name_of_one_thing() -> None:
    entries = [registry._entry(point, reference=reference) for reference, point in registry._points()]
    names = [each.name for entry in entries for each in (entry, *entry.variants())]
    assert sorted(names) == sorted(set(names))
