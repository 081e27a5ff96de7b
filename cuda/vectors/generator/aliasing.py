"""The cases of other families with an output in the place of an input, wherever cunn.h says "may alias"."""

from __future__ import annotations

from . import elementwise, gemm_swiglu, loss, moe, rmsnorm, rope, softmax
from .case import Case, Out, Same, Value

# case -> sets of outputs, each with the input whose buffer it takes.
_IN_PLACE: dict[str, list[dict[str, str]]] = {
    "add_forward.n35": [{"y": "a"}, {"y": "b"}],
    "mul_forward.n35": [{"y": "a"}, {"y": "b"}],
    "scale_forward.n35": [{"y": "x"}],
    "silu_forward.n35": [{"y": "x"}],
    "silu_backward.n35": [{"dx": "dy"}],
    "swiglu_forward.n35": [{"y": "gate"}, {"y": "up"}],
    "swiglu_backward.n35": [{"dgate": "gate", "dup": "up"}, {"dgate": "gate"}, {"dup": "up"}],
    "gemm_grouped_swiglu_backward.empty_experts": [
        {"dgate": "gate", "dup": "up"},
        {"dgate": "gate"},
        {"dup": "up"},
    ],
    "softmax_forward.5x7": [{"y": "x"}],
    "softmax_backward.5x7": [{"dx": "dy"}],
    "rmsnorm_backward.5x7": [{"dx": "dy"}],
    "rmsnorm_residual_forward.5x7": [{"h": "x"}, {"h": "residual"}],
    "rmsnorm_residual_backward.5x7": [{"dx": "dh"}, {"dx": "dy"}],
    "rope_forward.5_mqa_d16": [{"q_out": "q", "k_out": "k"}],
    "rope_backward.5_mqa_d16": [{"dq": "dq_out", "dk": "dk_out"}, {"dk": "dk_out"}],
    "moe_route_backward.7x4": [{"dlogits": "dlogits_z"}],
    "moe_combine_forward.7x2": [{"y": "residual"}],
    "moe_combine_backward.7x2": [{"drows": "rows"}],
    "cross_entropy_backward.5x7": [{"dlogits": "logits"}],
}


def _in_place(case: Case, aliases: dict[str, str]) -> Case:
    arguments: dict[str, Value] = dict(case.arguments)
    for output, source in aliases.items():
        value = case.arguments[output]
        if not isinstance(value, Out):
            raise ValueError(f"{case.name}: {output} is not an output")
        arguments[output] = Same(source, value.want, value.limit)
    label = "_".join(f"{output}_is_{source}" for output, source in aliases.items())
    return Case(f"{case.name}_{label}", case.op, arguments, case.insensitive)


def cases() -> list[Case]:
    families = (elementwise, gemm_swiglu, softmax, rmsnorm, rope, moe, loss)
    known = {case.name: case for family in families for case in family.cases() if case.name in _IN_PLACE}
    return [_in_place(known[name], aliases) for name, sets in _IN_PLACE.items() for aliases in sets]
