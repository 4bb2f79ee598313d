"""Small things that many tests share: an encoder of a few thousand weights, a little bitext, a little collection."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported; no test downloads anything
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start; the tests run in two processes

import pytest
import torch
from hypothesis import settings
from plugins import MISBEHAVING
from small_bench import CARD, SIZES, Bench, Command, Said
from transformers import BertConfig, BertModel

from bench.cli import main
from bench.data import Bitext, Pair, Relevance, TestCollection, TrainingData
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.loading import load_test
from bench.encoders.encoder import Encoder
from bench.encoders.folders import save_encoder
from bench.encoders.student import make_student
from bench.recipe import Budget, Recipe
from bench.system import offline
from bench.training.checkpoint import Checkpoint
from bench.training.loop import TrainedMethod
from bench.training.method import Task
from bench.training.tiny import wordpiece_tokenizer

# A process in the background ignores Ctrl-C, and so would the tests of it.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("bench", deadline=None)
settings.load_profile("bench")


@pytest.fixture(autouse=True)
def _process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--offline` forbids the network for good, and a call sets the number of threads; the next test has neither.

    pytest-xdist sets a width of the terminal.
    """
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(offline, "_forbidden", False)
    torch.set_num_threads(1)


MakeTask = Callable[..., Task]
Prepare = Callable[..., Any]
Cli = Callable[..., Said]
PAIR = Pair("qaa", "eng")
ACTORS = ["cat", "dog", "baker", "teacher", "farmer", "child"]
ACTIONS = ["saw", "found", "sold", "lost", "drew"]
THINGS = ["a red house", "the old boat", "two green apples", "some bread", "an open book in the garden"]


def english_sentences() -> list[str]:
    """150 sentences, each another one, of different lengths."""
    return [f"the {actor} {action} {thing}" for actor in ACTORS for action in ACTIONS for thing in THINGS]


def foreign(sentence: str) -> str:
    """The sentence in a language that English word pieces cannot read: every word turned around, with an accent."""
    return " ".join(f"{word[::-1]}é" for word in sentence.split())


def make_encoder(texts: Sequence[str] | None = None, *, seed: int = 0, hidden: int = 16, **settings: Any) -> Encoder:
    """A BERT of one layer with random weights; the same for the same arguments."""
    tokenizer = wordpiece_tokenizer(english_sentences() if texts is None else texts, 300)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,  # far enough from zero for sentences to differ
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = BertModel(config, add_pooling_layer=False)
    return Encoder(transformer, tokenizer, **{"name": "small", "max_length": 48, **settings}).eval()


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache; one thread, so that sums have one order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(tmp_path_factory.mktemp("bench-home")))
        patch.setenv("IR_DATASETS_HOME", str(tmp_path_factory.mktemp("ir-datasets-home")))
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with the real collections; without one, a test that asks for it is skipped."""
    if not os.environ.get("BENCH_MIRROR"):
        pytest.skip("BENCH_MIRROR names no mirror")
    return Path(os.environ["BENCH_MIRROR"])


@pytest.fixture(scope="session")
def real(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Resolver:
    """Finds the files of the real collections."""
    return Resolver(mirror, tmp_path_factory.mktemp("cache"), offline=True)


@pytest.fixture
def encoder() -> Encoder:
    return make_encoder()


@pytest.fixture
def teacher() -> Encoder:
    return make_encoder().freeze()


@pytest.fixture(scope="session")
def data() -> TrainingData:
    """150 translated sentences and as many questions, each answered by a sentence."""
    english = tuple(english_sentences())
    questions = tuple(f"who {sentence.split(' ', 2)[2]}" for sentence in english)
    return TrainingData(
        (PAIR,),
        Bitext.of(PAIR, map(foreign, english), english, "hand"),
        Relevance.of(Pair("eng", "eng"), questions, english, "hand"),
    )


@pytest.fixture(scope="session")
def collection() -> TestCollection:
    """Foreign queries about the first 20 of 40 English sentences."""
    documents = tuple(english_sentences()[:40])
    query_ids = tuple(f"q{i:02d}" for i in range(20))
    document_ids = tuple(f"d{i:02d}" for i in range(40))
    columns = query_ids, tuple(map(foreign, documents[:20])), document_ids, documents
    qrels = {query: {document: 1} for query, document in zip(query_ids, document_ids, strict=False)}
    return TestCollection("hand", PAIR, *columns, qrels, oracle_queries=documents[:20])


@pytest.fixture
def make_task(teacher: Encoder, data: TrainingData) -> Callable[..., Task]:
    """A task with a small recipe; `steps` long unless a budget is given."""

    def make(steps: int = 5, seed: int = 0, budget: Budget | None = None, **fields: Any) -> Task:
        recipe = Recipe(**{"batch_size": 16, "vocabulary_size": 200, "learning_rate": 3e-3, **fields.pop("recipe", {})})
        given = fields.pop("data", data)
        student = partial(make_student, teacher, given, recipe, seed)
        return Task(given, teacher, student, budget or Budget(steps, "steps"), recipe, seed, **fields)

    return make


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Call the command in this process, check its exit code, and return its output."""

    def call(*arguments: object, code: int = 0) -> Said:
        capsys.readouterr()
        assert main([*map(str, arguments)]) == code
        out, err = capsys.readouterr()
        return Said(code, out, err.splitlines())

    return call


class Died(Exception):
    """Stands for a power cut."""


def dies_after(steps: int) -> Callable[[dict[str, Any]], None]:
    """Return a function for `on_step` that raises `Died` at this step."""

    def on_step(record: dict[str, Any]) -> None:
        if record["step"] == steps:
            raise Died

    return on_step


@pytest.fixture
def prepare(make_task: Callable[..., Task]) -> Callable[..., Any]:
    """Make a method of a class that is about to take its first step, with these settings."""

    def make(kind: type[TrainedMethod], task: Task | None = None, **settings: Any) -> TrainedMethod:
        task, method = task or make_task(), kind(kind.Config(**settings))
        method.prepare(task, task.make_student())
        return method

    return make


@pytest.fixture(scope="session")
def conlang_cards() -> Callable[..., dict[str, Card]]:
    """The generated collection, a twentieth of its size and in the languages asked for, as the only card there is."""

    def make(*pairs: str) -> dict[str, Card]:
        of_role = {"test": pairs, "bitext": pairs, "relevance": ["eng-eng"]}
        data = [{"role": role, "format": "conlang", "pairs": its, "options": SIZES} for role, its in of_role.items()]
        mix = {"pairs": pairs, "bitext": ["conlang"], "relevance": ["conlang"]}
        card = {"name": "conlang", "description": "d", "licence": "l", "data": data, "mix": mix}
        return {"conlang": Card.model_validate(card)}

    return make


@pytest.fixture(scope="session")
def small_conlang(conlang_cards: Callable[..., dict[str, Card]]) -> dict[str, Card]:
    return conlang_cards("qaa-eng")


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved encoder for `--encoder`."""
    folder = tmp_path_factory.mktemp("encoders") / "small"
    save_encoder(make_encoder(), folder)
    return folder


@pytest.fixture(scope="session")
def bench(small_conlang: dict[str, Card], encoder_folder: Path) -> Bench:
    """`bench run` with the small encoder and collection."""
    return Bench(small_conlang, encoder_folder)


@pytest.fixture(scope="session")
def small_test(bench: Bench) -> TestCollection:
    """The test of the small collection."""
    return load_test(bench.cards["conlang"], PAIR, Resolver(offline=True))


@pytest.fixture(scope="module")
def whole(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A finished comparison of one method and the reference rows by the command. No test changes it."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "cards").mkdir()
    (folder / "cards" / "small.toml").write_text(CARD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.results.provenance.package_commit", dict)  # asking git takes longer than all the rest
        command = Command(folder, encoder_folder, folder / "results")
        assert command("distillation").code == 0
        yield command


@pytest.fixture
def command(whole: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """The same command with a results folder of its own."""
    return replace(whole, results=tmp_path / "results", capture=capfd)


@pytest.fixture
def misbehaving(command: Command) -> Command:
    """The same command with methods that misbehave, as `plugin.py`."""
    (command.folder / "plugin.py").write_text(MISBEHAVING)
    return command


@pytest.fixture
def again(whole: Command, command: Command) -> Command:
    """The same command with a copy of the finished results."""
    shutil.copytree(whole.results, command.results)
    return command


@pytest.fixture
def interrupted_at_checkpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Every step has a checkpoint; within the block a training is interrupted right after its first one."""
    monkeypatch.setattr(Checkpoint, "due", True)
    save = Checkpoint.save

    def save_and_die(self: Checkpoint, *arguments: Any) -> None:
        save(self, *arguments)
        raise KeyboardInterrupt

    @contextmanager
    def block() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "save", save_and_die)
            yield

    return block
