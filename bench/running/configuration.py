"""The effective configuration of a call: every option and setting, its defaults filled in, as a file for `--config`."""

from __future__ import annotations

from typing import Any

import tomli_w

from bench.atomic import atomic_write
from bench.evaluation.measures import BIAS, MINING
from bench.fingerprint import digest_bytes
from bench.request import Request
from bench.results.store import Store
from bench.running.plan import Plan

OF_THE_CALL = {"overwrite", "quiet", "patience", "energy"}
"""Options about how a call does its work, which change no result."""


def effective_configuration(request: Request, plan: Plan) -> dict[str, Any]:
    """Return what `bench run --config` needs to ask for the same again, even if a default should change."""
    values = request.model_dump(mode="json", exclude_none=True, exclude=OF_THE_CALL)
    settings = {name: values for row in plan.rows for name, values in row.settings.items() if values}
    return {
        **values,
        "encoder": plan.encoder,
        "measures": [name for name in plan.measures if name not in MINING and name not in BIAS],
        "recipe": plan.recipe.model_dump(mode="json", exclude_none=True),
        "method": {name: dict(settings[name]) for name in sorted(settings)},
    }


def keep_configuration(store: Store, request: Request, plan: Plan) -> str:
    """Write it to the results folder, under a name made from its content; return the path in that folder."""
    text = tomli_w.dumps(effective_configuration(request, plan))
    name = f"configurations/{digest_bytes(text.encode())[:12]}.toml"
    if not (store.root / name).is_file():
        with atomic_write(store.root / name) as file:
            file.write(text)
    return name
