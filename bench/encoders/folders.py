"""Folders of encoders in the layout of sentence-transformers, or with a transformer only.

Weights are safetensors; nothing is ever unpickled.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from bench.encoders.encoder import Encoder
from bench.errors import BenchError, describe

MODULES = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
"""The supported modules of sentence-transformers, and the folders that they are written to."""
FLAGS = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
"""The supported poolings by the flags of sentence-transformers."""
LONGEST = 512
"""Maximum number of tokens if a folder does not state one."""
UNUSED = re.compile(
    r"(.*\.)?(pooler|cls|lm_head|head|decoder|classifier|score|qa_outputs|vocab_(transform|layer_norm|projector)"
    r"|(lm|mask|discriminator|generator)_(predictions|lm_head))\..*|.*(position_ids|token_type_ids)|lm_head"
)
"""Weights without effect on embeddings: poolers, heads of other tasks and stored constants."""


def read_encoder(folder: Path, name: str) -> Encoder:
    """Return the encoder of a folder, with mean pooling if the folder states none.

    A text of its longest length is encoded as a test. Raises `BenchError` in these cases:

    - the folder lacks a fast tokenizer or safetensors weights, or a file is damaged;
    - the weights are not exactly those of the architecture;
    - the text cannot be encoded;
    - the encoder needs a module besides transformer, pooling and normalisation.
    """
    try:
        listed = read_json(folder / "modules.json") or []
        modules = {each["type"].rsplit(".", 1)[-1]: folder / each["path"] for each in listed}
        if outside := [path for path in modules.values() if not path.resolve().is_relative_to(folder.resolve())]:
            raise BenchError(
                f"encoder '{name}': {folder / 'modules.json'} names {outside[0]}, which is not in the folder"
            )
        if unsupported := [module for module in modules if module not in MODULES]:
            raise BenchError(f"encoder '{name}' needs the module {unsupported[0]}, which is not supported")
        main = modules.get("Transformer", folder)
        settings: dict[str, Any] = next((read_json(path) for path in sorted(main.glob("sentence_*_config.json"))), {})
        if settings.get("do_lower_case"):
            raise BenchError(f"encoder '{name}' lower-cases its input outside its tokenizer, which is not supported")
        pooling = _pooling(read_json(modules["Pooling"] / "config.json") if "Pooling" in modules else {}, name)
        prompts = read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
        if wrong := [key for key, prompt in prompts.items() if not isinstance(prompt, str | None)]:
            raise BenchError(f"encoder '{name}': its prompt '{wrong[0]}' is not a text")
        transformer = read_transformer(main, name)
        tokenizer = read_tokenizer(main, name)
    except BenchError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise BenchError(f"encoder '{name}': {folder} cannot be read: {describe(error)}") from error
    encoder = Encoder(
        transformer,
        tokenizer,
        name=name,
        pooling=pooling,
        max_length=settings.get("max_seq_length") or min(_positions(transformer), tokenizer.model_max_length, LONGEST),
        prompts={
            "query": prompts.get("query") or "",
            "document": next((prompts[key] for key in ("document", "passage", "corpus") if prompts.get(key)), ""),
        },
    )
    try_longest(encoder)
    return encoder


def read_transformer(folder: Path, name: str) -> Any:
    """Return a transformer in float32, without a pooler.

    Raises `BenchError` unless the folder has exactly its weights, as safetensors.
    """
    if not any(folder.glob("*.safetensors")):
        raise BenchError(f"encoder '{name}': {folder} has no safetensors weights (pickled weights are never loaded)")
    for index in folder.glob("*.index.json"):
        files = set(read_json(index)["weight_map"].values())
        # torch would unpickle other files.
        if wrong := [file for file in files if not re.fullmatch(r"[^/\\]+\.safetensors", file)]:
            raise BenchError(f"encoder '{name}': {index} names {wrong[0]}, which is no safetensors file beside it")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if config.is_encoder_decoder:
        raise BenchError(f"encoder '{name}': {config.model_type} has a decoder; only encoders are supported")
    transformer, loading = AutoModel.from_pretrained(
        folder, use_safetensors=True, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
    )
    # transformers draws missing weights at random and ignores unknown weights.
    missing = [key for key in loading["missing_keys"] if not key.startswith("pooler.")]
    unknown = [key for key in loading["unexpected_keys"] if not UNUSED.fullmatch(key)]
    for verb, wrong in (("lacks", missing), ("has unknown", unknown)):
        if wrong:
            cure = "save the encoder's own weights, without a wrapper or adapter"
            raise BenchError(f"encoder '{name}': {folder} {verb} weights ({len(wrong)}), such as {min(wrong)}; {cure}")
    if getattr(transformer, "pooler", None) is not None:
        transformer.pooler = None
    return transformer


def read_tokenizer(folder: Path, name: str) -> Any:
    """Return the fast tokenizer of a folder. Raises `BenchError` if there is none."""
    try:
        # Without `trust_remote_code=False`, transformers would prompt on the terminal for folders with code.
        return AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = describe(error).rstrip(": ")
        raise BenchError(
            f"encoder '{name}': {folder} has no files of a fast tokenizer (tokenizer.json): {why}"
        ) from error


def try_longest(encoder: Encoder) -> None:
    """Encode a text of the longest length. Raises `BenchError` if that fails or if the embedding is not a number."""
    try:
        embedding = encoder.encode(["a " * encoder.max_length], "document")
        complaint = "" if bool((embedding == embedding).all()) else "the embedding is not a number"
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        complaint = describe(error)
    if complaint:
        raise BenchError(
            f"encoder '{encoder.name}' fails on a text of {encoder.max_length} tokens, its longest: {complaint}; "
            "max_seq_length in sentence_bert_config.json sets another length"
        )


def _positions(transformer: Any) -> int:
    """Return the maximum number of positions of a text. RoBERTa starts them after the position of padding."""
    for name, module in transformer.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return int(getattr(transformer.config, "max_position_embeddings", LONGEST))


def _pooling(config: dict[str, Any], name: str) -> str:
    if not config.get("include_prompt", True):
        raise BenchError(f"encoder '{name}' excludes its prompt from pooling, which is not supported")
    if "pooling_mode" in config:
        return str(config["pooling_mode"])
    active = [key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on]
    return "+".join(FLAGS.get(mode, mode) for mode in active) or "mean"


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write weights, tokenizer and settings in the layout of sentence-transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.transformer.save_pretrained(folder)
    # Otherwise they are saved, too.
    encoder.tokenizer.backend_tokenizer.no_truncation()
    encoder.tokenizer.backend_tokenizer.no_padding()
    _plain_tokenizer(encoder.tokenizer).save_pretrained(folder)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{module}"}
        for i, (module, path) in enumerate(MODULES.items())
    ]
    write_json(folder / "modules.json", modules)
    for path in MODULES.values():
        (folder / path).mkdir(exist_ok=True)
    flags = {f"pooling_mode_{flag}": encoder.pooling == mode for flag, mode in FLAGS.items()}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": encoder.dimension, **flags})
    settings = {"max_seq_length": encoder.max_length, "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", settings)
    write_json(folder / "config_sentence_transformers.json", {"prompts": encoder.prompts})


def _plain_tokenizer(tokenizer: Any) -> Any:
    """Return the tokenizer in a class that is loaded from its files unchanged, since BERT's class changes them."""
    roles = ("unk_token", "pad_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token")
    settings = ("model_input_names", "model_max_length", "padding_side", "truncation_side")
    kept = {name: value for name in (*roles, *settings) if (value := getattr(tokenizer, name))}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, **kept)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
