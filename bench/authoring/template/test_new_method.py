"""The checks that every method must pass. Add the tests of your own method here."""

from pathlib import Path

from bench.cli import main

MODULE = Path(__file__).with_name("new_method.py")


def test_it_is_valid() -> None:
    assert main(["validate", f"{MODULE}:NewMethod"]) == 0
