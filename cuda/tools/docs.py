#!/usr/bin/env python3
"""Keeps docs-en/ and docs-jp/ in step with one another and with the tree.

    python cuda/tools/docs.py              say what is wrong
    python cuda/tools/docs.py --check      and exit 1 when anything is
    python cuda/tools/docs.py --run PAGE   run the blocks of docs-en/PAGE in order, from the repository root

Both languages have the same files, the same headings (levels and number) and the same blocks of code apart from their
comments. Relative links and anchors lead somewhere; a link whose text is code, `RMSNorm.forward`, leads to a Python
file that defines it; a name that begins with cunn_ is declared in cunn.h.

A block tagged python or sh runs as it stands from the repository root, each python block in a process of its own;
`sh slow` takes minutes and is only checked. A text block right behind a python block is what that block prints.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path

from docs_commands import command_problems
from header import ROOT, read_abi

LANGUAGES = ("docs-en", "docs-jp")
ALSO_LINKED = ("README.md", "cuda/README.md", "cuda/simt/README.md", "cuda/vectors/README.md")
"""Pages outside the two folders whose links are held to the same rule."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its tag ("python", "sh slow", ""), its text, and the line it starts on."""

    tag: str
    text: str
    line: int
    follows: bool
    """Nothing but empty lines stands between it and the block before."""


@dataclass(frozen=True)
class Page:
    path: Path
    headings: list[tuple[int, str]]
    blocks: list[Block]
    prose: list[tuple[int, str]]
    """(line number, text) of what is in no block."""

    def anchors(self) -> set[str]:
        """As GitHub makes them: lower case, letters, digits, - and _ kept, spaces to -, repeats numbered."""
        seen: dict[str, int] = {}
        found = set()
        for _, text in self.headings:
            slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).lower()).replace(" ", "-")
            number = seen.get(slug, 0)
            seen[slug] = number + 1
            found.add(f"{slug}-{number}" if number else slug)
        return found


def read_page(path: Path) -> Page:
    headings: list[tuple[int, str]] = []
    blocks: list[Block] = []
    prose: list[tuple[int, str]] = []
    inside: list[str] | None = None
    tag, start, between = "", 0, True
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if inside is None:
                inside, tag, start = [], line[3:].strip(), number
            else:
                blocks.append(Block(tag, "\n".join(inside) + "\n", start, not between))
                inside, between = None, False
        elif inside is not None:
            inside.append(line)
        else:
            between = between or bool(line.strip())
            prose.append((number, line))
            heading = re.match(r"(#{1,6}) +(.+?)\s*$", line)
            if heading:
                headings.append((len(heading[1]), heading[2]))
    if inside is not None:
        raise SystemExit(f"{path.relative_to(ROOT)}:{start}: the block is never closed")
    return Page(path, headings, blocks, prose)


def pair_problems(first: Page, second: Page) -> list[str]:
    """What differs between the two languages of a page."""
    where = str(second.path.relative_to(ROOT))
    problems = []
    for number, (a, b) in enumerate(zip_longest(first.headings, second.headings), 1):
        if a is None or b is None or a[0] != b[0]:
            problems.append(f"{where}: heading {number} is {shown(b)}, {first.path.parent.name} has {shown(a)}")
            break
    for number, (x, y) in enumerate(zip_longest(first.blocks, second.blocks), 1):
        if x is None or y is None or x.tag != y.tag:
            problems.append(f"{where}: block {number} and that of {first.path.parent.name} have different tags")
            break
        same = x.text == y.text if x.tag == "text" else without_comments(x.text) == without_comments(y.text)
        if x.tag and not same:
            problems.append(f"{where}:{y.line}: the code differs from {first.path.parent.name}, line {x.line}")
    return problems


def shown(heading: tuple[int, str] | None) -> str:
    return "missing" if heading is None else f"level {heading[0]} {heading[1]!r}"


def without_comments(code: str) -> str:
    return "\n".join(line for line in (re.sub(r"(^|\s+)#.*", "", line) for line in code.splitlines()) if line.strip())


def link_problems(page: Page, anchors: dict[Path, set[str]]) -> list[str]:
    """Links that lead nowhere, or to a Python file that does not define what the link's text names."""
    problems = []
    for number, line in page.prose:
        for text, target in re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", line):
            if re.match(r"[a-z]+:", target):
                continue
            where = f"{page.path.relative_to(ROOT)}:{number}"
            name, _, anchor = target.partition("#")
            path = (page.path.parent / name).resolve() if name else page.path
            if not path.exists():
                problems.append(f"{where}: {target} does not exist")
            elif anchor and anchor not in anchors.setdefault(path, read_page(path).anchors()):
                problems.append(f"{where}: {target} has no such heading")
            elif path.suffix == ".py" and is_code_name(text) and text.strip("`") not in defined(path):
                problems.append(f"{where}: {name} does not define {text}")
    return problems


def is_code_name(text: str) -> bool:
    """`RMSNorm` or `RMSNorm.forward`, not the name of a file."""
    return re.fullmatch(r"`[\w.]+`", text) is not None and not text.endswith(".py`")


def defined(path: Path) -> set[str]:
    """Classes, functions and assigned names of a module, and Class.member."""
    found: set[str] = set()

    def names(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                names(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign):
                found.update(prefix + target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(prefix + node.target.id)

    names(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


def block_problems(page: Page) -> list[str]:
    """Blocks that cannot run: Python that does not compile, commands with flags that do not exist."""
    problems = []
    for block in page.blocks:
        where = f"{page.path.relative_to(ROOT)}:{block.line}"
        kind = block.tag.split(" ")[0]
        if kind == "python":
            try:
                compile(block.text, where, "exec")
            except SyntaxError as error:
                problems.append(f"{where}: {error.msg}, line {error.lineno} of the block")
        elif kind == "sh":
            problems += [f"{where}: {problem}" for problem in command_problems(block.text)]
        elif block.tag not in ("", "text"):
            problems.append(f"{where}: the tag is {block.tag!r}, expected python, sh, sh slow, text or none")
    return problems


def wrap_problems(page: Page) -> list[str]:
    """A line break inside a paragraph is shown as a space, which Japanese text does not have between its words."""
    problems = []
    for (above, before), (number, line) in pairwise(page.prose):
        own = re.match(r"\s*([-*] |\d+\. |\||#)", line) is not None
        if number == above + 1 and before.strip() and line.strip() and not own and not before.startswith(("#", "|")):
            problems.append(f"{page.path.relative_to(ROOT)}:{number}: a line break inside a paragraph")
    return problems


def name_problems(page: Page, known: set[str]) -> list[str]:
    text = page.path.read_text(encoding="utf-8")
    missing = sorted(set(re.findall(r"\bcunn_\w+", text)) - known)
    return [f"{page.path.relative_to(ROOT)}: {name} is not in cunn.h" for name in missing]


def problems_of_tree() -> list[str]:
    names = [{path.name for path in (ROOT / language).glob("*.md")} for language in LANGUAGES]
    problems = [
        f"{language}/{name} is missing"
        for language, have in zip(LANGUAGES, names, strict=True)
        for name in sorted(names[0] | names[1])
        if name not in have
    ]
    known = {function.name for function in read_abi().functions} | {"cunn_context", "cunn_buffer", "cunn_graph"}
    anchors: dict[Path, set[str]] = {}
    for name in sorted(names[0] & names[1]):
        pages = [read_page(ROOT / language / name) for language in LANGUAGES]
        problems += pair_problems(pages[0], pages[1])
        for page in pages:
            problems += link_problems(page, anchors) + block_problems(page) + name_problems(page, known)
        problems += wrap_problems(pages[1])
    for name in ALSO_LINKED:
        if (ROOT / name).is_file():
            problems += link_problems(read_page(ROOT / name), anchors)
    return problems


def run_page(name: str) -> int:
    """Runs a page's blocks with this interpreter's commands first in PATH; the first that fails ends it."""
    page = read_page(ROOT / LANGUAGES[0] / name)
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for number, block in enumerate(page.blocks):
        if block.tag not in ("python", "sh"):
            continue
        where = f"{page.path.relative_to(ROOT)}:{block.line}"
        command = [sys.executable, "-"] if block.tag == "python" else ["bash", "-euo", "pipefail"]
        done = subprocess.run(
            command, input=block.text, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            print(f"{where}: exit {done.returncode}\n{done.stdout}", file=sys.stderr)
            return 1
        after = page.blocks[number + 1] if number + 1 < len(page.blocks) else None
        is_output = block.tag == "python" and after is not None and after.follows and after.tag == "text"
        if is_output and after is not None and done.stdout != after.text:
            print(f"{where}: printed\n{done.stdout}\nexpected\n{after.text}", file=sys.stderr)
            return 1
        print(f"{where}: ran")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="parity, links and samples of the documentation")
    parser.add_argument("--check", action="store_true", help="exit 1 when anything is wrong")
    parser.add_argument("--run", metavar="PAGE", help="run the blocks of docs-en/PAGE")
    arguments = parser.parse_args()
    if arguments.run:
        return run_page(arguments.run)
    problems = problems_of_tree()
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"documentation: {len(problems)} problems" if problems else "documentation: all in step")
    return 1 if problems and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
