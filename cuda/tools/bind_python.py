"""Python's share of the bindings: the ops as a Protocol, the native ops over cffi, the declarations for cffi."""

from __future__ import annotations

from bind_text import ORIGIN, by_section, reflow
from header import Abi, Function, Parameter

WIDTH = 120


def files(abi: Abi) -> dict[str, str]:
    return {
        "python/nn/tensor/ops.py": interface(abi),
        "python/nn/cuda/ops.py": native(abi),
        "python/nn/cuda/declarations.py": library(abi),
    }


def docstring(comment: str, indent: int) -> list[str]:
    pad = " " * indent
    lines = reflow(comment, WIDTH - indent - 6)
    if len(lines) == 1:
        return [f'{pad}"""{lines[0]}"""']
    return [f'{pad}"""{lines[0]}', *(f"{pad}{line}".rstrip() for line in lines[1:]), f'{pad}"""']


def fill(indent: int, before: str, items: list[str], after: str) -> list[str]:
    """`before(items)after` on one line, or the items on a line of their own, or one item a line, as ruff does it."""
    pad = " " * indent
    joined = ", ".join(items)
    if indent + len(before) + len(joined) + len(after) + 2 <= WIDTH:
        return [f"{pad}{before}({joined}){after}"]
    if indent + 4 + len(joined) <= WIDTH:
        return [f"{pad}{before}(", f"{pad}    {joined}", f"{pad}){after}"]
    return [f"{pad}{before}(", *(f"{pad}    {item}," for item in items), f"{pad}){after}"]


def annotation(parameter: Parameter) -> str:
    if parameter.type == "cunn_buffer":
        return "Buffer | None" if parameter.optional else "Buffer"
    if parameter.is_flag:
        return "bool"
    return "float" if parameter.type == "double" else "int"


def signature(op: Function) -> list[str]:
    items = ["self", *(f"{p.name}: {annotation(p)}" for p in op.arguments)]
    return fill(4, f"def {op.op}", items, " -> None:")


def section_comment(title: str, comment: str) -> list[str]:
    lines = ["", f"    # ---------------- {title}"]
    return lines + [f"    # {line}".rstrip() for line in reflow(comment, WIDTH - 6)]


def interface(abi: Abi) -> str:
    out = [
        f'"""The operations that every backend has, {ORIGIN}.',
        "",
        "Equations, shapes and dtypes are the header's; where it offers 0 for a buffer, None is meant here.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Protocol",
        "",
        "from nn.tensor.buffer import Buffer",
        "",
        "",
        "class Ops(Protocol):",
        '    """Operations on buffers: outputs, inputs, dims, scalars. Each raises BackendError."""',
    ]
    for title, comment, ops in by_section(abi):
        out += section_comment(title, comment)
        for op in ops:
            out += ["", *signature(op), *docstring(op.comment, 8)]
    return "\n".join(out) + "\n"


def argument(parameter: Parameter) -> str:
    if parameter.type != "cunn_buffer":
        return parameter.name
    handle = f"{parameter.name}.handle"
    return f"0 if {parameter.name} is None else {handle}" if parameter.optional else handle


def native(abi: Abi) -> str:
    out = [
        f'"""The operations of libcunn, {ORIGIN}."""',
        "",
        "from __future__ import annotations",
        "",
        "from abc import ABC, abstractmethod",
        "from typing import Any",
        "",
        "from nn.errors import NNError",
        "from nn.tensor.buffer import Buffer",
        "",
        "",
        "class NativeOps(ABC):",
        '    """Each operation is one call into the library; nn.tensor.ops.Ops documents it."""',
        "",
        "    _lib: Any",
        "    _context: int",
        "",
        "    @abstractmethod",
        "    def _failure(self, status: int) -> NNError:",
        '        """The error of the call that has just failed."""',
    ]
    for title, _, ops in by_section(abi):
        out += ["", f"    # ---------------- {title}"]
        for op in ops:
            call = ["self._context", *(argument(p) for p in op.arguments)]
            out += [
                "",
                *signature(op),
                *fill(8, f"status = self._lib.{op.name}", call, ""),
                "        if status:",
                "            raise self._failure(status)",
            ]
    return "\n".join(out) + "\n"


def library(abi: Abi) -> str:
    out = [
        f'"""What the shared library exports, for cffi, {ORIGIN}."""',
        "",
        "# ruff: noqa: E501",
        "",
        'DECLARATIONS = """',
        f"enum {{ {', '.join(f'{name} = {value}' for name, value in abi.constants)} }};",
        *(f"typedef int64_t {handle};" for handle in abi.handles),
    ]
    for function in abi.functions:
        parameters = ", ".join(f"{p.type} {p.name}".replace("* ", "*") for p in function.parameters)
        out.append(f"{function.result} {function.name}({parameters or 'void'});".replace("* ", "*"))
    out.append('"""')
    return "\n".join(out) + "\n"
