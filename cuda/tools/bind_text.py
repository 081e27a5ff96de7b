"""Text helpers shared by the three generators of bindings."""

from __future__ import annotations

import textwrap

from header import Abi, Function

ORIGIN = "generated from cuda/include/cunn.h by cuda/tools/bindings.py"


def reflow(comment: str, width: int) -> list[str]:
    """The comment's lines at most width wide: paragraphs are filled, lines with extra indentation (equations) stay."""
    lines: list[str] = []
    paragraph: list[str] = []
    for line in [*comment.splitlines(), " "]:
        if line.startswith(" "):
            lines += textwrap.wrap(" ".join(paragraph), width, break_long_words=False, break_on_hyphens=False)
            paragraph = []
            if line.strip():
                lines += textwrap.wrap(line.strip(), width, initial_indent="  ", subsequent_indent="  ")
        else:
            paragraph.append(line)
    return lines


def by_section(abi: Abi) -> list[tuple[str, str, list[Function]]]:
    """(title, comment, ops) of every section that has ops, in the header's order."""
    groups = []
    for section in abi.sections:
        ops = [function for function in abi.ops if function.section == section.title]
        if ops:
            groups.append((section.title, section.comment, ops))
    return groups


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
