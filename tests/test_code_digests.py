"""Code digests cover all code that a result depends on, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from bench.dependencies import code
from bench.dependencies.code import code_modules, plugin_libraries
from bench.dependencies.fingerprint import code_digest

Files = dict[str, str]
OnPath = Callable[[str, Files], Path]

METHOD = """
    bench.data bench.encoders.encoder bench.evaluation.retriever bench.training.checkpoint bench.training.method
    bench.recipe bench.sampling
"""
"""The modules that every method depends on: the data, the encoder, the retriever and the contract of a method."""
LOOP = f"""
    {METHOD} bench.data.normalise bench.data.parallel bench.training.loop bench.training.losses bench.training.selection
"""
"""The modules that every trained method depends on: also the training loop."""
TINY = """
    bench.data.conlang bench.data.conlang.english bench.data.conlang.language bench.data.conlang.lexicon
    bench.data.conlang.rng bench.data.conlang.world bench.data.conlang/languages.toml bench.data.conlang/lexicon.toml
    bench.training.tiny bench.encoders.vocabulary
"""
METHODS = {
    "adversarial": f"{LOOP} methods.discriminator methods.examples",
    "code_switch": f"{LOOP} methods.translation_table",
    "contrastive": f"{LOOP} methods.examples",
    "distillation": f"{LOOP} methods.examples",
    "hard_negatives": f"""
        {LOOP} methods.examples bench.evaluation.retrieval bench.evaluation.run
    """,
    "hybrid_batch": f"{LOOP} methods.examples",
    "off_the_shelf": f"{METHOD} bench.encoders.models bench.training.teachers",
    "optical": f"{LOOP} methods.examples methods.solvers bench.evaluation.alignment",
    "posterior_alignment": f"{LOOP} methods.examples",
    "psq": f"{METHOD} bench.data.normalise methods.translation_table",
    "references": METHOD,
    "translate_test": f"{LOOP} methods.examples methods.seq2seq bench.encoders.models",
}
"""The modules that each method depends on besides itself."""
OTHERS = {
    "bench.evaluation.evaluate": """
        bench.data bench.encoders.encoder bench.evaluation.embeddings bench.evaluation.evaluate
        bench.evaluation.maxsim bench.evaluation.measures bench.evaluation.mining bench.evaluation.retrieval
        bench.evaluation.retriever bench.evaluation.run
    """,
    "bench.evaluation.tasks": """
        bench.data bench.evaluation.measures bench.evaluation.mining bench.evaluation.retrieval bench.evaluation.run
        bench.evaluation.tasks
    """,
    "bench.evaluation.measures": "bench.evaluation.measures",
    "bench.training.tiny": f"{LOOP} {TINY}",
    "bench.encoders.vocabulary": """
        bench.encoders.encoder bench.encoders.vocabulary bench.recipe
        bench.sampling
    """,
    "bench.training.combination": f"{LOOP} bench.training.combination",
}


@pytest.mark.parametrize("name", METHODS)
def test_modules_of_a_method(name: str) -> None:
    assert list(code_modules(f"methods.{name}")) == sorted(f"methods.{name} {METHODS[name]}".split())


@pytest.mark.parametrize("module", OTHERS)
def test_modules_of_other_parts(module: str) -> None:
    assert list(code_modules(module)) == sorted(OTHERS[module].split())


def test_every_built_in_method_is_in_the_table() -> None:
    points = [*entry_points(group="bench.methods"), *entry_points(group="bench.references")]
    own = {point.module for point in points if point.dist and point.dist.name == "clir-bench"}
    assert own == {f"methods.{name}" for name in METHODS}


def write(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


HELPER = "def f():\n    return 1\n"

FOLLOWED: dict[str, Files] = {
    "the file itself": {"mine.py": HELPER},
    "helper beside": {"helper.py": HELPER, "mine.py": "import helper"},
    "helper of a helper": {"helper.py": HELPER, "middle.py": "from helper import f", "mine.py": "import middle"},
    "in a function": {"helper.py": HELPER, "mine.py": "def g():\n    from helper import f"},
    "in an except": {"helper.py": HELPER, "mine.py": "try:\n    import torch\nexcept ImportError:\n    import helper"},
    "in an else": {
        "helper.py": HELPER,
        "mine.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import helper",
    },
    "submodule": {"pkg/core.py": HELPER, "pkg/__init__.py": "", "mine.py": "from pkg import core"},
    "submodule by its full name": {"pkg/core.py": HELPER, "pkg/__init__.py": "", "mine.py": "import pkg.core as c"},
    "relative": {"pkg/inner.py": HELPER, "pkg/__init__.py": "", "pkg/core.py": "from .inner import f"}
    | {"mine.py": "import pkg.core"},
    "relative module": {"pkg/inner.py": HELPER, "pkg/__init__.py": "", "pkg/core.py": "from . import inner"}
    | {"mine.py": "import pkg.core"},
    "relative to the parent": {"pkg/inner.py": HELPER, "pkg/__init__.py": "", "pkg/sub/__init__.py": ""}
    | {"pkg/sub/core.py": "from ..inner import f", "mine.py": "import pkg.sub.core"},
    "code of a parent package": {"pkg/__init__.py": "RATE = 1", "pkg/core.py": "", "mine.py": "import pkg.core as c"},
    "folder without __init__": {"pkg/core.py": HELPER, "mine.py": "from pkg.core import f"},
    "import_module": {"helper.py": HELPER, "mine.py": "import importlib\nimportlib.import_module('helper')"},
    "relative import_module": {"pkg/inner.py": HELPER, "pkg/__init__.py": ""}
    | {"pkg/core.py": "import importlib\nimportlib.import_module('.inner', __package__)", "mine.py": "import pkg.core"},
    "__import__": {"helper.py": HELPER, "mine.py": "__import__('helper')"},
    "re-export by name": {"helper.py": HELPER, "api.py": "from helper import f", "mine.py": "from api import f"},
    "re-export under another name": {"helper.py": HELPER, "api.py": "from helper import f as g"}
    | {"mine.py": "from api import g"},
    "re-export of a re-export": {
        "helper.py": HELPER,
        "inner.py": "from helper import f",
        "api.py": "from inner import f",
    }
    | {"mine.py": "from api import f"},
    "re-export by star": {"helper.py": HELPER, "api.py": "from helper import f\n__all__ = ['f']"}
    | {"mine.py": "from api import *"},
    "star in a re-export": {"helper.py": HELPER, "api.py": "from helper import *", "mine.py": "from api import f"},
    "all of a re-export": {"helper.py": HELPER, "api.py": "from helper import f", "mine.py": "import api\napi.f()"},
    "star of a star": {"helper.py": HELPER, "api.py": "from helper import *", "mine.py": "from api import *"},
    "submodule of a package with code": {"pkg/core.py": HELPER, "pkg/__init__.py": "x = 0"}
    | {"mine.py": "from pkg import core"},
    "re-exports in a circle": {"pkg/core.py": HELPER, "pkg/__init__.py": "from pkg.api import f, core"}
    | {"pkg/api.py": "from pkg import f, core", "mine.py": "from pkg import f, core"},
    "re-export of a package": {"pkg/core.py": HELPER, "pkg/__init__.py": "from .core import f"}
    | {"mine.py": "from pkg import f"},
    "submodule re-exported": {"pkg/core.py": HELPER, "pkg/__init__.py": "from . import core"}
    | {"mine.py": "import pkg"},
    "cyclic imports": {"helper.py": f"import mine\n{HELPER}", "mine.py": "import helper"},
    "data of a package": {
        "pkg/words.txt": "1",
        "pkg/__init__.py": "",
        "pkg/core.py": "x = 0",
        "mine.py": "import pkg.core",
    },
    "data in a folder of a package": {"pkg/data/words.txt": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "name that a library has": {"numpy.py": HELPER, "mine.py": "import numpy"},
    "helper that does not parse": {"old.py": "print 1", "mine.py": "try:\n    import old\nexcept SyntaxError: pass"},
}
"""Each file is imported by the next ones; an edit of the first one, from 1 to 2, matters to `mine.py`."""


def edited(tmp_path: Path, files: Files, name: str, old: str, new: str) -> tuple[str, str]:
    """Return the digests of `mine.py` before and after an edit of a file beside it."""
    assert old in files[name]
    before = write(tmp_path / "before", files)
    after = write(tmp_path / "after", files | {name: files[name].replace(old, new)})
    return code_digest(str(before / "mine.py")), code_digest(str(after / "mine.py"))


@pytest.mark.parametrize("case", FOLLOWED)
def test_edit_of_what_is_imported_changes_the_digest(tmp_path: Path, case: str) -> None:
    before, after = edited(tmp_path, FOLLOWED[case], next(iter(FOLLOWED[case])), "1", "2")
    assert before != after


GUARD = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from helper import f\n"
IGNORED: dict[str, Files] = {
    "not imported": {"helper.py": HELPER, "mine.py": "x = 0"},
    "for type checkers": {"helper.py": HELPER, "mine.py": GUARD},
    "for type checkers, by its full name": {"helper.py": HELPER}
    | {"mine.py": "import typing\nif typing.TYPE_CHECKING:\n    import helper"},
    "for type checkers, in a function": {"helper.py": HELPER}
    | {"mine.py": "from typing import TYPE_CHECKING\ndef g():\n    if TYPE_CHECKING:\n        import helper"},
    "other name of a re-export": {"helper.py": HELPER, "other.py": "g = 0"}
    | {"api.py": "from helper import f\nfrom other import g", "mine.py": "from api import g"},
    "re-export that is only executed": {"pkg/inner.py": HELPER, "pkg/__init__.py": "from .inner import f"}
    | {"pkg/core.py": "g = 0", "mine.py": "from pkg.core import g"},
    "type marker of a package": {"pkg/py.typed": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "stub": {"pkg/core.pyi": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "hidden file": {"pkg/.notes": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "compiled code": {"pkg/__pycache__/core.pyc": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "data of another package": {"pkg/sub/words.txt": "1", "pkg/sub/__init__.py": "", "pkg/__init__.py": "x = 0"}
    | {"mine.py": "import pkg"},
    "folder with a library's name": {"numpy/core.py": HELPER, "mine.py": "import numpy.core"},
    "folder with a standard module's name": {"json/tool.py": HELPER, "mine.py": "import json.tool"},
}
"""An edit of the first file does not matter to `mine.py`."""


@pytest.mark.parametrize("case", IGNORED)
def test_edit_of_anything_else_does_not_change_the_digest(tmp_path: Path, case: str) -> None:
    before, after = edited(tmp_path, IGNORED[case], next(iter(IGNORED[case])), "1", "2")
    assert before == after


def test_name_that_a_re_export_takes_from_elsewhere_changes_the_digest(tmp_path: Path) -> None:
    files = {"helper.py": "def f():\n    return 1\n\n\ndef g():\n    return 2\n"}
    files |= {"api.py": "from helper import f as h", "mine.py": "from api import h"}
    before, after = edited(tmp_path, files, "api.py", "import f as h", "import g as h")
    assert before != after


def test_labels_are_names_and_do_not_depend_on_the_place(tmp_path: Path) -> None:
    files = {
        "pkg/__init__.py": "",
        "pkg/core.py": "x = 0",
        "pkg/words.txt": "a",
        "helper.py": "from pkg import core\ny = 0",
    }
    files |= {"api.py": "from helper import core", "mine.py": "from api import core"}
    one, other = (write(tmp_path / folder, files) / "mine.py" for folder in ("one", "other"))
    assert list(code_modules(str(one))) == ["helper", "mine.py", "pkg.core", "pkg/words.txt"]
    assert code_modules(str(one)) == code_modules(str(other))


def test_file_is_in_no_package(tmp_path: Path) -> None:
    text = "try:\n    from . import helper\nexcept ImportError:\n    import helper"
    path = write(tmp_path, {"__init__.py": "x = 0", "helper.py": HELPER, "mine.py": text}) / "mine.py"
    assert list(code_modules(str(path))) == ["helper", "mine.py"]


def test_module_without_effect_counts_only_if_it_is_the_one_in_question(tmp_path: Path) -> None:
    path = (
        write(tmp_path, {"mine.py": "from bench.storage.sealed import default_cache\nimport bench.errors"}) / "mine.py"
    )
    assert list(code_modules(str(path))) == ["mine.py"]
    assert list(code_modules("bench.storage.atomic")) == ["bench.storage.atomic"]
    assert len(code_modules("bench.storage.atomic")["bench.storage.atomic"]) == 64


def test_package_without_effect_has_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "WITHOUT_EFFECT", {"pkg"})
    files = {"pkg/__init__.py": "x = 0", "pkg/words.txt": "a", "pkg/core.py": HELPER, "mine.py": "import pkg.core"}
    assert list(code_modules(str(write(tmp_path, files) / "mine.py"))) == ["mine.py", "pkg.core"]


def test_file_depends_on_what_it_imports_of_this_project(tmp_path: Path) -> None:
    text = "from bench.api import BenchError, info_nce\nfrom methods.solvers import exact\n"
    path = write(tmp_path, {"mine.py": text}) / "mine.py"
    assert list(code_modules(str(path))) == ["bench.training.losses", "methods.solvers", "mine.py"]


def test_all_of_the_contract_leads_to_what_it_re_exports(tmp_path: Path) -> None:
    by_name = write(tmp_path, {"mine.py": "from bench.api import info_nce"}) / "mine.py"
    for statement in ("import bench.api", "from bench import api", "from bench.api import *"):
        path = write(tmp_path / statement.replace(" ", "-"), {"mine.py": statement}) / "mine.py"
        assert code_modules(str(path)).keys() > {*LOOP.split(), "bench.evaluation.alignment"}
    assert "bench.training.loop" not in code_modules(str(by_name))


def forget() -> None:
    for function in (code._distributions, code_modules, plugin_libraries):
        function.cache_clear()


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnPath]:
    """Write files to a folder of that name, and let Python find it."""

    def make(name: str, files: Files) -> Path:
        folder = write(tmp_path / name, files)
        monkeypatch.syspath_prepend(folder)
        forget()
        return folder

    yield make
    monkeypatch.undo()
    forget()


def distribution(name: str, number: str, *modules: str, requires: tuple[str, ...] = ()) -> Files:
    """Return the metadata of an installed distribution."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {number}"]
    lines += [f"Requires-Dist: {each}" for each in requires]
    folder = f"{name.replace('-', '_')}-{number}.dist-info"
    return {f"{folder}/METADATA": "\n".join(lines) + "\n", f"{folder}/top_level.txt": "\n".join(modules)}


KIT = {"kit.py": ""} | distribution("the-kit", "1.2", "kit")


def test_package_on_the_path_is_source(on_path: OnPath) -> None:
    files = {"kit/__init__.py": "from .core import f", "kit/core.py": HELPER, "kit.egg-info/PKG-INFO": "Name: kit\n"}
    folder = on_path("src", files | {"plug/__init__.py": "", "plug/main.py": "from kit import f"})
    before = code_modules("plug.main")
    assert list(before) == ["kit.core", "plug.main"]
    (folder / "kit/core.py").write_text(HELPER.replace("1", "20"))
    code_modules.cache_clear()
    after = code_modules("plug.main")
    assert {name for name in before if before[name] != after[name]} == {"kit.core"}


def test_folder_beside_a_file_is_preferred_to_one_on_the_path(on_path: OnPath, tmp_path: Path) -> None:
    on_path("src", {"kit/other.py": HELPER})
    path = str(write(tmp_path, {"kit/core.py": HELPER, "mine.py": "import kit.core"}) / "mine.py")
    assert list(code_modules(path)) == ["kit.core", "mine.py"]


@pytest.mark.parametrize("folder", ["site-packages", "target"])
def test_installed_library_counts_by_its_version(on_path: OnPath, tmp_path: Path, folder: str) -> None:
    on_path(folder, {"kit/__init__.py": HELPER} | distribution("the-kit", "1.2", "kit"))
    text = "import json\n\n\ndef g():\n    import numpy, kit.core, absent"
    path = str(write(tmp_path, {"mine.py": text}) / "mine.py")
    assert list(code_modules(path)) == ["mine.py"]
    assert plugin_libraries(path) == {"numpy": version("numpy"), "the-kit": "1.2"}


def test_loose_module_among_installed_ones_is_source(on_path: OnPath, tmp_path: Path) -> None:
    on_path("site-packages", {"loose.py": HELPER})
    path = str(write(tmp_path, {"mine.py": "import loose"}) / "mine.py")
    assert list(code_modules(path)) == ["loose", "mine.py"]


def test_installed_plugin_is_source_with_all_modules_of_its_distribution(on_path: OnPath) -> None:
    plug = "from plug_helper import f\nimport kit\nfrom bench.api import info_nce"
    files = {"plug.py": plug, "plug_helper.py": HELPER} | distribution("the-plug", "3", "plug", "plug_helper")
    on_path("site-packages", files | KIT)
    assert list(code_modules("plug")) == ["bench.training.losses", "plug", "plug_helper"]
    assert plugin_libraries("plug") == {"the-kit": "1.2", "torch": version("torch")}


def test_requirements_of_a_plugin_count_by_their_versions(on_path: OnPath) -> None:
    requires = ("The_Kit>=1", "numpy; extra == 'more'", "scipy; python_version < '3'", "absent", "clir-bench")
    files = {"plug.py": "x = 0"} | distribution("the-plug", "3", "plug", requires=requires)
    on_path("site-packages", files | KIT)
    assert plugin_libraries("plug") == {"the-kit": "1.2"}


def test_plugin_whose_distribution_lists_no_modules_has_an_entry_point(on_path: OnPath) -> None:
    files = distribution("the-plug", "3", requires=("the-kit",)) | KIT
    points = "[bench.methods]\nmine = plug:Mine\n"
    on_path("site-packages", files | {"the_plug-3.dist-info/entry_points.txt": points})
    on_path("src", {"plug.py": "class Mine:\n    pass"})
    assert list(code_modules("plug")) == ["plug"]
    assert plugin_libraries("plug") == {"the-kit": "1.2"}
