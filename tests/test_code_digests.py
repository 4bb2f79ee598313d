"""Digests of code cover all that a result depends on; digests of values change with all they contain."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points, version
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import write

from bench.dependencies import fingerprint
from bench.dependencies.fingerprint import code_digest, code_modules, library_versions, plugin_libraries
from bench.storage.hashing import digest, digest_texts

Files = dict[str, str]
OnPath = Callable[[str, Files], Path]

METHOD = """
    bench.data bench.encoders.encoder bench.encoders.folders bench.encoders.sharing bench.evaluation.retriever
    bench.training.checkpoint
    bench.training.method bench.recipe bench.sampling
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
TABLE = "bench.data.ibm_model_1 methods.translation_table"
GLOSSES = f"{TABLE} methods.examples methods.glossing"
METHODS = {
    "adversarial": f"{LOOP} methods.discriminator methods.examples",
    "bm25": f"{METHOD} {TABLE} bench.data.normalise methods.psq",
    "code_switch": f"{LOOP} {GLOSSES}",
    "contrastive": f"{LOOP} methods.examples",
    "distillation": f"{LOOP} methods.examples",
    "fusion": METHOD,
    "hard_negatives": f"""
        {LOOP} methods.examples bench.evaluation.retrieval bench.evaluation.run
    """,
    "hybrid_batch": f"{LOOP} {GLOSSES}",
    "off_the_shelf": f"{METHOD} bench.encoders.models bench.training.teachers",
    "optical": f"{LOOP} bench.data.ibm_model_1 methods.examples methods.solvers bench.evaluation.alignment",
    "posterior_alignment": f"{LOOP} methods.examples",
    "psq": f"{METHOD} {TABLE} bench.data.normalise",
    "references": METHOD,
    "translate_distill": f"{LOOP} {GLOSSES}",
    "translate_test": f"{METHOD} {TABLE} bench.data.normalise bench.encoders.models",
}
"""The modules that each method depends on besides itself."""
OTHERS = {
    "bench.evaluation.evaluate": """
        bench.data bench.encoders.encoder bench.encoders.folders bench.encoders.sharing bench.evaluation.embeddings
        bench.evaluation.evaluate
        bench.evaluation.index bench.evaluation.maxsim bench.evaluation.measures bench.evaluation.mining
        bench.evaluation.retrieval bench.evaluation.retriever bench.evaluation.run
    """,
    "bench.evaluation.tasks": """
        bench.data bench.evaluation.measures bench.evaluation.mining
        bench.evaluation.retrieval bench.evaluation.run bench.evaluation.tasks
    """,
    "bench.evaluation.measures": "bench.evaluation.measures",
    "bench.training.tiny": f"{LOOP} {TINY}",
    "bench.encoders.student": """
        bench.data bench.data.ibm_model_1 bench.encoders.encoder bench.encoders.sharing bench.encoders.student
        bench.encoders.vocabulary
        bench.recipe bench.sampling
    """,
    "bench.training.combination": f"{LOOP} bench.training.combination",
}


@pytest.mark.parametrize("module", [*(f"methods.{name}" for name in METHODS), *OTHERS])
def test_modules_that_a_result_depends_on(module: str) -> None:
    name = module.removeprefix("methods.")
    expected = f"{module} {METHODS[name]}" if name in METHODS else OTHERS[module]
    assert list(code_modules(module)) == sorted(expected.split())


def test_every_built_in_method_is_in_the_table() -> None:
    points = [point for kind in ("methods", "references", "fusions") for point in entry_points(group=f"bench.{kind}")]
    own = {point.module for point in points if point.dist and point.dist.name == "clir-bench"}
    assert own == {f"methods.{name}" for name in METHODS}


HELPER = "def f():\n    return 1\n"
PKG = {"pkg/__init__.py": ""}
USES_CORE = {**PKG, "mine.py": "import pkg.core"}
FOLLOWED: dict[str, Files] = {
    "the file itself": {"mine.py": HELPER},
    "helper of a helper": {"helper.py": HELPER, "middle.py": "from helper import f", "mine.py": "import middle"},
    "in a function": {"helper.py": HELPER, "mine.py": "def g():\n    from helper import f"},
    "in an except": {"helper.py": HELPER, "mine.py": "try:\n    import torch\nexcept ImportError:\n    import helper"},
    "in an else": {"helper.py": HELPER, "mine.py": "if TYPE_CHECKING:\n    pass\nelse:\n    import helper"},
    "submodule": {"pkg/core.py": HELPER, **PKG, "mine.py": "from pkg import core"},
    "submodule by its full name": {"pkg/core.py": HELPER, **PKG, "mine.py": "import pkg.core as c"},
    "relative": {"pkg/inner.py": HELPER, "pkg/core.py": "from .inner import f", **USES_CORE},
    "relative module": {"pkg/inner.py": HELPER, "pkg/core.py": "from . import inner", **USES_CORE},
    "relative to the parent": {"pkg/inner.py": HELPER, **PKG, "pkg/sub/core.py": "from ..inner import f"}
    | {"mine.py": "import pkg.sub.core"},
    "code of a parent package": {"pkg/__init__.py": "RATE = 1", "pkg/core.py": "", "mine.py": "import pkg.core"},
    "folder without __init__": {"pkg/core.py": HELPER, "mine.py": "from pkg.core import f"},
    "import_module": {"helper.py": HELPER, "mine.py": "import importlib\nimportlib.import_module('helper')"},
    "relative import_module": {"pkg/inner.py": HELPER, **USES_CORE}
    | {"pkg/core.py": "import importlib\nimportlib.import_module('.inner', __package__)"},
    "__import__": {"helper.py": HELPER, "mine.py": "__import__('helper')"},
    "star": {"helper.py": HELPER, "api.py": "from helper import *", "mine.py": "from api import *"},
    "re-export of a package": {"pkg/core.py": HELPER, "pkg/__init__.py": "from .core import f"}
    | {"mine.py": "from pkg import f"},
    "cyclic imports": {"helper.py": f"import mine\n{HELPER}", "mine.py": "import helper"},
    "data of a package": {"pkg/words.txt": "1", "pkg/core.py": "x = 0", **USES_CORE},
    "data in a folder of a package": {"pkg/data/words.txt": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "name that a library has": {"numpy.py": HELPER, "mine.py": "import numpy"},
    "name that a standard module has": {"statistics.py": HELPER, "mine.py": "import statistics"},
    "helper that does not parse": {"old.py": "print 1", "mine.py": "try:\n    import old\nexcept SyntaxError: pass"},
}
"""The first file, which is edited from 1 to 2, and files that lead from `mine.py` to it."""
IGNORED: dict[str, Files] = {
    "not imported": {"helper.py": HELPER, "mine.py": "x = 0"},
    "for type checkers": {"helper.py": HELPER}
    | {"mine.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from helper import f\n"},
    "for type checkers, in a function": {"helper.py": HELPER}
    | {"mine.py": "import typing\ndef g():\n    if typing.TYPE_CHECKING:\n        import helper"},
    "type marker of a package": {"pkg/py.typed": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "stub": {"pkg/core.pyi": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "hidden file": {"pkg/.notes": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "compiled code": {"pkg/__pycache__/core.pyc": "1", "pkg/__init__.py": "x = 0", "mine.py": "import pkg"},
    "data of another package": {"pkg/sub/words.txt": "1", "pkg/sub/__init__.py": "", "pkg/__init__.py": "x = 0"}
    | {"mine.py": "import pkg"},
    "folder with a library's name": {"numpy/core.py": HELPER, "mine.py": "import numpy.core"},
    "folder with a standard module's name": {"json/tool.py": HELPER, "mine.py": "import json.tool"},
}


@pytest.mark.parametrize("case", [*FOLLOWED, *IGNORED])
def test_only_an_edit_of_imported_code_changes_the_digest(tmp_path: Path, case: str) -> None:
    files = {**FOLLOWED, **IGNORED}[case]
    name = next(iter(files))
    before, after = (
        write(tmp_path / number, files | {name: files[name].replace("1", number)}) / "mine.py" for number in ("1", "2")
    )
    assert (code_digest(str(before)) != code_digest(str(after))) == (case in FOLLOWED)


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
    one = write(tmp_path / "original", {"mine.py": CODE}) / "mine.py"
    other = write(tmp_path / "edited", {"mine.py": CODE.replace(*edit)}) / "mine.py"
    assert (code_digest(str(one)) == code_digest(str(other))) == (edit in SAME)


def test_labels_are_names_and_do_not_depend_on_the_folder(tmp_path: Path) -> None:
    text = "try:\n    from . import helper\nexcept ImportError:\n    import helper"
    files = {"pkg/core.py": "x = 0", "pkg/words.txt": "a", "helper.py": "from pkg import core\ny = 0"}
    one, other = (write(tmp_path / folder, PKG | files | {"mine.py": text}) / "mine.py" for folder in ("one", "other"))
    assert list(code_modules(str(one))) == ["helper", "mine.py", "pkg.core", "pkg/words.txt"]
    assert code_modules(str(one)) == code_modules(str(other))


def test_module_without_effect_counts_only_if_it_is_the_one_in_question(tmp_path: Path) -> None:
    text = "from bench.storage.sealed import default_cache\nimport bench.errors"
    assert list(code_modules(str(write(tmp_path, {"mine.py": text}) / "mine.py"))) == ["mine.py"]
    assert list(code_modules("bench.storage.atomic")) == ["bench.storage.atomic"]


def test_name_of_the_contract_leads_to_its_origin_and_the_contract_to_all(tmp_path: Path) -> None:
    text = "from bench.api import BenchError, info_nce as loss\nfrom methods.solvers import exact\n"
    path = write(tmp_path, {"mine.py": text}) / "mine.py"
    assert list(code_modules(str(path))) == ["bench.training.losses", "methods.solvers", "mine.py"]
    for statement in ("import bench.api", "from bench import api", "from bench.api import *"):
        path = write(tmp_path / statement.replace(" ", "-"), {"mine.py": statement}) / "mine.py"
        assert code_modules(str(path)).keys() > {*LOOP.split(), "bench.evaluation.alignment"}


def forget() -> None:
    fingerprint.forget()


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


def distribution(name: str, *modules: str) -> Files:
    """Return the metadata of an installed distribution, whose version is 1.2."""
    folder = f"{name.replace('-', '_')}-1.2.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n"
    return {f"{folder}/METADATA": about, f"{folder}/top_level.txt": "\n".join(modules)}


KIT = {"kit/__init__.py": HELPER, **distribution("the-kit", "kit")}


def test_package_on_the_path_is_source(on_path: OnPath) -> None:
    files = {"kit/__init__.py": "", "kit/core.py": HELPER, "kit.egg-info/PKG-INFO": "Name: kit\n"}
    folder = on_path("src", files | {"plug/__init__.py": "", "plug/main.py": "from kit.core import f"})
    before = code_modules("plug.main")
    assert list(before) == ["kit.core", "plug.main"]
    (folder / "kit/core.py").write_text(HELPER.replace("1", "20"))
    assert code_modules("plug.main") == before  # stored for the process
    forget()
    after = code_modules("plug.main")
    assert {name for name in before if before[name] != after[name]} == {"kit.core"}


def test_folder_beside_a_file_is_preferred_to_one_on_the_path(on_path: OnPath, tmp_path: Path) -> None:
    on_path("src", {"kit/other.py": HELPER})
    path = str(write(tmp_path, {"kit/core.py": HELPER, "mine.py": "import kit.core"}) / "mine.py")
    assert list(code_modules(path)) == ["kit.core", "mine.py"]


@pytest.mark.parametrize("folder", ["site-packages", "target"])
def test_installed_library_counts_by_its_version(on_path: OnPath, tmp_path: Path, folder: str) -> None:
    on_path(folder, KIT | {"loose.py": HELPER})
    text = "import json\n\n\ndef g():\n    import numpy, kit.core, loose, absent"
    path = str(write(tmp_path, {"mine.py": text}) / "mine.py")
    assert list(code_modules(path)) == ["loose", "mine.py"]
    assert plugin_libraries(path) == {"numpy": version("numpy"), "the-kit": "1.2"}


def test_package_of_an_installed_plugin_is_source(on_path: OnPath) -> None:
    files = {"plug/__init__.py": "", "plug/core.py": HELPER, **distribution("the-plug", "plug")}
    files["plug/main.py"] = "from plug.core import f\nimport kit\nfrom bench.api import info_nce"
    on_path("site-packages", files | KIT)
    assert list(code_modules("plug.main")) == ["bench.training.losses", "plug.core", "plug.main"]
    assert plugin_libraries("plug.main") == {"the-kit": "1.2", "torch": version("torch")}


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
