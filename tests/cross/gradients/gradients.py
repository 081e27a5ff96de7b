"""Writes the gradient of every parameter of a checkpoint for one batch that follows from its shape alone.

python gradients.py MODEL OUT.safetensors BATCH SEQ_LEN MICRO_BATCHES; main.rs and main.go are the same program.
"""

from __future__ import annotations

import sys

import numpy as np

from nn.cuda import open_backend
from nn.model.safetensors import TensorEntry, save_file
from nn.model.transformer import MoETransformer
from nn.train.gpu_trainer import GpuTrainer

folder, out, *sizes = sys.argv[1:]
batch, seq_len, micro_batches = map(int, sizes)
with open_backend("cpu", threads=1) as backend:
    model = MoETransformer.load(folder, backend, training=True)
    trainer = GpuTrainer(model, batch, seq_len, micro_batches)
    i = np.arange(micro_batches * batch * seq_len, dtype=np.int64)
    vocab = model.config.vocab_size
    ids = ((i * i + 7 * i) % vocab).astype(np.int32)
    targets = np.where(i % 5 == 4, -1, (3 * i + 1) % vocab).astype(np.int32)
    trainer.load(ids, targets)
    trainer.forward_backward()
    weights = model.weights
    assert weights.gradients is not None
    gradients = weights.gradients
    entries = [TensorEntry(spec.name, "F32", spec.shape) for spec in weights.specs]
    save_file(out, entries, lambda name: weights.fetch_from(gradients, name), {"format": "pt"})
