"""The command line. Nothing heavy is imported before the command is known to make sense."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.request import Request

DEFAULT_RESULTS = Path("results/runs")
KINDS = ("methods", "datasets", "pairs", "encoders", "measures")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bench: interrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Compare training methods for cross-lingual retrieval on low-resource languages: "
        "same student, same data, same budget, one pipeline.",
        epilog="exit codes: 0 done, 1 a cell failed, 2 bad usage or input, 3 metric regression",
    )
    parser.add_argument("--version", action="version", version=f"bench {bench.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_run(commands)
    _add_ls(commands)
    _add_leaderboard(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="train methods, evaluate them, print a leaderboard",
        description="Train each method on each pair and evaluate it on each collection. The reference rows zero-shot, "
        "untrained and oracle join every run. What is finished already is not computed again.",
    )
    text = _list_option(run)
    text("--methods", "training methods (see bench ls methods), or path/to/file.py:Class", required=True)
    text("--datasets", "test collections (see bench ls datasets)", default=["conlang"])
    text("--pairs", "language pairs, query-document, such as swh-eng; default: all of the datasets", default=[])
    text("--train", "collections to train on; default: the pair's standard mix", default=[])
    run.add_argument("--encoder", metavar="NAME", help="teacher and student (see bench ls encoders); default: "
                     "tiny for generated collections, else all-MiniLM-L6-v2")  # fmt: skip
    text("--scoring", "how a document is scored: mean", default=["mean"])
    run.add_argument("--budget", metavar="AMOUNT", default="200steps",
                     help="per training, such as 600steps, 2Mtokens or 90seconds (default: 200steps)")  # fmt: skip
    text("--seeds", "one training per seed (default: 0)", default=["0"])
    text("--measures", "measures of ir-measures (default: nDCG@10 RR@10 Success@1 R@100)", default=[])
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    run.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto",
                     help="of training (evaluation is float32); auto: bfloat16 where it is faster")  # fmt: skip
    _add_results(run)
    run.add_argument("--mirror", type=Path, metavar="FOLDER", default=_environment_path("BENCH_MIRROR"),
                     help="a folder with collections, laid out owner/repository/path (or BENCH_MIRROR)")  # fmt: skip
    run.add_argument("--offline", action="store_true", help="never download anything")
    run.add_argument("--dry-run", action="store_true", help="print what would run and about how long it would take")
    run.add_argument("--quiet", action="store_true", help="print the leaderboard and errors only")
    run.set_defaults(command=run_command)


def _add_ls(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ls = commands.add_parser("ls", help="list methods, datasets, pairs, encoders or measures")
    ls.add_argument("kind", choices=KINDS)
    ls.add_argument("name", nargs="?", help="say everything about one of them (datasets)")
    ls.set_defaults(command=ls_command)


def _add_leaderboard(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    board = commands.add_parser("leaderboard", help="write and print the leaderboard of a results folder")
    _add_results(board)
    _list_option(board)("--measures", "columns of the printed table; default: all that were scored", default=[])
    board.set_defaults(command=leaderboard_command)


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, metavar="FOLDER", default=DEFAULT_RESULTS,
                        help=f"where results are kept (default: {DEFAULT_RESULTS})")  # fmt: skip


def _list_option(parser: argparse.ArgumentParser):  # type: ignore[no-untyped-def]
    def add(name: str, help: str, **more: Any) -> None:
        parser.add_argument(name, nargs="+", metavar="NAME", help=f"{help}; separated by commas or spaces", **more)

    return add


def _environment_path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _items(values: Sequence[str]) -> tuple[str, ...]:
    """`a,b c` as a, b, c, each once."""
    return tuple(dict.fromkeys(item for value in values for item in value.replace(",", " ").split()))


def read_request(options: argparse.Namespace) -> Request:
    """The request of `bench run`, its values parsed. Raises `BenchError` for one that does not parse."""
    from bench.budget import Budget
    from bench.languages import parse_pair
    from bench.measures import DEFAULT, parse_measures
    from bench.request import RUN_DEPTH, Request

    for option in ("methods", "datasets", "scoring"):
        if not _items(getattr(options, option)):
            raise BenchError(f"--{option} names nothing; see bench run --help")
    return Request(
        methods=_items(options.methods),
        datasets=_items(options.datasets),
        pairs=tuple(dict.fromkeys(parse_pair(pair) for pair in _items(options.pairs))),
        train=_items(options.train),
        encoder=options.encoder,
        scorings=_items(options.scoring),
        budget=Budget.parse(options.budget),
        seeds=_seeds(_items(options.seeds)),
        measures=tuple(parse_measures(_items(options.measures), RUN_DEPTH)) or DEFAULT,
        device=options.device,
        precision=options.precision,
        results=options.results,
    )


def _seeds(values: Sequence[str]) -> tuple[int, ...]:
    try:
        seeds = tuple(int(value) for value in values)
    except ValueError:
        raise BenchError(f"seeds '{' '.join(values)}' do not parse; write whole numbers such as 0,1,2") from None
    if not seeds or min(seeds) < 0:
        raise BenchError("seeds are whole numbers from 0 on, such as 0,1,2")
    return seeds


def run_command(options: argparse.Namespace) -> int:
    from bench.cards import load_cards
    from bench.files import Resolver
    from bench.request import check

    request = read_request(options)
    cards = load_cards()
    check(request, cards)
    resolver = Resolver(mirror=options.mirror, offline=options.offline)

    from bench.commands import dry_run, run

    if options.dry_run:
        return dry_run(request, cards, resolver)
    return run(request, cards, resolver, quiet=options.quiet)


def ls_command(options: argparse.Namespace) -> int:
    from bench.commands import ls

    return ls(options.kind, options.name)


def leaderboard_command(options: argparse.Namespace) -> int:
    from bench.commands import leaderboard

    return leaderboard(options.results, _items(options.measures))
