"""Lines about work that goes on, without a terminal."""

import pytest

from bench import progress


@pytest.mark.parametrize(
    ("reports", "lines"),
    [
        (
            [(0, 0), (30, 10), (60, 20), (90, 40), (120, 80)],
            ["20/100 texts, loss 1, about 240 s left", "80/100 texts, loss 1, about 15 s left"],
        ),
        # Work that an earlier call had done does not count.
        ([(10, 80), (40, 85), (70, 90)], ["90/100 texts, loss 1, about 60 s left"]),
        ([(1, 40), (1.5, 80), (20, 81), (70, 86)], ["86/100 texts, loss 1, about 140 s left"]),
        ([(61, 0)], ["0/100 texts, loss 1"]),
        ([(0, 0), (70, 100)], []),
    ],
)
def test_lines_of_a_stage_have_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reports: list[tuple[float, float]], lines: list
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.Display().stage("encoding", 100, "texts") as stage:
        for now, done in reports:  # noqa: B007, the clock reads it
            stage(done, "loss 1")
    assert capsys.readouterr().err.splitlines() == [f"  encoding: {line}" for line in lines]


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
