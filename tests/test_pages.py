"""The pages of the methods: made from the code, and what is committed is what the code says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from bench import registry
from bench.api import TrainedConfig
from bench.cli import main
from bench.inspection.pages import meaning, method_page

PAGES = Path(__file__).parents[1] / "docs" / "methods"
OWN = [entry for entry in registry.known().values() if entry.package == registry.OWN and not entry.is_variant]
PLUGIN = '''
from typing import Literal

from pydantic import Field

from bench.api import TrainedConfig, TrainedMethod


class MineConfig(TrainedConfig):
    document_encoder: Literal["teacher", "student"] = "student"
    width: int = Field(3, gt=0, le=9)
    """How wide, in `units`
    of a_b."""
    sharp: bool = True
    """Whether."""


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
| `width` | int > 0 and ≤ 9 | `3` | How wide, in `units` of a\_b. |
| `sharp` | bool | `true` | Whether. |
| `weight` | float > 0 | `1.0` | Weight of this method's loss in a combination of methods. |

## Variants

- `wide`: `width = 9`, `sharp = false`

## Known limits

It cannot do that.

## Example

    bench run --methods path/to/file.py:Mine --pairs qaa-eng
"""  # noqa: E501


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: entry.name)
def test_committed_page_is_what_the_code_says(entry: registry.MethodEntry) -> None:
    assert (PAGES / f"{entry.name}.md").read_text() == method_page(entry), "bench ls methods --output docs/methods"


def test_every_committed_page_is_that_of_a_method() -> None:
    assert {path.stem for path in PAGES.iterdir()} == {entry.name for entry in OWN}


def test_page_says_all_there_is_to_say(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    assert method_page(registry.find_method(f"{path}:Mine")) == PAGE


def test_field_without_a_docstring_means_what_it_meant_before() -> None:
    class Config(TrainedConfig):
        document_encoder: Literal["teacher", "student"] = "student"
        silent: int = Field(1)

    assert meaning(Config, "document_encoder").startswith("Encoder of documents")
    assert meaning(Config, "silent") == ""


def test_page_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "methods", "optical"]) == 0
    out = capsys.readouterr().out
    assert "Huang, Yu & Allan 2023" in out
    assert "special_tokens" in out
    assert max(map(len, out.splitlines())) <= 120
