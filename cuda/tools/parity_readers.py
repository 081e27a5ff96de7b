"""Names in a source file: type -> its fields and its functions in order, and "" -> functions of the file.

Python is read by its own parser, Rust and Go line by line, which suffices for sources that their formatters left.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field


@dataclass
class Members:
    fields: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    private: set[str] = field(default_factory=set)
    """Fields that others need not have: they are there for another language's public name to be found."""

    @property
    def all(self) -> list[str]:
        return self.fields + self.functions


Names = dict[str, Members]

_CONSTRUCTORS = {"new", "__init__"}


def read_python(source: str) -> Names:
    names: Names = {}
    functions: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            names[node.name] = _python_members(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            functions.append(node.name)
    return _tidy(names, functions)


def _python_members(node: ast.ClassDef) -> Members:
    found = Members()
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found.fields.append(item.target.id)
        elif isinstance(item, ast.Assign):
            found.fields += [target.id for target in item.targets if isinstance(target, ast.Name)]
        elif isinstance(item, ast.FunctionDef):
            if item.name == "__init__":
                found.fields += _python_attributes(item)
            found.functions.append(item.name)
    found.fields = [name for name in found.fields if not name.startswith("_")]
    found.functions = [name for name in found.functions if not name.startswith("_")]
    return found


def _python_attributes(function: ast.FunctionDef) -> list[str]:
    """Names that __init__ gives self, in the order of their first assignment."""
    found = [
        (child.lineno, child.col_offset, child.attr)
        for child in ast.walk(function)
        if isinstance(child, ast.Attribute)
        and isinstance(child.ctx, ast.Store)
        and isinstance(child.value, ast.Name)
        and child.value.id == "self"
    ]
    return [name for _, _, name in sorted(found)]


_RUST_MEMBERS = {
    "struct": r"    (?:pub(?:\([^)]*\))? )?(\w+): ",
    "enum": r"    (\w+)\b(?:,| =|\(| \{)",
    "trait": r"    fn (\w+)",
    "impl": r"    pub (?:const )?fn (\w+)",
}


def read_rust(source: str) -> Names:
    names: Names = {}
    functions: list[str] = []
    current: Members | None = None
    kind = ""
    for line in source.splitlines():
        if line.startswith("#[cfg(test)]"):
            break
        if match := re.match(r"pub (?:unsafe )?(struct|enum|trait) (\w+)", line):
            kind = match[1]
            current = names.setdefault(match[2], Members())
            if line.endswith((";", "}")):
                current = None
        elif match := re.match(r"impl(?:<(?:[^<>]|<[^<>]*>)*>)? (\w+)(?:<[^>]*>)? \{", line):
            kind, current = "impl", names.get(match[1])
        elif re.match(r"impl\b", line):
            current = None
        elif match := re.match(r"pub (?:const )?fn (\w+)", line):
            functions.append(match[1])
        elif line.startswith("}"):
            current = None
        elif current is not None and (match := re.match(_RUST_MEMBERS[kind], line)):
            if kind == "struct" and not line.startswith("    pub "):
                current.private.add(match[1])
            (current.fields if kind in ("struct", "enum") else current.functions).append(match[1])
    return _tidy(names, functions)


def read_go(source: str) -> Names:
    names: Names = {}
    functions: list[tuple[str, str, str]] = []  # (receiver, name, result)
    enum = block = kind = ""
    for line in source.splitlines():
        if match := re.match(r"type ([A-Z]\w*)(?: (struct|interface) \{$|\b)", line):
            names[match[1]] = Members()
            block, kind = (match[1], match[2]) if match[2] else ("", "")
        elif match := re.match(r"func \(\w+ \*?([A-Z]\w*)(?:\[[^\]]*\])?\) ([A-Z]\w*)\(", line):
            functions.append((match[1], match[2], ""))
        elif match := re.match(r"func ([A-Z]\w*)(?:\[[^\]]*\])?\(.*?\) ?\(?\*?(\w*)", line):
            functions.append(("", match[1], match[2]))
        elif line == "const (":
            block = kind = "const"
        elif line.startswith((")", "}")):
            block = enum = kind = ""
        elif kind == "const":
            if match := re.match(r"\t([A-Z]\w*)(?: +([A-Z]\w*))?(?: +=.*)?$", line):
                enum = match[2] or enum
                if enum in names:
                    names[enum].fields.append(match[1])
        elif block and (match := re.match(r"\t((?:\w+, )*\w+)(?: |\(|$)", line)):
            found = match[1].split(", ")
            (names[block].fields if kind == "struct" else names[block].functions).extend(found)
            names[block].private.update(name for name in found if name[0].islower())
    free: list[str] = []
    for receiver, name, result in functions:
        # Go's constructors are functions of the package: NewTiny() *Model is Model's tiny, LoadModel is its load.
        if receiver:
            names.setdefault(receiver, Members()).functions.append(name)
        elif result in names:
            names[result].functions.append((name.replace(result, "").removeprefix("New")) or "new")
        else:
            free.append(name)
    return _tidy(names, free)


def _tidy(names: Names, functions: list[str]) -> Names:
    """Each name once, without the constructors that every language has in its own way."""
    names = names | ({"": Members(functions=functions)} if functions else {})
    return {
        name: Members(
            list(dict.fromkeys(members.fields)),
            [function for function in dict.fromkeys(members.functions) if function not in _CONSTRUCTORS],
            members.private,
        )
        for name, members in names.items()
    }
