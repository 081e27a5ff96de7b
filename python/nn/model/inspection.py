"""What the routers did with a text: experts per token and layer, entropy, load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn.elementary import natural_log
from nn.model.router import Routing
from nn.model.transformer import MoETransformer
from nn.tensor.dtype import DType


@dataclass(frozen=True)
class LayerRouting:
    """One layer over T tokens. experts, weights [T, top_k], best first; entropy [T] in nats, at most ln n_experts; load
    [n_experts]: the share of the T top_k routed rows that each expert got."""

    experts: NDArray[np.int32]
    weights: NDArray[np.float32]
    entropy: NDArray[np.float64]
    load: NDArray[np.float64]


def entropy(probs: Sequence[float]) -> float:
    """-sum_i p_i ln p_i in nats, summed in the order of i in f64; a probability of 0 adds nothing."""
    total = 0.0
    for p in probs:
        if p != 0.0:
            total -= p * natural_log(p)
    return total


def inspect_routing(model: MoETransformer, ids: Sequence[int]) -> list[LayerRouting]:
    """The routing of every layer for one sequence. Errors: those of `MoETransformer.forward_ids`."""
    model.check_ids(ids, 1, len(ids))
    tokens, e, k = len(ids), model.config.n_experts, model.config.top_k
    backend = model.backend
    layers: list[LayerRouting] = []

    def observe(_layer: int, routing: Routing) -> None:
        probs = backend.download(routing.probs, 0, tokens * e).reshape(tokens, e)
        experts = backend.download(routing.experts, 0, tokens * k).reshape(tokens, k)
        weights = backend.download(routing.weights, 0, tokens * k).reshape(tokens, k)
        entropies = np.array([entropy(row.tolist()) for row in probs])
        load = np.bincount(experts.reshape(-1), minlength=e) / float(tokens * k)
        layers.append(LayerRouting(experts, weights, entropies, load))

    buffer = backend.buffer(DType.I32, tokens)
    try:
        backend.upload(buffer, np.asarray(ids, dtype=np.int32))
        model.forward(buffer, 1, tokens, observe)
        backend.synchronize()
    finally:
        buffer.close()
    return layers
