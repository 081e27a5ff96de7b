"""A fresh model as a GGUF file in f32, as llama.cpp's architecture "llama" with experts reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fresh import Floats, Fresh


def write(given: Fresh, path: Path) -> None:
    """Without a vocabulary: only ids go in and out."""
    import gguf

    c = given.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(c.vocab_size)
    writer.add_context_length(c.max_positions)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.n_layers)
    writer.add_feed_forward_length(c.ffn_size)
    writer.add_head_count(c.n_heads)
    writer.add_head_count_kv(c.n_kv_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.effective_rope_theta)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_expert_count(c.n_experts)
    writer.add_expert_used_count(c.top_k)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, values in tensors(given).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(given: Fresh) -> dict[str, Floats]:
    """All tensors under GGUF's names, the experts of a layer as one."""
    c = given.config
    ours = {spec.name: given.tensor(spec) for spec in given.specs}
    named = {
        "token_embd.weight": ours["model.embed_tokens.weight"],
        "output_norm.weight": ours["model.norm.weight"],
        "output.weight": ours["lm_head.weight"],
    }
    for layer in range(c.n_layers):
        block, at = f"blk.{layer}.", f"model.layers.{layer}."
        named[block + "attn_norm.weight"] = ours[at + "input_layernorm.weight"]
        named[block + "attn_q.weight"] = interleaved(ours[at + "self_attn.q_proj.weight"], c.n_heads)
        named[block + "attn_k.weight"] = interleaved(ours[at + "self_attn.k_proj.weight"], c.n_kv_heads)
        named[block + "attn_v.weight"] = ours[at + "self_attn.v_proj.weight"]
        named[block + "attn_output.weight"] = ours[at + "self_attn.o_proj.weight"]
        named[block + "ffn_norm.weight"] = ours[at + "post_attention_layernorm.weight"]
        named[block + "ffn_gate_inp.weight"] = ours[at + "block_sparse_moe.gate.weight"]
        for theirs, matrix in {"gate": "w1", "down": "w2", "up": "w3"}.items():
            experts = [ours[f"{at}block_sparse_moe.experts.{e}.{matrix}.weight"] for e in range(c.n_experts)]
            named[f"{block}ffn_{theirs}_exps.weight"] = np.stack(experts)
    return named


def interleaved(weight: Floats, heads: int) -> Floats:
    """RoPE turns pairs (i, i + d/2) of a head here and (2i, 2i + 1) there: the rows of weight [heads d, hidden_size] in
    that order."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows, columns)
