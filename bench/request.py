"""The options of each command, and the check that everything that they name exists.

Imports nothing heavy. Descriptions of fields are the texts of `--help`.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from bench import registry
from bench.data import Pair
from bench.data.bitext_subsets import BitextSubset
from bench.data.cards import NAME, Card, get_card, load_cards
from bench.data.languages import Pairs
from bench.data.own import with_own
from bench.encoders.models import check_encoder
from bench.errors import BenchError, unknown
from bench.evaluation import measures
from bench.evaluation.conventions import Average, Ties
from bench.options import (
    Also,
    File,
    Folder,
    Names,
    NewFile,
    NewFolder,
    Options,
    Seconds,
    Seed,
    Seeds,
    Threads,
    argument,
    items,
    option,
)
from bench.recipe import Budget
from bench.spec import BudgetText, parse_methods

Size = Annotated[str, StringConstraints(pattern=r"^(all|[1-9][0-9]{0,11})$")]
Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0, le=1000)]
Positive = Annotated[float, Field(ge=1e-9, le=1000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Differences = Annotated[tuple[Positive, ...], BeforeValidator(items), Field(min_length=1)]
Queries = Annotated[tuple[Annotated[int, Field(ge=2, le=100_000)], ...], BeforeValidator(items), Field(min_length=1)]
SeedCounts = Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], BeforeValidator(items), Field(min_length=1)]
Scoring = Literal["single-vector", "maxsim"]


def _like(name: str, pattern: str, form: str) -> AfterValidator:
    """Return a validator of texts by a pattern, which `form` explains to users."""

    def check(value: Any) -> Any:
        for text in (value,) if isinstance(value, str) else value:
            if not re.fullmatch(pattern, text):
                raise BenchError(f"{name} = {text[:40]!r}: write {form}")
        return value

    return AfterValidator(check)


ONE_DEVICE = "(cpu|mps|cuda(:[0-9]{1,3})?)"
DEVICES = _like("device", rf"auto|{ONE_DEVICE}(\+{ONE_DEVICE})*", "auto, cpu, cuda, cuda:1, mps or cuda:0+cuda:1")
Devices = Annotated[tuple[str, ...], BeforeValidator(items), Field(min_length=1), DEVICES]
Engine = Annotated[
    str, _like("engine", r"local|slurm(:local)?|ray(:\S+)?", "local, slurm, slurm:local, ray or ray:ADDRESS")
]
LOCAL = "local"
"""The engine that uses only this machine."""
Students = Literal["bilingual", "multilingual"]
ShownMeasures = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: tuple(map(measures.canonical, measures.split(value))))
]
Measures = Annotated[tuple[str, ...], BeforeValidator(lambda value: tuple(measures.parse_measures(value)))]
EXACT = "Flat"


def _checked_index(text: str) -> str:
    if text != EXACT:
        from bench.evaluation.index import make_index

        make_index(text)
    return text


Index = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_,.()=:-]{1,100}$"), AfterValidator(_checked_index)]


class Mirror(Options):
    cards: Folder | None = option(None, "a folder of your own with more cards of collections")
    mirror: Folder | None = option(None, "a folder with collections, laid out owner/repository/path")


class Places(Mirror):
    offline: bool = option(False, "open no socket, and let no library open one")


class Results(Options):
    results: NewFolder = option(Path("results/runs"), "the results folder")


class Shown(Options):
    wide: bool = option(False, "print all columns; those that do not fit follow in a table below", exclude=True)


class Ranked(Results):
    baseline: str = option("zero-shot", "the method that the tests compare with")


class Leaderboards(Ranked):
    measures: ShownMeasures = option((), "columns of the printed table (default: all stored measures)")


class Printed(Leaderboards, Shown):
    methods: Names = option((), "rows of the printed tables, named as in them (default: all)")
    datasets: Names = option((), "collections of the printed tables (default: all)")
    pairs: Pairs = option((), "language pairs of the printed tables (default: all)")
    layout: Literal["boards", "paper"] = option(
        "boards",
        "boards: a table per collection, pair and encoder; paper: methods against languages by the first measure, in "
        "Markdown and LaTeX",
    )


class Judging(Options):
    """Conventions for runs of other software."""

    ties: Ties = option("descending-id", "order of documents with equal scores; trec_eval has descending-id")
    average: Average = option(
        "judged",
        "queries of the mean. judged: all judged queries (trec_eval -c); relevant: those with a relevant document; "
        "returned: those with results (trec_eval without -c)",
    )


class Compare(Judging, Results, Shown):
    a: str = argument("A", "a method of a leaderboard, a results folder, or a TREC run")
    b: str = argument("B", "the same kind as A")
    qrels: File | None = option(None, "judgments for two runs, in the format of TREC or BEIR")
    measures: Measures = option(("nDCG@10",), "measures of ir-measures; cells must have scores by them", min_length=1)
    samples: Count = option(10_000, "random sign flips of the paired randomisation test", ge=100)
    queries: Count = option(10, "number of queries to show, those that differ most")
    output: NewFile | None = option(None, "CSV file for the difference of every query")


class Power(Options):
    queries: Queries = option((100, 300, 1000), "number of queries")
    seeds: SeedCounts = option((1, 3, 5, 10), "number of seeds of each method")
    difference: Differences = option((0.01, 0.02, 0.05), "true difference between the means")
    sd: Positive = option(0.2, "standard deviation over queries of the difference between two students")
    noise: Share = option(0.5, "share of that variance that differs from training to training")
    seed_sd: Spread = option(0.005, "standard deviation over seeds of a method's mean")
    comparisons: Count = option(1, "number of comparisons that Holm's procedure corrects for", gt=0)
    repetitions: int = option(1000, "simulated experiments for each printed share", ge=100, le=1_000_000)


class Import(Judging, Places, Results):
    file: File | None = argument("FILE", "a TREC run or results of MTEB (JSON); either may be gzipped", None)
    published: bool = option(False, "import published figures of well-known models instead of a file")
    method: str | None = option(None, "the name of the row", min_length=1)
    dataset: str | None = option(None, "the test collection that was searched")
    pairs: Pairs = option((), "language pair of a run, or pairs to import from results of MTEB (default: all)")
    encoder: str | None = option(None, "encoder of the leaderboard (default: the only one of the collection)")
    measures: Measures = option(measures.DEFAULT, "the measures of a run", min_length=1)


class Reports(Leaderboards):
    measures: ShownMeasures = option((), "measures to show (default: all stored measures)")
    output: NewFolder | None = option(None, "output folder (default: the results folder)")


class Fetch(Places):
    names: Names = argument("NAME", "collections or mixes (see bench ls datasets)", min_length=1)
    pairs: Pairs = option((), "download files of these language pairs only (default: all pairs)")
    quiet: bool = option(False, "print errors only")


class Listing(Mirror, Shown):
    kind: Literal["methods", "datasets", "pairs", "encoders", "measures", "formats"] = argument("KIND")
    name: str | None = argument("name", "describe one method, dataset or encoder", None)
    pairs: Pairs = option((), "only these language pairs, or collections with texts for them (datasets, pairs)")
    json_: bool = option(False, "print JSON")
    output: NewFolder | None = option(None, "output folder for a page of each method, or for the page of formats")


class InspectLeakage(Places):
    pairs: Pairs = option((), "language pairs (default: all pairs of the training collections)")
    train: Names = option((), "collections to search (default: the standard mix of each pair)")
    limit: Count = option(5, "number of text pairs to show for each test and training collection")
    output: NewFile | None = option(None, "CSV file for all pairs of texts")


class InspectAlignment(Options):
    methods: Names = option((), "methods that align words (default: all, with all variants)")
    pairs: Pairs = option((Pair("qaa", "eng"),), "pairs of the embedded collection")
    budget: BudgetText = option(Budget(200, "steps"), "budget of one training")
    seeds: Seeds = option((0,), "one training per seed")
    threads: Threads | None = option(None, "processor threads (default: torch's choice)")


class InspectCell(Results):
    cell: str = argument("CELL", "folder of a cell, its name, or the beginning of its fingerprint")
    json_: bool = option(False, "print the manifest as JSON")
    ir_metadata: bool = option(False, "print the ir_metadata of the run")


class Reproduce(Results, Places):
    """Options that are not given have the values of the manifest."""

    cell: str = argument("CELL", "folder of a cell, its name, or the beginning of its fingerprint")
    keep: NewFolder | None = option(None, "folder for the new results (default: a temporary folder)")
    quiet: bool = option(False, "print results and errors only")


class InspectQuery(Results, Mirror, Shown):
    query: str = argument("ID", "the id of the query, as in run files")
    dataset: str | None = option(None, "collection of the query, if several collections have the id")
    pair: str | None = option(None, "language pair of the query, if several pairs have the id")
    methods: Names = option((), "only these methods (default: all in the results folder)")
    measure: str | None = option(None, "measure to show and to sort by (default: all, sorted by the first)")
    document: str | None = option(None, "document to align with the query (default: the top document)")
    limit: Count = option(5, "documents to show for each method", gt=0)


class Machines(Options):
    """The options for the place of computations (`bench/running/engines.py`)."""

    device: Devices = option(
        ("auto",),
        "auto, cpu, cuda, cuda:1 or mps; a list such as cuda:0,cuda:1 distributes the trainings, and cuda:0+cuda:1 "
        "shares each of them",
    )
    jobs: Threads | None = option(None, "trainings at a time (default: one per device; all with ray and slurm)")
    threads: Threads | None = option(None, "processor threads of each job (default: torch's choice, divided by jobs)")
    engine: Engine = option(LOCAL, "local, slurm, ray or ray:ADDRESS; all except local use several machines")


class Trainings(Places, Machines, Shown):
    """The options of trainings and their evaluation that `bench run` and `bench tune` share."""

    pairs: Pairs = option((), "pairs of query and document language, as swh-eng (default: all pairs of the datasets)")
    train: Names = option(
        (), "collections, or files and folders of your own, to train on (default: the pair's standard mix)"
    )
    encoder: str | None = option(
        None, "teacher and student (see bench ls encoders; default: tiny for conlang, else all-MiniLM-L6-v2)"
    )
    budget: BudgetText = option(
        Budget(200, "steps"), "budget of one training: 600steps, 64kexamples, 2Mtokens, 90seconds or 90cpu-s"
    )
    seeds: Seeds = option((0,), "one training per seed")
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto", "number format of encoders; auto: bfloat16 if the hardware supports it and gains from it"
    )
    overwrite: Literal["never", "failed", "always"] = option(
        "failed", "cells to compute again: never any, only failed cells, or always all"
    )
    timeout: Seconds = option(1800.0, "stop a method that finishes no step or batch for this time (default: 30min)")
    quiet: bool = option(False, "print tables and errors only")
    dry_run: bool = option(False, "print the cells of the call and their state; compute nothing", exclude=True)
    recipe: dict[str, Any] = option({}, "settings of the training loop, the same for all methods")


class Request(Ranked, Trainings):
    """A comparison."""

    methods: Names = option(
        ...,
        "training methods (see bench ls methods), all, or path/to/file.py:Class. Settings: optical:epsilon=0.1; "
        "combinations: optical+dynamic-negatives",
        min_length=1,
    )
    datasets: Annotated[Names, Also(("--test",))] = option(
        ("conlang",),
        "test collections (see bench ls datasets), or folders in the layout of BEIR or TREC",
        min_length=1,
    )
    students: Annotated[tuple[Students, ...], BeforeValidator(items)] = option(
        ("bilingual",),
        "bilingual: one student for each language pair; multilingual: one student for all pairs",
        min_length=1,
    )
    train_pairs: Pairs = option((), "pairs to train one student on, in place of the tested pairs and of --students")
    bitext_size: Annotated[tuple[Size, ...], BeforeValidator(lambda value: tuple(map(str, items(value))))] = option(
        ("all",), "numbers of sentence pairs, each a random sample of the bitext; one training for each", min_length=1
    )
    bitext_noise: Annotated[tuple[Share, ...], BeforeValidator(items)] = option(
        (0.0,), "shares of misaligned sentence pairs; one training for each", min_length=1
    )
    leakage: Literal["remove", "keep"] = option(
        "remove", "training rows that overlap with a test collection; keep them only to measure the effect of leakage"
    )
    scoring: Annotated[tuple[Scoring, ...], BeforeValidator(items)] = option(
        ("single-vector",),
        "scoring of documents: single-vector or maxsim; methods without vectors use their own",
        min_length=1,
    )
    index: Index = option(
        EXACT, "FAISS index of single vectors: Flat (exact), or an approximate index as HNSW32 or IVF256,Flat:nprobe=16"
    )
    measures: Measures = option(
        (), f"measures (default: {' '.join(measures.DEFAULT)}, and those of a collection's field)"
    )
    energy: bool = option(False, "measure energy, if the machine has meters; needs the extra energy")
    method: dict[str, dict[str, Any]] = option({}, "settings of each method, by its name")

    @property
    def subsets(self) -> list[BitextSubset]:
        """The combinations of sizes and shares of noise of the bitext."""
        sizes = [None if size == "all" else int(size) for size in self.bitext_size]
        return list(dict.fromkeys(BitextSubset(size, noise) for size in sizes for noise in self.bitext_noise))


class Studies(Options):
    studies: Folder = option(Path("results/studies"), "folder with a folder for each study")


class StudyReport(Studies):
    name: str = argument("NAME", "a study (see bench study ls)")


class StudyRun(StudyReport, Places, Machines):
    scale: Literal["full", "smoke"] = option(
        "full", "smoke: three steps with the tiny encoder on a generated language; prints the report and stores nothing"
    )
    quiet: bool = option(False, "print tables and errors only")
    dry_run: bool = option(False, "print the cells of the call and their state; compute nothing")


class StudyCheck(StudyReport, Places):
    sample: Count = option(3, "number of random cells", gt=0)
    seed: Seed = option(0, "seed of the sample")
    quiet: bool = option(False, "print results and errors only")


class Tune(Trainings):
    methods: Names = argument("METHOD", "trained methods, without settings (see bench ls methods)", min_length=1)
    datasets: Names = option(("conlang-dev",), "development collections", min_length=1)
    draws: Count = option(8, "number of configurations of each method; the first has its defaults", gt=0)
    seed: Seed = option(0, "seed of the draws")
    results: NewFolder = option(Path("results/tuning/runs"), "results folder of the trainings and cells")
    output: NewFolder = option(Path("results/tuning"), "output folder for a table of each method")


class Suite(Options):
    """The suite that `bench baseline` computes."""

    from_environment: ClassVar[bool] = False
    methods: Names = option((), "methods (default: all installed methods)")
    datasets: Names = option(("conlang",), "test collections on this machine")
    pairs: Pairs = option((Pair("qaa", "eng"),), "language pairs")
    encoder: str = option("tiny-{seed}", "teacher and student; {seed} is replaced by the seed")
    budget: BudgetText = option(Budget(100, "steps"), "budget of one training")
    measures: Measures = option(measures.DEFAULT, "measures of ir-measures", min_length=1)
    seeds: Seeds = option(tuple(range(10)), "five or more, or one to compare by query; each has its own teacher")
    checked: Count = option(3, "number of seeds that a check computes again", gt=0)

    @property
    def by_query(self) -> bool:
        """True if a check compares query by query, since one seed has no spread over seeds."""
        return len(self.seeds) == 1


class Validation(Options):
    from_environment: ClassVar[bool] = False
    steps: Count = option(20, "optimiser steps of each training", ge=4)
    recipe: dict[str, Any] = option({}, "settings of the training loop")
    method: dict[str, dict[str, Any]] = option({}, "settings of each method, by its name")


class Validate(Validation):
    name: str = argument("METHOD", "a name, path/to/file.py:Class or a combination, as in bench run --methods")


class NewMethod(Options):
    name: str = argument("NAME", "name of the method, such as my-method")


class NewCard(Options):
    from_environment: ClassVar[bool] = False
    name: str = argument("NAME", "the name of the new collection, such as my-notes", pattern=NAME)
    train: Names = option((), "files and folders with training data")
    datasets: Annotated[Names, Also(("--test",))] = option((), "folders in BEIR's or TREC's layout")
    pairs: Pairs = option((), "the language pair of files that do not show it")
    licence: str | None = option(None, "the licence of the files", min_length=1)
    output: NewFolder = option(Path("cards"), "the folder of the card, for --cards")


class NewTeacher(Places):
    folder: NewFolder = argument("FOLDER", "new folder for the teacher, in the layout of sentence-transformers")
    encoder: str = option("all-MiniLM-L6-v2", "encoder to start from")
    train: Names = option((), "collections with English judgments (default: qed and tydiqa; conlang for tiny)")
    budget: BudgetText = option(Budget(300, "steps"), "budget of the training; a step has 32 questions")
    seed: Seed = option(0, "seed of the batches")
    threads: Threads | None = option(None, "processor threads (default: torch's choice)")


class BaselineFile(Options):
    from_environment: ClassVar[bool] = False
    file: NewFile = argument("FILE", "output file, such as results/baselines/mine.json")
    reason: str = option("", "reason to replace an existing baseline; stored in the file")


class Check(Options):
    from_environment: ClassVar[bool] = False
    file: File = argument("BASELINE", "file written by bench baseline")
    methods: Names = option((), "only these methods of the baseline (default: all)")


class Computing(Mirror):
    """Options of `bench baseline` and `bench check` that change no value."""

    jobs: Threads | None = option(None, "processes, each for one seed with one thread (default: one per core)")
    keep: NewFolder | None = option(None, "folder for results, which later calls reuse (default: a temporary folder)")
    quiet: bool = option(False, "print results and errors only")


def with_cards(request: Request, cards: Mapping[str, Card] | None = None) -> tuple[Request, dict[str, Card]]:
    """Return the request with names of collections in place of paths, and the cards, also those of the paths. `cards`
    are by default the project's and those of the option. Raises `BenchError` as `with_own` and `check`.
    """
    known = load_cards(request.cards) if cards is None else cards
    known, names = with_own(known, request.datasets, request.train, request.pairs)
    replaced = {
        key: tuple(dict.fromkeys(names[name] for name in getattr(request, key))) for key in ("datasets", "train")
    }
    request = request.model_copy(update=replaced)
    check(request, known)
    return request, known


def check(request: Request, cards: Mapping[str, Card]) -> None:
    """Raise `BenchError` for the first unknown name."""
    check_methods((text for text in request.methods if text != registry.ALL), request.method)
    for name in request.datasets:
        card = get_card(name, cards)
        if "test" not in card.roles:
            offers = ", ".join(card.roles) or "a training mix"
            raise BenchError(f"dataset '{name}' has no test collection; it offers {offers}")
        measures_of(request, card)
    for name in request.train:
        get_card(name, cards)
    if request.encoder is not None:
        try:
            check_encoder(request.encoder)
        except BenchError as error:
            cure = "google-bert/bert-base-multilingual-cased"
            raise BenchError(f"{error} Write an id of the Hugging Face hub with its owner, as in {cure}") from None
    offered_pairs(request, cards)


def check_development(datasets: Iterable[str], cards: Mapping[str, Card]) -> None:
    """Raise `BenchError` for the first collection that is not for development."""
    known = ", ".join(name for name, card in cards.items() if card.development)
    for name in datasets:
        if not get_card(name, cards).development:
            raise BenchError(f"'{name}': settings are never chosen on a test collection; choose from {known}")


def check_methods(methods: Iterable[str], settings: Iterable[str]) -> None:
    """Raise `BenchError` for the first unknown method, in `methods` or in the names of `settings`."""
    named = {registry.find_method(spec.name).name for text in methods for spec in parse_methods(text)}
    for name in settings:
        if name not in named:
            registry.find_method(name)


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
    return {name: tuple(pair for pair in request.pairs or pairs if pair in pairs) for name, pairs in offered.items()}
