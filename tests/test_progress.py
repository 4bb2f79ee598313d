"""Progress of a call and of its stages, with a terminal and without."""

import pickle
import sys
import threading
import time
from collections import Counter
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from bench import progress


@pytest.mark.parametrize(
    ("reports", "lines"),
    [
        (
            [(0, 0), (30, 10), (60, 20), (90, 40), (120, 80)],
            [
                *("10/100 texts, loss 1", "20/100 texts, loss 1, about 4 min left"),
                *("40/100 texts, loss 1, about 2 min left", "80/100 texts, loss 1, about 15 s left"),
            ],
        ),
        # Work that an earlier call had done does not count.
        ([(10, 80), (35, 85), (60, 90)], ["85/100 texts, loss 1, about 75 s left"]),
        ([(1, 40), (1.5, 80), (20, 81), (70, 86)], ["86/100 texts, loss 1, about 2 min left"]),
        ([(31, 0)], ["0/100 texts, loss 1"]),
        ([(0, 0), (70, 100)], []),
        ([(second, second) for second in range(1, 100)], ["30/100", "60/100", "90/100"]),
    ],
)
def test_stage_prints_a_line_every_30_seconds_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reports: list[tuple[float, float]], lines: list
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.Display().stage("encoding", 100, "texts") as stage:
        for now, done in reports:  # noqa: B007, the clock reads it
            stage(done, "loss 1")
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == len(lines)
    assert all(line.startswith(f"  encoding: {text}") for line, text in zip(printed, lines, strict=True))


@pytest.mark.parametrize("modules", [(), ("ipykernel",), ("ipykernel", "ipywidgets")])
def test_bars_in_a_notebook_need_widgets(monkeypatch: pytest.MonkeyPatch, modules: tuple[str, ...]) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # as if it were not installed
    for name in modules:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    assert progress.Display().interactive == ("ipywidgets" in modules)
    assert not progress.Display(quiet=True).interactive


def test_lines_of_a_process_begin_with_its_topic(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    display = progress.Display().about("seed 3")
    display.say("trained")
    with display.stage("encoding", 10, "texts") as stage:
        stage(10)
    progress.Display(quiet=True).about("seed 4").say("trained")
    progress.Display(quiet=True).about("seed 4").warn("FAILED")
    assert capsys.readouterr().err == "seed 3: trained\nseed 4: FAILED\n"


def test_time_left_of_a_call_is_by_kind_and_starts_from_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    run = progress.Run(Counter(untrained=4, trained=6))
    run.finish("untrained", 2, 2, 10.0)
    assert (run.done, run.left(None)) == (2, None)  # nothing is known of trained cells
    run.started, now = ("trained", 2, 0.0), 100.0
    assert run.left(20.0) == 2 * 5 + 6 * 60 - 100
    run.finish("trained", 2, 2, 130.0)
    assert (run.done, run.left(None)) == (4, 2 * 5 + 4 * 65)
    run.finish("trained", 2)  # cells that were finished or failed say nothing of the time
    assert (run.done, run.left(None)) == (6, 2 * 5 + 2 * 65)
    run.jobs = 2
    assert run.left(None) == 70
    run.finish("trained", 2, 2, 130.0)
    run.finish("untrained", 2, 2, 10.0)
    assert (run.done, run.left(None)) == (10, 0)


def test_a_silent_call_prints_its_cells_and_its_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = threading.active_count()
    display = progress.Display()
    display.interval = 0.5
    with display.running({"trained": 3}, jobs=1) as run, display.stage("training", 10, "steps") as stage:
        run.finish("trained", 1, 1, 30.0)
        stage(5, "loss 1")
        time.sleep(2.5)
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == "  1/3 cells, about 60 s left; training: 5/10 steps, loss 1"
    time.sleep(1.1)
    assert threading.active_count() == threads


def test_with_several_jobs_only_the_call_counts_cells_and_lines_are_as_many(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    display = progress.Display(bars=False, jobs=4)
    with display.running({"trained": 8}, jobs=4):
        theirs = pickle.loads(pickle.dumps(display))
        alone = pickle.loads(pickle.dumps(progress.Display()))
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    theirs._printed = alone._printed = 0.0
    for each, label in ((theirs, "a"), (alone, "b")):
        with each.stage(label, 1000, "steps") as stage:
            for now in range(1, 241):
                stage(now)
        now = 0.0
    printed = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0].strip() for line in printed] == ["a"] * 2 + ["b"] * 8


def test_terminal_has_a_line_for_the_call_and_one_for_the_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    display = progress.Display()
    with display.running({"trained": 3}, jobs=1) as run, display.stage("training", 10, "steps") as stage:
        run.finish("trained", 1, 1, 30.0)
        with display.stage("encoding", 10, "texts") as stage:
            stage(5)
            time.sleep(0.3)
    shown = capsys.readouterr().err
    assert "all cells" in shown and "1/3 cells" in shown and "about 60 s left" in shown and "5/10 texts" in shown
