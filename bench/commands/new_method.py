"""Write a small package with a method that works as it is, a test of it and an entry point, to the folder NAME."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.authoring.template import class_name, write_method


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what the method is to be called, as in my-method")


def main(options: argparse.Namespace) -> int:
    _, module, _ = written = write_method(options.name, Path())
    print(f"written: {', '.join(map(str, written))}")
    print(f"check it with: bench validate {module}:{class_name(options.name)}")
    print(f"install it with: pip install -e {options.name}")
    return 0
