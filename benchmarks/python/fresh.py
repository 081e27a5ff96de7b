"""The weights that a case's model begins with, for frameworks that compute the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nn.cuda import open_backend, why_not
from nn.json_fields import Fields
from nn.model.config import MoEConfig, preset
from nn.model.parameters import ParameterLayout, ParameterSpec
from nn.model.transformer import MoETransformer
from nn.tensor.philox import STREAM_DATA, uniform
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Fresh:
    """All weights in one array, as `nn.model.weights` lays them out."""

    config: MoEConfig
    specs: list[ParameterSpec]
    layout: ParameterLayout
    values: Floats

    def tensor(self, spec: ParameterSpec) -> Floats:
        """A tensor in its shape: a view of `values`."""
        at = self.layout.offsets[spec.name]
        return self.values[at : at + spec.size].reshape(spec.shape)


def fresh(case: Fields) -> Fresh:
    """Of the case's preset, seed 0."""
    with open_backend("reference" if why_not("cpu") else "cpu") as backend:
        model = MoETransformer(preset(case.string("config")), backend)
        weights = model.weights
        found = Fresh(model.config, weights.specs, weights.layout, backend.download(weights.values).copy())
        model.close()
    return found


def prompts(case: Fields, vocab_size: int) -> NDArray[np.int64]:
    """[batch, prompt], those of `nn.bench`."""
    batch, prompt = case.integer("batch"), case.integer("prompt")
    return (7 * np.arange(prompt)[None] + 131 * np.arange(batch)[:, None]) % vocab_size


def input_numbers(t: int, count: int) -> Floats:
    """A case's input number t: 2 u - 1, those of `nn.bench`."""
    return uniform(t, STREAM_DATA, 0, 0, count) * np.float32(2) - np.float32(1)


def ids(case: Fields, vocab_size: int) -> NDArray[np.int64]:
    """[batch, seq], those of `nn.bench`."""
    batch, seq = case.integer("batch"), case.integer("seq")
    return (np.arange(batch * seq) % vocab_size).reshape(batch, seq)
