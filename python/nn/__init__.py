"""cuda-nn: a Mixture-of-Experts Transformer on one kernel library, from Python.

from nn import MoETransformer

model = MoETransformer.tiny()
logits = model.forward_ids([1, 2, 3, 4], batch=1, seq_len=4)  # [1, 4, vocab_size]
"""

from nn.cuda import GpuTensor, open_backend
from nn.errors import NNError
from nn.layers import Embedding, Linear, RMSNorm, SwiGLU
from nn.model.attention import MQAttention
from nn.model.block import TransformerBlock
from nn.model.config import MoEConfig
from nn.model.moe import MoELayer
from nn.model.router import Router
from nn.model.transformer import MoETransformer
from nn.tensor.dtype import DType
from nn.tensor.shape import Shape
from nn.tensor.tensor import Tensor
from nn.train.adamw import AdamW
from nn.train.gpu_trainer import GpuTrainer

__version__ = "0.1.0"

__all__ = [
    "AdamW",
    "DType",
    "Embedding",
    "GpuTensor",
    "GpuTrainer",
    "Linear",
    "MQAttention",
    "MoEConfig",
    "MoELayer",
    "MoETransformer",
    "NNError",
    "RMSNorm",
    "Router",
    "Shape",
    "SwiGLU",
    "Tensor",
    "TransformerBlock",
    "__version__",
    "open_backend",
]
