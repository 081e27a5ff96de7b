"""The kernel library from Python: which devices are here, opening one of them or the reference, tensors on them."""

from nn.cuda.gpu_tensor import GpuTensor
from nn.cuda.library import Library, devices, library, why_not
from nn.cuda.native import NativeBackend
from nn.cuda.open import open_backend

__all__ = ["GpuTensor", "Library", "NativeBackend", "devices", "library", "open_backend", "why_not"]
