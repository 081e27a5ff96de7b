"""Training stopped at any step and resumed is the uninterrupted run, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from devices import available_devices

from nn.cuda import open_backend
from nn.model.checkpoint import load_checkpoint
from nn.model.config import MoEConfig
from nn.model.transformer import MoETransformer
from nn.tensor.dtype import DType
from nn.train.data import load_data
from nn.train.prepare import prepare
from nn.train.trainer import Trainer, TrainOptions, stored_options

pytestmark = pytest.mark.skipif("cpu" not in available_devices(), reason="the library is not built")

CONFIG = MoEConfig(
    vocab_size=259, hidden_size=32, n_layers=2, n_heads=4, n_kv_heads=1, head_dim=8,
    n_experts=4, top_k=2, ffn_size=24, max_positions=64,
)  # fmt: skip
OPTIONS = TrainOptions(steps=9, batch=2, seq_len=24, accumulate=2, seed=5, lr=1e-2, eval_every=4)
SAME = ("config.json", "model.safetensors", "optimizer.safetensors", "trainer_state.json")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for number in range(25):
        (folder / f"{number:02d}.txt").write_text(f"File {number} says: {'na ' * (number + 3)}batman.\n" * 4)
    out = folder.parent / "data"
    prepare([str(folder)], out, tokenizer="bytes")
    return out


def train(data: Path, out: Path, stop_at: int | None, dtype: DType, resume: bool) -> None:
    with open_backend("cpu") as backend:
        tokens = load_data(data)
        if resume:
            checkpoint = load_checkpoint(out)
            model = MoETransformer.load(out, backend, training=True)
            trainer = Trainer(model, tokens, stored_options(checkpoint), out, resume=checkpoint)
        else:
            model = MoETransformer(CONFIG, backend, dtype, training=True, seed=OPTIONS.seed)
            trainer = Trainer(model, tokens, OPTIONS, out)
        trainer.run(lambda _: None, lambda _step, _evaluation: None, lambda: trainer.step == stop_at)
        trainer.close()


def without_time(metrics: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
        line.pop("tokens_per_second", None)
    return lines


@pytest.mark.parametrize("dtype", [DType.F32, DType.BF16])
def test_stop_at_every_step(data: Path, tmp_path: Path, dtype: DType) -> None:
    whole = tmp_path / "whole"
    train(data, whole, None, dtype, resume=False)
    for stop_at in range(1, OPTIONS.steps):
        out = tmp_path / f"stopped-{stop_at}"
        train(data, out, stop_at, dtype, resume=False)
        train(data, out, None, dtype, resume=True)
        for name in SAME:
            assert (out / name).read_bytes() == (whole / name).read_bytes(), f"{name} differs after a stop at {stop_at}"
        assert without_time(out / "metrics.jsonl") == without_time(whole / "metrics.jsonl")


def nn_py(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "nn", *map(str, arguments)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_resumes_to_the_same_bits(data: Path, tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "config.json").write_text(CONFIG.to_json())
    shared = ("--data", data, "--config", tmp_path / "config.json", "--steps", 400, "--batch", 2, "--seq", 24,
              "--save-every", 20, "--seed", 3, "--device", "cpu", "--quiet")  # fmt: skip
    subprocess.run(nn_py("train", "--out", tmp_path / "whole", *shared), check=True, stdout=subprocess.DEVNULL)
    out = tmp_path / "killed"
    running = subprocess.Popen(nn_py("train", "--out", out, *shared), stdout=subprocess.DEVNULL)
    while not (out / "trainer_state.json").exists() and running.poll() is None:
        time.sleep(0.01)
    os.kill(running.pid, how)
    status = running.wait()
    assert status == (-signal.SIGKILL if how is signal.SIGKILL else 130)
    resumed = nn_py("train", "--data", data, "--out", out, "--resume", "--device", "cpu", "--quiet")
    subprocess.run(resumed, check=True, stdout=subprocess.DEVNULL)
    for name in SAME:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert without_time(out / "metrics.jsonl") == without_time(tmp_path / "whole" / "metrics.jsonl")
