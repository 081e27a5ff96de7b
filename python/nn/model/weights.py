"""The flat buffers behind a model: every weight in one, every gradient at the same place in another."""

from __future__ import annotations

from nn.layers.parameter import Parameter
from nn.model.checkpoint import Checkpoint
from nn.model.config import MoEConfig
from nn.model.parameters import ParameterLayout, ParameterSpec, parameter_layout, parameter_specs
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import Array, DType


class Weights:
    """`values` [layout.total] in the model's dtype and, in training, `gradients` [layout.total] f32.

    One buffer makes the norm of all gradients, their zeroing and the optimizer's update one call each.
    """

    def __init__(self, backend: Backend, config: MoEConfig, dtype: DType, training: bool) -> None:
        self.backend = backend
        self.config = config
        self.dtype = dtype
        self.layout: ParameterLayout = parameter_layout(config)
        self.specs: list[ParameterSpec] = parameter_specs(config)
        self._shapes = {spec.name: spec.shape for spec in self.specs}
        self.values: Buffer = backend.buffer(dtype, self.layout.total)
        self.gradients: Buffer | None = backend.buffer(DType.F32, self.layout.total) if training else None

    def initialise(self, seed: int) -> None:
        """Norms 1; every other element close to normal with deviation 0.02, from (seed, tensor number, element)."""
        for spec in self.specs:
            view = self.backend.view(self.values, self.layout.offsets[spec.name], spec.size)
            if spec.kind == "norm":
                self.backend.fill(view, spec.size, 1.0)
            else:
                self.backend.random_init(view, spec.size, 0, seed, spec.number)

    def parameter(self, name: str) -> Parameter:
        """The tensor with this checkpoint name."""
        return self._at(name, self.layout.offsets[name], self._shapes[name])

    def experts(self, layer: int) -> tuple[Parameter, Parameter, Parameter]:
        """The stacks (w1, w3, w2) of a layer: [n_experts, ffn_size, hidden_size] twice and its transpose."""
        c, at, name = self.config, self.layout, f"model.layers.{layer}.block_sparse_moe.experts"
        wide, narrow = (c.n_experts, c.ffn_size, c.hidden_size), (c.n_experts, c.hidden_size, c.ffn_size)
        return (
            self._at(name + ".w1", at.w1_stack[layer], wide),
            self._at(name + ".w3", at.w3_stack[layer], wide),
            self._at(name + ".w2", at.w2_stack[layer], narrow),
        )

    def load(self, checkpoint: Checkpoint) -> None:
        """Every tensor of an open checkpoint, converted to `dtype`: widened exactly, or rounded to nearest even."""
        for spec in self.specs:
            view = self.backend.view(self.values, self.layout.offsets[spec.name], spec.size)
            stored = DType[checkpoint.dtypes[spec.name]]
            if stored == self.dtype:
                self.backend.upload(view, checkpoint.array(spec.name))
            else:
                self.backend.upload(view, checkpoint.f32(spec.name))

    def fetch(self, name: str) -> Array:
        """The values of a tensor in its shape, as they are stored."""
        return self.fetch_from(self.values, name)

    def fetch_from(self, flat: Buffer, name: str) -> Array:
        """What stands at a tensor's place in a buffer of this layout: values, gradients, a moment."""
        shape = self._shapes[name]
        count = 1
        for extent in shape:
            count *= extent
        return self.backend.download(flat, self.layout.offsets[name], count).reshape(shape)

    def close(self) -> None:
        """Releases both buffers."""
        self.values.close()
        if self.gradients is not None:
            self.gradients.close()

    def _at(self, name: str, offset: int, shape: tuple[int, ...]) -> Parameter:
        count = 1
        for extent in shape:
            count *= extent
        grad = None if self.gradients is None else self.backend.view(self.gradients, offset, count)
        return Parameter(name, shape, self.backend.view(self.values, offset, count), grad)
