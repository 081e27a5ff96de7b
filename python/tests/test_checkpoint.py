"""Checkpoints: golden folders open, what is saved has the same names and the same bytes every time."""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import GOLDEN, GOLDEN_FOLDERS

from nn.errors import NNError
from nn.json_strict import Json
from nn.model.checkpoint import (
    Checkpoint,
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    split_shards,
)
from nn.model.config import PRESETS
from nn.model.parameters import parameter_specs
from nn.model.safetensors import Array, SafetensorsFile, TensorEntry, bf16_to_f32
from nn.tensor.philox import init_normal


def copy(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / name, tmp_path / name))


def files_of(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def failure(folder: Path) -> NNError:
    with pytest.raises(NNError) as caught:
        load_checkpoint(folder)
    return caught.value


@pytest.mark.parametrize("name", GOLDEN_FOLDERS)
def test_golden_folders_open(name: str) -> None:
    checkpoint = load_checkpoint(GOLDEN / name)
    for spec in parameter_specs(checkpoint.config):
        assert checkpoint.f32(spec.name).shape == spec.shape
        assert checkpoint.f32(spec.name).dtype == np.float32
    assert np.isfinite(checkpoint.f32("model.norm.weight")).all()
    assert set(checkpoint.dtypes.values()) == {"BF16" if name == "bf16-sharded" else "F32"}


def test_bf16_weights_are_widened() -> None:
    checkpoint = load_checkpoint(GOLDEN / "bf16-sharded")
    bits = checkpoint.array("lm_head.weight")
    assert bits.dtype == np.uint16
    assert np.array_equal(checkpoint.f32("lm_head.weight"), bf16_to_f32(bits))


@pytest.mark.parametrize("name", GOLDEN_FOLDERS)
@pytest.mark.parametrize("shard_bytes", [4 * 2**30, 200_000])
def test_saved_again(name: str, shard_bytes: int, tmp_path: Path) -> None:
    """The names of the golden folder, the same tensors, and the second save equals the first byte for byte."""
    golden = load_checkpoint(GOLDEN / name)
    save_checkpoint(tmp_path / "one", golden.config, golden.array, shard_bytes=shard_bytes)
    again = load_checkpoint(tmp_path / "one")
    assert again.config == golden.config
    assert sorted(again.dtypes) == sorted(golden.dtypes)
    for tensor in golden.dtypes:
        assert np.array_equal(again.array(tensor), golden.array(tensor))
    save_checkpoint(tmp_path / "two", again.config, again.array, shard_bytes=shard_bytes)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_the_single_file_is_the_golden_file(tmp_path: Path) -> None:
    golden = load_checkpoint(GOLDEN / "gqa-top3")
    save_checkpoint(tmp_path / "x", golden.config, golden.array)
    written = (tmp_path / "x" / "model.safetensors").read_bytes()
    assert written == (GOLDEN / "gqa-top3" / "model.safetensors").read_bytes()
    assert sorted(files_of(tmp_path / "x")) == ["config.json", "generation_config.json", "model.safetensors"]


def test_shards_and_index(tmp_path: Path) -> None:
    """Filled greedily in byte order, named as transformers names them, and the index in its form."""
    golden = load_checkpoint(GOLDEN / "bf16-sharded")
    save_checkpoint(tmp_path / "x", golden.config, golden.array, shard_bytes=200_000)
    written = files_of(tmp_path / "x")
    index = json.loads(written["model.safetensors.index.json"])
    theirs = json.loads((GOLDEN / "bf16-sharded" / "model.safetensors.index.json").read_text())
    assert index["metadata"] == theirs["metadata"]
    assert list(index["weight_map"]) == sorted(theirs["weight_map"], key=str.encode)
    shards = sorted(name for name in written if name.startswith("model-"))
    assert shards == [f"model-{n + 1:05d}-of-{len(shards):05d}.safetensors" for n in range(len(shards))]
    for shard, after in itertools.pairwise(shards):
        opened, following = (SafetensorsFile(tmp_path / "x" / name) for name in (shard, after))
        filled = sum(info.end - info.begin for info in opened.tensors.values())
        first = min(following.tensors, key=str.encode)
        assert filled <= 200_000 < filled + following.tensors[first].end
        assert max(opened.tensors, key=str.encode).encode() < first.encode()


def test_split_shards() -> None:
    entries = [TensorEntry(str(n), "U8", (size,)) for n, size in enumerate([3, 3, 10, 1, 4, 0, 1])]
    sizes = [[entry.shape[0] for entry in shard] for shard in split_shards(entries, 6)]
    assert sizes == [[3, 3], [10], [1, 4, 0, 1]]


def test_training_state(tmp_path: Path) -> None:
    config = PRESETS["tiny"]
    arrays = {spec.name: np.full(spec.shape, spec.number, np.float32) for spec in parameter_specs(config)}
    moments = {prefix + name: array + 1 for name, array in arrays.items() for prefix in ("m.", "v.")}
    entries = [TensorEntry(name, "F32", array.shape) for name, array in moments.items()]
    state: dict[str, Json] = {"step": 7, "lr": 1e-6}
    training = TrainingState(entries, lambda name: moments[name], state)
    save_checkpoint(tmp_path / "x", config, lambda name: arrays[name], tokenizer=b"{}\n", training=training)
    opened = load_checkpoint(tmp_path / "x")
    assert opened.trainer_state() == state
    assert opened.tokenizer_path().read_bytes() == b"{}\n"
    optimizer = opened.optimizer()
    assert list(optimizer.tensors) == sorted(moments, key=str.encode)
    assert np.array_equal(optimizer.f32("v.lm_head.weight"), moments["v.lm_head.weight"])
    # Saved without training state: the old one does not stay beside the new weights.
    save_checkpoint(tmp_path / "x", config, lambda name: arrays[name])
    opened = load_checkpoint(tmp_path / "x")
    for ask in (opened.optimizer, opened.trainer_state):
        with pytest.raises(NNError, match="expected in a folder to resume from"):
            ask()
    assert opened.tokenizer_path().exists()


def test_fewer_shards_replace_more(tmp_path: Path) -> None:
    golden = load_checkpoint(GOLDEN / "tiny")
    save_checkpoint(tmp_path, golden.config, golden.array, shard_bytes=100_000)
    (tmp_path / "notes.txt").write_text("mine")
    save_checkpoint(tmp_path, golden.config, load_checkpoint(tmp_path).array)
    names = ["config.json", "generation_config.json", "model.safetensors", "notes.txt"]
    assert sorted(files_of(tmp_path)) == names
    assert load_checkpoint(tmp_path).f32("model.norm.weight").shape == (64,)


def test_fresh_weights_need_one_tensor_at_a_time(tmp_path: Path) -> None:
    config = PRESETS["tiny"]
    asked: list[str] = []
    specs = {spec.name: spec for spec in parameter_specs(config)}

    def fetch(name: str) -> Array:
        asked.append(name)
        spec = specs[name]
        if spec.kind == "norm":
            return np.ones(spec.shape, np.float32)
        return init_normal(1, spec.number, 0, spec.size).reshape(spec.shape)

    save_checkpoint(tmp_path / "x", config, fetch)
    assert asked == sorted(specs, key=str.encode)


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    golden = load_checkpoint(GOLDEN / "tiny")

    def fetch(name: str) -> Array:
        if name.endswith("norm.weight"):
            raise OSError(28, "No space left on device")
        return golden.array(name)

    with pytest.raises(NNError) as caught:
        save_checkpoint(tmp_path / "x", golden.config, fetch)
    assert caught.value.key == "disk_full"
    assert files_of(tmp_path) == {}


def edit_json(name: str) -> Callable[[Path, Callable[[Any], Any]], None]:
    def edit(folder: Path, change: Callable[[Any], Any]) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return edit


edit_index = edit_json("model.safetensors.index.json")
edit_config = edit_json("config.json")
FIRST = "model-00001-of-00007.safetensors"


def test_missing_things(tmp_path: Path) -> None:
    assert str(failure(tmp_path / "no")) == f"{tmp_path / 'no'}: no such folder, expected a checkpoint folder"
    folder = copy("tiny", tmp_path)
    (folder / "model.safetensors").unlink()
    assert str(failure(folder)) == (f"{folder}: no weights, expected model.safetensors or model.safetensors.index.json")
    (folder / "config.json").unlink()
    assert str(failure(folder)) == f"{folder / 'config.json'}: no such file, expected it in a checkpoint folder"


def test_tensors_must_be_those_of_the_config(tmp_path: Path) -> None:
    folder = copy("tiny", tmp_path)
    edit_config(folder, lambda config: config.update(num_hidden_layers=3))
    assert str(failure(folder)) == (
        f'{folder}: tensor "model.layers.2.input_layernorm.weight" is missing, expected by its config.json'
    )
    edit_config(folder, lambda config: config.update(num_hidden_layers=1))
    error = failure(folder)
    assert error.key == "checkpoint_unexpected_tensor"
    assert str(error) == (
        f'{folder / "model.safetensors"}: tensor "model.layers.1.block_sparse_moe.experts.0.w1.weight" does not belong '
        "to the model, expected only those of its config.json"
    )
    edit_config(folder, lambda config: config.update(num_hidden_layers=2, vocab_size=999))
    assert str(failure(folder)) == (
        f'{folder / "model.safetensors"}: tensor "model.embed_tokens.weight" has shape [1000, 64], expected [999, 64]'
    )


def test_integers_are_no_weights(tmp_path: Path) -> None:
    golden = load_checkpoint(GOLDEN / "tiny")
    path = tmp_path / "x"
    save_checkpoint(path, golden.config, golden.array)
    data = (path / "model.safetensors").read_bytes().replace(b'"dtype":"F32"', b'"dtype":"I32"', 1)
    (path / "model.safetensors").write_bytes(data)
    assert str(failure(path)) == (
        f'{path / "model.safetensors"}: tensor "lm_head.weight" has dtype I32, expected F32, BF16, F16'
    )


def test_truncated_weights(tmp_path: Path) -> None:
    folder = copy("tiny", tmp_path)
    data = (folder / "model.safetensors").read_bytes()
    for size in (0, 7, 100, 5000, len(data) - 1):
        (folder / "model.safetensors").write_bytes(data[:size])
        assert failure(folder).key in ("safetensors_truncated", "safetensors_out_of_file")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda index: index.pop("weight_map"), "field_missing"),
        (lambda index: index.update(weight_map=[]), "field_wrong_type"),
        (lambda index: index["weight_map"].update({"lm_head.weight": 3}), "checkpoint_index_file"),
        (lambda index: index["weight_map"].update({"lm_head.weight": "../" + FIRST}), "checkpoint_index_file"),
        (lambda index: index["weight_map"].update({"lm_head.weight": "..\\" + FIRST}), "checkpoint_index_file"),
        (lambda index: index["weight_map"].update({"lm_head.weight": "/etc/x.safetensors"}), "checkpoint_index_file"),
        (lambda index: index["weight_map"].update({"lm_head.weight": "weights.bin"}), "checkpoint_index_file"),
        (lambda index: index["weight_map"].update({"lm_head.weight": "other.safetensors"}), "checkpoint_index_extra"),
        (lambda index: index["weight_map"].update({"extra": FIRST}), "checkpoint_index_missing"),
        (lambda index: index["weight_map"].pop("lm_head.weight"), "checkpoint_index_extra"),
        (lambda index: index.update(weight_map={}), "checkpoint_missing_tensor"),
    ],
)
def test_foreign_index(change: Callable[[Any], Any], key: str, tmp_path: Path) -> None:
    folder = copy("bf16-sharded", tmp_path)
    edit_index(folder, change)
    assert failure(folder).key == key


def test_a_shard_that_is_gone(tmp_path: Path) -> None:
    folder = copy("bf16-sharded", tmp_path)
    (folder / FIRST).unlink()
    assert str(failure(folder)) == f"{folder / FIRST}: no such file, expected it in a checkpoint folder"


def test_a_save_that_was_cut_off_is_finished_on_loading(tmp_path: Path) -> None:
    golden = load_checkpoint(GOLDEN / "tiny")
    save_checkpoint(tmp_path / "x", golden.config, golden.array)
    save_checkpoint(tmp_path / "y", replace(golden.config, z_coef=0.5), golden.array)
    (tmp_path / "y").rename(tmp_path / "x" / ".complete")
    assert load_checkpoint(tmp_path / "x").config.z_coef == 0.5
    assert not (tmp_path / "x" / ".complete").exists()


def test_weights_outlive_the_folder(tmp_path: Path) -> None:
    """What was opened stays readable while the folder is saved over, so that a model can be saved where it is from."""
    golden = load_checkpoint(GOLDEN / "tiny")
    save_checkpoint(tmp_path / "x", golden.config, golden.array)
    opened: Checkpoint = load_checkpoint(tmp_path / "x")
    save_checkpoint(tmp_path / "x", golden.config, lambda name: np.zeros_like(golden.array(name)))
    assert np.array_equal(opened.array("lm_head.weight"), golden.array("lm_head.weight"))
