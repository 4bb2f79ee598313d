"""Compare the speed of this project with that of a peer, and keep the medians in `results/speed/`.

A script calls `compare` for each pair of functions and passes the results to `report`:

    rows = [compare("exact search", ours, "FAISS IndexFlatIP", theirs, least=0.95)]
    sys.exit(report("search_speed", rows))

Both functions do the same work and take no arguments. They run alternately, so that other work on the machine slows
both. Prepare their inputs outside of them, and call `prepare_libraries(offline=True, threads=1)` first: with several
threads a busy machine slows the two unequally.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pandas as pd

from bench.report.tables import markdown_table
from bench.results.provenance import provenance
from bench.tables import print_table

RUNS = 5
FOLDER = Path(__file__).parents[1] / "results" / "speed"
COLUMNS = ("work", "ours, s", "peer", "peer, s", "speed against the peer", "at least")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The median seconds of this project and of a peer for the same work."""

    work: str
    peer: str
    least: float
    """The required speed against the peer."""
    seconds: tuple[float, ...]
    peer_seconds: tuple[float, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """Other numbers of the work, such as a recall."""

    @property
    def ratio(self) -> float:
        """The speed against the peer: 1 is equal, 2 is twice as fast."""
        return median(self.peer_seconds) / median(self.seconds)

    @property
    def row(self) -> list[str]:
        """The values of `COLUMNS`."""
        facts = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        work = f"{self.work} ({facts})" if facts else self.work
        seconds = [f"{median(each):.3f}" for each in (self.seconds, self.peer_seconds)]
        return [work, seconds[0], self.peer, seconds[1], f"{self.ratio:.2f}", f"{self.least:.2f}"]


def compare(
    work: str,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object],
    *,
    least: float,
    runs: int = RUNS,
    **facts: Any,
) -> Timing:
    """Run both functions alternately, once untimed and `runs` times timed, and return their seconds."""
    seconds: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    for _ in range(runs + 1):
        for function, each in seconds.items():
            started = perf_counter()
            function()
            each.append(perf_counter() - started)
    timed = {name: tuple(each[1:]) for name, each in zip(("seconds", "peer_seconds"), seconds.values(), strict=True)}
    return Timing(work=work, peer=peer, least=least, facts=facts, **timed)


def report(script: str, rows: Sequence[Timing], folder: Path = FOLDER) -> int:
    """Print the comparisons, and write `script`.json, with versions and machine, and `script`.md to the folder. Return
    the exit code: 1 if a ratio is below the required one, else 0.
    """
    about = provenance()
    table = pd.DataFrame([each.row for each in rows], columns=COLUMNS)
    print_table(COLUMNS, table.values.tolist(), right=[COLUMNS[i] for i in (1, 3, 4, 5)])
    folder.mkdir(parents=True, exist_ok=True)
    values = [{**asdict(each), "ratio": each.ratio} for each in rows]
    text = json.dumps({"rows": values, "provenance": about}, indent=1)
    (folder / f"{script}.json").write_text(f"{text}\n", encoding="utf-8")
    machine = f"{about['processor_model']}, threads: {about['threads']}; medians of {len(rows[0].seconds)} runs"
    versions = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    source = f"`python benchmarks/{about['command']}`; {machine}; {versions}"
    (folder / f"{script}.md").write_text(f"{markdown_table(table)}\n\n{source}\n", encoding="utf-8")
    return int(any(each.ratio < each.least for each in rows))
