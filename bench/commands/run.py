"""`bench run`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from bench.data.cards import Card
from bench.data.files import Resolver
from bench.options import check_environment
from bench.progress import Display
from bench.request import LOCAL, Request, with_cards
from bench.results.store import Store
from bench.storage.sealed import cache_problems
from bench.system.machine import find_devices, machine, prepare_libraries
from bench.system.offline import local_only
from bench.system.processes import Worker
from bench.tables import print_table
from bench.terminal import write_out

if TYPE_CHECKING:
    from bench.running.execute import Outcome
    from bench.running.experiment import Experiment


def run_command(request: Request) -> int:
    """Train each method on each pair and evaluate it on each collection. The reference rows zero-shot, untrained and
    oracle are in every run. Finished cells are not computed again.

    Separate the items of lists by commas or spaces. Every option is also an environment variable BENCH_<OPTION> and a
    key of the file of --config. The command line has priority over the environment, and the environment over the file.
    """
    check_environment(Request)
    return run(request)


class Computed(NamedTuple):
    """The finished cells of a call, and where they are."""

    experiment: Experiment
    outcome: Outcome
    store: Store
    display: Display

    def print_counts(self) -> None:
        """Print the numbers of cells that were computed, reused and failed."""
        outcome = self.outcome
        if outcome.computed == 0 and not outcome.failed:
            self.display.say(
                f"nothing to compute: all {outcome.reused} cells are finished already in {self.store.root}"
            )
        else:
            failed = f", {outcome.failed} FAILED" if outcome.failed else ""
            print_line = self.display.warn if failed else self.display.say
            print_line(f"{outcome.computed} cells computed, {outcome.reused} found finished{failed}")


def run(request: Request, cards: Mapping[str, Card] | None = None) -> int:
    """Run a comparison, print the tables of this call's cells and write its leaderboards; return the exit code."""
    if (computed := compute(request, cards)) is None:
        return 0
    _, outcome, store, display = computed
    from bench.report.leaderboard import Leaderboard, leaderboard
    from bench.report.report import write_leaderboard
    from bench.report.tables import print_tables

    if outcome.cells:
        everything = leaderboard(store, request.baseline)
        shown = everything
        if {cell.folder for cell in everything.cells} != {cell.folder for cell in outcome.cells}:
            shown = Leaderboard(sorted(outcome.cells, key=lambda cell: cell.folder), store, request.baseline)
        print_tables(shown, computed.experiment.measures, wide=request.wide)
        display.warn(*everything.notes)
        display.say(f"written: {', '.join(map(str, write_leaderboard(everything)))}")
    computed.print_counts()
    return outcome.exit_code


def compute(request: Request, cards: Mapping[str, Card] | None = None) -> Computed | None:
    """Compute the missing cells of a comparison. `cards` are by default those that the request names.

    A dry run prints the cells and which of them are finished, and returns None. It trains and downloads nothing. It
    verifies the files that are on this machine, and reads those of the user.
    """
    dry = request.dry_run
    named, cards = with_cards(request, cards)
    prepare_libraries(offline=request.offline, threads=None)
    from bench.running.cost import check_energy
    from bench.running.engines import LEAST_PATIENCE, check_engine, make_engine
    from bench.running.execute import Executor
    from bench.running.experiment import TABLE, make_experiment, plan_table
    from bench.running.method_specs import expand
    from bench.running.resources import Resources
    from bench.training.teachers import check_models

    if request.energy:
        check_energy()
    check_engine(request)
    devices = find_devices(request.device) if request.engine == LOCAL else request.device
    jobs = request.jobs or len(devices)
    threads = request.threads or max(machine().threads // jobs, 1)
    display = Display(quiet=request.quiet and not dry, bars=jobs == 1 and request.engine == LOCAL, jobs=jobs)
    resolver = Resolver(request.mirror, offline=request.offline or dry, display=display)
    with local_only() if dry else nullcontext(), Worker(max(request.timeout, LEAST_PATIENCE)) as worker:
        methods, notes = expand(request.methods, request.method, worker.run)
        request, named = (each.model_copy(update={"methods": methods}) for each in (request, named))
        experiment = make_experiment(named, cards, resolver, call=worker.run, read=not dry)
        how = (devices[0], request.precision, cards, resolver, display, threads)
        executor = Executor(Resources(experiment.encoder, *how), request, Store(request.results))
        if dry:
            models = [model for method in experiment.methods for model in method.models]
            notes += check_models(experiment.encoder, models, offline=request.offline)
            finished = executor.finished(experiment)
            print_table(TABLE, plan_table(experiment, finished), wide=request.wide)
            for note in [*notes, *experiment.notes]:
                write_out(note)
            cells = sum(len(cells) for cells in experiment.cells.values())
            write_out(f"{len(experiment.cells)} retrievers, {cells} cells, {len(finished)} of them finished")
            return None
        executor.store.open()
        display.warn(*cache_problems(), *notes)
        display.say(*experiment.notes)
        executor.engine = make_engine(request, devices, min(jobs, len(experiment.cells)), worker)
        return Computed(experiment, executor.run(experiment), executor.store, display)
