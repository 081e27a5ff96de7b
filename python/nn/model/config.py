"""The model's sizes and constants, and their form in a Hugging Face `config.json` (MixtralForCausalLM).

What is ours alone in that file: `ntk_alpha` and, where it is not 1, `ntk_base_theta` and `ntk_base_positions` keep
the model as it was trained, while `rope_theta`, `rope_parameters` and `max_position_embeddings` say what follows
from them. So every reader that knows only Hugging Face's fields computes the same angles: the NTK-scaled base is
a plain RoPE base, and `rope_type` "default" is the one type that transformers applies as it stands (its "dynamic"
type changes with the length of the input). `aux_coef` and `z_coef` are ours too; see `hf_aux_coef`. `rope_theta`
and `torch_dtype` repeat what transformers before version 5 looks for. A quantized folder says so in
`quantization_config`, with a `quant_method` of our own, so that transformers refuses it instead of misreading it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from nn import messages
from nn.errors import NNError
from nn.json_fields import Fields
from nn.json_strict import Json, describe, dumps, format_number, loads_object
from nn.tensor.dtype import QUANT_BLOCK

HF_DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
QUANT_METHOD = "cunn"
"""Of `quantization_config`: matrices as U8, each row the blocks of cunn_quantize."""
QUANTIZATIONS = ("none", "q8", "q4")
_MAX_SIZE = 2**31 - 1
_MAX_PARAMETERS = 2**48


@dataclass(frozen=True)
class MoEConfig:
    """Sizes and constants of a Mixture-of-Experts Transformer. `validate` says what must hold."""

    vocab_size: int
    hidden_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    n_experts: int
    top_k: int
    ffn_size: int
    max_positions: int
    """The context as trained, before `ntk_alpha`; `context` is what the model serves."""
    rope_theta: float = 10000.0
    """The base as trained, before `ntk_alpha`; `effective_rope_theta` is what the angles use."""
    ntk_alpha: float = 1.0
    rms_norm_eps: float = 1e-6
    bos_id: int = 1
    """-1: none."""
    eos_id: int = 2
    """-1: none."""
    aux_coef: float = 0.01
    z_coef: float = 0.001
    dtype: str = "f32"
    """Of the weights: f32, bf16 or f16."""
    quantization: str = "none"
    """Of the matrices that `ParameterSpec.quantized` names: none, q8 or q4, blocks of 32 along a row."""

    @staticmethod
    def tiny() -> MoEConfig:
        return preset("tiny")

    @staticmethod
    def small() -> MoEConfig:
        return preset("small")

    @property
    def context(self) -> int:
        """Positions the model serves: floor(max_positions ntk_alpha)."""
        return int(float(self.max_positions) * self.ntk_alpha)

    @property
    def effective_rope_theta(self) -> float:
        """theta' = theta alpha^(d/(d-2)), d = head_dim (NTK-aware scaling)."""
        return ntk_theta(self.rope_theta, self.ntk_alpha, self.head_dim)

    @property
    def hf_aux_coef(self) -> float:
        """`router_aux_loss_coef`: our coefficient in Hugging Face's measure.

        Ours: aux_coef * mean over layers of E/k sum_i f_i P_i, which is aux_coef at perfect balance. Theirs lacks
        the 1/k and pools f and P over the layers before multiplying, so that coefficient is aux_coef / k;
        equal for one layer, and for more up to the pooling.
        """
        return self.aux_coef / self.top_k

    def n_parameters(self) -> int:
        """All weights: V H embedding, V H head, H final norm, and per layer attention, router, experts, two norms."""
        return self._fixed_parameters() + self.n_layers * self.n_experts * self._expert_parameters()

    def n_active_parameters(self) -> int:
        """Weights that one token meets: one row of the embedding, top_k experts of each layer, the rest whole."""
        skipped = (self.vocab_size - 1) * self.hidden_size
        return self._fixed_parameters() - skipped + self.n_layers * self.top_k * self._expert_parameters()

    def _expert_parameters(self) -> int:
        return 3 * self.hidden_size * self.ffn_size

    def _fixed_parameters(self) -> int:
        attention = 2 * self.hidden_size * self.head_dim * (self.n_heads + self.n_kv_heads)
        router = self.n_experts * self.hidden_size
        layer = attention + router + 2 * self.hidden_size
        return 2 * self.vocab_size * self.hidden_size + self.n_layers * layer + self.hidden_size

    def validate(self, where: str = "config") -> MoEConfig:
        """Returns itself when it describes a model. `where` (a path) opens the sentence of an error.

        Errors: config_bad_value, config_experts_per_token, config_heads_not_divisible, config_odd_head_dim,
        config_too_large.
        """
        for field, size in (
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("n_kv_heads", self.n_kv_heads),
            ("head_dim", self.head_dim),
            ("n_experts", self.n_experts),
            ("top_k", self.top_k),
            ("ffn_size", self.ffn_size),
            ("max_positions", self.max_positions),
        ):
            if not 1 <= size <= _MAX_SIZE:
                _bad(where, field, str(size), f"1 to {_MAX_SIZE}")
        for field, size, most in (("n_experts", self.n_experts, 1024), ("head_dim", self.head_dim, 65536)):
            if size > most:
                _bad(where, field, str(size), f"at most {most}")
        if self.top_k > self.n_experts:
            raise messages.config_experts_per_token(where=where, top_k=self.top_k, n_experts=self.n_experts)
        if self.n_heads % self.n_kv_heads != 0:
            raise messages.config_heads_not_divisible(where=where, n_heads=self.n_heads, n_kv_heads=self.n_kv_heads)
        if self.head_dim % 2 != 0:
            raise messages.config_odd_head_dim(where=where, head_dim=self.head_dim)
        for field, number in (("rope_theta", self.rope_theta), ("rms_norm_eps", self.rms_norm_eps)):
            if not 0.0 < number < math.inf:
                _bad(where, field, format_number(number), "more than 0")
        if not 1.0 <= self.ntk_alpha <= 65536.0:
            _bad(where, "ntk_alpha", format_number(self.ntk_alpha), "1 to 65536")
        if self.ntk_alpha > 1.0 and self.head_dim < 4:
            _bad(where, "head_dim", str(self.head_dim), "at least 4 with ntk_alpha above 1")
        if self.context > _MAX_SIZE:
            _bad(where, "max_positions times ntk_alpha", str(self.context), f"at most {_MAX_SIZE}")
        for field, id in (("bos_id", self.bos_id), ("eos_id", self.eos_id)):
            if not -1 <= id < self.vocab_size:
                _bad(where, field, str(id), f"an id below the vocabulary size {self.vocab_size}, or -1 for none")
        for field, number in (("aux_coef", self.aux_coef), ("z_coef", self.z_coef)):
            if not 0.0 <= number < math.inf:
                _bad(where, field, format_number(number), "at least 0")
        if self.dtype not in HF_DTYPES:
            _bad(where, "dtype", self.dtype, "f32, bf16 or f16")
        if self.quantization not in QUANTIZATIONS:
            _bad(where, "quantization", self.quantization, "none, q8 or q4")
        for field, row in (
            ("hidden_size", self.hidden_size),
            ("n_heads times head_dim", self.n_heads * self.head_dim),
            ("ffn_size", self.ffn_size),
        ):
            if self.quantization != "none" and row % QUANT_BLOCK != 0:
                _bad(where, field, str(row), f"a multiple of {QUANT_BLOCK} in a quantized model")
        if self.n_parameters() > _MAX_PARAMETERS:
            raise messages.config_too_large(where=where)
        if not self.effective_rope_theta < math.inf:
            _bad(where, "rope_theta scaled by ntk_alpha", "inf", "a finite number")
        return self

    def with_ntk_alpha(self, alpha: float) -> MoEConfig:
        """The same weights read over `alpha` times the context. Errors: those of `validate`."""
        return replace(self, ntk_alpha=alpha).validate()

    def with_dtype(self, dtype: str) -> MoEConfig:
        """Errors: those of `validate`."""
        return replace(self, dtype=dtype).validate()

    def with_quantization(self, quantization: str) -> MoEConfig:
        """Errors: those of `validate`."""
        return replace(self, quantization=quantization).validate()

    def require_float(self, where: str = "config") -> MoEConfig:
        """Returns itself when no weight is quantized: only then can a model be trained. Errors: quantized_weights."""
        if self.quantization != "none":
            raise messages.quantized_weights(where=where, type=self.quantization)
        return self

    def to_hf(self) -> dict[str, Json]:
        """The content of config.json, in the order it is written."""
        theta = self.effective_rope_theta
        base: dict[str, Json] = {}
        if self.ntk_alpha != 1.0:
            base = {"ntk_base_positions": self.max_positions, "ntk_base_theta": self.rope_theta}
        quantization: dict[str, Json] = {}
        if self.quantization != "none":
            quantization = {"quantization_config": {"quant_method": QUANT_METHOD, "type": self.quantization}}
        return {
            "architectures": ["MixtralForCausalLM"],
            "attention_dropout": 0.0,
            "aux_coef": self.aux_coef,
            "bos_token_id": _id_or_null(self.bos_id),
            "dtype": HF_DTYPES[self.dtype],
            "eos_token_id": _id_or_null(self.eos_id),
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.ffn_size,
            "max_position_embeddings": self.context,
            "model_type": "mixtral",
            "ntk_alpha": self.ntk_alpha,
            **base,
            "num_attention_heads": self.n_heads,
            "num_experts_per_tok": self.top_k,
            "num_hidden_layers": self.n_layers,
            "num_key_value_heads": self.n_kv_heads,
            "num_local_experts": self.n_experts,
            "output_router_logits": False,
            "pad_token_id": None,
            **quantization,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
            "rope_theta": theta,
            "router_aux_loss_coef": self.hf_aux_coef,
            "router_jitter_noise": 0.0,
            "sliding_window": None,
            "tie_word_embeddings": False,
            "torch_dtype": HF_DTYPES[self.dtype],
            "use_cache": True,
            "vocab_size": self.vocab_size,
            "z_coef": self.z_coef,
        }

    def to_json(self) -> str:
        return dumps(self.to_hf())

    def generation_json(self) -> str:
        """The content of generation_config.json."""
        return dumps(
            {
                "_from_model_config": True,
                "bos_token_id": _id_or_null(self.bos_id),
                "eos_token_id": _id_or_null(self.eos_id),
                "use_cache": True,
            }
        )

    @staticmethod
    def from_json(data: bytes, where: str) -> MoEConfig:
        """Reads the bytes of a config.json. Errors: those of `json_strict.loads_object` and `from_hf`."""
        return MoEConfig.from_hf(loads_object(data, where), where)

    @staticmethod
    def from_hf(hf: dict[str, Json], where: str) -> MoEConfig:
        """Reads the content of a config.json, ours or that of any transformers since 4.36.

        A size must be there; of the rest a field that is missing or null means what it means to transformers.
        Fields that change nothing here (dropout, cache, initializer) are not looked at.
        Errors: field_missing, field_wrong_type, config_unsupported, config_hidden_not_divisible,
        config_ntk_mismatch and those of `validate`.
        """
        fields = Fields(hf, where)
        _require_mixtral(fields)
        hidden_size = fields.integer("hidden_size")
        n_heads = fields.integer("num_attention_heads")
        head_dim = fields.integer_or("head_dim", 0)
        if head_dim == 0:
            for field, size in (("hidden_size", hidden_size), ("num_attention_heads", n_heads)):
                if size < 1:
                    _bad(where, field, str(size), f"1 to {_MAX_SIZE}")
            if hidden_size % n_heads != 0:
                raise messages.config_hidden_not_divisible(where=where, hidden_size=hidden_size, n_heads=n_heads)
            head_dim = hidden_size // n_heads
        top_k = fields.integer("num_experts_per_tok")
        positions = fields.integer("max_position_embeddings")
        theta = _hf_rope_theta(fields)
        config = MoEConfig(
            vocab_size=fields.integer("vocab_size"),
            hidden_size=hidden_size,
            n_layers=fields.integer("num_hidden_layers"),
            n_heads=n_heads,
            n_kv_heads=fields.integer_or("num_key_value_heads", n_heads),
            head_dim=head_dim,
            n_experts=fields.integer("num_local_experts"),
            top_k=top_k,
            ffn_size=fields.integer("intermediate_size"),
            max_positions=fields.integer_or("ntk_base_positions", positions),
            rope_theta=fields.number_or("ntk_base_theta", theta),
            ntk_alpha=fields.number_or("ntk_alpha", 1.0),
            rms_norm_eps=fields.number_or("rms_norm_eps", 1e-5),
            bos_id=_token_id(fields, "bos_token_id", 1),
            eos_id=_token_id(fields, "eos_token_id", 2),
            aux_coef=fields.number_or("aux_coef", fields.number_or("router_aux_loss_coef", 0.001) * float(top_k)),
            z_coef=fields.number_or("z_coef", 0.001),
            dtype=_hf_dtype(fields),
            quantization=_hf_quantization(fields),
        ).validate(where)
        expected_theta = config.effective_rope_theta
        if abs(theta - expected_theta) > 1e-9 * expected_theta:
            raise messages.config_ntk_mismatch(
                where=where, field="rope_theta", found=format_number(theta), expected=format_number(expected_theta)
            )
        if positions != config.context:
            raise messages.config_ntk_mismatch(
                where=where, field="max_position_embeddings", found=str(positions), expected=str(config.context)
            )
        return config


def preset(name: str) -> MoEConfig:
    """The presets of the design. Errors: unknown_preset."""
    if name not in PRESETS:
        raise messages.unknown_preset(name=name, known=", ".join(PRESETS))
    return PRESETS[name]


PRESETS = {
    "tiny": MoEConfig(
        vocab_size=1000, hidden_size=64, n_layers=2, n_heads=4, n_kv_heads=1, head_dim=16,
        n_experts=4, top_k=2, ffn_size=128, max_positions=512,
    ),
    "small": MoEConfig(
        vocab_size=4096, hidden_size=256, n_layers=6, n_heads=8, n_kv_heads=1, head_dim=32,
        n_experts=8, top_k=2, ffn_size=512, max_positions=2048,
    ),
    "6.9b": MoEConfig(
        vocab_size=32000, hidden_size=768, n_layers=30, n_heads=12, n_kv_heads=1, head_dim=64,
        n_experts=16, top_k=4, ffn_size=6144, max_positions=32768,
    ),
}  # fmt: skip


def ntk_theta(theta: float, alpha: float, head_dim: int) -> float:
    """theta alpha^(d/(d-2)) in f64 with + - * / only, so that every language writes the same digits.

    d/(d-2) = 1 + 1/m with m = (d-2)/2, so alpha^(d/(d-2)) = alpha * (the m-th root of alpha). The root is found by
    bisection of [1, alpha] down to neighbouring floats; a power is m products from 1 on, and may overflow to infinity.
    """
    if alpha == 1.0:
        return theta
    m = (head_dim - 2) // 2
    low, high = 1.0, alpha
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return theta * (alpha * low)
        power = 1.0
        for _ in range(m):
            power = power * middle
        if power <= alpha:
            low = middle
        else:
            high = middle


def _bad(where: str, field: str, value: str, expected: str) -> None:
    raise messages.config_bad_value(where=where, field=field, value=value, expected=expected)


def _id_or_null(id: int) -> int | None:
    return None if id == -1 else id


def _unsupported(fields: Fields, field: str, value: Json, expected: str) -> NNError:
    return messages.config_unsupported(where=fields.where, field=field, value=describe(value), expected=expected)


def _require_mixtral(fields: Fields) -> None:
    """Refuses what would load and then compute something else."""
    if fields.string_or("model_type", "") != "mixtral":
        raise _unsupported(fields, "model_type", fields.get("model_type"), '"mixtral"')
    architectures = fields.get("architectures")
    if architectures is not None and architectures != ["MixtralForCausalLM"]:
        raise _unsupported(fields, "architectures", architectures, '["MixtralForCausalLM"]')
    for field, expected in (("hidden_act", "silu"), ("sliding_window", None), ("tie_word_embeddings", False)):
        value = fields.values.get(field, expected)
        if not (value is expected or (isinstance(value, str) and value == expected)):
            raise _unsupported(fields, field, value, describe(expected))
    quantization = fields.get("quantization_config")
    ours = isinstance(quantization, dict) and quantization.get("quant_method") == QUANT_METHOD
    if quantization is not None and not ours:
        raise _unsupported(fields, "quantization_config", quantization, "null")


def _token_id(fields: Fields, field: str, default: int) -> int:
    """Missing: the default; null: none (-1); a list of one id is that id."""
    if field not in fields.values:
        return default
    value = fields.get(field)
    if value is None:
        return -1
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int):
        raise fields.wrong(field, "one token id or null")
    return value


def _hf_rope_theta(fields: Fields) -> float:
    """The base that transformers uses: `rope_parameters.rope_theta`, before version 5 `rope_theta`, else 1e6."""
    theta = fields.number_or("rope_theta", 1000000.0)
    for name in ("rope_scaling", "rope_parameters"):
        rope = Fields(fields.object_or_empty(name), f"{fields.where}: {name}")
        kind = rope.string_or("rope_type", rope.string_or("type", "default"))
        if kind != "default":
            raise _unsupported(rope, "rope_type", kind, '"default"')
        if rope.number_or("partial_rotary_factor", 1.0) != 1.0:
            raise _unsupported(rope, "partial_rotary_factor", rope.get("partial_rotary_factor"), "1.0")
        theta = rope.number_or("rope_theta", theta)
    return theta


def _hf_dtype(fields: Fields) -> str:
    """`dtype`, before version 5 `torch_dtype`, else float32."""
    name = fields.string_or("dtype", fields.string_or("torch_dtype", "float32"))
    for dtype, hf_name in HF_DTYPES.items():
        if name == hf_name:
            return dtype
    raise _unsupported(fields, "dtype", name, '"float32", "bfloat16" or "float16"')


def _hf_quantization(fields: Fields) -> str:
    """`quantization_config.type` of a folder that nn quantized, else none."""
    if fields.get("quantization_config") is None:
        return "none"
    ours = Fields(fields.object("quantization_config"), f"{fields.where}: quantization_config")
    name = ours.string("type")
    if name not in QUANTIZATIONS[1:]:
        raise _unsupported(ours, "type", name, '"q8" or "q4"')
    return name
