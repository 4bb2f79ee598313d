"""Methods by name: this project's own without an import, plugins whatever is wrong with them, and their pages."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import plugins
import pytest
from conftest import Cli
from plugins import BROKEN, SOUND, with_attribute

from bench import registry
from bench.errors import BenchError
from bench.inspection.pages import method_page
from bench.registry import find_method
from bench.running.method_specs import expand
from bench.training.method import Method

OWN = [entry for entry in registry.known().values() if entry.package == registry.OWN]


def test_installed_methods_and_references_have_one_name_each() -> None:
    assert {"optical", "adversarial", "distillation"} <= set(registry.known())
    assert set(registry.references()) == {"zero-shot", "untrained", "oracle"}
    names = [each.name for entry in OWN if not entry.is_variant for each in (entry, *entry.variants())]
    assert len(names) == len(set(names)) == len(OWN)


@pytest.mark.parametrize("entry", [entry for entry in OWN if not entry.is_variant], ids=lambda entry: entry.name)
def test_facts_read_from_the_source_are_those_of_the_class(entry: registry.MethodEntry) -> None:
    method = entry.load()
    assert issubclass(method, Method)
    assert method.name == entry.base
    description = (method.__doc__ or "").split("\n")[0]
    assert entry.describe() == {"description": description, "source": method.source, "supervision": method.supervision}
    assert [(each.name, dict(each.settings)) for each in entry.variants()] == list(method.variants.items())


def test_class_in_a_file_is_a_method(tmp_path: Path) -> None:
    path = tmp_path / "plugin.py"
    path.write_text(SOUND)
    entry, supervision = find_method(f"{path}:Mine"), ("bitext", "relevance")
    assert (entry.name, entry.reference) == ("mine", False)
    about = {"description": "Keeps the encoder as it is.", "source": "a test", "supervision": supervision}
    assert entry.describe() == about


TRAINED = """
from bench.api import MethodConfig, TrainedMethod

class Trained(TrainedMethod):
    Config = MethodConfig
"""


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("gone.py:Mine", SOUND, "there is no file"),
        ("plugin.py:Yours", SOUND, "has no attribute 'Yours'"),
        ("plugin.py:NoMethod", SOUND, "NoMethod is not a subclass of bench"),
        ("plugin.py:Trained", SOUND + TRAINED, r"its Config is not a subclass of bench\.api\.TrainedConfig"),
        ("plugin.py:Mine", f"import nothing_of_this_name\n{SOUND}", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_file_without_a_method_is_an_error_of_one_line(tmp_path: Path, name: str, source: str, message: str) -> None:
    (tmp_path / "plugin.py").write_text(source)
    with pytest.raises(BenchError, match=message) as caught:
        find_method(str(tmp_path / name)).load()
    assert "\n" not in str(caught.value)


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package, which is a module and an entry point, for the time of a test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    loaded = set(sys.modules)

    def install(name: str, target: str, source: str, package: str = "") -> None:
        plugins.install(site, name, target, source, package)
        registry._known.cache_clear()

    yield install
    registry._known.cache_clear()
    for name in set(sys.modules) - loaded:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(site)):
            del sys.modules[name]


def test_broken_plugins_are_left_out_with_their_reasons(install: Install, cli: Cli) -> None:
    before, (own, usual) = registry.usable()[0], expand(["all"], {})
    for name, (target, source, _) in BROKEN.items():
        install(name, target, source)
    install("sound", "sound:Mine", SOUND)
    usable, lines = registry.usable()
    assert set(usable) == {*before, "sound"}
    assert all(usable[known] == entry for known, entry in before.items())
    said = cli("ls", "methods")
    assert "Keeps the encoder as it is." in said.out
    assert said.lines == [f"skipped: {line}" for line in lines]
    methods, notes = expand(["all", "optical"], {})
    assert set(methods) == {*own, "sound", "no-table"}  # the variants of the last are not needed
    skipped = [note for note in notes if note not in usual]
    assert len(lines) == len(BROKEN) == len(skipped) + 1
    for name, (_, _, reason) in BROKEN.items():
        (line,) = [line for line in lines if line.startswith(f"method '{name}'")]
        assert reason in line
        if name == "no-table":
            continue
        assert [note for note in skipped if note.startswith("skipped: ") and f"'{name}'" in note and reason in note]
        if name not in before and name != registry.ALL:
            with pytest.raises(BenchError) as caught:
                find_method(name).load()
            assert "\n" not in str(caught.value)
    assert len(cli("run", "--methods", "sound,raises", code=2).lines) == 1


def test_name_of_two_plugins_is_that_of_neither(install: Install) -> None:
    variants = with_attribute("variants = {'double': {}, 'single': {'times': 3}}")
    install("same", "first:Mine", SOUND, "package-a")
    install("same", "second:Mine", SOUND, "package-b")
    install("third", "third:Mine", variants, "package-c")
    install("fourth", "fourth:Mine", variants.replace("single", "other"), "package-d")
    usable, lines = registry.usable()
    assert {"third", "fourth", "single", "other"} <= set(usable)
    assert not {"same", "double"} & set(usable)
    packages = [line.split()[5] for line in lines]
    assert packages == ["package-c:", "package-d:", "package-a:", "package-b:"]
    assert all("the name is offered by" in line for line in lines)
    single = find_method("single")
    assert (single.base, single.settings) == ("third", (("times", 3),))
    assert single.describe()["description"] == "third with times=3"
    with pytest.raises(BenchError, match="offered by package-a and package-b"):
        find_method("same")


def test_class_that_its_module_only_imports_is_a_method(install: Install, tmp_path: Path) -> None:
    package = tmp_path / "site" / "wide"
    package.mkdir()
    (package / "__init__.py").write_text("from .deep import Mine as Outer\n")
    (package / "deep.py").write_text(SOUND)
    install("wide", "wide:Outer", "")
    assert registry.usable()[0]["wide"].describe()["source"] == "a test"


def test_all_leaves_out_what_needs_a_download(install: Install) -> None:
    install("far", "far:Mine", with_attribute('models = ("the/moon",)'))
    install("lost", "lost:Mine", with_attribute("models = 1"))
    methods, notes = expand(["all"], {})
    assert "far" not in methods
    assert "optical" in methods
    assert "skipped: far: it needs the/moon, which is not here; name the method to download it" in notes
    assert any(note.startswith("skipped: method 'lost': TypeError: ") for note in notes)
    assert expand(["far"], {}) == (("far",), [])


PAGES = Path(__file__).parents[1] / "docs" / "methods"
WITH_PAGES = [entry for entry in OWN if not entry.is_variant]
PLUGIN = '''
from typing import Literal

from pydantic import Field

from bench.api import TrainedConfig, TrainedMethod


class MineConfig(TrainedConfig):
    document_encoder: Literal["teacher", "student"] = "student"
    silent: int = 1
    width: int = Field(3, gt=0, le=9)
    """Width in `units`
    of a_b."""
    sharp: bool = True
    """A switch."""


class Mine(TrainedMethod):
    """It does this.

    Minimises |a|*b* < c.

    Known limits: it cannot do that.
    """

    source = "Nobody 1999"
    supervision = ("bitext", "relevance")
    variants = {"wide": {"width": 9, "sharp": False}}
    Config = MineConfig

    def batches(self, rng): ...

    def loss(self, batch, progress): ...
'''
PAGE = r"""# Mine

It does this.

Minimises \|a\|\*b\* \< c.

- trains on: bitext + relevance
- documents encoded by: student
- scoring: single-vector, maxsim
- source: Nobody 1999

## Configuration

| setting | type | default | meaning |
|---|---|---|---|
| `document_encoder` | `teacher` or `student` | `student` | Encoder of documents: the frozen teacher, so that the student reads queries only, or the student itself. |
| `silent` | int | `1` |  |
| `width` | int > 0 and ≤ 9 | `3` | Width in `units` of a\_b. |
| `sharp` | bool | `true` | A switch. |
| `weight` | float > 0 | `1.0` | Weight of this method's loss in a combination of methods. |
| `learning_rate_factor` | float > 0 | `1.0` | Factor on the recipe's learning rates, also on that of word embeddings. |

## Variants

- `wide`: `width = 9`, `sharp = false`

## Known limits

It cannot do that.

## Example

    bench run --methods path/to/file.py:Mine --pairs qaa-eng
"""  # noqa: E501


@pytest.mark.parametrize("entry", WITH_PAGES, ids=lambda entry: entry.name)
def test_committed_page_is_what_the_code_says(entry: registry.MethodEntry) -> None:
    assert (PAGES / f"{entry.name}.md").read_text() == method_page(entry), "bench ls methods --output docs/methods"


def test_every_committed_page_is_that_of_a_method() -> None:
    assert {path.stem for path in PAGES.iterdir()} == {entry.name for entry in WITH_PAGES}


def test_page_says_all_there_is_to_say(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    assert method_page(registry.find_method(f"{path}:Mine")) == PAGE


def test_page_is_shown(cli: Cli) -> None:
    out = cli("ls", "methods", "optical").out
    assert "Huang, Yu & Allan 2023" in out
    assert "special_tokens" in out
    assert max(map(len, out.splitlines())) <= 120
