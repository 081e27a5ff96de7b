"""MoEConfig: presets, what is refused, and config.json in both directions."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import GOLDEN, GOLDEN_FOLDERS

from nn.errors import NNError
from nn.json_strict import loads_object
from nn.model.config import PRESETS, MoEConfig, ntk_theta, preset


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


@pytest.mark.parametrize(
    ("changes", "key", "sentence"),
    [
        ({"top_k": 5}, "config_experts_per_token",
         "here: 5 experts per token but 4 experts, expected at most as many as there are"),
        ({"n_kv_heads": 3}, "config_heads_not_divisible",
         "here: 4 heads are not divisible by 3 kv heads, expected a multiple"),
        ({"head_dim": 15}, "config_odd_head_dim", "here: head_dim is 15, expected an even number (RoPE turns pairs)"),
        ({"rope_theta": 0.0}, "config_bad_value", "here: rope_theta is 0.0, expected more than 0"),
        ({"rms_norm_eps": -1e-6}, "config_bad_value", "here: rms_norm_eps is -1e-06, expected more than 0"),
        ({"ntk_alpha": 0.5}, "config_bad_value", "here: ntk_alpha is 0.5, expected 1 to 65536"),
        ({"head_dim": 2, "ntk_alpha": 2.0}, "config_bad_value",
         "here: head_dim is 2, expected at least 4 with ntk_alpha above 1"),
        ({"max_positions": 2**30, "ntk_alpha": 4.0}, "config_bad_value",
         "here: max_positions times ntk_alpha is 4294967296, expected at most 2147483647"),
        ({"bos_id": 1000}, "config_bad_value",
         "here: bos_id is 1000, expected an id below the vocabulary size 1000, or -1 for none"),
        ({"aux_coef": -0.1}, "config_bad_value", "here: aux_coef is -0.1, expected at least 0"),
        ({"dtype": "f64"}, "config_bad_value", "here: dtype is f64, expected f32, bf16 or f16"),
        ({"n_experts": 1025}, "config_bad_value", "here: n_experts is 1025, expected at most 1024"),
        ({"hidden_size": 2**30, "ffn_size": 2**30}, "config_too_large",
         "here: the model would have more than 2^48 parameters, expected smaller sizes"),
    ],
)  # fmt: skip
def test_refusals(changes: dict[str, Any], key: str, sentence: str) -> None:
    assert refused(key, replace(PRESETS["tiny"], **changes)) == sentence


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


@pytest.mark.parametrize(
    ("changes", "key", "sentence"),
    [
        ({"vocab_size": ...}, "field_missing", 'c: field "vocab_size" is missing, expected an integer'),
        ({"vocab_size": "1"}, "field_wrong_type", 'c: field "vocab_size" is "1", expected an integer'),
        ({"vocab_size": 1.0}, "field_wrong_type", 'c: field "vocab_size" is 1.0, expected an integer'),
        ({"vocab_size": True}, "field_wrong_type", 'c: field "vocab_size" is true, expected an integer'),
        ({"vocab_size": None}, "field_wrong_type", 'c: field "vocab_size" is null, expected an integer'),
        ({"rms_norm_eps": "a"}, "field_wrong_type", 'c: field "rms_norm_eps" is "a", expected a number'),
        ({"rope_parameters": 3}, "field_wrong_type", 'c: field "rope_parameters" is 3, expected an object'),
        ({"eos_token_id": [1, 2]}, "field_wrong_type",
         'c: field "eos_token_id" is an array, expected one token id or null'),
        ({"hidden_size": 63}, "config_hidden_not_divisible",
         "c: hidden size 63 is not divisible by 4 heads, expected a multiple or an explicit head_dim"),
        ({"num_attention_heads": 0}, "config_bad_value", "c: num_attention_heads is 0, expected 1 to 2147483647"),
        ({"model_type": "llama"}, "config_unsupported", 'c: model_type "llama" is not supported, expected "mixtral"'),
        ({"architectures": ["X"]}, "config_unsupported",
         'c: architectures an array is not supported, expected ["MixtralForCausalLM"]'),
        ({"hidden_act": "gelu"}, "config_unsupported", 'c: hidden_act "gelu" is not supported, expected "silu"'),
        ({"sliding_window": 4096}, "config_unsupported", "c: sliding_window 4096 is not supported, expected null"),
        ({"tie_word_embeddings": True}, "config_unsupported",
         "c: tie_word_embeddings true is not supported, expected false"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "config_unsupported",
         'c: rope_parameters: rope_type "yarn" is not supported, expected "default"'),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "config_unsupported",
         'c: rope_scaling: rope_type "linear" is not supported, expected "default"'),
        ({"dtype": "float64"}, "config_unsupported",
         'c: dtype "float64" is not supported, expected "float32", "bfloat16" or "float16"'),
        ({"quantization_config": {}}, "config_unsupported",
         "c: quantization_config an object is not supported, expected null"),
        ({"num_experts_per_tok": 9}, "config_experts_per_token",
         "c: 9 experts per token but 4 experts, expected at most as many as there are"),
        ({"ntk_alpha": 2.0}, "config_ntk_mismatch",
         "c: rope_theta is 10000.0, expected 22081.790273476247 by ntk_alpha and the base it scales"),
    ],
)  # fmt: skip
def test_refused_files(changes: dict[str, Any], key: str, sentence: str) -> None:
    with pytest.raises(NNError) as caught:
        MoEConfig.from_hf(hf(**changes), "c")
    assert (caught.value.key, str(caught.value)) == (key, sentence)


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
