"""Lines about work that goes on, without a terminal."""

from __future__ import annotations

import pytest

from bench import progress


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reports: list[tuple[float, float]]
) -> list[str]:
    """Return the lines of a stage of 100 texts with reports of a time and the work done by then."""
    now = iter([0.0, *(time for time, _ in reports)])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.Display().stage("encoding", 100, "texts") as stage:
        for _, done in reports:
            stage.update(done, "loss 1")
    return capsys.readouterr().err.splitlines()


def test_time_left_is_that_of_the_rate_since_the_line_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(monkeypatch, capsys, [(0, 0), (30, 10), (60, 20), (90, 40), (120, 80)]) == [
        "  encoding: 20/100 texts, loss 1, about 240 s left",
        "  encoding: 80/100 texts, loss 1, about 20 s left",
    ]


def test_what_was_done_before_says_nothing_of_the_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for reports in ([(10, 80), (70, 90)], [(10, 40), (10.5, 80), (70.5, 90)]):
        assert told(monkeypatch, capsys, reports) == ["  encoding: 90/100 texts, loss 1, about 60 s left"]


def test_nothing_is_said_of_time_before_there_is_a_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(monkeypatch, capsys, [(61, 0)]) == ["  encoding: 0/100 texts, loss 1"]


def test_end_needs_no_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(monkeypatch, capsys, [(0, 0), (70, 100)]) == []


def test_lines_of_a_process_begin_with_its_topic(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    display = progress.Display().about("seed 3")
    display.say("trained")
    with display.stage("encoding", 10, "texts") as stage:
        stage.update(10)
    progress.Display(quiet=True).about("seed 4").say("trained")
    progress.Display(quiet=True).about("seed 4").warn("FAILED")
    assert capsys.readouterr().err == "seed 3: trained\nseed 4: FAILED\n"
