"""Tables to read: one per collection, pair and encoder, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bench.evaluation.bias import TOP
from bench.report.comparison import Standing, best_first
from bench.report.labels import labels
from bench.report.languages import favours
from bench.results.systems import Boards, System
from bench.spec import SYSTEM
from bench.tables import print_table

Standings = Mapping[tuple[System, str], Standing]
"""By system and measure."""
LEFT = {"method", "scoring", "students", "trains on"}
USUAL = {"scoring": {"mean"}, "students": {"-"}, "bitext": {"-", "all"}, "CPU s": {"-"}}
"""Columns that are left out where they say nothing else."""


def tables(
    boards: Boards,
    standings: Standings,
    measures: Sequence[str],
    cost: pd.DataFrame,
    baseline: str,
) -> dict[str, pd.DataFrame]:
    """A table of texts per collection, pair and encoder, best first; the first measure has rank group, interval and
    significance. A table has the measures that any of its rows was scored by, and a collection without any has none.
    """
    grouped = cost.groupby(SYSTEM, dropna=False)
    spent = {"training s": grouped["training_seconds"].mean(), "CPU s": grouped["training_cpu_seconds"].mean()}
    result = {}
    for board, systems in boards.items():
        shown = [measure for measure in measures if any(measure in system.measures for system in systems)]
        if not shown:
            continue
        against = f"p, {baseline}"
        lines = []
        for system in best_first(systems, shown[0]):
            names, (first, *others) = system.spec.columns, shown
            key = tuple(names[column] for column in SYSTEM)
            standing = standings.get((system, first))
            lines.append(
                {
                    "rank": str(standing.rank) if standing else "-",
                    "method": system.name,
                    "students": names["students"] or "-",
                    "scoring": names["scoring"],
                    "trains on": names["uses"] or "-",
                    "bitext": str(system.spec.level) if system.spec.train else "-",
                    "budget": names["budget"] or "-",
                    f"{first} [95 %]": with_interval(system, first, standing),
                    against: p_value(standing),
                    **{measure: figure(system, measure) for measure in others},
                    "seeds": str(len(system.seeds)) if names["train"] else "-",
                    **{
                        name: "-" if pd.isna(seconds[key]) or not names["train"] else f"{seconds[key]:.0f}"
                        for name, seconds in spent.items()
                    },
                }
            )
        table = pd.DataFrame(lines)
        usual = {**USUAL, against: {"-"}}
        unused = [column for column, texts in usual.items() if set(table[column]) <= texts]
        result[title(board, systems)] = table.drop(columns=unused)
    return result


def remarks(boards: Boards, diagnostics: Mapping[System, str], shares: pd.DataFrame) -> dict[str, list[str]]:
    """Return by the titles of the tables the diagnostics of trainings, and the languages of a pool that systems favour:
    a line for each system that has any.
    """
    by_columns = favours(shares)
    names = labels(boards)
    result = {}
    for board, systems in boards.items():
        favoured = {
            system: f"first {TOP} documents against the pool: {text}"
            for system in systems
            if (text := by_columns.get(tuple(system.spec.columns[column] for column in SYSTEM)))
        }
        result[title(board, systems)] = [
            f"{' · '.join([system.name, *names[system].apart])}: {text}"
            for found in (diagnostics, favoured)
            for system in sorted(systems, key=lambda each: names[each])
            if (text := found.get(system))
        ]
    return result


def title(board: tuple[str, ...], systems: Sequence[System]) -> str:
    """What a table is of."""
    dataset, pair, encoder = board
    queries = max(len(system.queries) for system in systems)
    return f"{dataset} {pair}, {queries:,} queries, encoder {Path(encoder).name}"


def figure(system: System, measure: str) -> str:
    """A mean, three decimals."""
    return f"{system.mean(measure):.3f}" if measure in system.measures else "-"


def with_interval(system: System, measure: str, standing: Standing | None) -> str:
    """A mean with its interval, if it has one."""
    found = figure(system, measure)
    return f"{found} [{standing.mean.low:.3f}, {standing.mean.high:.3f}]" if standing else found


def p_value(standing: Standing | None) -> str:
    """The corrected p-value against the baseline."""
    if standing is None or standing.against is None:
        return "-"
    p = standing.against.p_holm
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def print_tables(frames: Mapping[str, pd.DataFrame], below: Mapping[str, Sequence[str]]) -> None:
    """Print tables to stdout, each with the lines that belong below it."""
    for name, frame in frames.items():
        columns = list(frame.columns)
        print_table(columns, frame.values.tolist(), title=name, right=set(columns) - LEFT)
        if below[name]:
            print("\n".join(f" {line}" for line in below[name]), end="\n\n")


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table of texts."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.values.tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
