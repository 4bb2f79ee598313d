"""Folders of encoders as others save them: embedded as sentence-transformers does, or refused with one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from conftest import make_encoder
from safetensors.torch import load_file, save_file

from bench.encoders.folders import read_encoder, save_encoder
from bench.encoders.models import KNOWN, default_recipe, find_known
from bench.errors import BenchError

TEXTS = ["the cat saw a red house", "the dog", "a very long text " * 100, "", "zephyr"]
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SMALL = {**SIZE, "vocab_size": 300, "max_position_embeddings": 64, "pad_token_id": 0}
ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "bert": lambda: hf.BertModel(hf.BertConfig(**SMALL)),
    "bert with a head": lambda: hf.BertForMaskedLM(hf.BertConfig(**SMALL)),
    "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**SMALL)),
    "xlm-roberta with a head": lambda: hf.XLMRobertaForMaskedLM(hf.XLMRobertaConfig(**SMALL)),
    "mpnet": lambda: hf.MPNetModel(hf.MPNetConfig(**SMALL)),
    "electra": lambda: hf.ElectraForPreTraining(hf.ElectraConfig(**SMALL, embedding_size=8)),
    "albert": lambda: hf.AlbertModel(hf.AlbertConfig(**SMALL, embedding_size=8)),
    "distilbert": lambda: hf.DistilBertForMaskedLM(
        hf.DistilBertConfig(vocab_size=300, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=64)
    ),
    "modernbert": lambda: hf.ModernBertModel(hf.ModernBertConfig(**SMALL)),
}


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def change_weights(folder: Path, change: Callable[[str, torch.Tensor], dict[str, torch.Tensor]]) -> None:
    file = folder / "model.safetensors"
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(file).items():
        weights |= change(name, tensor)
    save_file(weights, file, metadata={"format": "pt"})


def in_subfolders(folder: Path) -> None:
    names = {"": "Transformer", "0_Pool": "Pooling"}
    (folder / "transformer").mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(folder / "transformer" / path.name)
    (folder / "1_Pooling").rename(folder / "0_Pool")
    places = {"Transformer": "transformer", "Pooling": "0_Pool"}
    modules = [
        {"idx": i, "name": str(i), "path": places[name], "type": f"sentence_transformers.models.{name}"}
        for i, name in enumerate(names.values())
    ]
    write(folder / "modules.json", modules)


def in_shards(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(weights)}
    for file in set(files.values()):
        part = {name: weights[name] for name in weights if files[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": files})


def in_another_place(folder: Path, name: str) -> None:
    """Name the weights in an index; those of the folder itself stay as a decoy."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    torch.save(weights, folder.parent / Path(name).name)
    shutil.copy(folder.parent / Path(name).name, folder)
    write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": dict.fromkeys(weights, name)})


def saved_by_the_library(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(folder), device="cpu").save(str(folder.parent / "again"))
    shutil.rmtree(folder)
    (folder.parent / "again").rename(folder)


def set_prompts(folder: Path, **prompts: Any) -> None:
    write(folder / "config_sentence_transformers.json", {"prompts": prompts})


def add_module(folder: Path, name: str) -> None:
    module = {"idx": 3, "name": "3", "path": f"3_{name}", "type": f"sentence_transformers.models.{name}"}
    write(folder / "modules.json", [*json.loads((folder / "modules.json").read_text()), module])


EQUAL: dict[str, Callable[[Path], Any]] = {
    "in subfolders": in_subfolders,
    "in shards": in_shards,
    "saved by the library": saved_by_the_library,
    "null prompt": lambda folder: set_prompts(folder, query=None, document="the "),
    "prompts": lambda folder: set_prompts(folder, query="who: ", document="it: "),
    "a head": lambda folder: change_weights(folder, lambda name, it: {name: it, f"cls.{name}": it[:1].clone()}),
    "stored positions": lambda folder: change_weights(
        folder, lambda name, it: {name: it, "embeddings.position_ids": torch.arange(64)[None]}
    ),
}
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "read: ValueError: Unrecognized model"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "no files of a fast tokenizer"),
    "a weight less": (
        lambda folder: change_weights(folder, lambda name, it: {} if name.endswith("Norm.bias") else {name: it}),
        r"lacks weights \(3\), such as embeddings.LayerNorm.bias",
    ),
    "prefixed": (lambda folder: change_weights(folder, lambda name, it: {f"module.{name}": it}), "weights"),
    "adapter": (
        lambda folder: change_weights(folder, lambda name, it: {f"base_model.model.{name}.base_layer": it}),
        "weights",
    ),
    "other size": (lambda folder: change_weights(folder, lambda name, it: {name: it[:5].clone()}), "cannot be read"),
    "extra layer": (
        lambda folder: change_weights(folder, lambda name, it: {name: it, name.replace("layer.0", "layer.7"): it + 0}),
        "has unknown weights",
    ),
    "weights elsewhere": (lambda folder: in_another_place(folder, "../outside.safetensors"), "names"),
    "pickled by index": (lambda folder: in_another_place(folder, "inside.bin"), "names inside.bin"),
    "longer than it is": (
        lambda folder: write(folder / "sentence_bert_config.json", {"max_seq_length": 65}),
        "fails on a text of 65 tokens",
    ),
    "prompt of a wrong type": (lambda folder: set_prompts(folder, query=["x"]), "prompt 'query' is not a text"),
    "dense layer": (lambda folder: add_module(folder, "Dense"), "needs the module Dense"),
    "router": (lambda folder: add_module(folder, "Router"), "module Router"),
    "modules of a wrong type": (lambda folder: write(folder / "modules.json", ["x"]), "cannot be read"),
    "not a number": (lambda folder: change_weights(folder, lambda name, it: {name: it * float("nan")}), "not a number"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_encoder(make_encoder(max_length=40, pooling="cls"), tmp_path / "encoder")
    return tmp_path / "encoder"


def assert_equal(folder: Path) -> None:
    """Compare all embeddings with those of sentence-transformers."""
    library = pytest.importorskip("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    found = read_encoder(folder, "x")
    for side, encode in (("query", library.encode_query), ("document", library.encode_document)):
        expected = encode(TEXTS, normalize_embeddings=True)
        assert ((found.encode(TEXTS, side) * expected).sum(axis=1) > 0.99999).all()


@pytest.mark.real
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_bare_transformer_is_embedded_as_by_sentence_transformers(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    ARCHITECTURES[name]().save_pretrained(tmp_path)
    tokenizer = make_encoder().tokenizer
    tokenizer.model_max_length = 40
    tokenizer.save_pretrained(tmp_path)
    assert_equal(tmp_path)


@pytest.mark.real
@pytest.mark.parametrize("name", EQUAL)
def test_folder_is_embedded_as_by_sentence_transformers(name: str, folder: Path) -> None:
    EQUAL[name](folder)
    assert_equal(folder)


@pytest.mark.parametrize("name", REFUSED)
def test_folder_is_refused_with_the_cause(name: str, folder: Path) -> None:
    change, message = REFUSED[name]
    change(folder)
    with pytest.raises(BenchError, match=message) as error:
        read_encoder(folder, "x")
    assert "\n" not in str(error.value)


def test_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = hf.T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0)
    hf.T5Model(config).save_pretrained(tmp_path)
    with pytest.raises(BenchError, match="t5 has a decoder"):
        read_encoder(tmp_path, "x")


def test_positions_after_the_padding_are_counted(tmp_path: Path) -> None:
    """XLM-R of 64 positions reads 63 tokens, for the padding has the first."""
    ARCHITECTURES["xlm-roberta with a head"]().save_pretrained(tmp_path)
    make_encoder().tokenizer.save_pretrained(tmp_path)
    assert read_encoder(tmp_path, "x").max_length == 63


def test_facts_about_a_model_follow_its_identity(folder: Path, tmp_path: Path) -> None:
    e5 = KNOWN["multilingual-e5-small"]
    copy = tmp_path / "copy"
    write(copy / "config.json", {"_name_or_path": e5.hub_id})
    cached = tmp_path / "models--intfloat--multilingual-e5-small" / "snapshots" / "0"
    cached.mkdir(parents=True)
    for name in ("multilingual-e5-small", e5.hub_id, str(copy), str(cached)):
        assert find_known(name) == e5
        assert default_recipe(name).initialisation == "shared"
    assert find_known(str(folder)).prompts == find_known("owner/other").prompts == ()
