"""`bench inspect query`: the documents that each method ranked on top for one query, and its word alignments."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.data import TestCollection, TrainingData
from bench.data.files import Resolver
from bench.data.languages import parse_pair
from bench.dependencies.fingerprint import of_test
from bench.errors import BenchError, nearest, unknown
from bench.evaluation.run import read_run
from bench.inspection.pictures import check_output, shaded, write_heat_maps
from bench.inspection.plans import WordPlan, cell_plans
from bench.progress import Display
from bench.request import InspectQuery
from bench.results.store import REWRITTEN, Record, Store
from bench.running.reproduction import cards_of, mirror_of, test_of
from bench.running.resources import Resources
from bench.spec import COLUMNS
from bench.tables import TEXT_WIDTH, print_table, shortened

LABEL = [column.name for column in COLUMNS if column.name not in ("method", "config", "supervision", "dataset", "pair")]
"""The columns that distinguish rows of one method besides its settings."""
EXCERPT = 70
"""Characters of a document in a table."""


@dataclass(frozen=True)
class Ranking:
    """The result of one cell for the query: documents and scores, best first, and the value of each measure."""

    label: str
    cell: Record
    found: Sequence[tuple[str, float]]
    scores: Mapping[str, float]

    def rank(self, documents: Iterable[str]) -> int | None:
        """Return the rank, from 1, of the first of these documents; None if none of them was retrieved."""
        wanted = set(documents)
        return next((rank for rank, (key, _) in enumerate(self.found, start=1) if key in wanted), None)


@dataclass(frozen=True)
class Texts:
    """The texts of a query, of its relevant documents and of others."""

    query: str
    translation: str | None
    relevant: Mapping[str, int]
    """Grades by document id, the largest first."""
    documents: Mapping[str, str]


def inspect_query(query: str, options: InspectQuery) -> int:
    """Print the rankings of a query by the finished cells of a results folder; returns the exit code.

    Raises `BenchError` if no cell has the query, or if several collections have it.
    """
    display = Display()
    if options.output is not None:
        check_output(options.output)
    cells = choose(query, options)
    shown = rankings(query, cells, options.measure)
    # The manifest of an imported cell lacks the place of the collection.
    first = next((cell for cell in cells if not cell.external), cells[0])
    print(f"{first.spec.dataset} {first.spec.pair}, query {query}")
    texts = None
    try:
        test = test_of(first, cards_of(first, options.cards), _resolver(first, options)).load()
    except BenchError as error:
        display.warn(f"its texts cannot be shown: {error}")
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
        show_plans(shown, f"{test.name} {test.pair}, query {query}", texts, options, display)
    return 0


def choose(query: str, options: InspectQuery) -> list[Record]:
    """Return the cells that ranked the query, all of one collection and pair.

    Raises `BenchError` if there is none, or if there are several collections.
    """
    contents = Store(options.results).contents()
    for note in contents.notes:
        Display().warn(note)
    cells = [cell for cell in contents.cells if cell.run.is_file()]
    if not cells:
        raise BenchError(f"{options.results} holds no run; name a results folder with --results")
    pair = options.pair and str(parse_pair(options.pair))
    for column, names in (("dataset", [options.dataset]), ("pair", [pair]), ("method", options.methods)):
        wanted = [name for name in names if name]
        known = {cell.spec.columns[column] for cell in cells}
        for name in wanted:
            if name not in known:
                raise unknown(f"{column} in {options.results}", name, known)
        cells = [cell for cell in cells if not wanted or cell.spec.columns[column] in wanted]
    collections: dict[str, list[Record]] = {}
    for cell in cells:
        collections.setdefault(f"{cell.spec.dataset} {cell.spec.pair}", []).append(cell)
    ids = {name: list(next(iter(members[0].scores.values()), {})) for name, members in collections.items()}
    having = [name for name, known in ids.items() if query in known]
    if len(having) == 1:
        return collections[having[0]]
    if having:
        raise BenchError(f"query '{query}' is in {', '.join(having)}; say which with --dataset and --pair")
    near = nearest(query, {key for known in ids.values() for key in known})
    hint = f"did you mean {' or '.join(near)}?" if near else f"they are called such as {next(iter(ids.values()))[0]}"
    raise BenchError(f"no query is called '{query}' in {options.results}; {hint}")


def rankings(query: str, cells: Sequence[Record], measure: str | None) -> list[Ranking]:
    """Return the ranking of each cell, the best by a measure first; the default is the first measure that is stored."""
    columns = [cell.spec.columns for cell in cells]
    found = []
    for cell, column in zip(cells, columns, strict=True):
        others = [other for other in columns if other["method"] == column["method"]]
        telling = [name for name in LABEL if len({other[name] for other in others}) > 1]
        words = [column["method"], column["config"], *(f"{name}={column[name]}" for name in telling if column[name])]
        scores = {name: values[query] for name, values in cell.scores.items() if query in values}
        found.append(Ranking(" ".join(filter(None, words)), cell, read_run(cell.run).get(query, ()), scores))
    names = list(dict.fromkeys(name for ranking in found for name in ranking.scores))
    if measure is not None:
        if measure not in names:
            raise unknown("measure", measure, names)
        names = [measure]
        found = [replace(ranking, scores={measure: ranking.scores.get(measure, 0.0)}) for ranking in found]
    return sorted(found, key=lambda ranking: -ranking.scores.get(names[0], 0.0))


def read_texts(test: TestCollection, query: str, documents: Iterable[str]) -> Texts:
    """Return the texts of a query, of its relevant documents and of others. Raises `BenchError` if one is missing."""
    row = test.query_ids.index(query)
    grades = {key: grade for key, grade in test.qrels.get(query, {}).items() if grade > 0}
    relevant = dict(sorted(grades.items(), key=lambda item: (-item[1], item[0])))
    wanted = {*documents, *relevant}
    places = {key: place for place, key in enumerate(test.document_ids) if key in wanted}
    if missing := next((key for key in wanted - places.keys() if key not in relevant), None):
        raise BenchError(f"no document is called '{missing}' in {test.name} {test.pair}")
    translation = test.oracle_queries[row] if test.oracle_queries else None
    return Texts(
        test.queries[row], translation, relevant, {key: test.documents[place] for key, place in places.items()}
    )


def print_texts(texts: Texts) -> None:
    """Print the query, its translation and the documents that are judged relevant."""
    print(f"  query        {texts.query}")
    if texts.translation is not None:
        print(f"  translation  {texts.translation}")
    for key, grade in texts.relevant.items():
        print(f"  relevant     {key} (grade {grade}): {shortened(texts.documents.get(key, '-'), TEXT_WIDTH)}")


def print_overview(shown: Sequence[Ranking], texts: Texts | None) -> None:
    """Print a row for each method: its scores on this query, and the rank of the first relevant document."""
    measures = list(dict.fromkeys(name for ranking in shown for name in ranking.scores))
    columns = ["method", *measures, *(["first relevant"] if texts else [])]
    rows = []
    for ranking in shown:
        scores = (ranking.scores.get(name) for name in measures)
        rows.append([ranking.label, *("-" if score is None else f"{score:.3f}" for score in scores)])
        if texts:
            rows[-1].append(str(ranking.rank(texts.relevant) or f"not in the first {len(ranking.found)}"))
    print_table(columns, rows, right=columns[1:], width=TEXT_WIDTH)


def print_ranking(ranking: Ranking, query: str, texts: Texts | None, limit: int) -> None:
    """Print the first documents of a method, the first relevant one, and the query that the method made of this one."""
    relevant = texts.relevant if texts else {}
    rank = ranking.rank(relevant) or 0
    rows = []
    for number, (key, score) in enumerate(ranking.found, start=1):
        if number <= limit or number == rank:
            row = [str(number), f"{score:.4f}", key]
            if texts:
                row += [str(relevant.get(key, "")), shortened(texts.documents.get(key, "-"), EXCERPT)]
            rows.append(row)
    columns = ["rank", "score", "document", *(["relevance", "text"] if texts else [])]
    print_table(columns, rows, title=ranking.label, right=["rank", "score", "relevance"], width=TEXT_WIDTH)
    path = ranking.cell.folder / REWRITTEN
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            rewritten = {row[0]: row[2] for row in csv.reader(file, delimiter="\t")}
        if rewritten.get(query):
            print(f"it read the query as: {rewritten[query]}\n")


def show_plans(shown: Sequence[Ranking], title: str, texts: Texts, options: InspectQuery, display: Display) -> None:
    """Draw the plans of the methods that align words, between the query and the chosen document or the first one."""
    drawn: list[WordPlan] = []
    for ranking in shown:
        document = options.document or next((key for key, _ in ranking.found), None)
        if document is None:
            continue
        rank, cell = ranking.rank([document]), ranking.cell
        where = f"{document} (rank {rank})" if rank else f"{document} (not in the first {len(ranking.found)})"
        data = partial(_training_data, cell, options)
        try:
            for plan in cell_plans(cell, texts.query, texts.documents[document], data):
                method = f"{plan.title} in {ranking.label}" if "+" in ranking.label else ranking.label
                drawn.append(replace(plan, title=f"{method}, {where}"))
        except BenchError as error:
            display.warn(f"{ranking.label}: its plan cannot be shown: {error}")
    for plan in drawn:
        print(f"what is moved between words: {plan.title}")
        print("\n".join(shaded(plan, TEXT_WIDTH)), end="\n\n")
    if options.output is not None:
        if not drawn:
            raise BenchError(f"--output {options.output}: none of these methods aligns words, so there is no picture")
        whole = write_heat_maps(options.output, title, drawn)
        display.say(f"written: {options.output}")
        if not whole:
            display.warn("the font of the picture lacks some of the letters; an SVG is shown with the reader's fonts")


def _training_data(cell: Record, options: InspectQuery) -> TrainingData:
    cards, resolver = cards_of(cell, options.cards), _resolver(cell, options)
    resources = Resources(cell.spec.encoder, "cpu", "float32", cards, resolver, Display(quiet=True), threads=1)
    return resources.data(cell.spec)


def _resolver(cell: Record, options: InspectQuery) -> Resolver:
    return Resolver(options.mirror or mirror_of(cell), offline=True)
