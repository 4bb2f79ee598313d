"""Show a query, its judged documents, what each method of a results folder ranked on top, how it scored and where the
first relevant document came; and of methods that align words the transport plan between the query's words and a
document's.
"""

from __future__ import annotations

import argparse

from bench.offline import forbid_network
from bench.options import add_options, read_options
from bench.request import InspectQuery


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", metavar="ID", help="the id of the query, as run files have it")
    add_options(parser, InspectQuery)


def main(options: argparse.Namespace) -> int:
    given = read_options(InspectQuery, options)
    forbid_network()
    from bench.inspection.query import inspect_query

    return inspect_query(options.query, given)
