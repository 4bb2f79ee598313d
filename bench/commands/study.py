"""`bench study`: studies that answer a question, from their file to their report."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.run import compute
from bench.progress import Display
from bench.request import Machines, Places, Reproduce, Studies, StudyCheck, StudyReport, StudyRun
from bench.tables import Column, print_table
from bench.terminal import write_out

if TYPE_CHECKING:
    from bench.results.store import Record

RUNS = "runs"
"""The results folder of all studies, beside the folders of the studies."""


def study_ls(options: Studies) -> int:
    """List the studies of a folder, with their questions."""
    from bench.report.study import REPORT, read_study, study_names

    rows = []
    for name in study_names(options.studies):
        done = (options.studies / name / REPORT).is_file()
        rows.append([name, read_study(options.studies, name).question, "yes" if done else "no"])
    print_table([Column("study", "name"), "question", Column("has results", "word")], rows)
    return 0


def study_run(options: StudyRun) -> int:
    """Compute the missing cells of a study, and write its report. The same command continues an interrupted study."""
    from bench.report.study import ARCHIVE, read_study, requests_of, unpack, write_archive, write_study

    study, folder = read_study(options.studies, options.name), options.studies / options.name
    smoke = options.scale == "smoke"
    cells: dict[Path, Record] = {}
    code = 0
    with tempfile.TemporaryDirectory(prefix="bench-study-") as scratch:
        runs = Path(scratch, "runs") if smoke else options.studies / RUNS
        for archive in [] if smoke else sorted(options.studies.glob(f"*/{ARCHIVE}")):
            unpack(archive, runs)
        places = options.model_dump(include={*Places.model_fields, *Machines.model_fields, "quiet", "dry_run"})
        for request in requests_of(study, str(folder / "study.toml"), {**places, "results": runs}, smoke=smoke):
            if computed := compute(request):
                computed.print_counts()
                cells |= {cell.folder: cell for cell in computed.outcome.cells}
                code = max(code, computed.outcome.exit_code)
        if not cells:
            return code
        target = Path(scratch, options.name) if smoke else folder
        target.mkdir(exist_ok=True)
        write_archive(list(cells.values()), target / ARCHIVE, options.name)
        written = write_study(study, target, Path(scratch, "cells"))
        if smoke:
            write_out(written[0].read_text(encoding="utf-8"), end="")
        else:
            Display(quiet=options.quiet).say(f"written: {', '.join(map(str, written))}")
    return code


def study_report(options: StudyReport) -> int:
    """Write the report of a study again, from its stored cells alone."""
    from bench.report.study import read_study, write_study

    study = read_study(options.studies, options.name)
    with tempfile.TemporaryDirectory(prefix="bench-study-") as scratch:
        written = write_study(study, options.studies / options.name, Path(scratch))
    write_out(f"written: {', '.join(map(str, written))}")
    return 0


def study_check(options: StudyCheck) -> int:
    """Compute random cells of a study again from their manifests, trainings included, and compare the numbers.

    Exits with 3 if a number differs.
    """
    from bench.report.study import ARCHIVE, read_study, unpack
    from bench.running.reproduction import reproduce_cell

    read_study(options.studies, options.name)
    with tempfile.TemporaryDirectory(prefix="bench-study-") as scratch:
        store = unpack(options.studies / options.name / ARCHIVE, Path(scratch))
        own = [cell for cell in store.contents().cells if not cell.external]
        chosen = random.Random(options.seed).sample(own, min(options.sample, len(own)))
        places = options.model_dump(include={"mirror", "cards", "offline", "quiet"})
        codes = []
        for cell in chosen:
            write_out(cell.folder.name)
            codes.append(reproduce_cell(Reproduce(cell=str(cell.folder), **places)))
    return max(codes, default=0)
