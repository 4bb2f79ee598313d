"""All that a method needs, in one place: `from bench.api import TrainedMethod, MethodConfig, ...`."""

from bench.data import Bitext, Pair, Relevance, TrainingData
from bench.encoders.encoder import Encoder, TokenBatch
from bench.evaluation.retriever import Retriever
from bench.training.losses import info_nce
from bench.training.method import Batch, Method, MethodConfig, Task, TrainedMethod
from bench.training.sampling import length_buckets

__all__ = [
    "Batch",
    "Bitext",
    "Encoder",
    "Method",
    "MethodConfig",
    "Pair",
    "Relevance",
    "Retriever",
    "Task",
    "TokenBatch",
    "TrainedMethod",
    "TrainingData",
    "info_nce",
    "length_buckets",
]
