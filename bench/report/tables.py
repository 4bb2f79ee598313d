"""Tables of text, one per collection, pair and encoder: for the terminal, as Markdown and as LaTeX."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.errors import BenchError
from bench.evaluation.measures import lower_is_better
from bench.evaluation.tasks import TOP
from bench.report.leaderboard import Leaderboard, diagnostics_text, favoured, index_recall
from bench.statistics.significance import ALPHA, holm_over
from bench.tables import Column, escape_markdown, print_table
from bench.terminal import one_line

COLUMNS = {
    column.name: column
    for column in (
        *(Column("rank"), Column("method", "name"), Column("students", "word", 4), Column("scoring", "word", 4)),
        *(Column("trains on", "name", 5), Column("bitext", "word", 5), Column("budget", "word", 8)),
        *(Column("seeds", priority=3), Column("training s", priority=6), Column("CPU s", priority=7)),
    )
}
"""Columns of a printed board, without those of measures."""
INTERVAL, AGAINST = " [95 %]", "p, "
"""The suffix of the column of the first measure, and the prefix of the column of p-values."""
LEAST_P = 0.001
USUAL = {"scoring": {"single-vector"}, "students": {"-"}, "bitext": {"-", "all"}, "CPU s": {"-"}}
"""Columns that are left out if all their values are these."""
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


class Style(NamedTuple):
    """The markup of a format: best value, significant difference and other texts."""

    bold: str
    marks: Mapping[int, str]
    escape: Callable[[str], str]


def escaped(text: str) -> str:
    """Escape the special characters of LaTeX."""
    return one_line(text).translate(ESCAPES)


LATEX = Style(r"\textbf{{{}}}", {0: "", 1: r"$^{\uparrow}$", -1: r"$^{\downarrow}$"}, escaped)
MARKDOWN = Style("**{}**", {0: "", 1: "↑", -1: "↓"}, escape_markdown)


def tables(
    found: Leaderboard, measures: Sequence[str] = (), chosen: Collection[int] | None = None
) -> dict[int, pd.DataFrame]:
    """Return a table of texts for each board with scores by any of the measures, best system first.

    The first measure has rank, interval and significance. Bounds have no rank. `chosen` are the systems to show
    (default: all). Raises `BenchError` if there is no such board.
    """
    scored = _scored(found, measures or found.measures, chosen)
    return {board: _table(found, board, by_measure) for board, by_measure in scored}


def _scored(
    found: Leaderboard, measures: Sequence[str], chosen: Collection[int] | None = None, only: int | None = None
) -> Iterator[tuple[int, dict[str, pd.DataFrame]]]:
    """Yield the standings by measure, indexed by system, for each board with scores by any of the measures, or for
    `only` one of them.
    """
    shown = [measure for measure in measures if measure in found.measures]
    if not shown:
        raise BenchError(f"no cell was scored by {', '.join(measures)}; scored: {', '.join(found.measures)}")
    ranked = found.ranked if chosen is None else found.ranked[found.ranked["system"].isin(chosen)]
    if ranked.empty:
        raise BenchError("no system has one of these methods, collections and pairs; leave one of the options out")
    boards = ranked["system"].map(found.names["board"])
    for board, standings in (ranked if only is None else ranked[boards == only]).groupby(boards):
        frames = {measure: standings[standings["measure"] == measure].set_index("system") for measure in shown}
        if by_measure := {measure: frame for measure, frame in frames.items() if len(frame)}:
            yield board, by_measure


def _table(found: Leaderboard, board: int, by_measure: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    (first, main), *others = by_measure.items()
    order = _best_first(found, by_measure)
    names = found.names.loc[order]
    trained = {i: found.systems[i] for i in order if found.systems[i].spec.train}
    costs = pd.DataFrame({i: each.trained("cost") for i, each in trained.items()}, ["seconds", "cpu_seconds"]).T
    ranges = main["low"].map(" [{:.3f}, ".format) + main["high"].map("{:.3f}]".format)
    against = f"{AGAINST}{found.baseline}"
    table = pd.DataFrame(
        {
            "rank": pd.Series(map(rank_text, main["best_rank"], main["worst_rank"]), main.index),
            "method": names["name"],
            "students": names["students"],
            "scoring": names["scoring"],
            "trains on": names["supervision"],
            "bitext": pd.Series({i: str(each.spec.subset) for i, each in trained.items()}),
            "budget": names["budget"],
            f"{first}{INTERVAL}": main["mean"].map("{:.3f}".format) + ranges.where(main["low"].notna(), ""),
            against: main["p"].map(p_value),
            **{measure: frame["mean"].map("{:.3f}".format) for measure, frame in others},
            "seeds": pd.Series({i: str(len(each.seeds)) for i, each in trained.items()}),
            "training s": costs["seconds"].map("{:.0f}".format, na_action="ignore"),
            "CPU s": costs["cpu_seconds"].map("{:.0f}".format, na_action="ignore"),
        },
        index=order,
    )
    table = table.fillna("-").replace("", "-")
    usual = {**USUAL, against: {"-"}}
    return table.drop(columns=[name for name in usual if set(table[name]) <= usual[name]])


def described(table: pd.DataFrame) -> list[Column]:
    """Return the columns of a board for the terminal. Columns in which namesakes differ always appear."""
    columns = []
    for name in map(str, table.columns):
        column = COLUMNS.get(name) or Column(name, priority=0 if INTERVAL in name else 1 if AGAINST in name else 2)
        if column.kind != "number" and table.groupby("method")[name].nunique().max() > 1:
            column = replace(column, priority=0)
        columns.append(column)
    return columns


def _best_first(found: Leaderboard, by_measure: Mapping[str, pd.DataFrame]) -> pd.Index:
    """Return the systems by their standing in the first measure, systems without it last."""
    first, *others = (frame.index for frame in by_measure.values())
    for other in others:
        rest = found.names.loc[other.difference(first, sort=False)].sort_values("name").index
        first = first.append(rest)
    return first


def rank_text(best: int, worst: int) -> str:
    """Return the ranks that the tests allow, as `2-4`, or `-`."""
    return "-" if pd.isna(best) else str(best) if best == worst else f"{best}-{worst}"


def corrections(families: Mapping[str, int]) -> list[str]:
    """Return a line with the families of a board, or nothing without comparisons."""
    return ["; ".join(f"{name}: {holm_over(size)}" for name, size in families.items())] if families else []


def remarks(
    found: Leaderboard, board: int, measures: Sequence[str] = (), chosen: Collection[int] | None = None
) -> list[str]:
    """Return the lines below the table of a board: families of tests, seeds, diagnostics, recall and language bias."""
    by_measure = dict(_scored(found, measures or found.measures, chosen, board))[board]
    first = next(iter(by_measure))
    members = sorted((" · ".join(found.labels[i]), found.systems[i]) for i in _best_first(found, by_measure))
    texts = [(label, diagnostics_text(system.trained("diagnostics"))) for label, system in members]
    bias = f"first {TOP} documents against all documents: "
    texts += [(label, index_recall(system)) for label, system in members]
    texts += [(label, bias + text) for label, system in members if (text := favoured(system))]
    lines = [f"{label}: {text}" for label, text in texts if text]
    return [*corrections(found.families(board, first)), *found.seed_remarks(board, first), *lines]


def print_tables(
    found: Leaderboard, measures: Sequence[str] = (), chosen: Collection[int] | None = None, *, wide: bool = False
) -> None:
    """Print the tables to stdout, each followed by its remarks. Raises `BenchError` as `tables`."""
    for board, table in tables(found, measures, chosen).items():
        notes = remarks(found, board, measures, chosen)
        print_table(described(table), table.values.tolist(), title=found.titles[board], notes=notes, wide=wide)


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
    return markdown_rows(table.astype(str).map(escape_markdown).rename(columns=escape_markdown))


def markdown_rows(table: pd.DataFrame) -> str:
    """Return a Markdown table of Markdown."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.values.tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex(found: Leaderboard) -> str:
    """Return a LaTeX table for each board. The best value of each measure is bold, and arrows mark significance."""
    documents = ["% Tables for \\input; they need the package booktabs."]
    for board, by_measure in _scored(found, found.measures):
        order = _best_first(found, by_measure)
        columns = {
            escaped(measure): _marked(found, measure, frame["mean"], frame["significant"], found.bounds, LATEX)
            for measure, frame in by_measure.items()
        }
        table = pd.DataFrame(columns, index=order).fillna("-")
        table.insert(0, "method", [escaped(" ".join(found.labels[i])) for i in order])
        sizes = {found.families(board, measure).get("p", 0) for measure in by_measure}
        legend = _legend(found, "for each measure", sizes, LATEX)
        first, *_ = by_measure
        caption = f"{escaped(found.titles[board])}. {legend} Systems are ordered by {escaped(first)}."
        documents.append(_latex_table(table, caption))
    return "\n".join(documents)


def paper(found: Leaderboard, measure: str, chosen: Collection[int], style: Style) -> str:
    """Return a grid of methods against languages for each collection and encoder, in Markdown or LaTeX.

    The last column is the mean over languages, for methods with all of them. Bounds are never bold.
    """
    frame = found.ranked[(found.ranked["measure"] == measure) & found.ranked["system"].isin(chosen)]
    frame = frame.join(found.names[["dataset", "pair", "encoder", "board"]], on="system")
    frame["method"] = frame["system"].map(pd.Series(list(map(" ".join, found.labels))))
    texts = []
    for (dataset, encoder), own in frame.groupby(["dataset", "encoder"], sort=False):
        means, signs = (own.pivot(index="method", columns="pair", values=name) for name in ("mean", "significant"))
        if len(means.columns) > 1:
            means["mean"] = means.mean(axis=1, skipna=False)
        means = means.sort_values(means.columns[-1], ascending=lower_is_better(measure))
        bounds = set(own.loc[own["system"].isin(found.bounds), "method"])
        columns = {
            style.escape(pair): _marked(found, measure, means[pair], signs.get(pair, means[pair] * 0), bounds, style)
            for pair in means.columns
        }
        table = pd.DataFrame(columns, index=means.index)
        table.insert(0, "method", list(map(style.escape, means.index)))
        sizes = {found.families(board, measure).get("p", 0) for board in own["board"]}
        title = style.escape(f"{measure} on {dataset}, encoder {Path(str(encoder)).name}")
        caption = f"{title}. {_legend(found, 'for each language', sizes, style)}"
        texts.append(_latex_table(table, caption) if style is LATEX else f"{caption}\n\n{markdown_rows(table)}\n")
    return "\n".join(texts)


def _marked(
    found: Leaderboard, measure: str, means: pd.Series, signs: pd.Series, bounds: Collection[object], style: Style
) -> pd.Series:
    """Return means as texts, with the best one in bold (bounds excluded) and marks of significant differences."""
    texts = means.map("{:.3f}".format, na_action="ignore")
    rivals = means[~means.index.isin(list(bounds))]
    best = f"{rivals.min() if lower_is_better(measure) else rivals.max():.3f}"
    bold = (texts == best) & texts.index.isin(rivals.index)
    return (texts.mask(bold, style.bold.format(best)) + signs.fillna(0).map(style.marks)).fillna("-")


def _legend(found: Leaderboard, each: str, sizes: Collection[int], style: Style) -> str:
    families, less = " or ".join(map(holm_over, sorted(sizes))), f"p < {ALPHA:g}"
    return (
        f"{style.marks[1]} and {style.marks[-1]}: significantly better and worse than {style.escape(found.baseline)} "
        f"(paired tests, {each} {families}, {f'${less}$' if style is LATEX else less})."
    )


def _latex_table(table: pd.DataFrame, caption: str) -> str:
    heads, *lines = (" & ".join(cells) for cells in [list(table.columns), *table.values.tolist()])
    align = "r" * (len(table.columns) - 1)
    return TABLE.format(caption=caption, align=align, heads=heads, rows=" \\\\\n".join(lines))


def p_value(p: float) -> str:
    """Return a p-value as `.012` or `<.001`, or `-` for NaN."""
    if math.isnan(p):
        return "-"
    return ("<" if p < LEAST_P else "") + f"{max(p, LEAST_P):.3f}".removeprefix("0")
