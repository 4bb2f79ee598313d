"""Translate-test: the trained translator worked out step by step, and models that others have made."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeTask
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, BartConfig, MarianConfig, NllbTokenizer, T5Config

from bench.data import Bitext, Pair, TestCollection, TrainingData
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.retriever import DualEncoder
from bench.training.teachers import fingerprint_of
from methods.translate_test import Pretrained, TranslateTest, TranslateTestConfig

CPU = torch.device("cpu")


def test_gloss_replaces_each_word_by_its_translation_and_keeps_unknown_words(
    make_task: MakeTask, data: TrainingData
) -> None:
    foreign, english = ["xa ya", "xa", "ya za", "za", "xa za"], ["a b", "a", "b c", "c", "a c"]
    task = make_task(data=replace(data, bitext=Bitext.of(data.pairs[0], foreign, english, "hand")))
    assert TranslateTest().fit(task).rewrite(["za ya, xa", "xa unheard 42"]) == ["c b a", "a unheard 42"]
    two = TranslateTest(TranslateTestConfig(alternatives=2, iterations=1)).fit(task).rewrite(["ya"])
    assert two[0].split()[0] == "b"
    assert len(two[0].split()) == 2


def test_saved_translator_is_read_back_the_same(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(20)
    retriever = TranslateTest().fit(task)
    retriever.save(tmp_path / "it", task.teacher)
    loaded = TranslateTest.load(tmp_path / "it", task.teacher)
    queries = task.data.bitext.query_side[:40]
    assert loaded.rewrite(queries) == retriever.rewrite(queries) != list(queries)
    assert loaded.query_encoder is loaded.document_encoder is task.teacher


class Perfect(DualEncoder):
    def rewrite(self, queries: Any, on_batch: Any = None) -> list[str]:
        return [" ".join(word[-2::-1] for word in query.split()) for query in queries]


@pytest.mark.parametrize("scoring", ["single-vector", "maxsim"])
def test_perfect_translation_is_the_oracle(
    scoring: str, collection: TestCollection, teacher: Encoder, tmp_path: Path
) -> None:
    def evaluated(kind: type[DualEncoder], *, oracle: bool) -> Evaluation:
        retriever = kind(teacher, teacher)
        folders = {"cache": tmp_path / "cache", "scratch": tmp_path / f"scratch-{oracle}"}
        return evaluate(retriever, collection, scoring=scoring, oracle=oracle, **folders)

    translated, oracle = evaluated(Perfect, oracle=False), evaluated(DualEncoder, oracle=True)
    assert translated.run == oracle.run
    assert list(translated.rewritten) == list(collection.oracle_queries or ())
    assert not oracle.rewritten
    assert translated.seconds.keys() - oracle.seconds.keys() == {"rewrite_queries"}


SMALL: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 3, "bos_token_id": 2, "decoder_start_token_id": 2}
SIZES: dict[str, Any] = {
    **{f"{side}_layers": 1 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
    **{"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64, "init_std": 1.0},
}
T5_SIZES = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "initializer_factor": 5.0}
CONFIGS: dict[str, Callable[[int], Any]] = {
    "bart": lambda size: BartConfig(vocab_size=size, forced_eos_token_id=None, **SMALL, **SIZES),
    "marian": lambda size: MarianConfig(vocab_size=size, forced_eos_token_id=None, **SMALL, **SIZES),
    "t5": lambda size: T5Config(vocab_size=size, **SMALL, **T5_SIZES),
}


def write_model(folder: Path, config: Any, tokenizer: Any) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(encoder: Encoder, tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", CONFIGS["bart"](len(encoder.tokenizer)), encoder.tokenizer)


def by_hand(translator: Pretrained, text: str, start: list[int], steps: int) -> str:
    ids = torch.tensor([translator.tokenizer(text)["input_ids"]])
    written = list(start)
    with torch.no_grad():
        for _ in range(steps):
            logits = translator.model(input_ids=ids, decoder_input_ids=torch.tensor([written])).logits
            written.append(int(logits[0, -1].argmax()))
            if written[-1] == translator.model.config.eos_token_id:
                break
    return str(translator.tokenizer.decode(written, skip_special_tokens=True))


@pytest.mark.parametrize("kind", CONFIGS)
def test_pretrained_translator_is_greedy_and_heeds_no_padding(
    kind: str, encoder: Encoder, data: TrainingData, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", CONFIGS[kind](len(encoder.tokenizer)), encoder.tokenizer)
    translator = Pretrained(TranslateTestConfig(translator=str(folder), prefix="the ", max_length=8), CPU)
    texts = data.bitext.document_side[::13]
    expected = [by_hand(translator, f"the {text}", [2], 8) for text in texts]
    assert translator.translate(texts) == expected
    assert len(set(expected)) > 2


def test_language_tokens_open_the_source_and_the_translation(tmp_path: Path) -> None:
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefgh"]
    tokenizer = NllbTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])
    config = CONFIGS["bart"](len(tokenizer))
    config.update({"pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0, "decoder_start_token_id": 2})
    folder = write_model(tmp_path / "model", config, tokenizer)
    given = TranslateTestConfig(translator=str(folder), source_code="swh_Latn", target_code="fra_Latn", max_length=6)
    translator = Pretrained(given, CPU)
    french = tokenizer.convert_tokens_to_ids("fra_Latn")
    assert translator.tokenizer("a b")["input_ids"][0] == tokenizer.convert_tokens_to_ids("swh_Latn")
    assert translator.translate(["abc def", "h"]) == [
        by_hand(translator, text, [2, french], 5) for text in ("abc def", "h")
    ]
    with pytest.raises(BenchError, match="no token for the language 'xxx'"):
        Pretrained(given.model_copy(update={"source_code": "xxx"}), CPU)


def test_pretrained_translator_trains_on_nothing_and_is_only_named(
    folder: Path, make_task: MakeTask, tmp_path: Path
) -> None:
    method = TranslateTest(TranslateTestConfig(translator=str(folder), max_length=9))
    assert method.supervision == method.depends_on == ()
    assert TranslateTest().depends_on == ("data",)
    task = make_task()
    retriever = method.fit(task)
    before = fingerprint_of(*method.models, offline=True)
    retriever.save(tmp_path / "it", task.teacher)
    assert not list((tmp_path / "it").rglob("*.safetensors"))
    loaded = TranslateTest.load(tmp_path / "it", task.teacher)
    queries = task.data.bitext.query_side[:5]
    assert loaded.rewrite(queries) == retriever.rewrite(queries)

    write_model(folder, CONFIGS["t5"](len(task.teacher.tokenizer)), task.teacher.tokenizer)
    assert fingerprint_of(*method.models, offline=True) != before
    with pytest.raises(BenchError, match="another version of the translator"):
        TranslateTest.load(tmp_path / "it", task.teacher)


def test_query_language_stands_in_the_source_code(monkeypatch: pytest.MonkeyPatch, make_task: MakeTask) -> None:
    asked: list[TranslateTestConfig] = []
    monkeypatch.setattr("methods.translate_test.Pretrained", lambda given, device: asked.append(given))
    data = TrainingData.none((Pair("som", "eng"),))
    TranslateTest(TranslateTestConfig(translator="a/b", source_code="{language}_Latn")).fit(make_task(data=data))
    assert asked == [TranslateTestConfig(translator="a/b", source_code="som_Latn")]


def lose_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.decoder.layers.0.fc1.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "no safetensors weights"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'), "cannot be read as a"),
        (lambda folder: (folder / "config.json").unlink(), "cannot be read as a translator"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot be read as a translator"),
        (lambda folder: os.truncate(folder / "model.safetensors", 5000), "cannot be read as a translator"),
        (lose_a_weight, "lacks the weights"),
    ],
)
def test_bad_model_is_refused_in_one_line(folder: Path, harm: Callable[[Path], Any], message: str) -> None:
    harm(folder)
    with pytest.raises(BenchError, match=message) as error:
        Pretrained(TranslateTestConfig(translator=str(folder)), CPU)
    assert "\n" not in str(error.value)
