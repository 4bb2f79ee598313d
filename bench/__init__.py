"""A comparative benchmark of training methods for cross-lingual retrieval on low-resource languages."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.errors import BenchError, CellFailed
    from bench.interface import Results, run

__version__ = "0.1.0"
__all__ = ["BenchError", "CellFailed", "Results", "run"]


def __getattr__(name: str) -> Any:
    """Import a name of the Python interface when it is used."""
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module("bench.errors" if name in ("BenchError", "CellFailed") else "bench.interface"), name)
