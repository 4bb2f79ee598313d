"""`bench inspect query`: one query, what each method ranked on top for it, and why."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from bench.data import TestCollection
from bench.data.files import Resolver
from bench.data.languages import parse_pair
from bench.errors import BenchError, nearest, unknown
from bench.evaluation.run import read_run
from bench.fingerprint import of_test
from bench.progress import Display
from bench.request import InspectQuery
from bench.results.store import RETRIEVER, REWRITTEN, Record, Store, training_of
from bench.spec import COLUMNS
from bench.tables import TEXT_WIDTH, print_table

if TYPE_CHECKING:
    import numpy as np

    from bench.data import TrainingData
    from bench.encoders.encoder import Encoder
    from bench.inspection.plans import Words

LABEL = [column.name for column in COLUMNS if column.name not in ("method", "config", "uses", "dataset", "pair")]
"""The columns that tell rows of one method apart besides its settings."""
EXCERPT = 70
"""Characters of a document in a table."""
NAMED = 5
"""Collections, or methods, that an error names."""


@dataclass(frozen=True)
class Ranking:
    """What one cell found for the query: documents and scores, best first, and the query's value of each measure."""

    label: str
    cell: Record
    found: Sequence[tuple[str, float]]
    scores: Mapping[str, float]

    def rank(self, documents: Iterable[str]) -> int | None:
        """Of the first of these documents, from 1; None if there is none of them."""
        documents = set(documents)
        return next((rank for rank, (key, _) in enumerate(self.found, start=1) if key in documents), None)


@dataclass(frozen=True)
class Texts:
    """What a collection says of one query and some documents."""

    query: str
    translation: str | None
    relevant: Mapping[str, int]
    """Document id -> grade, the largest first."""
    documents: Mapping[str, str]


def inspect_query(query: str, options: InspectQuery) -> int:
    """Print what the finished cells of a results folder say of a query; returns the exit code.

    Raises `BenchError` for a query that no cell has, or several collections.
    """
    display = Display()
    if options.output is not None:
        from bench.inspection.pictures import check_output

        check_output(options.output)
    cells = choose(query, options)
    shown = rankings(query, cells, options.measure)
    # Of what was imported, a manifest does not say where the collection was.
    first = next((cell for cell in cells if not cell.external), cells[0])
    print(f"{first.spec.dataset} {first.spec.pair}, query {query}")
    try:
        test = collection(first, options)
    except BenchError as error:
        display.warn(f"its texts cannot be shown: {error}")
        texts = None
    else:
        if of_test(test.name, test.pair, test.digest).items() - first.inputs.items():
            display.warn("the collection is no longer the one that was evaluated: its texts may be others")
        top = [key for ranking in shown for key, _ in ranking.found[: options.limit]]
        texts = read_texts(test, query, [*top, *([options.document] if options.document else [])])
        print_texts(texts)
    print_overview(shown, texts)
    for ranking in shown:
        print_ranking(ranking, query, texts, options.limit)
    if texts is not None:
        show_plans(shown, query, test, texts, options, display)
    return 0


def choose(query: str, options: InspectQuery) -> list[Record]:
    """The cells that have ranked the query, all of one collection and pair. Raises `BenchError` if there are none, or
    of several collections.
    """
    contents = Store(options.results).contents()
    for note in contents.notes:
        Display().warn(note)
    entries = [cell for cell in contents.cells if cell.run.is_file()]
    if not entries:
        raise BenchError(f"{options.results} holds no run; name a results folder with --results")
    pair = None if options.pair is None else str(parse_pair(options.pair))
    wanted = (("dataset", [options.dataset] if options.dataset else ()), ("pair", [pair] if pair else ()))
    for column, names in (*wanted, ("method", options.methods)):
        known = {entry.spec.columns[column] for entry in entries}
        for name in names:
            if name not in known:
                raise unknown(f"{column} in {options.results}", name, known)
        entries = [entry for entry in entries if not names or entry.spec.columns[column] in names]
    collections: dict[tuple[str, str], list[Record]] = {}
    for entry in entries:
        collections.setdefault((entry.spec.dataset, str(entry.spec.pair)), []).append(entry)
    ids = {key: _query_ids(members[0]) for key, members in collections.items()}
    having = [key for key, found in ids.items() if query in found]
    if len(having) == 1:
        return collections[having[0]]
    if having:
        where = ", ".join(" ".join(key) for key in having[:NAMED]) + (", ..." if len(having) > NAMED else "")
        raise BenchError(f"query '{query}' is in {where}; say which with --dataset and --pair")
    near = nearest(query, {key for found in ids.values() for key in found})
    hint = (
        f"; did you mean {' or '.join(near)}?" if near else f"; they are called such as {next(iter(ids.values()))[0]}"
    )
    raise BenchError(f"no query is called '{query}' in {options.results}{hint}")


def rankings(query: str, cells: Sequence[Record], measure: str | None) -> list[Ranking]:
    """What each cell found, the best by a measure first; by the first measure that they have if none is named."""
    columns = [cell.spec.columns for cell in cells]
    found = []
    for cell, column in zip(cells, columns, strict=True):
        others = [other for other in columns if other["method"] == column["method"]]
        telling = [name for name in LABEL if len({other[name] for other in others}) > 1]
        words = [column["method"], column["config"], *(f"{name}={column[name]}" for name in telling if column[name])]
        scores = {name: values[query] for name, values in cell.scores.items() if query in values}
        run = read_run(cell.run)
        found.append(Ranking(" ".join(filter(None, words)), cell, run.get(query, ()), scores))
    names = list(dict.fromkeys(name for ranking in found for name in ranking.scores))
    if measure is not None:
        if measure not in names:
            raise unknown("measure", measure, names)
        names = [measure]
        found = [replace(ranking, scores={measure: ranking.scores.get(measure, 0.0)}) for ranking in found]
    return sorted(found, key=lambda ranking: -ranking.scores.get(names[0], 0.0))


def collection(cell: Record, options: InspectQuery) -> TestCollection:
    """The collection of a cell, from where the options or its manifest say. Raises `BenchError` if it is not there."""
    from bench.running.reproduction import cards_of, mirror_of, test_of

    resolver = Resolver(options.mirror or mirror_of(cell), offline=True)
    return test_of(cell, cards_of(cell, options.cards), resolver).load()


def read_texts(test: TestCollection, query: str, documents: Iterable[str]) -> Texts:
    """The texts of a query, of its relevant documents and of others. Raises `BenchError` if one is not there."""
    row = test.query_ids.index(query)
    grades = {key: grade for key, grade in test.qrels.get(query, {}).items() if grade > 0}
    relevant = dict(sorted(grades.items(), key=lambda item: (-item[1], item[0])))
    wanted = {*documents, *relevant}
    places = {key: place for place, key in enumerate(test.document_ids) if key in wanted}
    if missing := next((key for key in wanted - places.keys() if key not in relevant), None):
        raise BenchError(f"no document is called '{missing}' in {test.name} {test.pair}")
    return Texts(
        test.queries[row],
        test.oracle_queries[row] if test.oracle_queries else None,
        relevant,
        {key: test.documents[place] for key, place in places.items()},
    )


def print_texts(texts: Texts) -> None:
    """The query, its translation and the documents that are judged relevant."""
    print(f"  query        {texts.query}")
    if texts.translation is not None:
        print(f"  translation  {texts.translation}")
    for key, grade in texts.relevant.items():
        print(f"  relevant     {key} (grade {grade}): {_short(texts.documents.get(key, '-'), TEXT_WIDTH)}")


def print_overview(shown: Sequence[Ranking], texts: Texts | None) -> None:
    """A row for each method: its scores on this query, and where the first relevant document came."""
    measures = list(dict.fromkeys(name for ranking in shown for name in ranking.scores))
    columns = ["method", *measures, *(["first relevant"] if texts else [])]
    rows = []
    for ranking in shown:
        row = [ranking.label, *(_number(ranking.scores.get(name)) for name in measures)]
        if texts:
            rank = ranking.rank(texts.relevant)
            row.append(str(rank) if rank else f"not in the first {len(ranking.found)}")
        rows.append(row)
    print_table(columns, rows, right=columns[1:], width=TEXT_WIDTH)


def print_ranking(ranking: Ranking, query: str, texts: Texts | None, limit: int) -> None:
    """The first documents that a method found, and the first relevant one if it is not among them."""
    rank = ranking.rank(texts.relevant) if texts else None
    ranks = [*range(1, min(limit, len(ranking.found)) + 1), *([rank] if rank and rank > limit else [])]
    rows = []
    for number in ranks:
        key, score = ranking.found[number - 1]
        row = [str(number), f"{score:.4f}", key]
        if texts:
            row += [str(texts.relevant.get(key, "")), _short(texts.documents.get(key, "-"), EXCERPT)]
        rows.append(row)
    columns = ["rank", "score", "document", *(["relevance", "text"] if texts else [])]
    print_table(columns, rows, title=ranking.label, right=["rank", "score", "relevance"], width=TEXT_WIDTH)
    if rewritten := _rewritten(ranking.cell, query):
        print(f"it read the query as: {rewritten}\n")


def show_plans(
    shown: Sequence[Ranking], query: str, test: TestCollection, texts: Texts, options: InspectQuery, display: Display
) -> None:
    """Draw what the methods that align words move between the query and the document asked for, or that on top."""
    from bench.inspection.pictures import shaded, write_heat_maps
    from bench.inspection.plans import WordPlan

    drawn: list[WordPlan] = []
    for ranking in shown:
        document = options.document or next((key for key, _ in ranking.found), None)
        if document is None:
            continue
        rank = ranking.rank([document])
        where = f"rank {rank}" if rank else f"not in the first {len(ranking.found)}"
        try:
            for method, words, mass in plans(ranking.cell, texts.query, texts.documents[document], options):
                title = ranking.label if "+" not in ranking.label else f"{method} in {ranking.label}"
                drawn.append(WordPlan(f"{title}, {document} ({where})", words, mass))
        except BenchError as error:
            display.warn(f"{ranking.label}: its plan cannot be shown: {error}")
    for plan in drawn:
        print(f"what is moved between words: {plan.title}")
        print("\n".join(shaded(plan, TEXT_WIDTH)), end="\n\n")
    if options.output is not None:
        if not drawn:
            raise BenchError(f"--output {options.output}: none of these methods aligns words, so there is no picture")
        whole = write_heat_maps(options.output, f"{test.name} {test.pair}, query {query}", drawn)
        display.say(f"written: {options.output}")
        if not whole:
            display.warn("the font of the picture lacks some of the letters; an SVG is shown with the reader's fonts")


def plans(cell: Record, query: str, document: str, options: InspectQuery) -> Iterator[tuple[str, Words, np.ndarray]]:
    """The name, the words and the plan of each method of a cell that aligns words. Raises `BenchError` if its student,
    its teacher or the method is not at hand.
    """
    from bench.evaluation.retriever import DualEncoder
    from bench.inspection.plans import Words, aligning, split_words, word_plan
    from bench.running.materials import recipe_of
    from bench.running.rows import load_retriever

    spec = cell.spec
    if cell.external or not (parts := aligning(spec.methods)):
        return
    training = training_of(cell)
    if training is None:
        raise BenchError(f"its student is not there: {cell.manifest['training']}")
    training.verify(RETRIEVER)
    teacher = _teacher(spec.encoder)
    retriever = load_retriever(spec.methods, training.folder / RETRIEVER, teacher)
    words = Words(split_words(query), split_words(document))
    if not (isinstance(retriever, DualEncoder) and words.query and words.document):
        return
    for part in parts:
        mass = word_plan(part, retriever, teacher, recipe_of(spec), words, lambda: _training_data(cell, options))
        yield part.name, words, mass


@cache
def _teacher(name: str) -> Encoder:
    import torch

    from bench.encoders.models import load_teacher

    return load_teacher(name, torch.device("cpu"), offline=True)


def _training_data(cell: Record, options: InspectQuery) -> TrainingData:
    from bench.running.materials import Materials
    from bench.running.reproduction import cards_of, mirror_of

    resolver = Resolver(options.mirror or mirror_of(cell), offline=True)
    cards, display = cards_of(cell, options.cards), Display(quiet=True)
    return Materials(cell.spec.encoder, "cpu", "float32", cards, resolver, display, threads=1).data(cell.spec)


def _query_ids(cell: Record) -> list[str]:
    """Of the queries that a cell is scored on."""
    return list(next(iter(cell.scores.values()), {}))


def _rewritten(cell: Record, query: str) -> str | None:
    """What a method that translates queries made of this one."""
    path = cell.folder / REWRITTEN
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return next((row[2] for row in csv.reader(file, delimiter="\t") if row[0] == query), None)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"
