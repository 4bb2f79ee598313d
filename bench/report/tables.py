"""Tables of text, one per collection, pair and encoder: for the terminal, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.evaluation.tasks import TOP
from bench.report.comparison import Standing, best_first
from bench.report.labels import diagnostics_text, figure, labels, p_value, title
from bench.report.languages import favoured
from bench.results.systems import Boards, System
from bench.statistics.significance import ALPHA
from bench.tables import print_table

Standings = Mapping[tuple[System, str], Standing]
"""By system and measure."""
LEFT = {"method", "scoring", "students", "trains on"}
USUAL = {"scoring": {"single-vector"}, "students": {"-"}, "bitext": {"-", "all"}, "CPU s": {"-"}}
"""Columns that are left out if they have no other values."""
PREAMBLE = r"""% Tables for \input; they need the package booktabs.
"""
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


def tables(boards: Boards, standings: Standings, measures: Sequence[str], baseline: str) -> dict[str, pd.DataFrame]:
    """Return a table of texts per board by its title, best system first. The first measure has rank, interval and
    significance.

    A table has the measures that any of its systems was scored by. Boards without any are left out.
    """
    against = f"p, {baseline}"
    result = {}
    for board, systems in boards.items():
        shown = [measure for measure in measures if any(measure in system.measures for system in systems)]
        if not shown:
            continue
        first, *others = shown
        lines = []
        for system in best_first(systems, first):
            names, standing = system.spec.columns, standings.get((system, first))
            mean, comparison = figure(system, first), standing.against if standing else None
            cost = system.trained("cost") if names["train"] else {}
            lines.append(
                {
                    "rank": str(standing.rank) if standing else "-",
                    "method": system.name,
                    "students": names["students"] or "-",
                    "scoring": names["scoring"],
                    "trains on": names["supervision"] or "-",
                    "bitext": str(system.spec.subset) if system.spec.train else "-",
                    "budget": names["budget"] or "-",
                    f"{first} [95 %]": f"{mean} [{standing.mean.low:.3f}, {standing.mean.high:.3f}]"
                    if standing
                    else mean,
                    against: p_value(comparison.p_holm if comparison else None),
                    **{measure: figure(system, measure) for measure in others},
                    "seeds": str(len(system.seeds)) if names["train"] else "-",
                    "training s": f"{cost['seconds']:.0f}" if "seconds" in cost else "-",
                    "CPU s": f"{cost['cpu_seconds']:.0f}" if "cpu_seconds" in cost else "-",
                }
            )
        table = pd.DataFrame(lines)
        usual = {**USUAL, against: {"-"}}
        result[title(board, systems)] = table.drop(columns=[name for name in usual if set(table[name]) <= usual[name]])
    return result


def remarks(boards: Boards) -> dict[str, list[str]]:
    """Return the lines below the tables, by their titles: the diagnostics of trainings, and favoured languages."""
    names = labels(boards)
    result = {}
    for board, systems in boards.items():
        ordered = sorted(systems, key=lambda each: names[each])
        texts = [(system, diagnostics_text(system.trained("diagnostics"))) for system in ordered]
        bias = f"first {TOP} documents against all documents: "
        texts += [(system, bias + text) for system in ordered if (text := favoured(system))]
        result[title(board, systems)] = [
            f"{' · '.join([system.name, *names[system].apart])}: {text}" for system, text in texts if text
        ]
    return result


def print_tables(frames: Mapping[str, pd.DataFrame], below: Mapping[str, Sequence[str]]) -> None:
    """Print tables to stdout, each followed by its remarks."""
    for name, frame in frames.items():
        columns = list(frame.columns)
        print_table(columns, frame.values.tolist(), title=name, right=set(columns) - LEFT)
        if below[name]:
            print("\n".join(f" {line}" for line in below[name]), end="\n\n")


def markdown(table: pd.DataFrame) -> str:
    """Return a Markdown table of texts."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.values.tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def latex_document(boards: Boards, standings: Standings, measures: Sequence[str], baseline: str) -> str:
    """Return LaTeX tables, one per board. The best of each measure is bold, and arrows mark systems that are
    significantly better or worse than the baseline.
    """
    names = labels(boards)
    documents = []
    for board, systems in boards.items():
        shown = [measure for measure in measures if any(measure in system.measures for system in systems)]
        if not shown:
            continue
        best = {measure: figure(best_first(systems, measure)[0], measure) for measure in shown}
        rows = []
        for system in best_first(systems, shown[0]):
            cells = [escaped(" ".join([names[system].method, *names[system].details]))]
            for measure in shown:
                text, standing = figure(system, measure), standings.get((system, measure))
                mark = MARKS[standing.against.significant_sign if standing and standing.against else 0]
                cells.append((rf"\textbf{{{text}}}" if text == best[measure] else text) + mark)
            rows.append(" & ".join(cells))
        caption = (
            f"{escaped(title(board, systems))}. {MARKS[1]} and {MARKS[-1]}: significantly better and worse than "
            f"{escaped(baseline)} (paired tests, Holm-corrected, $p < {ALPHA:g}$). "
            f"Systems are ordered by {escaped(shown[0])}."
        )
        heads = " & ".join(["method", *map(escaped, shown)])
        documents.append(TABLE.format(caption=caption, align="r" * len(shown), heads=heads, rows=" \\\\\n".join(rows)))
    return PREAMBLE + "\n".join(documents)


def escaped(text: str) -> str:
    """Escape all characters that LaTeX reads as a command or typesets as another character."""
    return text.translate(ESCAPES)
