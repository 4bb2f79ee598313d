"""Methods that fail: a line with the reason and the right exit code, and the other methods finish."""

from __future__ import annotations

import json

import pytest
from cells import reseal
from plugins import FAILING_CELLS, FAILING_TRAININGS, MISBEHAVING
from small_bench import REFERENCES, Command, rows, steps_of

from bench.encoders.encoder import read_encoder
from bench.results.store import FAILURE, LOG, RETRIEVER, RUN
from bench.storage.sealed import MANIFEST


def test_a_method_that_fails_is_recorded_and_the_others_finish(misbehaving: Command, whole: Command) -> None:
    command, fails = misbehaving, FAILING_TRAININGS | FAILING_CELLS
    said = command(" ".join((*fails, "Good", "Overwrites")), "--timeout", "2s")
    assert said.code == 1
    for method, reason in fails.items():
        assert reason in said.line(f" FAILED {method}.")
        assert method not in said.out
    for method in ("Fails", "RunsOutOfMemory", "Swallows", "Raises"):
        traceback = (command.entry("trainings", method) / FAILURE).read_text()
        assert traceback.startswith("Traceback")
        assert "plugin.py" in traceback  # where it was
        assert not (command.entry("trainings", method) / MANIFEST).exists()
    assert (command.entry("cells", "EmbedsNothing") / FAILURE).exists()
    assert said.lines[-1] == f"{len(REFERENCES) + 2} cells computed, 0 found finished, {len(fails)} FAILED"
    assert command.methods() == {"Good", "Overwrites", *REFERENCES}
    assert all(row in rows(whole.results) for row in rows(command.results) if row["method"] in REFERENCES)
    manifest = command.manifest("trainings", "Overwrites")  # what a plugin reports is stored separately
    assert manifest["outcome"]["fingerprint"] == "mine"
    assert (manifest["kind"], len(manifest["fingerprint"]), manifest["cost"]["seconds"] >= 0) == ("training", 64, True)
    again = command("Fails Good Overwrites")
    assert (again.code, again.lines[-1]) == (1, "0 cells computed, 5 found finished, 1 FAILED")


@pytest.mark.parametrize("budget", ["2steps", "20tokens", "1seconds"])
def test_method_that_goes_on_after_its_budget_is_stopped(misbehaving: Command, budget: str) -> None:
    command = misbehaving
    said = command("GoesOn", "--timeout", "1s", budget=budget)
    assert said.code == 1
    assert f"it made a step after its budget of {budget} was spent" in said.line("FAILED GoesOn.")
    steps = steps_of(command.entry("trainings", "GoesOn") / LOG)
    assert len(steps) > 9 if budget == "1seconds" else len(steps) == 2
    assert command.methods() == {*REFERENCES}


def test_method_that_trains_its_teacher_harms_only_itself(misbehaving: Command, whole: Command) -> None:
    command = misbehaving
    assert command("Meddles distillation").code == 0
    assert [row for row in rows(command.results) if row["method"] != "Meddles"] == rows(whole.results)
    cells = {
        name: data for name, data in command.files().items() if name.startswith("cells/") and "Meddles" not in name
    }
    assert cells == {name: data for name, data in whole.files().items() if name.startswith("cells/")}
    for method in ("distillation", *REFERENCES):
        assert command.manifest("trainings", method)["teacher"] == {"drift": 0, "trainable": 0}
    changed = command.manifest("trainings", "Meddles")["teacher"]
    assert changed["drift"] > 0.01
    assert changed["trainable"] == sum(weights.numel() for weights in read_encoder(whole.encoder, "small").parameters())

    # It encodes the documents of its own method, also when it is read again.
    cell, saved = command.entry("cells", "Meddles"), command.entry("trainings", "Meddles") / RETRIEVER
    made = (cell / RUN).read_bytes()
    places = json.loads((saved / "retriever.json").read_text())
    assert (places["query"], places["document"]) == ("query", "document")
    assert read_encoder(saved / "document", "small").fingerprint() != places["teacher"]["fingerprint"]
    for change in ({}, {"document": "teacher"}):
        (saved / "retriever.json").write_text(json.dumps({**places, **change}))
        reseal(saved.parent)
        command.forget("cells", "Meddles")
        assert command("Meddles").code == 0
        assert ((cell / RUN).read_bytes() == made) == (not change)


def test_a_module_that_ends_the_process_is_refused(misbehaving: Command, whole: Command) -> None:
    path = whole.folder / "ends.py"
    path.write_text(f"import os\nos._exit(0)\n{MISBEHAVING}")
    said = misbehaving(f"{path}:Good")
    assert (said.code, said.lines) == (2, ["bench: method 'Good': its process ended with exit code 0"])
