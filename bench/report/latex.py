"""Leaderboards as LaTeX tables, for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.report.comparison import Standing, best_first
from bench.report.labels import Label, labels
from bench.report.tables import Standings, figure, title
from bench.results.systems import Boards, System
from bench.statistics.significance import ALPHA

PREAMBLE = r"""% Tables for \input; they need the package booktabs.
"""
BETTER, WORSE = r"$^{\uparrow}$", r"$^{\downarrow}$"


def latex_document(boards: Boards, standings: Standings, measures: Sequence[str], baseline: str) -> str:
    """LaTeX tables, one per collection, pair and encoder, with the best of each measure in bold and marks at what is
    significantly better or worse than the baseline.
    """
    names = labels(boards)
    return PREAMBLE + "\n".join(
        _latex(title(board, systems), systems, names, standings, shown, baseline)
        for board, systems in boards.items()
        if (shown := [measure for measure in measures if any(measure in system.measures for system in systems)])
    )


def _latex(
    name: str,
    systems: Sequence[System],
    names: Mapping[System, Label],
    standings: Standings,
    measures: Sequence[str],
    baseline: str,
) -> str:
    ordered = best_first(systems, measures[0])
    best = {measure: f"{best_first(systems, measure)[0].mean(measure):.3f}" for measure in measures}
    lines = []
    for system in ordered:
        cells = [escaped(" ".join([names[system].method, *names[system].details]))]
        for measure in measures:
            standing = standings.get((system, measure))
            text = figure(system, measure)
            cells.append((rf"\textbf{{{text}}}" if text == best[measure] else text) + _mark(standing))
        lines.append(" & ".join(cells) + r" \\")
    caption = (
        f"{escaped(name)}. {BETTER} and {WORSE}: significantly better and worse than {escaped(baseline)} "
        f"(paired tests, Holm-corrected, $p < {ALPHA:g}$). Systems are ordered by {escaped(measures[0])}."
    )
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{l{'r' * len(measures)}}}",
            r"\toprule",
            " & ".join(["method", *map(escaped, measures)]) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _mark(standing: Standing | None) -> str:
    if standing is None or standing.against is None or not standing.against.is_significant:
        return ""
    return BETTER if standing.against.better is standing.against.a else WORSE


ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def escaped(text: str) -> str:
    """A text with everything escaped that LaTeX takes for a command, or sets as another character."""
    return "".join(ESCAPES.get(character, character) for character in text)
