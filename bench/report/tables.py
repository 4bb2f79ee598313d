"""Tables of text, one per collection, pair and encoder: for the terminal, as Markdown and as LaTeX."""

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bench.errors import BenchError
from bench.evaluation.tasks import TOP
from bench.report.leaderboard import Leaderboard, diagnostics_text, favoured, index_recall
from bench.statistics.significance import ALPHA, holm_over
from bench.tables import escape_markdown, print_table
from bench.terminal import one_line, write_out

LEFT = {"method", "scoring", "students", "trains on"}
USUAL = {"scoring": {"single-vector"}, "students": {"-"}, "bitext": {"-", "all"}, "CPU s": {"-"}}
"""Columns that are left out if they have no other values."""
TABLE = r"""\begin{{table}}
\centering
\caption{{{caption}}}
\begin{{tabular}}{{l{align}}}
\toprule
{heads} \\
\midrule
{rows} \\
\bottomrule
\end{{tabular}}
\end{{table}}
"""
MARKS = {0: "", 1: r"$^{\uparrow}$", -1: r"$^{\downarrow}$"}
ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)


def tables(found: Leaderboard, measures: Sequence[str] = ()) -> dict[int, pd.DataFrame]:
    """Return a table of texts for each board that was scored by any of the measures, best system first. The first
    measure has rank, interval and significance. Raises `BenchError` if there is no such board.
    """
    return {board: _table(found, board, by_measure) for board, by_measure in _scored(found, measures or found.measures)}


def _scored(found: Leaderboard, measures: Sequence[str]) -> Iterator[tuple[int, dict[str, pd.DataFrame]]]:
    """Yield for each board with scores by any of the measures the standings by measure, with the systems as index."""
    shown = [measure for measure in measures if measure in found.measures]
    if not shown:
        raise BenchError(f"no cell was scored by {', '.join(measures)}; scored: {', '.join(found.measures)}")
    for board, standings in found.standings.groupby(found.standings["system"].map(found.names["board"])):
        frames = {measure: standings[standings["measure"] == measure].set_index("system") for measure in shown}
        if by_measure := {measure: frame for measure, frame in frames.items() if len(frame)}:
            yield board, by_measure


def _table(found: Leaderboard, board: int, by_measure: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    (first, main), *others = by_measure.items()
    names = found.names[found.names["board"] == board]
    trained = {i: found.systems[i] for i in names.index if found.systems[i].spec.train}
    costs = pd.DataFrame({i: each.trained("cost") for i, each in trained.items()}, ["seconds", "cpu_seconds"]).T
    ranges = main["low"].map(" [{:.3f}, ".format) + main["high"].map("{:.3f}]".format)
    against = f"p, {found.baseline}"
    table = pd.DataFrame(
        {
            "rank": pd.Series(map(rank_text, main["best_rank"], main["worst_rank"]), main.index),
            "method": names["name"],
            "students": names["students"],
            "scoring": names["scoring"],
            "trains on": names["supervision"],
            "bitext": pd.Series({i: str(each.spec.subset) for i, each in trained.items()}),
            "budget": names["budget"],
            f"{first} [95 %]": main["mean"].map("{:.3f}".format) + ranges.where(main["low"].notna(), ""),
            against: main["p"].map(p_value),
            **{measure: frame["mean"].map("{:.3f}".format) for measure, frame in others},
            "seeds": pd.Series({i: str(len(each.seeds)) for i, each in trained.items()}),
            "training s": costs["seconds"].map("{:.0f}".format, na_action="ignore"),
            "CPU s": costs["cpu_seconds"].map("{:.0f}".format, na_action="ignore"),
        },
        index=_best_first(names, main),
    )
    table = table.fillna("-").replace("", "-")
    usual = {**USUAL, against: {"-"}}
    return table.drop(columns=[name for name in usual if set(table[name]) <= usual[name]])


def _best_first(names: pd.DataFrame, main: pd.DataFrame) -> pd.Index:
    """Return the systems by their standing; those without one come last."""
    return main.index.append(names.sort_values("name").index.difference(main.index, sort=False))


def rank_text(best: int, worst: int) -> str:
    """Return the ranks that the tests allow, as `2-4`; `-` if there are none."""
    return "-" if pd.isna(best) else str(best) if best == worst else f"{best}-{worst}"


def corrections(families: Mapping[str, int]) -> list[str]:
    """Return a line that states the families of a board; none if nothing was compared."""
    return ["; ".join(f"{name}: {holm_over(size)}" for name, size in families.items())] if families else []


def remarks(found: Leaderboard, board: int, measures: Sequence[str] = ()) -> list[str]:
    """Return the lines below the table of a board: the families of its tests, outlying and failed seeds, diagnostics of
    trainings, recall of approximate indexes, and favoured languages.
    """
    first = next(iter(dict(_scored(found, measures or found.measures))[board]))
    members = sorted(
        (label, system)
        for label, system in zip(found.labels, found.systems, strict=True)
        if system in found.boards[board]
    )
    texts = [(label, diagnostics_text(system.trained("diagnostics"))) for label, system in members]
    bias = f"first {TOP} documents against all documents: "
    texts += [(label, index_recall(system)) for label, system in members]
    texts += [(label, bias + text) for label, system in members if (text := favoured(system))]
    lines = [f"{' · '.join(label)}: {text}" for label, text in texts if text]
    return [*corrections(found.families(board, first)), *found.seed_remarks(board, first), *lines]


def print_tables(found: Leaderboard, measures: Sequence[str] = ()) -> None:
    """Print the tables to stdout, each followed by its remarks. Raises `BenchError` as `tables`."""
    for board, table in tables(found, measures).items():
        columns = list(table.columns)
        print_table(columns, table.values.tolist(), title=found.titles[board], right=set(columns) - LEFT)
        if lines := remarks(found, board, measures):
            write_out("\n".join(f" {line}" for line in lines), end="\n\n")


def markdown(found: Leaderboard) -> str:
    """Return the tables as Markdown, each followed by its remarks."""
    return "\n".join(
        "\n\n".join(
            [
                f"### {escape_markdown(found.titles[board])}",
                markdown_table(table),
                *map(escape_markdown, remarks(found, board)),
            ]
        )
        + "\n"
        for board, table in tables(found).items()
    )


def markdown_table(table: pd.DataFrame) -> str:
    """Return a Markdown table of texts."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.values.tolist()]
    return "\n".join("| " + " | ".join(escape_markdown(str(cell)) for cell in line) + " |" for line in lines)


def latex(found: Leaderboard) -> str:
    """Return LaTeX tables, one per board. The best of each measure is bold, and arrows mark systems that are
    significantly better or worse than the baseline.
    """
    documents = ["% Tables for \\input; they need the package booktabs."]
    for board, by_measure in _scored(found, found.measures):
        first, *_ = by_measure
        columns = {}
        for measure, frame in by_measure.items():
            texts = frame["mean"].map("{:.3f}".format)
            bold = texts.where(texts != texts.iloc[0], r"\textbf{" + texts + "}")
            columns[escaped(measure)] = bold + frame["significant"].fillna(0).map(MARKS)
        sizes = sorted({found.families(board, measure).get("p", 0) for measure in by_measure})
        order = _best_first(found.names[found.names["board"] == board], by_measure[first])
        table = pd.DataFrame(columns, index=order).fillna("-")
        rows = [
            [escaped(" ".join(found.labels[i])), *cells] for i, cells in zip(order, table.values.tolist(), strict=True)
        ]
        caption = (
            f"{escaped(found.titles[board])}. {MARKS[1]} and {MARKS[-1]}: significantly better and worse than "
            f"{escaped(found.baseline)} (paired tests, for each measure {' or '.join(map(holm_over, sizes))}, "
            f"$p < {ALPHA:g}$). "
            f"Systems are ordered by {escaped(first)}."
        )
        heads, *lines = (" & ".join(cells) for cells in [["method", *columns], *rows])
        align = "r" * len(columns)
        documents.append(TABLE.format(caption=caption, align=align, heads=heads, rows=" \\\\\n".join(lines)))
    return "\n".join(documents)


def escaped(text: str) -> str:
    """Escape all characters that LaTeX reads as a command or typesets as another character."""
    return one_line(text).translate(ESCAPES)


def p_value(p: float, digits: int = 3) -> str:
    """Return a p-value without its leading zero, as `.012`; `<.001` if it is less than the last digit, `-` for NaN."""
    if math.isnan(p):
        return "-"
    least = 10**-digits
    return ("<" if p < least else "") + f"{max(p, least):.{digits}f}".removeprefix("0")
