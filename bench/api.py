"""The modules that a method imports: `from bench.api import TrainedMethod, TrainedConfig, ...`.

A method is a subclass of `Method`, or of `TrainedMethod` if it trains a student by gradient descent.
"""

from bench.data import Bitext, Ids, Pair, Relevance, TrainingData
from bench.data.ibm_model_1 import ibm_model_1
from bench.data.normalise import normalise
from bench.data.parallel import parallel_groups
from bench.encoders.encoder import Encoder, Side, TokenBatch, autocast
from bench.encoders.folders import read_encoder, read_json, write_json
from bench.errors import BenchError, describe
from bench.evaluation.alignment import word_pieces
from bench.evaluation.retriever import DualEncoder, OnBatch, Ranker, Retriever
from bench.recipe import Spent
from bench.sampling import language_batches, length_buckets
from bench.training.loop import Batch, TrainedConfig, TrainedMethod
from bench.training.losses import info_nce
from bench.training.method import Method, MethodConfig, Task

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
    "autocast",
    "describe",
    "ibm_model_1",
    "info_nce",
    "language_batches",
    "length_buckets",
    "normalise",
    "parallel_groups",
    "read_encoder",
    "read_json",
    "word_pieces",
    "write_json",
]
