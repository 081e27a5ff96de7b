"""Quantized checkpoints: what is written, that it computes what its blocks say, and who refuses it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import REFERENCE, run, sentence, succeed
from devices import available_devices
from numpy.typing import NDArray

from nn import NNError
from nn.cuda import open_backend
from nn.model.checkpoint import load_checkpoint, save_checkpoint
from nn.model.config import MoEConfig
from nn.model.parameters import parameter_layout, parameter_specs
from nn.model.quantize import quantize_checkpoint, stored_bytes
from nn.model.safetensors import Array, SafetensorsFile, f32_to_bf16
from nn.model.transformer import MoETransformer
from nn.tensor.dtype import DType
from nn.tensor.philox import init_normal
from nn.tensor.reference import ReferenceBackend

# No dimension is a multiple of a power of two beyond 32: an odd number of blocks in a row, tails everywhere.
SMALL = MoEConfig(
    vocab_size=259, hidden_size=96, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=40,
    n_experts=3, top_k=2, ffn_size=32, max_positions=64,
)  # fmt: skip
IDS = list(range(3, 40))
LARGE = 4.0  # blocks of one scale hide a wrong one


def float_folder(path: Path, config: MoEConfig = SMALL) -> Path:
    """Weights whose size differs from row to row."""
    specs = {spec.name: spec for spec in parameter_specs(config)}

    def fetch(name: str) -> Array:
        spec = specs[name]
        values = init_normal(7, spec.number, 0, spec.size).reshape(spec.shape)
        values *= np.linspace(0.5, LARGE, len(values), dtype=np.float32).reshape((-1,) + (1,) * (values.ndim - 1))
        return f32_to_bf16(values) if config.dtype == "bf16" else values

    save_checkpoint(path, config, fetch)
    return path


def quantized_folder(tmp_path: Path, kind: str, config: MoEConfig = SMALL, device: str = "reference") -> Path:
    checkpoint = load_checkpoint(float_folder(tmp_path / "float", config))
    with open_backend(device) as backend:
        quantize_checkpoint(checkpoint, tmp_path / kind, kind, backend)
    return tmp_path / kind


def dequantized(folder: Path, name: str) -> NDArray[np.float32]:
    """A quantized tensor's values, by the description of the format."""
    checkpoint = load_checkpoint(folder)
    q8 = checkpoint.config.quantization == "q8"
    rows = checkpoint.array(name)
    blocks = rows.reshape(len(rows), -1, 34 if q8 else 18)
    d = np.ascontiguousarray(blocks[:, :, :2]).view(np.float16).astype(np.float32)
    body = np.ascontiguousarray(blocks[:, :, 2:])
    levels = body.view(np.int8) if q8 else np.concatenate([body & 15, body >> 4], axis=2).astype(np.int8) - 8
    values: NDArray[np.float32] = (levels.astype(np.float32) * d).reshape(len(rows), -1)
    return values


@pytest.mark.parametrize("kind", ["q8", "q4"])
def test_what_is_written(kind: str, tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path, kind)
    before, after = load_checkpoint(tmp_path / "float"), load_checkpoint(folder)
    assert after.config == replace(before.config, quantization=kind)
    assert json.loads((folder / "config.json").read_text())["quantization_config"] == {
        "quant_method": "cunn",
        "type": kind,
    }
    names = [spec.name for spec in parameter_specs(after.config) if not spec.quantized]
    assert names == [
        "model.embed_tokens.weight",
        *(
            f"model.layers.{layer}.{part}.weight"
            for layer in range(2)
            for part in ("input_layernorm", "post_attention_layernorm", "block_sparse_moe.gate")
        ),
        "model.norm.weight",
    ]
    step = 127 if kind == "q8" else 8
    for spec in parameter_specs(after.config):
        if not spec.quantized:
            assert np.array_equal(after.array(spec.name), before.array(spec.name))
            continue
        want, got = before.f32(spec.name), dequantized(folder, spec.name)
        blocks = np.abs(want).reshape(-1, 32).max(axis=1)
        # Half a level, the levels that clamping cuts off (q4 has one level less above zero), and the f16 of the scale.
        bound = blocks / step * (0.5 if kind == "q8" else 1.0) + blocks * 2.0**-10
        assert (np.abs(want - got).reshape(-1, 32) <= bound[:, None]).all()
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) - stored_bytes(after.config) < 16384


@pytest.mark.parametrize("device", available_devices())
@pytest.mark.parametrize("kind", ["q8", "q4"])
def test_logits_are_those_of_the_dequantized_model(kind: str, device: str, tmp_path: Path) -> None:
    """Bit for bit: blocks are another way to store the f32 that they stand for."""
    folder = quantized_folder(tmp_path, kind)
    stored = load_checkpoint(folder)
    quantized = {spec.name for spec in parameter_specs(stored.config) if spec.quantized}
    save_checkpoint(
        tmp_path / "plain", SMALL, lambda name: dequantized(folder, name) if name in quantized else stored.array(name)
    )
    with open_backend(device) as backend:
        model = MoETransformer.load(folder, backend)
        assert model.weights.blocks is not None
        assert model.weights.blocks.dtype is DType[kind.upper()]
        got = model.forward_ids(IDS, 1, len(IDS))
        want = MoETransformer.load(tmp_path / "plain", backend).forward_ids(IDS, 1, len(IDS))
    assert np.isfinite(got).all()
    assert np.array_equal(got.view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize("device", [name for name in available_devices() if name != "reference"])
@pytest.mark.parametrize("kind", ["q8", "q4"])
def test_a_token_alone_is_the_token_among_others(kind: str, device: str, tmp_path: Path) -> None:
    """One row streams the blocks, many pack them: the same bits, beside bf16 weights and a bf16 cache too."""
    folder = quantized_folder(tmp_path, kind, replace(SMALL, dtype="bf16"))
    with open_backend(device) as backend:
        model = MoETransformer.load(folder, backend)
        alone = model.forward_ids(IDS[:1], 1, 1)
        among = model.forward_ids(IDS, 1, len(IDS))[:, :1]
    assert np.array_equal(alone.view(np.uint32), among.view(np.uint32))


@pytest.mark.parametrize("device", [name for name in available_devices() if name != "reference"])
@pytest.mark.parametrize("kind", ["q8", "q4"])
def test_every_device_writes_the_same_bytes(kind: str, device: str, tmp_path: Path) -> None:
    first = quantized_folder(tmp_path / "a", kind)
    second = quantized_folder(tmp_path / "b", kind, device=device)
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", ["q8", "q4"])
def test_load_and_save_is_the_identity(kind: str, tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path, kind, replace(SMALL, dtype="bf16"))
    MoETransformer.load(folder, ReferenceBackend()).save(tmp_path / "again")
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("device", available_devices())
@pytest.mark.parametrize("dtype", [DType.Q8, DType.Q4])
def test_a_product_without_terms(dtype: DType, device: str) -> None:
    with open_backend(device) as backend:
        c = backend.from_numpy(np.array([1.0, -2.0, 4.0, 0.5], np.float32))
        backend.gemm(c, backend.buffer(DType.F32, 0), backend.buffer(dtype, 0), False, True, 2, 2, 0, 2, 0, 0, 1.0, 0.5)
        assert backend.download(c).tolist() == [0.5, -1.0, 2.0, 0.25]


def test_fresh_weights_are_the_quantized_fresh_weights(tmp_path: Path) -> None:
    backend = ReferenceBackend()
    MoETransformer(SMALL, backend, seed=5).save(tmp_path / "float")
    quantize_checkpoint(load_checkpoint(tmp_path / "float"), tmp_path / "q8", "q8", backend)
    MoETransformer(SMALL.with_quantization("q8"), backend, seed=5).save(tmp_path / "fresh")
    assert (tmp_path / "q8" / "model.safetensors").read_bytes() == (tmp_path / "fresh/model.safetensors").read_bytes()


def test_layout_keeps_blocks_apart_from_floats() -> None:
    layout = parameter_layout(SMALL.with_quantization("q4"))
    specs = parameter_specs(SMALL.with_quantization("q4"))
    assert layout.n_quantized == sum(spec.size for spec in specs if spec.quantized)
    for quantized in (True, False):
        spans = sorted((layout.offsets[s.name], s.size) for s in specs if s.quantized is quantized)
        assert all(a + size <= b for (a, size), (b, _) in pairwise(spans))
    assert all(offset % 32 == 0 for offset in (layout.offsets[s.name] for s in specs if s.quantized))
    assert parameter_layout(SMALL).n_quantized == 0


# ---------------------------------------------------------------- refusals


def test_folders_that_contradict_themselves(tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path, "q8")
    config = json.loads((folder / "config.json").read_text())

    def refusal(**changes: object) -> str:
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(NNError) as caught:
            load_checkpoint(folder)
        return str(caught.value)

    path, where = f"{folder}/model.safetensors", f"{folder}/config.json"
    name = '"model.layers.0.self_attn.q_proj.weight"'
    assert refusal(quantization_config=None) == f"{path}: tensor {name} has shape [160, 102], expected [160, 96]"
    assert (
        refusal(quantization_config={"quant_method": "cunn", "type": "q4"})
        == f"{path}: tensor {name} has shape [160, 102], expected [160, 54]"
    )
    assert (
        refusal(quantization_config={"quant_method": "cunn", "type": "q5"})
        == f'{where}: quantization_config: type "q5" is not supported, expected "q8" or "q4"'
    )
    assert (
        refusal(quantization_config={"quant_method": "cunn"})
        == f'{where}: quantization_config: field "type" is missing, expected a string'
    )
    assert (
        refusal(quantization_config={"quant_method": "gptq", "type": "q8"})
        == f"{where}: quantization_config an object is not supported, expected null"
    )
    assert (
        refusal(head_dim=44)
        == f"{where}: n_heads times head_dim is 176, expected a multiple of 32 in a quantized model"
    )
    assert refusal(intermediate_size=48) == f"{where}: ffn_size is 48, expected a multiple of 32 in a quantized model"


def test_a_quantized_tensor_must_be_bytes(tmp_path: Path) -> None:
    folder = quantized_folder(tmp_path, "q8")
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    at = data.index(b'"lm_head.weight":{"dtype":"U8"')
    data[at : at + 30] = b'"lm_head.weight":{"dtype":"I8"'
    file.write_bytes(data)
    with pytest.raises(NNError) as caught:
        load_checkpoint(folder)
    assert str(caught.value) == f'{file}: tensor "lm_head.weight" has dtype I8, expected U8'


def test_only_floats_are_trained(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = quantized_folder(tmp_path, "q8")
    refused = "the weights are quantized (q8), expected f32, bf16 or f16"
    train = ("train", "--data", text, "--out", tmp_path / "out", "--steps", 1, "--quiet", *REFERENCE)
    assert sentence(capsys, 1, *train, "--config", folder) == f"{folder}/config.json: {refused}"
    resume = ("train", "--data", text, "--out", folder, "--resume", *REFERENCE)
    assert sentence(capsys, 1, *resume) == f"{folder}: {refused}"
    init = ("init", "--config", folder, "--out", tmp_path / "fresh", *REFERENCE)
    assert sentence(capsys, 1, *init) == f"{folder}/config.json: {refused}"
    again = ("quantize", "--model", folder, "--out", tmp_path / "again", "--type", "q4", *REFERENCE)
    assert sentence(capsys, 1, *again) == f"{folder}: {refused}"
    with pytest.raises(NNError) as caught:
        MoETransformer(SMALL.with_quantization("q4"), ReferenceBackend(), training=True)
    assert str(caught.value) == "config: the weights are quantized (q4), expected f32, bf16 or f16"
    with pytest.raises(NNError) as caught:
        MoETransformer.load(folder, ReferenceBackend(), training=True)
    assert str(caught.value) == f"{folder}: {refused}"
    for path in ("out", "fresh", "again"):
        assert not (tmp_path / path).exists()


@pytest.mark.parametrize("device", available_devices())
def test_weights_without_a_finite_scale(device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(SMALL, n_layers=1)
    floats = load_checkpoint(float_folder(tmp_path / "float", config))

    def fetch(name: str) -> Array:
        values = floats.array(name).copy()
        if name == "lm_head.weight":
            values[1, 33] = np.inf
        return values

    save_checkpoint(tmp_path / "bad", config, fetch)
    said = sentence(capsys, 1, "quantize", "--model", tmp_path / "bad", "--out", tmp_path / "out", "--type", "q8",
                    "--device", device, "--quiet")  # fmt: skip
    most = f"expected magnitudes of at most {65504 * 127}"
    assert said == f"quantize: x[128] begins a block without a finite f16 scale, {most}"
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- the command line


def test_the_command_line_takes_a_quantized_folder(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = MoEConfig(
        vocab_size=259, hidden_size=32, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=16,
        n_experts=3, top_k=2, ffn_size=32, max_positions=32,
    )  # fmt: skip
    (tmp_path / "wide.json").write_text(wide.to_json())
    out = tmp_path / "wide"
    succeed(capsys, "train", "--data", data, "--out", out, "--config", tmp_path / "wide.json", "--steps", 2,
            "--batch", 1, "--seq", 8, "--quiet", *REFERENCE)  # fmt: skip
    result = succeed(
        capsys, "quantize", "--model", out, "--out", tmp_path / "q4", "--type", "q4", "--quiet", *REFERENCE
    )
    assert list(result) == ["out", "type", "parameters", "quantized_parameters", "bytes"]
    assert (tmp_path / "q4" / "tokenizer.json").read_bytes() == (out / "tokenizer.json").read_bytes()
    assert sorted(path.name for path in (tmp_path / "q4").iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    for arguments in (
        ("generate", "--model", tmp_path / "q4", "--prompt", "Number", "--max-new-tokens", 4, "--quiet"),
        ("eval", "--model", tmp_path / "q4", "--data", data, "--quiet"),
        ("inspect", "--model", tmp_path / "q4", "--prompt", "Number"),
        ("logits", "--model", tmp_path / "q4", "--ids", "1,2,3", "--out", tmp_path / "logits.safetensors"),
    ):
        succeed(capsys, *arguments, *REFERENCE)
    assert SafetensorsFile(tmp_path / "logits.safetensors").f32("logits").shape == (1, 3, 259)


def test_weights_are_not_replaced_by_their_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = float_folder(tmp_path / "float")
    run_of = tmp_path / "run"
    run_of.mkdir()
    (run_of / "trainer_state.json").write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for out in (model, model / ".." / model.name, run_of):
        got = sentence(capsys, 1, "quantize", "--model", model, "--out", out, "--type", "q8", *REFERENCE)
        assert got == f"{out}: holds the weights to quantize or a run to resume, expected another folder"
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_usage(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ("quantize", "--model", model, "--out", tmp_path / "q", *REFERENCE)
    assert sentence(capsys, 2, *base) == "quantize needs --type, see quantize --help"
    assert sentence(capsys, 2, *base, "--type", "q5") == '--type is "q5", expected q8 or q4'
    # The trained model of these tests is too small for blocks.
    assert (
        sentence(capsys, 1, *base, "--type", "q8")
        == "config: hidden_size is 16, expected a multiple of 32 in a quantized model"
    )
    status, _, _ = run(capsys, "quantize", "--help")
    assert status == 0
