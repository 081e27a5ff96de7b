"""The ABI header as data: every op's ordered arguments, so that no case can drift from cunn.h."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HEADER = Path(__file__).resolve().parents[2] / "include" / "cunn.h"

# Functions that manage the library instead of computing something.
_MANAGEMENT = re.compile(r"(abi_version|version|build_info|status_name|(device|context|buffer|event|graph)_\w+)$")
_DECLARATION = re.compile(r"int32_t\s+cunn_(\w+)\(([^)]*)\);")


@dataclass(frozen=True)
class Argument:
    """One argument: its name and its kind, "buffer", "i32", "i64" or "double"."""

    name: str
    kind: str


_KINDS = {"cunn_buffer": "buffer", "int32_t": "i32", "int64_t": "i64", "double": "double"}


def read_ops(path: Path = HEADER) -> dict[str, list[Argument]]:
    """Op name -> arguments in the header's order, without the leading context."""
    text = path.read_text(encoding="utf-8")
    text = text.split("cunn-abi-begin", 1)[1].split("cunn-abi-end", 1)[0]
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    ops: dict[str, list[Argument]] = {}
    for name, parameters in _DECLARATION.findall(text):
        if _MANAGEMENT.match(name):
            continue
        words = [parameter.split() for parameter in parameters.split(",")]
        if words[0] != ["cunn_context", "context"]:
            raise ValueError(f"cunn.h: {name} does not start with a context")
        ops[name] = [Argument(argument, _KINDS[kind]) for kind, argument in words[1:]]
    if not ops:
        raise ValueError("cunn.h: no op found between the markers")
    return ops
