"""Studies: files that state a question, its hypotheses and the runs that test them, and reports of their results.

The folder results/studies/NAME has these files:

- `study.toml`: the study, as `Study` reads it;
- `cells.zip`: manifests and scores of its cells, the source of all other files;
- `README.md`: the report, with leaderboards, page and plots beside it.

All studies share the results folder results/studies/runs, so that a training of two studies is computed once. Cells of
archives are unpacked there, so that a fresh copy of the project computes new cells only.
"""

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from bench.errors import BenchError, unknown
from bench.evaluation.measures import canonical
from bench.options import read_config, read_toml
from bench.report.comparison import compare, compare_means
from bench.report.leaderboard import BASELINE, Leaderboard
from bench.report.pairwise import rivals, table
from bench.report.report import write_report
from bench.report.tables import markdown, markdown_table, p_value
from bench.request import Request
from bench.results.store import CELLS, SCORES, Entry, Record, Store
from bench.results.systems import System, gather
from bench.statistics.significance import ALPHA, holm_over
from bench.storage.atomic import atomic_write
from bench.storage.sealed import MANIFEST

STUDY, ARCHIVE, REPORT = "study.toml", "cells.zip", "README.md"
SMOKE: Mapping[str, Any] = {
    "encoder": "tiny",
    "datasets": ["conlang"],
    "pairs": ["qaa-eng"],
    "train": [],
    "seeds": [0, 1],
    "budget": "3steps",
    "threads": 1,
}
"""Options of a smoke test, in place of those of the study."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Opponents(BaseModel):
    """Two rows of a leaderboard; the first is expected to be better."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    a: Text
    b: Text


class Study(BaseModel):
    """A question, its hypotheses, and the runs that test them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Text
    hypotheses: tuple[Text, ...] = Field(min_length=1)
    """The hypotheses, stated before the first run."""
    threats: tuple[Text, ...] = ()
    """Reasons why the results may not hold elsewhere."""
    measure: Annotated[str, AfterValidator(canonical)] = "nDCG@10"
    primary: tuple[Opponents, ...] = Field(min_length=1)
    """The comparisons that answer the question. Each is one test of the mean over collections; all are one family."""
    baseline: Text = BASELINE
    common: dict[str, Any] = {}
    """Options of all runs, as in a file of `bench run --config`."""
    runs: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Options of each run, with priority over the common ones."""


def read_study(studies: Path, name: str) -> Study:
    """Return the study of that name in a folder. Raises `BenchError` if there is none or it is malformed."""
    path, known = studies / name / STUDY, study_names(studies)
    if name not in known:
        raise unknown(f"study in {studies}", name, known)
    return read_config(Study, read_toml(path), str(path))


def study_names(studies: Path) -> list[str]:
    """Return the names of the studies in a folder."""
    return sorted(path.parent.name for path in studies.glob(f"*/{STUDY}"))


def requests_of(study: Study, place: str, options: Mapping[str, Any], *, smoke: bool) -> list[Request]:
    """Return the runs of a study; `options` have priority. Raises `BenchError`, which begins with `place`."""
    extra = {**(SMOKE if smoke else {}), "baseline": study.baseline, **options}
    return [
        read_config(Request, {**study.common, **run, **extra}, f"{place}: runs[{i}]")
        for i, run in enumerate(study.runs)
    ]


def write_archive(cells: Sequence[Record], path: Path, name: str) -> None:
    """Write the manifests and the scores of cells to a zip file. The same cells give the same bytes.

    Places of files are left out, and the command is that of the study.
    """
    partial = path.with_suffix(".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for cell in cells:
            folder = partial / CELLS / cell.folder.name
            folder.mkdir(parents=True)
            shutil.copyfile(cell.folder / SCORES, folder / SCORES)
            manifest = _impersonal(cell.manifest, f"bench study run {name}")
            Entry(folder, cell.fingerprint, cell.manifest["inputs"]).finish(manifest)
        with atomic_write(path, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in sorted(partial.glob(f"{CELLS}/*/*")):
                info = zipfile.ZipInfo(member.relative_to(partial).as_posix())  # a fixed time stamp
                archive.writestr(info, member.read_bytes(), zipfile.ZIP_DEFLATED)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _impersonal(manifest: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Return a manifest without places and with another command, also in the manifest of its training."""
    result = {key: value for key, value in manifest.items() if key not in ("places", "sources", "configuration")}
    if "provenance" in result:
        result["provenance"] = {**result["provenance"], "command": command}
    if "trained" in result:
        result["trained"] = _impersonal(result["trained"] or {}, command)
    return result


def unpack(archive: Path, folder: Path) -> Store:
    """Unpack the cells of a study that a results folder lacks. Raises `BenchError` if the archive cannot be read."""
    try:
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                parts = Path(name).parts
                wanted = len(parts) == 3 and parts[0] == CELLS and parts[2] in (MANIFEST, SCORES)
                if wanted and not (folder / name).exists():
                    file.extract(name, folder)
    except FileNotFoundError as error:
        study = archive.parent
        raise BenchError(f"{study} has no results; compute them with bench study run {study.name}") from error
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise BenchError(f"{archive} cannot be read: {error}; delete it, and bench study run makes it again") from error
    return Store(folder)


def write_study(study: Study, folder: Path, scratch: Path) -> list[Path]:
    """Write the report of a study from its archive, with leaderboards, page and plots; return their paths."""
    store = unpack(folder / ARCHIVE, scratch)
    contents = store.contents()
    found = Leaderboard(contents.cells, store, study.baseline, contents.notes)
    written, _ = write_report(found, (study.measure,), folder)
    with atomic_write(folder / REPORT) as file:
        file.write(report_text(study, found, folder))
    return [folder / REPORT, *written]


def report_text(study: Study, found: Leaderboard, folder: Path) -> str:
    """Return the report of a study in Markdown: question, answer by the tests, and tables."""
    name, pictures = folder.name, sorted(folder.glob("plots/heat-*.png"))
    systems = gather(found.cells)
    claims = {
        f"{each.a} against {each.b}": rivals(each.a, each.b, systems, f"row of {name}:") for each in study.primary
    }
    means = compare_means(claims, study.measure)
    compared = compare([pair for pairs in claims.values() for pair in pairs], study.measure)
    names = [claim for claim, pairs in claims.items() for _ in pairs]
    rows = table(compared)
    rows.insert(0, "comparison", names)
    parts = [
        f"# {study.question}",
        f"`bench study run {name}` made this page. `bench study report {name}` makes it again from `{ARCHIVE}`.",
        "## Answer",
        _bullets(
            [
                _answer(mean, own)
                for mean, (_, own) in zip(means.itertuples(), compared.groupby(names, sort=False), strict=True)
            ]
        ),
        f"{study.measure}, {_seeds(found.systems)}. The mean over collections and pairs is tested, with trainings and "
        f"queries as random, and {holm_over(len(means))}; significant: p < {ALPHA:g}. All other comparisons on this "
        "page and in the files beside it are exploratory.",
        *[f"![{study.measure} of each row]({picture.relative_to(folder).as_posix()})" for picture in pictures],
        "## Hypotheses, stated before the first run",
        _bullets(study.hypotheses),
        "## Primary comparisons",
        markdown_table(_means_table(means)),
        "## The same on each collection (exploratory)",
        f"{holm_over(len(compared))}.",
        markdown_table(rows),
        "## Leaderboards",
        markdown(found).strip(),
        "## Cost",
        _bullets(_costs(found.cells)),
        *(["## Threats to validity", _bullets(study.threats)] if study.threats else []),
    ]
    return "\n\n".join(parts) + "\n"


def _means_table(means: pd.DataFrame) -> pd.DataFrame:
    """Return a row of texts for each primary comparison."""
    return pd.DataFrame(
        {
            "comparison": means["comparison"],
            "collections and pairs": means["boards"].map(str),
            "A": means["mean_a"].map("{:.4f}".format),
            "B": means["mean_b"].map("{:.4f}".format),
            "difference [95 %]": list(map(_difference, means.itertuples())),
            "p": means["p"].map(p_value),
            "p, Holm": means["p_holm"].map(p_value),
        }
    )


def _difference(mean: Any) -> str:
    return f"{mean.difference:+.4f} [{mean.low:+.4f}, {mean.high:+.4f}]"


def _answer(mean: Any, compared: pd.DataFrame) -> str:
    """Return two sentences about a primary comparison: the mean, and the single collections."""
    word = {1: "better", -1: "worse", 0: "no significant difference"}[int(mean.significant)]
    better, worse = ((compared["significant"] == sign).sum() for sign in (1, -1))
    return (
        f"{mean.comparison}: **{word}**, {_difference(mean)} on average over {mean.boards} collections and pairs "
        f"(p {p_value(mean.p_holm)}). Tested one by one: significantly better on {better}, worse on {worse}."
    )


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _seeds(systems: Sequence[System]) -> str:
    numbers = sorted({len(system.seeds) for system in systems if system.spec.budget})
    return f"{' to '.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))} seeds" if numbers else "no training"


def _costs(cells: Sequence[Record]) -> list[str]:
    """Return a line for each machine, with the processor hours of its trainings and evaluations."""
    rows = pd.DataFrame(
        {
            "machine": cell.manifest["provenance"].get("gpu") or cell.manifest["provenance"].get("processor_model"),
            "training": cell.trained.get("fingerprint"),
            "trained": cell.trained.get("cost", {}).get("cpu_seconds", 0.0) / 3600,
            "evaluated": cell.manifest["cost"].get("cpu_seconds", 0.0) / 3600,
        }
        for cell in cells
        if not cell.external
    )
    lines = []
    for machine, own in rows.groupby("machine", dropna=False):
        trained = own.drop_duplicates("training")["trained"]
        lines.append(
            f"{machine}: {len(trained)} trainings and references in {trained.sum():.1f} processor hours, "
            f"{len(own)} evaluations in {own['evaluated'].sum():.1f}"
        )
    return lines
