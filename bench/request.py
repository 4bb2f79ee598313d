"""The options of each command, one field each, and the check that everything they name exists.

Imports nothing heavy. Descriptions of fields are the texts of `--help`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from bench import registry
from bench.data import Pair
from bench.data.cards import Card, get_card
from bench.data.dimensions import Dimension, Level
from bench.encoders.models import check_encoder
from bench.errors import BenchError, unknown
from bench.evaluation import measures
from bench.processes import cores
from bench.spec import BudgetText, parse_methods
from bench.training.budget import Budget
from bench.values import Names, Pairs, Seconds, Seeds, items, parser

SCORINGS = ("mean", "maxsim")
STUDENTS = ("pair", "joint")


Measures = Annotated[tuple[str, ...], parser(lambda value: tuple(measures.parse_measures(items(value))))]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    from_environment: ClassVar[bool] = True
    """True if environment variables set options that the command line does not."""


class Cards(_Options):
    cards: Path | None = Field(None, description="a folder of your own with more cards of collections")


class Mirror(Cards):
    mirror: Path | None = Field(None, description="a folder with collections, laid out owner/repository/path")


class Places(Mirror):
    offline: bool = Field(False, description="open no socket, and let no library open one")


class Results(_Options):
    results: Path = Field(Path("results/runs"), description="where results are kept")


class Ranked(Results):
    baseline: str = Field("zero-shot", description="the method that significance is tested against")


class Leaderboards(Ranked):
    measures: Names = Field((), description="columns of the printed table (default: all that were scored)")


class Versus(Results):
    qrels: Path | None = Field(None, description="judgments of two runs: a file of TREC's or BEIR's columns")
    measures: Measures = Field(
        ("nDCG@10",), description="measures of ir-measures; for methods and folders those that they were scored by"
    )
    samples: int = Field(10_000, ge=100, description="random sign flips of the paired randomisation test")
    queries: int = Field(10, ge=0, description="how many of the queries that changed most are shown")
    output: Path | None = Field(None, description="a CSV file to write the difference of every query to")


class Import(Places, Results):
    method: str = Field(min_length=1, description="what to call the row")
    dataset: str = Field(description="the test collection that was searched")
    pairs: Pairs = Field((), description="the language pair of a run; of MTEB's results those to keep (default: all)")
    encoder: str | None = Field(
        None, description="whose leaderboard it joins (default: the only one of that collection in the results folder)"
    )
    measures: Measures = Field(measures.DEFAULT, description="what to score a run by")


class Reports(Leaderboards):
    measures: Names = Field(
        (), description="measures that are shown, the first at first (default: all that were scored)"
    )
    output: Path | None = Field(None, description="a folder to write everything to (default: the results folder)")


class Fetch(Places):
    pairs: Pairs = Field((), description="only what these language pairs need (default: all pairs)")
    quiet: bool = Field(False, description="print errors only")


class Listing(Mirror):
    output: Path | None = Field(None, description="a folder to write a page for each method to (methods)")


class InspectStatistics(Mirror):
    output: Path | None = Field(None, description="a folder to write statistics.csv and sizes.csv to")


class InspectLeakage(Places):
    pairs: Pairs = Field((), description="language pairs (default: all that the training collections name)")
    train: Names = Field((), description="collections to look into (default: the standard mix of each pair)")
    limit: int = Field(5, ge=0, description="pairs of texts that are shown per test and training collection")
    output: Path | None = Field(None, description="a CSV file to write all of them to")


class InspectAlignment(_Options):
    methods: Names = Field((), description="methods that align words (default: all, in all ways that they have)")
    pairs: Pairs = Field((Pair("qaa", "eng"),), description="pairs of the embedded collection")
    budget: BudgetText = Field(Budget(200, "steps"), description="per training")
    seeds: Seeds = Field((0,), description="one training per seed")
    threads: int | None = Field(None, gt=0, description="processor threads (default: torch's choice)")


class Reproduce(Results, Places):
    """The places of collections are those of the manifest, unless they are given here."""

    keep: Path | None = Field(None, description="a folder to keep the new results in (default: none is kept)")
    quiet: bool = Field(False, description="print what came out and errors only")


class InspectQuery(Results, Mirror):
    dataset: str | None = Field(None, description="its collection, where several have a query of that id")
    pair: str | None = Field(None, description="its language pair, likewise")
    methods: Names = Field((), description="only these methods (default: all in the results folder)")
    measure: str | None = Field(None, description="the measure to show and sort by (default: all, sorted by the first)")
    document: str | None = Field(None, description="whose words are aligned with the query's (default: the one on top)")
    limit: int = Field(5, gt=0, description="documents that are shown of each method")
    output: Path | None = Field(None, description="an .svg or .png file to draw the alignments to as heat maps")


def _level_option(about: Dimension) -> Any:
    def parse(value: Any) -> tuple[Any, ...]:
        return about.parse([str(item) for item in items(value)])

    return Annotated[tuple[Any, ...], parser(parse)], Field((about.usual,), description=about.help)


LevelOptions: Any = create_model(
    "LevelOptions", __base__=_Options, **{name: _level_option(about) for name, about in Level.dimensions().items()}
)
"""An option for each dimension of the training data."""


class Request(Ranked, Places, LevelOptions):
    """A comparison."""

    methods: Names = Field(
        description="training methods (see bench ls methods), all of them, or path/to/file.py:Class; with settings of "
        "their own as in optical:epsilon=0.1, combined as in optical+dynamic-negatives"
    )
    datasets: Names = Field(
        ("conlang",), description="test collections (see bench ls datasets), or folders in BEIR's or TREC's layout"
    )
    pairs: Pairs = Field((), description="language pairs, query-document, as swh-eng (default: all of the datasets)")
    students: Names = Field(
        ("pair",), description="pair: one student for each language pair; joint: one for all of them together"
    )
    train: Names = Field((), description="collections to train on (default: the pair's standard mix)")
    leakage: Literal["remove", "keep"] = Field(
        "remove",
        description="training rows that repeat what a test judges by; to keep them, which spoils every score, measures "
        "what they are worth",
    )
    encoder: str | None = Field(
        None,
        description="teacher and student (see bench ls encoders; default: tiny for generated collections, "
        "else all-MiniLM-L6-v2)",
    )
    scoring: Names = Field(
        ("mean",), description="how documents are scored: mean, maxsim; a method that can do neither has its own"
    )
    budget: BudgetText = Field(Budget(200, "steps"), description="per training, as 600steps, 2Mtokens or 90seconds")
    seeds: Seeds = Field((0,), description="one training per seed")
    measures: Measures = Field(
        (),
        description=f"measures of ir-measures (default: {' '.join(measures.DEFAULT)}, and what a collection's field "
        "scores it by)",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to compute")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of training (evaluation is float32); auto: bfloat16 where it is faster"
    )
    threads: int | None = Field(None, gt=0, description="processor threads (default: torch's choice)")
    overwrite: Literal["never", "failed", "always"] = Field(
        "failed", description="what to compute again: nothing, what failed before, or everything"
    )
    patience: Seconds = Field(
        1800.0,
        description="longest time without a finished step or batch before a method is given up (default: 30min)",
    )
    energy: bool = Field(False, description="measure what energy is taken, where the machine has meters (extra energy)")
    quiet: bool = Field(False, description="print the leaderboard and errors only")
    recipe: dict[str, Any] = Field({}, description="settings of the training loop, the same for all methods")
    method: dict[str, dict[str, Any]] = Field({}, description="settings of methods, by their names")

    @property
    def levels(self) -> list[Level]:
        """The combinations of the dimensions of the training data."""
        return Level.combinations({name: getattr(self, name) for name in Level.dimensions()})


class Suite(_Options):
    """The values that `bench baseline` computes, and some seeds of which `bench check` computes again."""

    from_environment: ClassVar[bool] = False
    methods: Names = Field((), description="methods (default: all that are installed)")
    datasets: Names = Field(("conlang",), description="test collections; what they need must be at hand")
    pairs: Pairs = Field((Pair("qaa", "eng"),), description="language pairs")
    encoder: str = Field("tiny-{seed}", description="teacher and student, where {seed} is another one for each seed")
    budget: BudgetText = Field(Budget(100, "steps"), description="per training")
    measures: Measures = Field(measures.DEFAULT, description="measures of ir-measures")
    seeds: Seeds = Field(
        tuple(range(10)),
        description="one teacher and one training of each method per seed: at least 5, or one to compare by query",
    )
    checked: int = Field(3, gt=0, description="how many of several seeds a check computes again")

    @property
    def by_query(self) -> bool:
        """True if a check compares query by query: one seed gives no spread over seeds."""
        return len(self.seeds) == 1


class Validation(_Options):
    from_environment: ClassVar[bool] = False
    steps: int = Field(20, ge=4, description="optimiser steps of each training")
    recipe: dict[str, Any] = Field({}, description="settings of the training loop")
    method: dict[str, dict[str, Any]] = Field({}, description="settings of methods, by their names")


class Check(_Options):
    from_environment: ClassVar[bool] = False
    methods: Names = Field((), description="only these methods of the baseline (default: all)")


class Computing(Mirror):
    """Options of `bench baseline` and `bench check` that change no value."""

    jobs: int | None = Field(
        None, gt=0, description="processes, each of which computes a seed with one thread (default: one per core)"
    )
    keep: Path | None = Field(
        None, description="a folder to keep the results in, where they are found again (default: none is kept)"
    )
    quiet: bool = Field(False, description="print only what comes out, and errors")

    @property
    def processes(self) -> int:
        return self.jobs or cores()


def check(request: Request, cards: Mapping[str, Card]) -> None:
    """Raise `BenchError` for the first unknown name."""
    for option in ("methods", "datasets", "students", "scoring"):
        if not getattr(request, option):
            raise BenchError(f"--{option} names nothing; see bench run --help")
    check_methods((text for text in request.methods if text != registry.ALL), request.method)
    for name in request.datasets:
        card = get_card(name, cards)
        if "test" not in card.roles:
            offers = ", ".join(card.roles) or "a training mix"
            raise BenchError(f"dataset '{name}' has no test collection; it offers {offers}")
        measures_of(request, card)
    for name in request.train:
        get_card(name, cards)
    for kind, names, choices in (
        ("scoring", request.scoring, SCORINGS),
        ("kind of students", request.students, STUDENTS),
    ):
        if bad := [name for name in names if name not in choices]:
            raise unknown(kind, bad[0], choices)
    if request.encoder is not None:
        check_encoder(request.encoder)
    offered_pairs(request, cards)


def check_methods(methods: Iterable[str], settings: Iterable[str]) -> None:
    """Raise `BenchError` for the first unknown method, in `methods` or in the names of `settings`."""
    asked = {registry.find_method(spec.name).name for text in methods for spec in parse_methods(text)}
    for name in settings:
        if name not in asked and name not in registry.known():
            raise unknown("method", name, {*asked, *registry.known()})


def measures_of(request: Request, card: Card) -> tuple[str, ...]:
    """Return the measures of a collection. Raises `BenchError` for a measure of its card that cannot be computed."""
    if request.measures:
        return request.measures
    try:
        return tuple(dict.fromkeys([*measures.DEFAULT, *measures.parse_measures(card.measures)]))
    except BenchError as error:
        raise BenchError(f"{card.name}.toml: measures: {error}") from None


def offered_pairs(request: Request, cards: Mapping[str, Card]) -> dict[str, tuple[Pair, ...]]:
    """Return the requested pairs of each dataset. Raises `BenchError` if a pair is in none of them."""
    offered = {name: cards[name].pairs("test") for name in request.datasets}
    for pair in request.pairs:
        if not any(pair in pairs for pairs in offered.values()):
            known = sorted({str(other) for pairs in offered.values() for other in pairs})
            raise unknown(f"pair in {', '.join(request.datasets)}:", str(pair), known)
    if not request.pairs:
        return offered
    return {name: tuple(pair for pair in request.pairs if pair in pairs) for name, pairs in offered.items()}
