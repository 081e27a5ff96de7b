"""Every operation in NumPy: readable, slow, and what the library's devices are measured against.

One module per family of operations, with the stems of cuda/cpu and cuda/kernels. A module's functions on arrays are
the mathematics; the methods check arguments as the library does, with the same sentences.
"""

from nn.tensor.reference.attention import Attention
from nn.tensor.reference.cache import Cache
from nn.tensor.reference.conversion import Conversion
from nn.tensor.reference.decode import Decode
from nn.tensor.reference.elementwise import Elementwise
from nn.tensor.reference.embedding import Embedding
from nn.tensor.reference.gemm_swiglu import GemmSwiGLU
from nn.tensor.reference.loss import Loss
from nn.tensor.reference.memory import ReferenceBuffer
from nn.tensor.reference.moe import MoE
from nn.tensor.reference.optimizer import Optimizer
from nn.tensor.reference.random import Random
from nn.tensor.reference.rmsnorm import RMSNorm
from nn.tensor.reference.rope import RoPE
from nn.tensor.reference.softmax import Softmax

__all__ = ["ReferenceBackend", "ReferenceBuffer"]


class ReferenceBackend(
    Elementwise,
    Softmax,
    RMSNorm,
    GemmSwiGLU,
    RoPE,
    Attention,
    Cache,
    Embedding,
    MoE,
    Loss,
    Optimizer,
    Decode,
    Random,
    Conversion,
):
    """The operations on NumPy arrays, executed in the call."""
