"""Reads the declarations of cunn.h: the text between its two markers, which has no preprocessor directives.

An exact reader for the little C that the ABI allows: comments, `enum { NAME = VALUE, ... };`, `typedef int64_t name;`
and function declarations. Anything else stops it with a line number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "cuda" / "include" / "cunn.h"
BEGIN, END = "/* cunn-abi-begin */", "/* cunn-abi-end */"

# A buffer handle that may be 0, by op; the header says so in the op's comment or in its section's.
OPTIONAL = {
    "gemm_grouped_rows": ("a_rows",),
    "gemm_grouped_inner": ("b_rows",),
    "gemm_grouped_swiglu_forward": ("gate", "up", "a_rows"),
    "attention_forward": ("lengths",),
    "attention_backward": ("lengths",),
    "cache_append": ("block_table", "lengths"),
    "attention_cached_forward": ("block_table", "lengths"),
    "moe_route_backward": ("dprobs", "dlogits_z"),
    "moe_combine_forward": ("residual",),
    "adamw_step": ("master", "seed"),
}


@dataclass(frozen=True)
class Parameter:
    type: str
    """As in C, one space before a star: "int64_t", "const char *", "cunn_buffer *"."""
    name: str
    optional: bool

    @property
    def is_flag(self) -> bool:
        return self.type == "int32_t" and (self.name.startswith("trans_") or self.name == "transpose")


@dataclass(frozen=True)
class Function:
    name: str
    result: str
    parameters: tuple[Parameter, ...]
    comment: str
    section: str
    is_op: bool

    @property
    def op(self) -> str:
        """The name without the prefix."""
        return self.name.removeprefix("cunn_")

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        """The parameters of an op without the context."""
        return self.parameters[1:]


@dataclass(frozen=True)
class Section:
    title: str
    comment: str


@dataclass(frozen=True)
class Abi:
    constants: tuple[tuple[str, int], ...]
    handles: tuple[str, ...]
    sections: tuple[Section, ...]
    functions: tuple[Function, ...]

    @property
    def ops(self) -> tuple[Function, ...]:
        return tuple(function for function in self.functions if function.is_op)

    def section_of(self, function: Function) -> Section:
        return next(section for section in self.sections if section.title == function.section)


TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<comment>/\*.*?\*/)"
    r"|(?P<enum>enum\s*\{(?P<members>.*?)\}\s*;)"
    r"|(?P<typedef>typedef\s+int64_t\s+(?P<handle>cunn_\w+)\s*;)"
    r"|(?P<function>(?P<result>int32_t\s+|const\s+char\s*\*)(?P<name>cunn_\w+)\s*\((?P<parameters>[^()]*)\)\s*;)",
    re.DOTALL,
)
SECTION = re.compile(r"-{10,}\s+(.+)")
PARAMETER = re.compile(r"(?P<type>(?:const\s+)?\w+(?:\s*\*)?)\s*\b(?P<name>\w+)")
PLAIN_TYPES = {"int32_t", "int64_t", "double", "const char *", "void *", "const void *"}


def comment_text(raw: str) -> str:
    """The lines of a comment without its stars, two blanks of indentation kept where a line has them."""
    lines = raw[2:-2].splitlines()
    return "\n".join(re.sub(r"^\s*\* ?", "", line) if i else line.lstrip() for i, line in enumerate(lines)).strip()


def read_parameters(raw: str, op: str, handles: list[str], where: str) -> tuple[Parameter, ...]:
    if raw.strip() == "void":
        return ()
    allowed = (
        PLAIN_TYPES | {"int32_t *", "int64_t *", "double *"} | set(handles) | {f"{handle} *" for handle in handles}
    )
    parameters = []
    for text in raw.split(","):
        match = PARAMETER.fullmatch(text.strip())
        if match is None:
            raise SystemExit(f"{where}: cannot read the parameter {text.strip()!r}")
        type_ = re.sub(r"\s*\*", " *", " ".join(match["type"].split()))
        if type_ not in allowed:
            raise SystemExit(f"{where}: type {type_!r} may not cross the ABI")
        parameters.append(Parameter(type_, match["name"], match["name"] in OPTIONAL.get(op, ())))
    return tuple(parameters)


def read_abi(path: Path = HEADER) -> Abi:
    source = path.read_text(encoding="utf-8")
    text = declarations(path)
    first_line = source[: source.index(BEGIN)].count("\n") + 1
    constants: list[tuple[str, int]] = []
    handles: list[str] = []
    sections: list[Section] = []
    functions: list[Function] = []
    comment, at = "", 0
    while at < len(text):
        match = TOKEN.match(text, at)
        where = f"{path.name}:{first_line + text.count(chr(10), 0, at)}"
        if match is None:
            raise SystemExit(f"{where}: not a declaration this tool reads: {text[at : at + 40].splitlines()[0]!r}")
        at = match.end()
        if match["space"]:
            if match["space"].count("\n") > 1:
                comment = ""
        elif match["comment"]:
            comment = comment_text(match["comment"])
            title = SECTION.match(comment)
            if title:
                rest = comment[title.end() :].strip()
                sections.append(Section(title[1].strip(), rest))
                comment = ""
        elif match["enum"]:
            for member in re.sub(r"/\*.*?\*/", "", match["members"], flags=re.DOTALL).split(","):
                name, _, value = member.partition("=")
                if not re.fullmatch(r"\s*CUNN_\w+\s*", name) or not re.fullmatch(r"\s*-?\d+\s*", value):
                    raise SystemExit(f"{where}: an enumerator is written NAME = VALUE, not {member.strip()!r}")
                constants.append((name.strip(), int(value)))
        elif match["typedef"]:
            handles.append(match["handle"])
        else:
            name = match["name"]
            op = name.removeprefix("cunn_")
            parameters = read_parameters(match["parameters"], op, handles, where)
            # A function of a handle is named after it; what else takes a context is an op on buffers.
            of_handle = any(name.startswith(f"{handle}_") for handle in handles)
            is_op = bool(parameters) and parameters[0].type == "cunn_context" and not of_handle
            if is_op and any(p.type not in ("cunn_buffer", "int32_t", "int64_t", "double") for p in parameters[1:]):
                raise SystemExit(f"{where}: {name}: an op takes buffers, integers and doubles by value")
            result = re.sub(r"\s*\*", " *", " ".join(match["result"].split()))
            functions.append(Function(name, result, parameters, comment, sections[-1].title, is_op))
            comment = ""
    check_optional(functions, path)
    return Abi(tuple(constants), tuple(handles), tuple(sections), tuple(functions))


def check_optional(functions: list[Function], path: Path) -> None:
    """OPTIONAL names real buffers, and every op whose own comment offers "or 0" for one is in it."""
    ops = {function.op: function for function in functions if function.is_op}
    for op, names in OPTIONAL.items():
        known = {p.name for p in ops[op].arguments if p.type == "cunn_buffer"} if op in ops else set()
        for name in names:
            if name not in known:
                raise SystemExit(f"{path.name}: {op} has no buffer {name}, but OPTIONAL names it")
    for op, function in ops.items():
        if re.search(r"\bor 0\b", " ".join(function.comment.split())) and op not in OPTIONAL:
            raise SystemExit(f'{path.name}: {op} offers "or 0" for a buffer, but OPTIONAL does not name it')


def declarations(path: Path = HEADER) -> str:
    """The text between the markers."""
    source = path.read_text(encoding="utf-8")
    if source.count(BEGIN) != 1 or source.count(END) != 1:
        raise SystemExit(f"{path}: expected the markers {BEGIN} and {END}, once each")
    return source[source.index(BEGIN) + len(BEGIN) : source.index(END)]
