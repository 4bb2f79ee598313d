"""`bench inspect query`: the top documents of each method for one query, and its word alignments."""

import csv
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.data import TrainingData
from bench.data.languages import parse_pair
from bench.dependencies.fingerprint import of_test
from bench.errors import BenchError, nearest, unknown
from bench.evaluation.run_files import read_run
from bench.inspection.plans import cell_plans, print_plan
from bench.progress import Display
from bench.request import InspectQuery
from bench.results.store import REWRITTEN, Record, Store
from bench.running.reproduction import data_places, test_of
from bench.running.resources import Resources
from bench.spec import COLUMNS
from bench.tables import Column, line_width, print_table, shortened
from bench.terminal import write_out

APART = [column.name for column in COLUMNS if column.name not in ("method", "config", "supervision", "dataset", "pair")]
"""Columns that distinguish rows of one method, without its settings."""
RANKING = [Column("rank"), Column("score"), Column("document", "name"), Column("relevance"), Column("text", "text")]
EXCERPT = 70
"""Maximum of characters of a document in a table."""


@dataclass(frozen=True)
class Ranking:
    """The result of one cell for the query: documents and scores, best first, and the value of each measure."""

    label: str
    cell: Record
    found: Sequence[tuple[str, float]]
    scores: Mapping[str, float]

    def rank(self, documents: Container[str]) -> int | None:
        """Return the rank, from 1, of the first of these documents; None if none was retrieved."""
        return next((rank for rank, (key, _) in enumerate(self.found, start=1) if key in documents), None)


def print_query(options: InspectQuery) -> int:
    """Print the rankings of a query by the finished cells of a results folder, and return the exit code.

    Raises `BenchError` if no cell has the query, or if several collections have it.
    """
    query, display = options.query, Display()
    cells = choose(options, display)
    shown = rankings(query, cells, options.measure)
    # The manifest of an imported cell lacks the place of the collection.
    first = next((cell for cell in cells if not cell.external), cells[0])
    write_out(f"{first.spec.dataset} {first.spec.pair}, query {query}")
    relevant: dict[str, int] = {}
    documents: dict[str, str] = {}
    try:
        test = test_of(first, *data_places(first, options)).load()
    except BenchError as error:
        display.warn(f"its texts cannot be shown: {error}")
    else:
        if of_test(test.name, test.pair, test.digest).items() - first.inputs.items():
            display.warn("the collection changed after the evaluation, so its texts may differ")
        relevant = {key: grade for key, grade in test.qrels.get(query, {}).items() if grade > 0}
        relevant = dict(sorted(relevant.items(), key=lambda item: (-item[1], item[0])))
        wanted = {key for ranking in shown for key, _ in ranking.found[: options.limit]}
        wanted |= {options.document} if options.document else set()
        pairs = zip(test.document_ids, test.documents, strict=True)
        documents = {key: text for key, text in pairs if key in wanted or key in relevant}
        if missing := wanted - documents.keys() - relevant.keys():
            raise BenchError(f"no document is called '{min(missing)}' in {test.name} {test.pair}")
        row = test.query_ids.index(query)
        write_out(f"  query        {test.queries[row]}")
        if test.oracle_queries:
            write_out(f"  translation  {test.oracle_queries[row]}")
        for key, grade in relevant.items():
            write_out(f"  relevant     {key} (grade {grade}): {shortened(documents.get(key, '-'), line_width())}")
    print_overview(shown, relevant, wide=options.wide)
    for ranking in shown:
        print_ranking(ranking, query, relevant, documents, options.limit)
    if documents:
        show_plans(shown, test.queries[row], documents, options, display)
    return 0


def choose(options: InspectQuery, display: Display) -> list[Record]:
    """Return the cells with the query, all of one collection and pair.

    Raises `BenchError` if there is none, or if there are several collections.
    """
    query = options.query
    contents = Store(options.results).contents()
    display.warn(*contents.notes)
    cells = [cell for cell in contents.cells if cell.run.is_file()]
    if not cells:
        raise BenchError(f"{options.results} holds no run; name a results folder with --results")
    pair = options.pair and str(parse_pair(options.pair))
    for column, names in (("dataset", [options.dataset]), ("pair", [pair]), ("method", options.methods)):
        wanted = list(filter(None, names))
        known = {cell.spec.columns[column] for cell in cells}
        if missing := [name for name in wanted if name not in known]:
            raise unknown(f"{column} in {options.results}", missing[0], known)
        cells = [cell for cell in cells if not wanted or cell.spec.columns[column] in wanted]
    having: dict[str, list[Record]] = {}
    for cell in cells:
        if query in next(iter(cell.scores.values()), {}):
            having.setdefault(f"{cell.spec.dataset} {cell.spec.pair}", []).append(cell)
    if not having:
        ids = {key for cell in cells for key in next(iter(cell.scores.values()), {})}
        raise unknown(f"query in {options.results}:", query, nearest(query, ids) or [*sorted(ids)[:3], "..."])
    if len(having) > 1:
        raise BenchError(f"query '{query}' is in {', '.join(having)}; choose one with --dataset and --pair")
    return next(iter(having.values()))


def rankings(query: str, cells: Sequence[Record], measure: str | None) -> list[Ranking]:
    """Return the ranking of each cell, the best by a measure first (default: the first stored measure)."""
    found = []
    for cell in cells:
        own = cell.spec.columns
        namesakes = [other.spec.columns for other in cells if other.spec.method == cell.spec.method]
        apart = [name for name in APART if own[name] and len({other[name] for other in namesakes}) > 1]
        label = " ".join([cell.spec.name, *(f"{name}={own[name]}" for name in apart)])
        scores = {name: values[query] for name, values in cell.scores.items() if query in values}
        found.append(Ranking(label, cell, read_run(cell.run).get(query, ()), scores))
    names = list(dict.fromkeys(name for ranking in found for name in ranking.scores))
    if measure is not None:
        if measure not in names:
            raise unknown("measure", measure, names)
        names = [measure]
        found = [replace(ranking, scores={measure: ranking.scores.get(measure, 0.0)}) for ranking in found]
    return sorted(found, key=lambda ranking: -ranking.scores.get(names[0], 0.0))


def print_overview(shown: Sequence[Ranking], relevant: Mapping[str, int], *, wide: bool) -> None:
    """Print a row for each method: its scores on this query, and the rank of the first relevant document."""
    measures = list(dict.fromkeys(name for ranking in shown for name in ranking.scores))
    columns = [Column("method", "name"), *(Column(name, priority=int(i > 0)) for i, name in enumerate(measures))]
    columns += [Column("first relevant")] if relevant else []
    rows = []
    for ranking in shown:
        scores = (ranking.scores.get(name) for name in measures)
        first = [str(ranking.rank(relevant) or f"not in the first {len(ranking.found)}")] if relevant else []
        rows.append([ranking.label, *("-" if score is None else f"{score:.3f}" for score in scores), *first])
    print_table(columns, rows, wide=wide)


def print_ranking(
    ranking: Ranking, query: str, relevant: Mapping[str, int], documents: Mapping[str, str], limit: int
) -> None:
    """Print the top documents of a method, the first relevant one, and the rewritten query if there is one."""
    rank = ranking.rank(relevant)
    rows = []
    for number, (key, score) in enumerate(ranking.found, start=1):
        if number <= limit or number == rank:
            text = shortened(documents.get(key, "-" if documents else ""), EXCERPT)
            rows.append([str(number), f"{score:.4f}", key, str(relevant.get(key, "")), text])
    print_table(RANKING, rows, title=ranking.label)
    path = ranking.cell.folder / REWRITTEN
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            rewritten = {row[0]: row[2] for row in csv.reader(file, delimiter="\t")}
        if rewritten.get(query):
            write_out(f"encoded text: {rewritten[query]}\n")


def show_plans(
    shown: Sequence[Ranking], query: str, documents: Mapping[str, str], options: InspectQuery, display: Display
) -> None:
    """Print the plans of methods that align words, between the query and a document (default: the top one)."""
    for ranking in shown:
        document = options.document or next((key for key, _ in ranking.found), None)
        if document is None:
            continue
        rank = ranking.rank([document]) or f"not in the first {len(ranking.found)}"
        data = partial(_training_data, ranking.cell, options)
        try:
            for name, words, others, mass in cell_plans(ranking.cell, query, documents[document], data):
                method = f"{name} in {ranking.label}" if "+" in ranking.label else ranking.label
                print_plan(f"mass moved between words: {method}, {document} (rank {rank})", words, others, mass)
        except BenchError as error:
            display.warn(f"{ranking.label}: its plan cannot be shown: {error}")


def _training_data(cell: Record, options: InspectQuery) -> TrainingData:
    how = *data_places(cell, options), Display(quiet=True)
    resources = Resources(cell.spec.encoder, "cpu", "float32", *how, threads=1)
    return resources.data(cell.spec)
