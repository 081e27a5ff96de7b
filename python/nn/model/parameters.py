"""Which tensors a model has, and where each stands in the flat buffer that holds it."""

from __future__ import annotations

from dataclasses import dataclass

from nn.model.config import MoEConfig

ALIGNMENT = 16
"""Elements: a tensor, and a stack of expert matrices, begins at a multiple of this."""


@dataclass(frozen=True)
class ParameterSpec:
    """One tensor. `number` is its tensor number for Philox; a "matrix" decays in AdamW, a "norm" does not.

    `quantized`: held and stored as blocks of 32 along its rows. In a quantized model these are all matrices but the
    embedding, of which a token reads one row, and the routers, whose choices tip on small differences.
    """

    name: str
    shape: tuple[int, ...]
    number: int
    kind: str
    quantized: bool

    @property
    def size(self) -> int:
        """Elements."""
        product = 1
        for extent in self.shape:
            product *= extent
        return product


@dataclass(frozen=True)
class ParameterLayout:
    """Offsets in elements of the flat buffer: matrices in [0, n_matrix), norms in [n_matrix, total); those of a
    quantized tensor count elements of a second buffer, [0, n_quantized).

    Elements between tensors are padding and stay zero; between quantized ones there are none.
    """

    offsets: dict[str, int]
    w1_stack: list[int]
    """Per layer the start of [n_experts, ffn_size, hidden_size]: the experts' w1, one behind the other."""
    w3_stack: list[int]
    """Per layer the start of [n_experts, ffn_size, hidden_size]."""
    w2_stack: list[int]
    """Per layer the start of [n_experts, hidden_size, ffn_size]."""
    n_matrix: int
    total: int
    n_quantized: int


def parameter_specs(config: MoEConfig) -> list[ParameterSpec]:
    """All tensors under their Hugging Face names, in the order of their tensor numbers: embedding; per layer input
    norm, q, k, v, o, post-attention norm, router, then per expert w1, w2, w3; final norm; LM head.

    A weight [out, in] maps x to x W^T.
    """
    h, f = config.hidden_size, config.ffn_size
    q, kv = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    entries: list[tuple[str, tuple[int, ...]]] = [("model.embed_tokens.weight", (config.vocab_size, h))]
    for layer in range(config.n_layers):
        at = f"model.layers.{layer}."
        entries.append((at + "input_layernorm.weight", (h,)))
        entries.append((at + "self_attn.q_proj.weight", (q, h)))
        entries.append((at + "self_attn.k_proj.weight", (kv, h)))
        entries.append((at + "self_attn.v_proj.weight", (kv, h)))
        entries.append((at + "self_attn.o_proj.weight", (h, q)))
        entries.append((at + "post_attention_layernorm.weight", (h,)))
        entries.append((at + "block_sparse_moe.gate.weight", (config.n_experts, h)))
        for expert in range(config.n_experts):
            entries.append((expert_name(layer, expert, "w1"), (f, h)))
            entries.append((expert_name(layer, expert, "w2"), (h, f)))
            entries.append((expert_name(layer, expert, "w3"), (f, h)))
    entries.append(("model.norm.weight", (h,)))
    entries.append(("lm_head.weight", (config.vocab_size, h)))

    def spec(number: int, name: str, shape: tuple[int, ...]) -> ParameterSpec:
        kind = "norm" if len(shape) == 1 else "matrix"
        kept = kind == "norm" or name == "model.embed_tokens.weight" or name.endswith(".block_sparse_moe.gate.weight")
        return ParameterSpec(name, shape, number, kind, config.quantization != "none" and not kept)

    return [spec(number, name, shape) for number, (name, shape) in enumerate(entries)]


def expert_name(layer: int, expert: int, matrix: str) -> str:
    """`matrix` is w1, w2 or w3."""
    return f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{matrix}.weight"


def parameter_layout(config: MoEConfig) -> ParameterLayout:
    """Order of the matrices: embedding; per layer q, k, v, o, router, w1 stack, w3 stack, w2 stack; LM head.
    Then the norms: per layer input and post-attention; final. `n_matrix` and `total` are aligned too.
    """
    specs = {spec.name: spec for spec in parameter_specs(config)}
    offsets: dict[str, int] = {}
    stacks: dict[str, list[int]] = {"w1": [], "w3": [], "w2": []}
    at = quantized_at = 0

    def place(name: str, at_once: bool = False) -> None:
        """Behind the tensor placed before it: at the next aligned element, or at once."""
        nonlocal at, quantized_at
        spec = specs[name]
        if spec.quantized:
            offsets[name] = quantized_at
            quantized_at += spec.size
        else:
            at = at if at_once else aligned(at)
            offsets[name] = at
            at += spec.size

    place("model.embed_tokens.weight")
    for layer in range(config.n_layers):
        for projection in ("q_proj", "k_proj", "v_proj", "o_proj"):
            place(f"model.layers.{layer}.self_attn.{projection}.weight")
        place(f"model.layers.{layer}.block_sparse_moe.gate.weight")
        for matrix in ("w1", "w3", "w2"):
            for expert in range(config.n_experts):
                place(expert_name(layer, expert, matrix), at_once=expert > 0)
            stacks[matrix].append(offsets[expert_name(layer, 0, matrix)])
    place("lm_head.weight")
    at = aligned(at)
    n_matrix = at
    for layer in range(config.n_layers):
        place(f"model.layers.{layer}.input_layernorm.weight")
        place(f"model.layers.{layer}.post_attention_layernorm.weight")
    place("model.norm.weight")
    return ParameterLayout(offsets, stacks["w1"], stacks["w3"], stacks["w2"], n_matrix, aligned(at), quantized_at)


def aligned(offset: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return (offset + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
