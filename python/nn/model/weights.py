"""The flat buffers behind a model: every weight in one, every gradient at the same place in another; the blocks of a
quantized model in a third."""

from __future__ import annotations

from nn.layers.parameter import Parameter
from nn.model.checkpoint import Checkpoint, stored_form
from nn.model.config import MoEConfig
from nn.model.parameters import ParameterLayout, ParameterSpec, parameter_layout, parameter_specs
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import Array, DType


class Weights:
    """`values` [layout.total] in the model's dtype and, in training, `gradients` [layout.total] f32. In a quantized
    model `blocks` [layout.n_quantized] q8 or q4 holds the tensors that are quantized.

    One buffer makes the norm of all gradients, their zeroing and the optimizer's update one call each.
    """

    def __init__(self, backend: Backend, config: MoEConfig, dtype: DType, training: bool) -> None:
        self.backend = backend
        self.config = config
        self.dtype = dtype
        self.layout: ParameterLayout = parameter_layout(config)
        self.specs: list[ParameterSpec] = parameter_specs(config)
        self._specs = {spec.name: spec for spec in self.specs}
        self.values: Buffer = backend.buffer(dtype, self.layout.total)
        self.blocks: Buffer | None = None
        if config.quantization != "none":
            self.blocks = backend.buffer(DType[config.quantization.upper()], self.layout.n_quantized)
        self.gradients: Buffer | None = backend.buffer(DType.F32, self.layout.total) if training else None

    def initialise(self, seed: int) -> None:
        """Norms 1; every other element close to normal with deviation 0.02, from (seed, tensor number, element)."""
        for spec in self.specs:
            view = self._view(spec)
            if spec.kind == "norm":
                self.backend.fill(view, spec.size, 1.0)
            elif spec.quantized:
                fresh = self.backend.buffer(DType.F32, spec.size)
                self.backend.random_init(fresh, spec.size, 0, seed, spec.number)
                self.backend.quantize(view, fresh, spec.size)
                fresh.close()
            else:
                self.backend.random_init(view, spec.size, 0, seed, spec.number)

    def parameter(self, name: str) -> Parameter:
        """The tensor with this checkpoint name."""
        spec = self._specs[name]
        return self._at(name, self._home(spec), self.layout.offsets[name], spec.shape)

    def experts(self, layer: int) -> tuple[Parameter, Parameter, Parameter]:
        """The stacks (w1, w3, w2) of a layer: [n_experts, ffn_size, hidden_size] twice and its transpose."""
        c, at, name = self.config, self.layout, f"model.layers.{layer}.block_sparse_moe.experts"
        wide, narrow = (c.n_experts, c.ffn_size, c.hidden_size), (c.n_experts, c.hidden_size, c.ffn_size)
        home = self.values if self.blocks is None else self.blocks
        return (
            self._at(name + ".w1", home, at.w1_stack[layer], wide),
            self._at(name + ".w3", home, at.w3_stack[layer], wide),
            self._at(name + ".w2", home, at.w2_stack[layer], narrow),
        )

    def load(self, checkpoint: Checkpoint) -> None:
        """Every tensor of an open checkpoint, converted to `dtype`: widened exactly, or rounded to nearest even. Blocks
        stay as they are."""
        for spec in self.specs:
            view = self._view(spec)
            if spec.quantized or DType[checkpoint.dtypes[spec.name]] == self.dtype:
                self.backend.upload(view, checkpoint.array(spec.name))
            else:
                self.backend.upload(view, checkpoint.f32(spec.name))

    def fetch(self, name: str) -> Array:
        """The values of a tensor as a checkpoint stores them: in its shape, or as rows of blocks."""
        spec = self._specs[name]
        _, shape = stored_form(spec, self.config)
        return self.backend.download(self._home(spec), self.layout.offsets[name], spec.size).reshape(shape)

    def fetch_from(self, flat: Buffer, name: str) -> Array:
        """What stands at a tensor's place in a float buffer of this layout: values, gradients, a moment."""
        spec = self._specs[name]
        return self.backend.download(flat, self.layout.offsets[name], spec.size).reshape(spec.shape)

    def close(self) -> None:
        """Releases the buffers."""
        for buffer in (self.values, self.gradients, self.blocks):
            if buffer is not None:
                buffer.close()

    def _home(self, spec: ParameterSpec) -> Buffer:
        return self.blocks if spec.quantized and self.blocks is not None else self.values

    def _view(self, spec: ParameterSpec) -> Buffer:
        return self.backend.view(self._home(spec), self.layout.offsets[spec.name], spec.size)

    def _at(self, name: str, home: Buffer, offset: int, shape: tuple[int, ...]) -> Parameter:
        count = 1
        for extent in shape:
            count *= extent
        grad = None if self.gradients is None else self.backend.view(self.gradients, offset, count)
        return Parameter(name, shape, self.backend.view(home, offset, count), grad)
