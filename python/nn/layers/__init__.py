"""Layers: each one equation, forward and backward, as calls on a backend."""

from nn.layers.embedding import Embedding
from nn.layers.linear import Linear
from nn.layers.parameter import Parameter
from nn.layers.rmsnorm import RMSNorm
from nn.layers.swiglu import SwiGLU
from nn.layers.workspace import Workspace

__all__ = ["Embedding", "Linear", "Parameter", "RMSNorm", "SwiGLU", "Workspace"]
