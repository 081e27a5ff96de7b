"""The host's arithmetic against cuda/vectors/host/numbers.json, bit for bit, as every language is tested."""

import decimal
import json
import math
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from paths import HOST

from nn.elementary import exponential, natural_log
from nn.json_strict import format_float
from nn.model.config import ntk_theta
from nn.model.inspection import entropy
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


def test_natural_log_and_exponential() -> None:
    assert [bits(natural_log(f64(x))) for x, _ in NUMBERS["natural_log"]] == [y for _, y in NUMBERS["natural_log"]]
    assert [bits(exponential(f64(x))) for x, _ in NUMBERS["exponential"]] == [y for _, y in NUMBERS["exponential"]]
    assert math.isnan(natural_log(math.nan)) and math.isnan(exponential(math.nan))


def test_natural_log_and_exponential_are_true() -> None:
    """Within 4 and 2 units of the last place of 40 digits."""
    rng = np.random.default_rng(5)

    def ulps(value: float, truth: decimal.Decimal) -> float:
        return float(abs(decimal.Decimal(value) - truth) / decimal.Decimal(math.ulp(float(truth))))

    with decimal.localcontext(decimal.Context(prec=40)):
        for x in [
            *np.exp2(rng.uniform(-149, 0, 500)),
            *(1.0 - rng.random(500) * 2.0**-20),
            *rng.uniform(0.5, 2.0, 500),
        ]:
            assert ulps(natural_log(float(x)), decimal.Decimal(float(x)).ln()) <= 4.0
        for x in [*rng.uniform(-708.0, 709.78, 500), *rng.uniform(0.0, 12.0, 500)]:
            assert ulps(exponential(float(x)), decimal.Decimal(float(x)).exp()) <= 2.0


@pytest.mark.parametrize("case", NUMBERS["entropy"])
def test_entropy(case: dict[str, Any]) -> None:
    assert bits(entropy([f64(p) for p in case["probs"]])) == case["entropy"]


def test_bf16_from_f32() -> None:
    for value, rounded in NUMBERS["bf16_from_f32"]:
        wide = np.array([int(value, 16)], np.uint32).view(np.float32)
        assert f"{int(f32_to_bf16(wide)[0]):04x}" == rounded
