"""A checkpoint: a Hugging Face Mixtral folder, read and written.

config.json, generation_config.json, model.safetensors (or shards with model.safetensors.index.json), tokenizer.json;
training adds optimizer.safetensors (`m.`, `v.`, `master.` + name) and trainer_state.json. In a folder that
`quantize_checkpoint` wrote, the tensors that `ParameterSpec.quantized` names are rows of blocks (see `stored_form`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn import files, messages
from nn.json_fields import Fields
from nn.json_strict import Json, describe, dumps, loads_object, quote
from nn.model.config import MoEConfig
from nn.model.parameters import ParameterSpec, parameter_specs
from nn.model.safetensors import Array, SafetensorsFile, TensorEntry, byte_order, file_chunks
from nn.tensor.dtype import DType

KIND = "checkpoint folder"
SHARD_BYTES = 4 * 2**30
"""A shard is full when the next tensor would bring its tensors beyond this."""

STORED = {"f32": "F32", "bf16": "BF16", "f16": "F16"}
"""MoEConfig.dtype -> dtype in the file."""

_INDEX = "model.safetensors.index.json"
_OWNED = re.compile(r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|"
                    r"optimizer\.safetensors|trainer_state\.json")  # fmt: skip


class Checkpoint:
    """An open folder: `config`, and every tensor of `parameter_specs(config)` by its name, read when asked for.

    `dtypes` (name -> F32, BF16 or F16, U8 for blocks) says how each is stored; `config.dtype` is what config.json says.
    """

    def __init__(self, path: str, config: MoEConfig, shards: list[SafetensorsFile]) -> None:
        self.path = path
        self.config = config
        self.shards = shards
        self._shard_of = {name: shard for shard in shards for name in shard.tensors}
        self.dtypes = {name: shard.tensors[name].dtype for name, shard in self._shard_of.items()}

    def array(self, name: str) -> Array:
        """As stored, read-only; bf16 comes as uint16."""
        return self._shard_of[name].array(name)

    def f32(self, name: str) -> NDArray[np.float32]:
        return self._shard_of[name].f32(name)

    def optimizer(self) -> SafetensorsFile:
        """The optimizer's tensors. Errors: checkpoint_no_training_state and those of `SafetensorsFile`."""
        return SafetensorsFile(self._training_file("optimizer.safetensors"))

    def trainer_state(self) -> dict[str, Json]:
        """Errors: checkpoint_no_training_state, cannot_read and those of `json_strict.loads_object`."""
        path = self._training_file("trainer_state.json")
        return loads_object(files.read_bytes(path, KIND), str(path))

    def tokenizer_path(self) -> Path:
        """Where tokenizer.json is, or would be."""
        return Path(self.path) / "tokenizer.json"

    def _training_file(self, name: str) -> Path:
        path = Path(self.path) / name
        if not path.exists():
            raise messages.checkpoint_no_training_state(path=self.path, file=name)
        return path


def require_tensor(file: SafetensorsFile, name: str, dtype: str, shape: tuple[int, ...]) -> Array:
    """A tensor that must be in `file` in this form. Errors: checkpoint_missing_tensor, checkpoint_wrong_shape,
    checkpoint_wrong_dtype."""
    info = file.tensors.get(name)
    if info is None:
        raise messages.checkpoint_missing_tensor(path=file.path, name=quote(name))
    if info.shape != shape:
        raise messages.checkpoint_wrong_shape(
            path=file.path, name=quote(name), found=format_shape(info.shape), expected=format_shape(shape)
        )
    if info.dtype != dtype:
        raise messages.checkpoint_wrong_dtype(path=file.path, name=quote(name), found=info.dtype, expected=dtype)
    return file.array(name)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Opens a folder and checks that it holds exactly the tensors of its config.json, in their shapes.

    Errors: folder_missing, file_missing, cannot_read, those of `MoEConfig.from_json` and `SafetensorsFile`,
    checkpoint_no_weights, checkpoint_index_*, checkpoint_missing_tensor, checkpoint_wrong_shape,
    checkpoint_wrong_dtype, checkpoint_unexpected_tensor.
    """
    folder = Path(path)
    files.require_folder(folder, KIND)
    try:
        files.recover(folder)
    except OSError as error:
        raise files.cannot_write(folder, error) from None
    config_path = folder / "config.json"
    config = MoEConfig.from_json(files.read_bytes(config_path, KIND), str(config_path))
    if (folder / "model.safetensors").exists():
        shards = [SafetensorsFile(folder / "model.safetensors")]
    elif (folder / _INDEX).exists():
        shards = _open_shards(folder)
    else:
        raise messages.checkpoint_no_weights(path=str(folder))
    checkpoint = Checkpoint(str(folder), config, shards)
    _check_tensors(checkpoint)
    return checkpoint


def _open_shards(folder: Path) -> list[SafetensorsFile]:
    """The files that the index names, in the order of their names' bytes, holding exactly what it says."""
    index_path = str(folder / _INDEX)
    index = loads_object(files.read_bytes(index_path, KIND), index_path)
    weight_map = Fields(index, index_path).object("weight_map")
    wanted: dict[str, list[str]] = {}
    for name, file in weight_map.items():
        if not isinstance(file, str) or not _is_shard_name(file):
            raise messages.checkpoint_index_file(path=index_path, file=describe(file))
        wanted.setdefault(file, []).append(name)
    shards = []
    for file in sorted(wanted, key=str.encode):
        shard = SafetensorsFile(folder / file)
        for name in wanted[file]:
            if name not in shard.tensors:
                raise messages.checkpoint_index_missing(path=index_path, name=quote(name), file=file)
        for name in shard.tensors:
            if weight_map.get(name) != file:
                raise messages.checkpoint_index_extra(path=index_path, name=quote(name), file=file)
        shards.append(shard)
    return shards


def _is_shard_name(file: str) -> bool:
    """A file of the folder itself: an index must not reach elsewhere."""
    plain = "/" not in file and "\\" not in file and "\0" not in file and not file.startswith(".")
    return plain and file.endswith(".safetensors")


def _check_tensors(checkpoint: Checkpoint) -> None:
    specs = parameter_specs(checkpoint.config)
    for spec in specs:
        shard = checkpoint._shard_of.get(spec.name)
        if shard is None:
            raise messages.checkpoint_missing_tensor(path=checkpoint.path, name=quote(spec.name))
        info = shard.tensors[spec.name]
        _, shape = stored_form(spec, checkpoint.config)
        if info.shape != shape:
            raise messages.checkpoint_wrong_shape(
                path=shard.path, name=quote(spec.name), found=format_shape(info.shape), expected=format_shape(shape)
            )
        allowed = ["U8"] if spec.quantized else list(STORED.values())
        if info.dtype not in allowed:
            raise messages.checkpoint_wrong_dtype(
                path=shard.path, name=quote(spec.name), found=info.dtype, expected=", ".join(allowed)
            )
    known = {spec.name for spec in specs}
    for shard in checkpoint.shards:
        for name in shard.tensors:
            if name not in known:
                raise messages.checkpoint_unexpected_tensor(path=shard.path, name=quote(name))


def stored_form(spec: ParameterSpec, config: MoEConfig) -> tuple[str, tuple[int, ...]]:
    """dtype and shape of a tensor in the file: its own, or U8 [rows, bytes of a row] where it is quantized. A row of k
    elements is k / 32 blocks, one behind the other: an f16 scale d and 32 int8 (q8, 34 bytes), or d and 16 bytes of
    nibbles (q4, 18 bytes), as cunn_quantize makes them."""
    if not spec.quantized:
        return STORED[config.dtype], spec.shape
    rows, cols = spec.shape
    return "U8", (rows, DType[config.quantization.upper()].bytes(cols))


def format_shape(shape: Sequence[int]) -> str:
    """`[2, 3]`"""
    return "[" + ", ".join(str(extent) for extent in shape) + "]"


@dataclass(frozen=True)
class TrainingState:
    """What training adds to a checkpoint. `fetch(name)` gives the array of an entry of `optimizer`."""

    optimizer: Sequence[TensorEntry]
    fetch: Callable[[str], Array]
    trainer_state: dict[str, Json]


def save_checkpoint(
    path: str | Path,
    config: MoEConfig,
    fetch: Callable[[str], Array],
    *,
    tokenizer: bytes | None = None,
    training: TrainingState | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes the folder `path`, whole or not at all; in a folder that is there, other files stay.

    `fetch(name)` gives each tensor of `parameter_specs(config)` once, in the order of the names' bytes, in its
    `stored_form` (bf16: uint16), so that one tensor at a time need be in memory. `tokenizer` is the content of
    tokenizer.json; without it an old one stays. Errors: disk_full, cannot_write.
    """
    entries = checkpoint_entries(config)
    shards = split_shards(entries, shard_bytes)
    with files.FolderSave(path, lambda name: _OWNED.fullmatch(name) is not None) as save:
        save.write("config.json", [config.to_json().encode()])
        save.write("generation_config.json", [config.generation_json().encode()])
        if tokenizer is not None:
            save.write("tokenizer.json", [tokenizer])
        for number, shard in enumerate(shards):
            save.write(shard_name(number, len(shards)), file_chunks(shard, fetch, {"format": "pt"}))
        if len(shards) > 1:
            save.write(_INDEX, [index_json(config, shards).encode()])
        if training is not None:
            chunks = file_chunks(training.optimizer, training.fetch, {"format": "pt"})
            save.write("optimizer.safetensors", chunks)
            save.write("trainer_state.json", [dumps(training.trainer_state).encode()])


def checkpoint_entries(config: MoEConfig) -> list[TensorEntry]:
    """Every tensor as it is written, in the order of the names' bytes."""
    return byte_order([TensorEntry(spec.name, *stored_form(spec, config)) for spec in parameter_specs(config)])


def split_shards(entries: Sequence[TensorEntry], shard_bytes: int) -> list[list[TensorEntry]]:
    """Fills shards in order, each until the next tensor would not fit; a tensor beyond `shard_bytes` is alone."""
    shards: list[list[TensorEntry]] = [[]]
    filled = 0
    for entry in entries:
        if shards[-1] and filled + entry.n_bytes() > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(entry)
        filled += entry.n_bytes()
    return shards


def shard_name(number: int, count: int) -> str:
    """`number` from 0; one shard has the plain name."""
    return "model.safetensors" if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def index_json(config: MoEConfig, shards: Sequence[Sequence[TensorEntry]]) -> str:
    """The content of model.safetensors.index.json, names in byte order."""
    weight_map: dict[str, Json] = {}
    total = 0
    for number, shard in enumerate(shards):
        for entry in shard:
            weight_map[entry.name] = shard_name(number, len(shards))
            total += entry.n_bytes()
    return dumps(
        {"metadata": {"total_parameters": config.n_parameters(), "total_size": total}, "weight_map": weight_map}
    )
