"""MoEConfig: presets, what is refused, and config.json in both directions."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import GOLDEN, GOLDEN_FOLDERS, HOST

from nn.errors import NNError
from nn.json_strict import loads_object
from nn.model.config import PRESETS, MoEConfig, ntk_theta, preset

CASES = json.loads((HOST / "config.json").read_text())
"""What every language must say, word for word."""


def hf(folder: str = "tiny", **changes: Any) -> dict[str, Any]:
    """The content of a golden config.json; a change to `...` deletes the field."""
    content = json.loads((GOLDEN / folder / "config.json").read_text())
    content.update(changes)
    return {field: value for field, value in content.items() if value is not ...}


def refused(key: str, config: MoEConfig) -> str:
    with pytest.raises(NNError) as caught:
        config.validate("here")
    assert caught.value.key == key
    return str(caught.value)


def test_presets_have_the_stated_sizes() -> None:
    assert list(PRESETS) == ["tiny", "small", "6.9b"]
    assert round(preset("tiny").n_parameters() / 1e6, 2) == 0.35
    assert round(preset("small").n_parameters() / 1e6) == 22
    big = preset("6.9b")
    assert round(big.n_parameters() / 1e9, 2) == 6.88
    assert round(big.n_active_parameters() / 1e9, 2) == 1.76
    assert (big.context, big.with_ntk_alpha(8.0).context) == (32768, 262144)
    for config in PRESETS.values():
        config.validate()


def test_unknown_preset() -> None:
    with pytest.raises(NNError) as caught:
        preset("huge")
    assert str(caught.value) == 'unknown preset "huge", expected one of tiny, small, 6.9b, or a config.json'
    assert caught.value.exit_code == 2


SIZES = ["vocab_size", "hidden_size", "n_layers", "n_heads", "n_kv_heads", "head_dim", "n_experts", "top_k", "ffn_size",
         "max_positions"]  # fmt: skip


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("value", [0, -1, 2**31])
def test_sizes_are_positive_and_bounded(field: str, value: int) -> None:
    changes: dict[str, Any] = {field: value}
    sentence = refused("config_bad_value", replace(PRESETS["tiny"], **changes))
    assert sentence == f"here: {field} is {value}, expected 1 to 2147483647"


@pytest.mark.parametrize("case", CASES["refused_values"], ids=lambda case: case["sentence"][6:60])
def test_refusals(case: dict[str, Any]) -> None:
    assert refused(case["key"], replace(PRESETS["tiny"], **case["set"])) == case["sentence"]


@pytest.mark.parametrize("folder", GOLDEN_FOLDERS)
def test_golden_configs(folder: str) -> None:
    theirs = hf(folder)
    config = MoEConfig.from_json((GOLDEN / folder / "config.json").read_bytes(), "config.json")
    assert config.head_dim == theirs["hidden_size"] // theirs["num_attention_heads"]
    assert config.rope_theta == theirs["rope_parameters"]["rope_theta"] == config.effective_rope_theta
    ours = json.loads(config.to_json())
    different = {field for field in theirs if ours.get(field, ...) != theirs[field]}
    assert different == {"head_dim", "transformers_version"}, "what transformers wrote is written back"
    assert MoEConfig.from_json(config.to_json().encode(), "x") == config


def test_golden_values() -> None:
    config = MoEConfig.from_hf(hf("gqa-top3"), "x")
    assert config == MoEConfig(
        vocab_size=515, hidden_size=96, n_layers=3, n_heads=6, n_kv_heads=2, head_dim=16, n_experts=8, top_k=3,
        ffn_size=160, max_positions=1024, rope_theta=1e6, rms_norm_eps=1e-5, aux_coef=0.003,
    )  # fmt: skip
    assert MoEConfig.from_hf(hf("bf16-sharded"), "x").dtype == "bf16"


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.parametrize("alpha", [1.0, 8.0, 1.5])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16"])
def test_round_trip_keeps_base_and_alpha(name: str, alpha: float, dtype: str) -> None:
    config = preset(name).with_ntk_alpha(alpha).with_dtype(dtype)
    text = config.to_json()
    again = MoEConfig.from_json(text.encode(), "x")
    assert again == config
    assert again.to_json() == text
    content = loads_object(text.encode(), "x")
    assert content["rope_parameters"] == {"rope_theta": config.effective_rope_theta, "rope_type": "default"}
    assert content["max_position_embeddings"] == config.context


@given(
    st.builds(
        lambda heads, kv, dim, experts, seed: MoEConfig(
            vocab_size=10 + seed, hidden_size=heads * kv * 3, n_layers=1 + seed % 4, n_heads=heads * kv, n_kv_heads=kv,
            head_dim=2 * dim, n_experts=experts, top_k=1 + seed % experts, ffn_size=5 + seed, max_positions=7 + seed,
            rope_theta=1.0 + seed * 0.37, ntk_alpha=1.0 + (seed % 5) * 0.7, bos_id=seed % 3 - 1, eos_id=-1,
        ),
        st.integers(1, 8), st.integers(1, 4), st.integers(2, 32), st.integers(1, 9), st.integers(0, 1000),
    )
)  # fmt: skip
def test_any_config_round_trips(config: MoEConfig) -> None:
    assert MoEConfig.from_json(config.validate().to_json().encode(), "x") == config


def test_old_form() -> None:
    """Before version 5: rope_theta and torch_dtype at the top."""
    old = hf(rope_parameters=..., dtype=..., rope_theta=25000, torch_dtype="bfloat16", rope_scaling=None)
    config = MoEConfig.from_hf(old, "x")
    assert (config.rope_theta, config.dtype) == (25000.0, "bf16")


def test_what_is_missing_means_what_it_means_to_transformers() -> None:
    config = MoEConfig.from_hf(
        hf(rope_parameters=..., dtype=..., rms_norm_eps=..., num_key_value_heads=..., hidden_act=..., head_dim=...,
           router_aux_loss_coef=..., architectures=..., sliding_window=..., eos_token_id=..., bos_token_id=None),
        "x",
    )  # fmt: skip
    assert (config.rope_theta, config.dtype, config.rms_norm_eps) == (1e6, "f32", 1e-5)
    assert (config.n_kv_heads, config.head_dim, config.eos_id, config.bos_id) == (4, 16, 2, -1)
    assert (config.aux_coef, config.z_coef) == (0.002, 0.001)


@pytest.mark.parametrize("case", CASES["refused_files"], ids=lambda case: case["sentence"][3:60])
def test_refused_files(case: dict[str, Any]) -> None:
    changes = {**case["set"], **dict.fromkeys(case["delete"], ...)}
    with pytest.raises(NNError) as caught:
        MoEConfig.from_hf(hf(**changes), "c")
    assert (caught.value.key, str(caught.value)) == (case["key"], case["sentence"])


@pytest.mark.parametrize("case", CASES["written"], ids=lambda case: case["preset"])
def test_written_text(case: dict[str, Any]) -> None:
    config = preset(case["preset"]).with_ntk_alpha(case["ntk_alpha"]).with_dtype(case["dtype"])
    assert config.to_json() == case["text"]


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"ntk_alpha": math.nan}, "ntk_alpha is nan, expected 1 to 65536"),
        ({"ntk_alpha": math.inf}, "ntk_alpha is inf, expected 1 to 65536"),
        ({"rope_theta": math.inf}, "rope_theta is inf, expected more than 0"),
        ({"z_coef": math.nan}, "z_coef is nan, expected at least 0"),
        ({"aux_coef": math.inf}, "aux_coef is inf, expected at least 0"),
        (
            {"rope_theta": 1e308, "ntk_alpha": 65536.0},
            "rope_theta scaled by ntk_alpha is inf, expected a finite number",
        ),
        ({"head_dim": 65538}, "head_dim is 65538, expected at most 65536"),
    ],
)
def test_numbers_that_json_or_the_angles_cannot_hold(changes: dict[str, Any], want: str) -> None:
    with pytest.raises(NNError, match=f"^config: {want}$"):
        replace(preset("tiny"), **changes).validate()


@given(
    st.sampled_from(sorted(hf())),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
)
def test_any_value_of_any_field_gives_a_config_or_a_sentence(field: str, value: Any) -> None:
    try:
        MoEConfig.from_hf(hf(**{field: value}), "c").to_json()
    except NNError as error:
        assert str(error).startswith("c: ")


@pytest.mark.parametrize("head_dim", [4, 6, 16, 64, 128, 256, 4096])
@pytest.mark.parametrize("alpha", [1.0, 1.0001, 2.0, 8.0, 1000.0, 65536.0])
def test_ntk_theta(head_dim: int, alpha: float) -> None:
    expected = 10000.0 * math.pow(alpha, head_dim / (head_dim - 2))
    assert ntk_theta(10000.0, alpha, head_dim) == pytest.approx(expected, rel=1e-13)


def test_generation_config() -> None:
    assert json.loads(preset("tiny").generation_json()) == {
        "_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "use_cache": True,
    }  # fmt: skip
