"""Published models, for methods that use one: `from bench.pretrained import load_encoder, ...`."""

from bench.encoders.models import at_hand, files_fingerprint, model_folder
from bench.training.teachers import load_encoder

__all__ = ["at_hand", "files_fingerprint", "load_encoder", "model_folder"]
