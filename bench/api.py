"""All that a method needs, in one place: `from bench.api import TrainedMethod, MethodConfig, ...`."""

from bench.data import Bitext, Pair, Relevance, TrainingData
from bench.data.leakage import normalise
from bench.data.parallel import parallel_groups
from bench.encoders.encoder import Encoder, Side, TokenBatch, read_encoder, read_json, write_json
from bench.encoders.models import at_hand, files_fingerprint, load_encoder, model_folder
from bench.errors import BenchError, describe
from bench.evaluation.alignment import word_pieces
from bench.evaluation.retriever import DualEncoder, OnBatch, Ranker, Retriever
from bench.evaluation.run import Ids
from bench.training.budget import Spent
from bench.training.loop import autocast
from bench.training.losses import info_nce
from bench.training.method import Batch, Method, MethodConfig, Task, TrainedConfig, TrainedMethod
from bench.training.sampling import language_batches, length_buckets

__all__ = [
    "Batch",
    "BenchError",
    "Bitext",
    "DualEncoder",
    "Encoder",
    "Ids",
    "Method",
    "MethodConfig",
    "OnBatch",
    "Pair",
    "Ranker",
    "Relevance",
    "Retriever",
    "Side",
    "Spent",
    "Task",
    "TokenBatch",
    "TrainedConfig",
    "TrainedMethod",
    "TrainingData",
    "at_hand",
    "autocast",
    "describe",
    "files_fingerprint",
    "info_nce",
    "language_batches",
    "length_buckets",
    "load_encoder",
    "model_folder",
    "normalise",
    "parallel_groups",
    "read_encoder",
    "read_json",
    "word_pieces",
    "write_json",
]
