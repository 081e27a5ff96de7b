"""cuda-nn: a Mixture-of-Experts Transformer on one kernel library, from Python."""

from nn.errors import NNError
from nn.model.config import MoEConfig

__version__ = "0.1.0"

__all__ = ["MoEConfig", "NNError", "__version__"]
