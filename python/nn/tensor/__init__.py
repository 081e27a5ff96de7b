"""Tensors, their element types and shapes, and the operations that backends provide."""

from nn.tensor.backend import Backend, Buffer, Graph
from nn.tensor.dtype import DType
from nn.tensor.shape import Shape
from nn.tensor.status import BackendError, Status
from nn.tensor.tensor import Tensor

__all__ = ["Backend", "BackendError", "Buffer", "DType", "Graph", "Shape", "Status", "Tensor"]
