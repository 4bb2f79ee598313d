"""Language pairs as fields of pydantic models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer

from bench.data import Pair
from bench.data.languages import parse_pair
from bench.options import items, parser


def _pair(value: Any) -> Pair:
    return value if isinstance(value, Pair) else parse_pair(str(value))


PairText = Annotated[Pair, parser(_pair), PlainSerializer(str)]
Pairs = Annotated[
    tuple[Pair, ...],
    parser(lambda value: tuple(dict.fromkeys(map(_pair, items(value))))),
    PlainSerializer(lambda pairs: [str(pair) for pair in pairs]),
]
