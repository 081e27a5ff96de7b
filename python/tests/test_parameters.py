"""The list of tensors and the layout of the flat buffer."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.model.config import PRESETS, MoEConfig
from nn.model.parameters import ALIGNMENT, parameter_layout, parameter_specs

ODD = MoEConfig(
    vocab_size=11, hidden_size=6, n_layers=2, n_heads=3, n_kv_heads=1, head_dim=2, n_experts=3, top_k=2, ffn_size=5,
    max_positions=8,
)  # fmt: skip


def test_order_of_tensor_numbers() -> None:
    specs = parameter_specs(replace(ODD, n_layers=1, n_experts=2))
    layer = "model.layers.0."
    experts = layer + "block_sparse_moe.experts."
    assert [(spec.number, spec.name, spec.shape, spec.kind) for spec in specs] == [
        (0, "model.embed_tokens.weight", (11, 6), "matrix"),
        (1, layer + "input_layernorm.weight", (6,), "norm"),
        (2, layer + "self_attn.q_proj.weight", (6, 6), "matrix"),
        (3, layer + "self_attn.k_proj.weight", (2, 6), "matrix"),
        (4, layer + "self_attn.v_proj.weight", (2, 6), "matrix"),
        (5, layer + "self_attn.o_proj.weight", (6, 6), "matrix"),
        (6, layer + "post_attention_layernorm.weight", (6,), "norm"),
        (7, layer + "block_sparse_moe.gate.weight", (2, 6), "matrix"),
        (8, experts + "0.w1.weight", (5, 6), "matrix"),
        (9, experts + "0.w2.weight", (6, 5), "matrix"),
        (10, experts + "0.w3.weight", (5, 6), "matrix"),
        (11, experts + "1.w1.weight", (5, 6), "matrix"),
        (12, experts + "1.w2.weight", (6, 5), "matrix"),
        (13, experts + "1.w3.weight", (5, 6), "matrix"),
        (14, "model.norm.weight", (6,), "norm"),
        (15, "lm_head.weight", (11, 6), "matrix"),
    ]


@pytest.mark.parametrize("config", [ODD, *PRESETS.values()])
def test_layout(config: MoEConfig) -> None:
    specs = {spec.name: spec for spec in parameter_specs(config)}
    layout = parameter_layout(config)
    assert sum(spec.size for spec in specs.values()) == config.n_parameters()
    assert set(layout.offsets) == set(specs)
    order = sorted(layout.offsets, key=lambda name: layout.offsets[name])
    for name, after in itertools.pairwise(order):
        gap = layout.offsets[after] - (layout.offsets[name] + specs[name].size)
        assert 0 <= gap < ALIGNMENT, (name, after)
    assert layout.offsets[order[-1]] + specs[order[-1]].size <= layout.total
    assert layout.n_matrix % ALIGNMENT == layout.total % ALIGNMENT == 0
    for name, offset in layout.offsets.items():
        assert (offset < layout.n_matrix) == (specs[name].kind == "matrix")
        if ".experts." not in name:
            assert offset % ALIGNMENT == 0
    for matrix, stack in (("w1", layout.w1_stack), ("w3", layout.w3_stack), ("w2", layout.w2_stack)):
        for layer, start in enumerate(stack):
            assert start % ALIGNMENT == 0
            for expert in range(config.n_experts):
                name = f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{matrix}.weight"
                assert layout.offsets[name] == start + expert * config.ffn_size * config.hidden_size


def test_layout_in_numbers() -> None:
    """The order of the flat buffer, worked by hand for the odd sizes (each count rounded up to 16)."""
    layout = parameter_layout(replace(ODD, n_layers=1))
    at = "model.layers.0."
    assert layout.offsets["model.embed_tokens.weight"] == 0  # 66 -> 80
    assert layout.offsets[at + "self_attn.q_proj.weight"] == 80  # 36 -> 48
    assert layout.offsets[at + "self_attn.k_proj.weight"] == 128  # 12 -> 16
    assert layout.offsets[at + "self_attn.v_proj.weight"] == 144
    assert layout.offsets[at + "self_attn.o_proj.weight"] == 160  # 36 -> 48
    assert layout.offsets[at + "block_sparse_moe.gate.weight"] == 208  # 18 -> 32
    assert layout.w1_stack == [240]  # 3 x 30 = 90 -> 96
    assert layout.offsets[at + "block_sparse_moe.experts.1.w1.weight"] == 270
    assert layout.w3_stack == [336]
    assert layout.w2_stack == [432]
    assert layout.offsets["lm_head.weight"] == 528  # 66 -> 80
    assert layout.n_matrix == 608
    assert layout.offsets[at + "input_layernorm.weight"] == 608
    assert layout.offsets[at + "post_attention_layernorm.weight"] == 624
    assert layout.offsets["model.norm.weight"] == 640
    assert layout.total == 656


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 5), st.integers(1, 33))
def test_nothing_overlaps(hidden: int, layers: int, experts: int, ffn: int) -> None:
    config = replace(ODD, hidden_size=hidden, n_layers=layers, n_experts=experts, top_k=1, ffn_size=ffn)
    layout = parameter_layout(config)
    used = bytearray(layout.total)
    for spec in parameter_specs(config):
        at = layout.offsets[spec.name]
        assert not any(used[at : at + spec.size])
        used[at : at + spec.size] = b"\1" * spec.size
    assert sum(used) == config.n_parameters()
