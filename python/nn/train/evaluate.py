"""Loss on text that was not trained on, and what it means in bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from nn.elementary import exponential
from nn.model.transformer import MoETransformer
from nn.tensor.dtype import DType
from nn.train.data import Tokens
from nn.train.loss import CrossEntropy


@dataclass(frozen=True)
class Evaluation:
    """loss: mean cross entropy in nats per token; perplexity = exp(loss); bits_per_byte = sum of losses / (ln 2 bytes).

    Bytes are those of the text that the counted tokens came from: all of the split's, or, for a part of it, in
    proportion to its tokens.
    """

    loss: float
    perplexity: float
    bits_per_byte: float
    tokens: int


def evaluate(
    model: MoETransformer,
    tokens: Tokens,
    batch: int,
    seq_len: int,
    max_windows: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """The mean loss over windows of `seq_len` that cover the split once, or over `max_windows` spread evenly over it:
    of W windows those numbered floor(i W / max_windows). `progress` is told the windows done and those in all.

    Errors: data_too_short.
    """
    tokens.require(1)
    backend = model.backend
    loss = CrossEntropy(backend, model.config.vocab_size)
    rows = batch * seq_len
    ids_buffer = backend.buffer(DType.I32, rows)
    targets_buffer = backend.buffer(DType.I32, rows)
    windows = tokens.n_windows(seq_len)
    chosen = windows if max_windows is None else min(windows, max_windows)
    total, count = 0.0, 0
    try:
        for first in range(0, chosen, batch):
            numbers = [i * windows // chosen for i in range(first, min(first + batch, chosen))]
            ids, targets = tokens.windows(numbers, batch, seq_len)
            backend.upload(ids_buffer, ids)
            backend.upload(targets_buffer, targets)
            loss.reset()
            loss.add_count(targets_buffer, rows)
            loss.forward(model.forward(ids_buffer, batch, seq_len), targets_buffer, rows)
            total += float(backend.download(loss.sum)[0])
            count += int(backend.download(loss.count)[0])
            if progress is not None:
                progress(first + len(numbers), chosen)
    finally:
        loss.close()
        ids_buffer.close()
        targets_buffer.close()
    mean = total / count
    n_bytes = tokens.bytes * (count / (len(tokens.ids) - 1))
    bits = total / math.log(2.0) / n_bytes if n_bytes > 0 else math.inf
    return Evaluation(mean, exponential(mean), bits, count)
