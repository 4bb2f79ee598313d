"""Reading XML strictly: entities are refused, and what is wrong is told with the file's name and the line's number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from bench.data.formats.text import LONGEST
from bench.errors import BenchError


def elements(path: Path, file: IO[bytes], tag: str) -> Iterator[Element]:
    """The elements of this name, each emptied when the next is asked for; `path` is what messages name."""
    try:
        for _, element in iterparse(file):
            if element.tag == tag:
                yield element
                element.clear()
    except ParseError as error:
        what = str(error).partition(":")[0]  # the rest is the place again
        raise BenchError(f"{path}: line {error.position[0]} of its XML: {what}") from error
    except DefusedXmlException as error:
        raise BenchError(f"{path}: it declares XML entities, which are refused: {error}") from error
    except (ValueError, LookupError) as error:  # of its encoding
        raise BenchError(f"{path}: not XML that can be read: {error}") from error


def text_inside(path: Path, element: Element) -> str:
    """All text of an element, each run of white space as one space; raises BenchError beyond `LONGEST` characters."""
    text = " ".join("".join(element.itertext()).split())
    if len(text) > LONGEST:
        raise BenchError(f"{path}: a <{element.tag}> of {len(text):,} characters, so it is no sentence or passage")
    return text
