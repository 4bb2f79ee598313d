"""Train a method some times over on a small part of the generated collection, with the tiny encoder, and check what
every method must keep to: the same seed gives the same bytes, also when resumed; the budget is kept to; what is saved
is what is loaded; no test data are looked at; the teacher stays frozen; settings are documented. Exits 1 if a check
fails.
"""

from __future__ import annotations

import argparse

from bench.libraries import prepare_libraries
from bench.options import add_options, read_options
from bench.progress import Display
from bench.request import Validation, check_methods
from bench.tables import TEXT_WIDTH, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="METHOD", help="as for bench run --methods: a name, path/to/file.py:Class, a combination"
    )
    add_options(parser, Validation)


def main(options: argparse.Namespace) -> int:
    given = read_options(Validation, options, environment=False)
    check_methods([options.name], given.method)
    prepare_libraries(offline=False, threads=1)
    from bench.authoring import validation

    findings = validation.validate(options.name, given, Display())
    print_table(["check", "", "finding"], findings, width=TEXT_WIDTH)
    return int(any(finding.verdict == validation.FAIL for finding in findings))
