"""Collections without a card: a user's own files and folders, recognised by their content.

A pair may follow a path, as in `notes.tsv:swh-eng`. Otherwise the pairs are those of the call, or the only pair in the
file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from bench.data import Pair
from bench.data.cards import Card, Role
from bench.data.formats.bitext import ZIP, memory_units
from bench.data.formats.reading import PARQUET, json_lines, json_object
from bench.data.languages import parse_language, parse_pair
from bench.errors import BenchError
from bench.storage.reading import opened, placed_lines

PARTS = {
    "queries": ("topics*", "queries*", "query-text*", "*.qry*"),
    "documents": ("corpus*", "collection*", "documents*", "doc-text*", "*.all*"),
    "qrels": ("qrels*", "cranqrel", "*qrel*.txt*", "rlv-ass*"),
}
"""Names of the files of a folder in TREC's layout, by preference, and as Vaswani and Cranfield are published."""
QUERY, POSITIVE = ("query", "question", "anchor"), ("positive", "pos", "positives", "positive_passages")
"""The keys of judgments in JSON Lines, by preference."""
AFRIQA = {"question_lang", "question_translated", "context"}
"""The keys of AfriQA's questions."""
ARROW = b"ARRO"
"""The beginning of a file that is not read."""
UNITS = 100
"""Number of translation units of a memory that determine its languages."""
FORMS = (
    ("TMX", "--train", "plain, gzipped or in a zip archive"),
    (
        "JSON Lines or Parquet with a text per language",
        "--train",
        '`{"sw": "...", "en": "..."}`, perhaps inside `translation`',
    ),
    (
        "JSON Lines or Parquet of judgments",
        "--train",
        "a query under `query`, `question` or `anchor`, and its relevant documents under `positive`, `pos`, "
        "`positives` or `positive_passages`: a text, an object with `title` and `text`, or a list of them. Negatives "
        "are not read",
    ),
    ("tab-separated lines", "--train", "two columns, the query language first; or a first line with language codes"),
    ("two files of aligned lines", "--train", "such as `news.sw` and `news.en`: name one of them, both, or `news`"),
    (
        "a folder of files of one of these forms",
        "--train",
        "such as a Hugging Face data set. If some names contain `train`, only these files are read",
    ),
    ("a folder in the layout of BEIR", "--datasets", "`corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv`"),
    (
        "a folder in the layout of TREC",
        "--datasets",
        "one file `topics*` or `queries*`, one file or folder `corpus*`, `collection*` or `documents*`, and one file "
        "`qrels*`",
    ),
    (
        "a file of AfriQA",
        "--datasets",
        "JSON Lines with `question_lang`, `question_translated` and `context`. The documents are its contexts",
    ),
)
"""Forms without a card, their option, and their content."""


@dataclass(frozen=True)
class Form:
    """The recognised form of a file or folder."""

    role: Role
    format: str
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    languages: Mapping[str, Any] = field(default_factory=dict)
    """The column, key, code or file of each recognised language."""

    def entry(self, pair: Pair, folder: Path) -> dict[str, Any]:
        """Return the entry of a card for a pair."""
        files, options = dict(self.files), dict(self.options)
        if self.languages and self.format == "aligned-lines":
            files = {"queries": [self.languages[pair.query]], "documents": [self.languages[pair.document]]}
        elif self.languages and self.format != "tmx":
            options |= {"query": self.languages[pair.query], "document": self.languages[pair.document]}
        relative = {part: [str(path.relative_to(folder)) for path in paths] for part, paths in files.items()}
        entry = {"role": self.role, "format": self.format, "pairs": [str(pair)], "files": relative}
        return entry | ({"options": options} if options else {})


def with_own(
    cards: Mapping[str, Card], tests: Sequence[str], train: Sequence[str], pairs: Sequence[Pair]
) -> tuple[dict[str, Card], dict[str, str]]:
    """Return the cards and one for each path in `tests` and `train`, and the name of the card of each of these texts.
    A card has the name of its file or folder, preceded by those of parents if it is taken. Raises `BenchError` for a
    path that does not exist, a form that is not recognised, and languages that are not known.
    """
    result, names = dict(cards), {name: name for name in (*tests, *train)}
    made: dict[str, str] = {}
    for option, texts in (("--datasets", tests), ("--train", train)):
        for text in texts:
            path, pair = own_path(text)
            if text in cards or not (pair or "/" in text or path.suffix or path.exists()):
                continue  # the name of a collection, known or unknown
            card = card_of(path, option, [pair] if pair else pairs, result)
            names[text] = made.setdefault(
                card.model_dump_json(include={"folder", "data"}), card.name
            )  # two names of aligned files are one
            if names[text] == card.name:
                result[card.name] = card
    return result, names


def own_path(text: str) -> tuple[Path, Pair | None]:
    """Return the path and the pair of a text such as `notes.tsv:swh-eng`; the pair may be missing."""
    match = re.fullmatch("(.*):([^:/]+-[^:/]+)", text)
    path = Path(match[1] if match else text).expanduser().absolute()
    return path, parse_pair(match[2]) if match else None


def card_of(path: Path, option: str, pairs: Sequence[Pair], taken: Mapping[str, Card], name: str = "") -> Card:
    """Return the card of a path that is given with an option. `taken` has the other collections. Raises `BenchError` as
    `with_own`.
    """
    form = _test(path) if option == "--datasets" else _training(path)
    folder = path if path.is_dir() else path.parent
    own = name or _plain(path.name if path.is_dir() else path.name.partition(".")[0])
    for parent in () if name else path.parents:
        own = own if own not in taken else f"{_plain(parent.name)}-{own}"
    return Card.model_validate(
        {
            "name": own,
            "description": f"{path.name}, a collection of the user's own",
            "licence": "not known: files of the user's own",
            "folder": str(folder),
            "codes": form.languages if form.format == "tmx" else {},
            "data": [form.entry(pair, folder) for pair in _pairs(form, path, pairs)],
        }
    )


def _pairs(form: Form, path: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs of a path: the available pairs of the call, or the only pair of its files."""
    shown, cure = sorted(form.languages), f"as in --pairs swh-eng, or {path.name}:swh-eng"
    wanted = list(dict.fromkeys(pair.training if form.role == "bitext" else pair for pair in pairs))
    if not shown:
        if len(wanted) != 1:
            raise BenchError(f"the languages of {path} are not known; name its pair, {cure}")
        return wanted
    found = [pair for pair in wanted if {pair.query, pair.document} <= set(shown)]
    if wanted and not found:
        raise BenchError(f"{path} has {', '.join(shown)}, and no text for {', '.join(map(str, wanted))}")
    if not wanted and len(shown) == 2 and "eng" in shown:
        return [Pair(*sorted(shown, key=lambda code: code == "eng"))]
    if not wanted:
        raise BenchError(f"{path} has {', '.join(shown)}; name the query and the document language, {cure}")
    return found


def _test(path: Path) -> Form:
    """Recognise a test collection."""
    if not path.exists():
        raise BenchError(f"there is no file or folder {path}; name one, or a collection (see bench ls datasets)")
    if path.is_dir():
        format, files = _layout(path)
        return Form("test", format, files)
    if _object(_first_line(path)).keys() >= AFRIQA:
        return Form("test", "afriqa", {"queries": [path], "documents": [path]})
    raise BenchError(
        f"{path} is no test collection; name a folder in the layout of BEIR or TREC (see bench ls formats)"
    )


def _training(path: Path) -> Form:
    """Recognise bitext or judgments."""
    if not path.is_dir():
        return _aligned(path) if not path.exists() else _file(path, [path])
    files = [file for file in _shown(path, "**/*") if file.is_file()]
    files = [file for file in files if "train" in file.name] or files
    kinds = ("*.parquet", "*.arrow", "*.tmx*", "*.jsonl*", "*.ndjson*", "*.json", "*.tsv*")
    for kind in kinds:
        if found := [file for file in files if file.match(kind) and not file.match("*_info*.json")]:
            return _file(found[0], found)
    if languages := _by_language(files):
        return Form("bitext", "aligned-lines", languages=languages)
    raise BenchError(
        f"{path} has no file whose form is known; expected .tmx, .jsonl, .parquet, .tsv, or files such as news.sw"
    )


def _file(path: Path, files: Sequence[Path]) -> Form:
    """Recognise training files by the beginning of the first one, `path`."""
    with opened(path) as file:
        start = file.read(len(ZIP))
    if start == ARROW:
        raise BenchError(f"{path} is Arrow, which is not read; write it as Parquet or JSON Lines")
    if start == PARQUET:
        return _json(path, next((row for _, row in json_lines(path)), {}), files)
    line = "<" if start == ZIP else _first_line(path)
    if line.startswith("<"):
        codes = sorted({code for _, texts in islice(memory_units(path), UNITS) for code in texts})
        return Form("bitext", "tmx", {"memories": files}, languages=_languages({code: code for code in codes}))
    if line.startswith("{"):
        return _json(path, _object(line), files)
    if line.startswith("["):
        raise BenchError(f"{path} is a JSON list; write JSON Lines, an object in each line")
    if "\t" not in line:
        return _aligned(path)
    cells = line.split("\t")
    languages = _languages({cell: number for number, cell in enumerate(cells, start=1)})
    if len(languages) > 1:
        return Form("bitext", "tab-separated", {"rows": files}, {"header": True}, languages)
    if len(cells) != 2:
        raise BenchError(
            f"{path} has {len(cells)} columns; let its first line have language codes, or write a card with "
            "'options = { query = 1, document = 2 }' (see bench ls formats)"
        )
    return Form("bitext", "tab-separated", {"rows": files})


def _json(path: Path, row: Mapping[str, Any], files: Sequence[Path]) -> Form:
    query, positive = (next((key for key in keys if key in row), None) for keys in (QUERY, POSITIVE))
    if query and positive:
        return Form("relevance", "json-lines", {"rows": files}, {"query": query, "positive": positive})
    inner = row.get("translation")
    for prefix, texts in (("translation.", inner if isinstance(inner, dict) else {}), ("", row)):
        languages = _languages({key: f"{prefix}{key}" for key, text in texts.items() if isinstance(text, str)})
        if len(languages) > 1:
            return Form("bitext", "json-lines", {"rows": files}, languages=languages)
    raise BenchError(
        f"{path} has the keys {', '.join(row)}; expected two language codes, or query and positive. Rename them, or "
        "write a card with 'options' (see bench ls formats)"
    )


def _aligned(path: Path) -> Form:
    """Recognise files of aligned lines by the path of one of them, or by the beginning of all."""
    stem = path.name.partition(".")[0] if path.exists() else path.name
    languages = _by_language(path.parent.glob(f"{stem}.*")) if path.parent.is_dir() else {}
    if not languages and not path.exists():
        raise BenchError(f"there is no file or folder {path}; name one, or a collection (see bench ls datasets)")
    if len(languages) < 2 or (path.exists() and path not in languages.values()):
        raise BenchError(
            f"{path}: its form is not known; expected TMX, JSON Lines, tab-separated columns, or aligned lines in "
            "files named by language, such as news.sw and news.en"
        )
    return Form("bitext", "aligned-lines", languages=languages)


def _by_language(paths: Iterator[Path] | Sequence[Path]) -> dict[str, Path]:
    """Return files by language if each name ends with the code of another language, perhaps before `.gz`."""
    found = {path.name.removesuffix(".gz").rpartition(".")[2]: path for path in sorted(paths)}
    return _languages(found)


def _languages(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by canonical language, without those of other names; `en_US` and `eng_Latn` are English."""
    found: dict[str, Any] = {}
    for code, value in values.items():
        with suppress(BenchError):
            found.setdefault(parse_language(re.split("[-_]", code)[0]), value)
    return found


def _first_line(path: Path) -> str:
    """Return the first line of a text file that is not blank. Raises `BenchError` if there is none."""
    return next(line for _, _, line in placed_lines(path) if line.strip())


def _object(line: str) -> Mapping[str, Any]:
    """Return the object in a line of JSON; an empty one for another line."""
    with suppress(BenchError):
        return json_object(line, "")
    return {}


def _layout(folder: Path) -> tuple[str, dict[str, list[Path]]]:
    """Return the format of a test folder, and its files."""
    beir = [next(_files_of(folder, f"{name}.jsonl", f"{name}.jsonl.gz"), None) for name in ("queries", "corpus")]
    splits = {path.name.split(".")[0]: path for path in _files_of(folder / "qrels", "*.tsv.gz", "*.tsv")}
    queries, corpus = beir
    if queries and corpus and splits:
        if "test" not in splits and len(splits) > 1:
            raise BenchError(f"{folder}/qrels has no test.tsv and {len(splits)} other files; it needs a single file")
        qrels = splits.get("test") or next(iter(splits.values()))
        return "beir", {"queries": [queries], "documents": [corpus], "qrels": [qrels]}
    return "trec", {part: _files(folder, part) for part in PARTS}


def _files_of(folder: Path, *patterns: str) -> Iterator[Path]:
    """Yield the files that match a pattern, in the order of the patterns."""
    return (path for pattern in patterns for path in _shown(folder, pattern) if path.is_file())


def _files(folder: Path, part: str) -> list[Path]:
    """Return the file of a part, or all files in the folder of a corpus."""
    patterns = PARTS[part]
    matches = ([path for path in _shown(folder, name) if path.is_file() or part == "documents"] for name in patterns)
    found = next(filter(None, matches), [])
    if len(found) != 1:
        raise BenchError(
            f"{folder} has {len(found)} files called {' or '.join(patterns)}; a collection is BEIR's "
            "corpus.jsonl, queries.jsonl and qrels/test.tsv, or one topics*, one corpus* and one qrels*"
        )
    if found[0].is_dir():
        found = [path for path in _shown(found[0], "**/*") if path.is_file()]
        if not found:
            raise BenchError(f"{folder} has no file in the folder of its corpus")
    return found


def _shown(folder: Path, pattern: str) -> list[Path]:
    """Return the paths that match a pattern, without hidden ones such as those that macOS adds to every file."""
    paths = sorted(folder.glob(pattern))
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _plain(name: str) -> str:
    """Return the name with only the characters that are allowed in the name of a collection."""
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip(".-") or "folder"
