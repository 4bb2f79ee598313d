"""The shared part of the speed suite, whose scripts are for maintainers."""

import json
from pathlib import Path

import pytest
from timing import Timing, compare, report


def test_two_functions_run_alternately_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    timing = compare("work", lambda: calls.append("ours"), "peer", lambda: calls.append("theirs"), least=1, runs=3)
    assert calls == ["ours", "theirs"] * 4
    assert len(timing.seconds) == len(timing.peer_seconds) == 3


@pytest.mark.parametrize(("least", "code"), [(1.9, 0), (2.1, 1)])
def test_report_keeps_medians_and_fails_below_the_required_ratio(least: float, code: int, tmp_path: Path) -> None:
    seconds = {"seconds": (1.0, 9.0, 1.0), "peer_seconds": (2.0, 2.0, 0.1)}
    timing = Timing(work="search", peer="faiss", least=least, facts={"recall": 0.9}, **seconds)
    assert timing.ratio == 2
    assert report("script", [timing], tmp_path) == code
    stored = json.loads((tmp_path / "script.json").read_text())
    assert stored["rows"][0]["ratio"] == 2
    assert {"libraries", "processor_model", "commit"} <= stored["provenance"].keys()
    assert (
        f"| search (recall 0.9) | 1.000 | faiss | 2.000 | 2.00 | {least:.2f} |" in (tmp_path / "script.md").read_text()
    )
