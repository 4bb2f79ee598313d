"""The Python interface: `bench.run` and `bench.Results`, with the options and the errors of the command line."""

from __future__ import annotations

import inspect
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import BenchError, CellFailed, unknown
from bench.options import Options, read_options
from bench.request import Compare, Leaderboards, Reports, Request
from bench.spec import BOARD, COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.leaderboard import Leaderboard
    from bench.training.method import Method

AnyOptions = TypeVar("AnyOptions", bound=Options)


def run(methods: str | type[Method] | Sequence[str | type[Method]], **options: Any) -> Results:
    """Run a comparison as `bench run` does, write its leaderboards, and return its results folder.

    A method may also be a class, of a module, a script or a notebook. The options are those of `bench run`, with
    underscores: texts, numbers, lists, and dictionaries for `recipe` and `method`. Progress is printed to stderr.
    Environment variables and the file of `config` count as on the command line.

    Raises:
        BenchError: for bad usage or bad input, with the message of the command line.
        CellFailed: if a cell fails. The others are finished, and `Results` shows them.
    """
    from bench.authoring.source import method_text
    from bench.commands.run import compute
    from bench.system.interrupt import remembered_interrupt

    named = [methods] if isinstance(methods, str | type) else methods
    texts = [each if isinstance(each, str) else method_text(each) for each in named]
    request = _read(Request, methods=texts, **options)
    with remembered_interrupt():
        computed = compute(request)
        if computed is not None and computed.outcome.cells:
            from bench.report.leaderboard import leaderboard
            from bench.report.report import write_leaderboard

            write_leaderboard(leaderboard(computed.store, request.baseline))
    results = Results(request.results, baseline=request.baseline)
    if computed is not None and computed.outcome.exit_code:
        kind = BenchError if computed.outcome.bad_input else CellFailed
        raise kind(
            f"{computed.outcome.failed} cells failed, with the reasons above; the others are in {results.folder}"
        )
    return results


class Results:
    """A results folder, whose leaderboards are read from its cells when a method is called. Methods return frames with
    the columns of the files that docs/leaderboards.md describes.
    """

    def __init__(self, folder: str | Path | None = None, *, baseline: str | None = None) -> None:
        options = Leaderboards()
        self.folder, self.baseline = Path(folder or options.results), baseline or options.baseline

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r})"

    def leaderboard(self) -> pd.DataFrame:
        """Return a row per system: means, intervals, ranks and p-values of each measure (`leaderboard-wide.csv`)."""
        return self._board().wide

    def cells(self) -> pd.DataFrame:
        """Return a row per cell and measure: the mean over queries with its interval (`leaderboard.csv`)."""
        from bench.report.leaderboard import long_frame

        return long_frame(self._board().cells)

    def comparisons(self) -> pd.DataFrame:
        """Return a row per measure and pair of systems of a board (`comparisons.csv`)."""
        return self._board().pairs

    def cost(self) -> pd.DataFrame:
        """Return a row per cell: the cost of its training and its evaluation (`cost.csv`)."""
        from bench.report.leaderboard import cost_frame

        return cost_frame(self._board().cells)

    def per_query(self) -> pd.DataFrame:
        """Return a row per cell, measure and query, with the score."""
        import pandas as pd

        rows = (
            {**cell.spec.columns, "measure": measure, "query": query, "score": score}
            for cell in self._board().cells
            for measure, scores in cell.scores.items()
            for query, score in scores.items()
        )
        return pd.DataFrame(rows, columns=[*(column.name for column in COLUMNS), "measure", "query", "score"])

    def compare(self, a: str, b: str, **options: Any) -> pd.DataFrame:
        """Return a row per collection and measure: the difference of two methods with its interval and p-values. The
        options are those of `bench compare`.
        """
        from bench.commands.results import compared_by

        frame = compared_by(_read(Compare, a=a, b=b, results=self.folder, **options))
        first = frame["a"].map(lambda system: system.spec.columns)
        return frame.assign(**{column: [columns[column] for columns in first] for column in BOARD}, a=a, b=b)

    def report(self, **options: Any) -> Path:
        """Write the page, the plots and the leaderboards of the folder, and return the path of the page. The options
        are those of `bench report`.
        """
        from bench.commands.results import write_report_of

        written, _ = write_report_of(_read(Reports, results=self.folder, **{"baseline": self.baseline, **options}))
        return next(path for path in written if path.suffix == ".html")

    def _board(self) -> Leaderboard:
        from bench.commands.results import leaderboard_of

        return leaderboard_of(Leaderboards(results=self.folder, baseline=self.baseline))


def _read(model: type[AnyOptions], **values: Any) -> AnyOptions:
    """Return options from Python values, the environment and the file of `config`."""
    known = [*model.model_fields, "config"]
    for name, value in values.items():
        if name not in known:
            raise unknown("option", name, known)
        if isinstance(value, list | tuple):
            values[name] = [str(each) if isinstance(each, Path) else each for each in value]
        elif isinstance(value, Path):
            values[name] = str(value)
    if "config" in values:
        values["config"] = Path(values["config"])
    return read_options(model, Namespace(**values))


def _document(function: Any, model: type[Options]) -> None:
    """Add the options of a model to the signature and the docstring of a function."""
    signature = inspect.signature(function)
    fields = {name: field for name, field in model.model_fields.items() if name not in signature.parameters}
    given = [each for each in signature.parameters.values() if each.kind != inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.get_default(call_default_factory=True),
            annotation=field.annotation,
        )
        for name, field in fields.items()
    ]
    function.__signature__ = signature.replace(parameters=[*given, *options])
    lines = [f"    {name}: {field.description}." for name, field in fields.items()]
    function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__), "", "Options:", *lines])


_document(run, Request)
