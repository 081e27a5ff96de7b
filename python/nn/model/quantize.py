"""Blocks instead of floats: writes a checkpoint's matrices as q8 or q4, one tensor in memory at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nn import messages
from nn.files import read_bytes
from nn.model.checkpoint import KIND, Checkpoint, checkpoint_entries, save_checkpoint, stored_form
from nn.model.config import MoEConfig
from nn.model.parameters import parameter_specs
from nn.tensor.backend import Backend
from nn.tensor.dtype import Array, DType, storage_of


def quantize_checkpoint(
    checkpoint: Checkpoint,
    path: str | Path,
    type: str,
    backend: Backend,
    written: Callable[[int], None] = lambda count: None,
) -> MoEConfig:
    """Writes the folder `path` with `ParameterSpec.quantized` matrices as `type` ("q8" or "q4") and returns its config.

    A block of 32 elements of a row becomes a scale and levels, as cunn_quantize says: x about d q, off by at most half
    of d (by d where q4 would need a level 8, which it has not) and the rounding of d. Everything else is in
    `config.dtype`; tokenizer.json comes along. `written` hears how many tensors are done. Errors: quantized_weights,
    quantize_replaces, those of `MoEConfig.validate` and of `save_checkpoint`, and the device's where an element is not
    finite.
    """
    checkpoint.config.require_float(checkpoint.path)
    require_elsewhere(checkpoint, path)
    config = checkpoint.config.with_quantization(type)
    specs = {spec.name: spec for spec in parameter_specs(config)}
    done = 0

    def fetch(name: str) -> Array:
        nonlocal done
        spec = specs[name]
        _, shape = stored_form(spec, config)
        if spec.quantized:
            values = backend.from_numpy(checkpoint.array(name), DType[checkpoint.dtypes[name]])
            blocks = backend.buffer(DType[type.upper()], spec.size)
            backend.quantize(blocks, values, spec.size)
            stored = backend.download(blocks).reshape(shape)
            values.close()
            blocks.close()
        elif DType[checkpoint.dtypes[name]].label == config.dtype:
            stored = checkpoint.array(name)
        else:
            stored = storage_of(checkpoint.f32(name), DType[config.dtype.upper()]).reshape(shape)
        done += 1
        written(done)
        return stored

    tokenizer = checkpoint.tokenizer_path()
    save_checkpoint(path, config, fetch, tokenizer=read_bytes(tokenizer, KIND) if tokenizer.exists() else None)
    return config


def require_elsewhere(checkpoint: Checkpoint, path: str | Path) -> None:
    """Errors: quantize_replaces where `path` is the checkpoint's own folder or holds a run to resume."""
    out = Path(path)
    if (out / "trainer_state.json").exists() or (out.exists() and out.samefile(checkpoint.path)):
        raise messages.quantize_replaces(path=str(out))


def stored_bytes(config: MoEConfig) -> int:
    """Of all tensors of a checkpoint."""
    return sum(entry.n_bytes() for entry in checkpoint_entries(config))
