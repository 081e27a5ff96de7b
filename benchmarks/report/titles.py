"""What cases, rows and languages are called, in English and in Japanese."""

from __future__ import annotations

from typing import Any

LANGUAGES = {"python": "Python", "rust": "Rust", "go": "Go", "native": "C++"}

ROWS = {
    "naive": ("plain loops", "素朴なループ"),
    "library": ("the ecosystem's library", "定番ライブラリ"),
    "reference": ("reference device", "reference デバイス"),
    "cpu": ("shared kernels", "共有カーネル"),
    "cpu-scalar": ("shared kernels, scalar build", "共有カーネル(スカラー版)"),
    "cpu-unblocked": ("vector loops, no blocking", "ベクトル化のみ(ブロック化なし)"),
    "unblocked-scalar": ("scalar loops by rows", "行順のスカラーループ"),
    "cuda": ("shared kernels on the GPU", "共有カーネル(GPU)"),
    "peer-torch": ("PyTorch", "PyTorch"),
    "peer-jax": ("JAX", "JAX"),
    "peer-candle": ("candle", "candle"),
    "peer-llamacpp": ("llama.cpp", "llama.cpp"),
    "process": ("whole process", "プロセス全体"),
}

GROUPS = {
    "operation": ("Operations", "演算"),
    "model": ("Models", "モデル"),
    "call": ("One call", "呼び出し"),
    "process": ("Processes", "プロセス"),
}

Title = tuple[str, str]


def group(case: dict[str, Any]) -> str:
    if "command" in case:
        return "process"
    if case["kind"] == "call":
        return "call"
    return "model" if "config" in case else "operation"


def title(case: dict[str, Any]) -> Title:
    """The name of a case in both languages."""
    if "command" in case:
        if case["command"] == "logits":
            return (f"Start to first logits, {case['config']}", f"起動から最初のロジットまで、{case['config']}")
        return (f"Training as a process, {case['config']} {case['batch']} × {case['seq']}",
                f"学習プロセス、{case['config']} {case['batch']} × {case['seq']}")  # fmt: skip
    kind = "prompt and decode" if case["kind"] == "decode" and "skip" not in case else case["kind"]
    english, japanese = _KINDS[kind]
    here, there = _sizes(case)
    return (f"{english} {here}".strip(), f"{japanese} {there}".strip())


_KINDS: dict[str, Title] = {
    "adamw": ("AdamW step", "AdamW 更新"),
    "attention": ("Causal attention", "因果的アテンション"),
    "call": ("One call through the binding", "バインディング経由の呼び出し 1 回"),
    "cross_entropy": ("Cross entropy, both ways", "交差エントロピー(順・逆)"),
    "decode": ("Decode", "デコード"),
    "forward": ("Forward", "順伝播"),
    "matmul": ("Matrix product", "行列積"),
    "moe_layer": ("MoE layer", "MoE 層"),
    "prefill": ("Prefill", "プレフィル"),
    "prompt and decode": ("Prompt and decode", "プロンプト処理とデコード"),
    "rmsnorm": ("RMSNorm", "RMSNorm"),
    "silu": ("SiLU", "SiLU"),
    "softmax": ("Softmax", "Softmax"),
    "swiglu": ("SwiGLU", "SwiGLU"),
    "train": ("Training step", "学習ステップ"),
}


def _sizes(case: dict[str, Any]) -> Title:
    match case["kind"]:
        case "matmul":
            return _both(f"{case['m']} × {case['k']} × {case['n']}")
        case "softmax" | "rmsnorm" | "cross_entropy":
            return _both(f"{case['rows']} × {case['cols']}")
        case "silu" | "swiglu" | "adamw":
            return _both(f"{case['n']:,}")
        case "attention":
            heads, sizes = case["n_heads"], f"{case['seq']} × {case['head_dim']}"
            return f"{heads} heads, {sizes}", f"{heads} ヘッド、{sizes}"
        case "moe_layer":
            config, tokens = case["config"], case["tokens"]
            return f"{config}, {tokens} tokens", f"{config}、{tokens} トークン"
        case "forward" | "train":
            config, sizes = case["config"], f"{case['batch']} × {case['seq']}"
            return f"{config}, {sizes}", f"{config}、{sizes}"
        case "prefill":
            config, sizes = case["config"], f"{case['batch']} × {case['prompt']}"
            return f"{config}, {sizes}", f"{config}、{sizes}"
        case "decode":
            config, sizes, prompt = case["config"], f"{case['batch']} × {case['new']}", case["prompt"]
            return f"{config}, {sizes} after {prompt}", f"{config}、{sizes}(プロンプト {prompt})"
    return _both("")


def _both(text: str) -> Title:
    return text, text
