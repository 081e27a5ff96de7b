"""The host's arithmetic against cuda/vectors/host/numbers.json, bit for bit, as every language is tested."""

import json
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from paths import HOST

from nn.json_strict import format_float
from nn.model.config import ntk_theta
from nn.model.safetensors import f32_to_bf16
from nn.tensor.philox import init_normal, mulhi64, philox
from nn.train.data import Tokens
from nn.train.schedule import Schedule, cos_pi

NUMBERS: dict[str, Any] = json.loads((HOST / "numbers.json").read_text())


def f64(bits: str) -> float:
    return float(struct.unpack(">d", bytes.fromhex(bits))[0])


def bits(value: float) -> str:
    return struct.pack(">d", value).hex()


def test_the_file_is_what_its_script_writes() -> None:
    run = subprocess.run([sys.executable, HOST.parent / "host.py", "--check"], check=False, capture_output=True)
    assert run.returncode == 0, run.stderr


def test_float_text() -> None:
    assert [format_float(f64(value)) for value, _ in NUMBERS["float_text"]] == [
        text for _, text in NUMBERS["float_text"]
    ]


@pytest.mark.parametrize("case", NUMBERS["philox"])
def test_philox(case: dict[str, Any]) -> None:
    words = philox(int(case["seed"]), np.array([int(case["index"])], np.uint64), case["stream"], case["sub"])
    assert [int(word[0]) for word in words] == case["words"]


@pytest.mark.parametrize("case", NUMBERS["init"])
def test_init(case: dict[str, Any]) -> None:
    values = init_normal(int(case["seed"]), case["tensor"], int(case["start"]), len(case["values"]))
    assert [value.tobytes()[::-1].hex() for value in values] == case["values"]


def test_mulhi64() -> None:
    for a, b, high in NUMBERS["mulhi64"]:
        assert mulhi64(int(a), int(b)) == int(high)


@pytest.mark.parametrize("case", NUMBERS["batch_start"])
def test_batch_start(case: dict[str, Any]) -> None:
    class Numbered:
        """Token i is i (modulo 2^31), however many there are."""

        def __len__(self) -> int:
            return int(case["tokens"])

        def __getitem__(self, part: slice) -> Any:
            return np.arange(part.start, part.stop) % 2**31

    tokens = Tokens("t", Numbered(), 0)  # type: ignore[arg-type]
    inputs, _ = tokens.batch(
        int(case["seed"]), case["step"], case["micro_batches"], case["micro_batch"], case["rows"], case["seq_len"]
    )
    assert inputs[case["row"], 0] == case["start"] % 2**31


def test_cos_pi() -> None:
    for x, y in NUMBERS["cos_pi"]:
        assert bits(cos_pi(f64(x))) == y


@pytest.mark.parametrize("case", NUMBERS["learning_rate"])
def test_learning_rate(case: dict[str, Any]) -> None:
    schedule = Schedule(case["steps"], f64(case["peak"]), f64(case["final"]), f64(case["warmup"]))
    assert bits(schedule.learning_rate(case["step"])) == case["rate"]


@pytest.mark.parametrize("case", NUMBERS["ntk_theta"])
def test_ntk_theta(case: dict[str, Any]) -> None:
    assert bits(ntk_theta(f64(case["theta"]), f64(case["alpha"]), case["head_dim"])) == case["result"]


def test_bf16_from_f32() -> None:
    for value, rounded in NUMBERS["bf16_from_f32"]:
        wide = np.array([int(value, 16)], np.uint32).view(np.float32)
        assert f"{int(f32_to_bf16(wide)[0]):04x}" == rounded
