"""The frozen teacher of a comparison: its identity, and loading it. The tiny one is trained if needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.dependencies.fingerprint import code_digest, library_versions
from bench.encoders.models import TINY, check_encoder, files_fingerprint, find_known, model_folder
from bench.errors import BenchError, MissingFile
from bench.storage.hashing import digest
from bench.storage.sealed import Damaged, default_cache, read_whole, remembered
from bench.system.offline import network_forbidden

if TYPE_CHECKING:
    import torch

    from bench.encoders.encoder import Encoder


@dataclass(frozen=True)
class Identity:
    """The fingerprint of an encoder, which no other encoder has, and its dimension."""

    fingerprint: str
    dimension: int


def identity_if_known(name: str, *, offline: bool) -> Identity | None:
    """Return the identity of `load_teacher(name)`. The encoder is loaded only once per state of its files.

    None for a tiny encoder that is not trained yet, and for an encoder that is not available. Raises `BenchError` for
    an unknown name and for a folder that cannot be read.
    """
    check_encoder(name)
    if tiny := TINY.fullmatch(name):
        try:
            manifest = read_whole(tiny_folder(default_cache(), int(tiny[1] or 0)))
        except Damaged:
            return None
        return Identity(manifest["fingerprint"], manifest["dimension"])
    try:
        folder = model_folder(name, offline=offline)
    except BenchError:
        return None
    key = digest(
        [
            files_fingerprint(folder),
            code_digest("bench.encoders.folders"),
            library_versions("transformers", "tokenizers", "torch"),
            find_known(name).prompts,
        ]
    )
    path = default_cache() / "encoders" / "identities" / f"{key}.json"
    return Identity(**remembered(path, lambda: asdict(_loaded_identity(name, offline))))


def check_models(encoder: str, others: Iterable[str], *, offline: bool) -> list[str]:
    """Return notes about models that a run would download. An encoder of new files is loaded.

    Raises `BenchError` if a run would refuse a model. `offline` forbids downloads in that run.
    """
    notes = []
    identity_if_known(encoder, offline=True)
    for name in dict.fromkeys((encoder, *others)):
        try:
            if not TINY.fullmatch(name):
                model_folder(name, offline=True)
        except MissingFile:
            if offline:
                raise
            notes.append(f"{name} is not on this machine; a run downloads it")
    return notes


def fingerprint_of(model: str, *, offline: bool) -> str:
    """Return the hash of a model's files; of a tiny encoder, which is trained if needed, the fingerprint.

    Raises `BenchError` if the model is not available.
    """
    if TINY.fullmatch(model):
        return (identity_if_known(model, offline=offline) or _loaded_identity(model, offline)).fingerprint
    return files_fingerprint(model_folder(model, offline=offline))


def _loaded_identity(name: str, offline: bool) -> Identity:
    import torch

    encoder = load_teacher(name, torch.device("cpu"), offline=offline)
    return Identity(encoder.fingerprint(), encoder.dimension)


def load_teacher(
    name: str,
    device: torch.device,
    *,
    offline: bool,
    on_step: Callable[[dict[str, Any]], None] = lambda record: None,
    on_damage: Callable[[str], None] = lambda text: None,
) -> Encoder:
    """Return the frozen encoder of that name on `device`. Raises `BenchError` if it is not available.

    `on_step` is called for each step of the training of a tiny encoder, `on_damage` with a line if a stored one is
    damaged and therefore trained again.
    """
    check_encoder(name)
    if tiny := TINY.fullmatch(name):
        from bench.training.tiny import tiny_encoder

        seed = int(tiny[1] or 0)
        return tiny_encoder(tiny_folder(default_cache(), seed), seed, on_step, on_damage).to(device).freeze()
    from bench.encoders.folders import read_encoder

    encoder = read_encoder(model_folder(name, offline=offline), name).to(device).freeze()
    if not any(encoder.prompts.values()):
        encoder.prompts.update(find_known(name).prompts)
    return encoder


def load_encoder(name: str) -> Encoder:
    """Return a frozen encoder, for a method that uses one besides the teacher; `--offline` forbids a download.

    Raises `BenchError` if it is not available.
    """
    import torch

    return load_teacher(name, torch.device("cpu"), offline=network_forbidden())


def tiny_folder(cache: Path, seed: int) -> Path:
    """Return the folder of a tiny encoder, named by everything that can change it."""
    code = [code_digest("bench.training.tiny"), code_digest("bench.training.loop")]
    key = digest([code, library_versions("torch", "transformers", "tokenizers", "numpy"), seed])
    return cache / "encoders" / f"tiny-{seed}-{key[:16]}"
