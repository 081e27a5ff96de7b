"""Whether the commands of a documentation block exist: subcommands and flags of nn-py, sessions of nox, files.

Read from the sources, so that nothing needs to be installed.
"""

from __future__ import annotations

import ast
import functools
import re
import shlex
from pathlib import Path

from header import ROOT

COMMANDS = ROOT / "python" / "nn" / "cli" / "commands"
COMMON = ROOT / "python" / "nn" / "cli" / "common.py"


def command_problems(script: str) -> list[str]:
    """Sentences about the lines of a shell block that cannot work."""
    problems: list[str] = []
    variables: dict[str, str] = {}
    for line in re.sub(r"\\\n", " ", script).splitlines():
        assigned = re.fullmatch(r'(\w+)="([^"]*)"', line.strip())
        if assigned:
            variables[assigned[1]] = assigned[2]
        whole = re.sub(r"\$(\w+)", lambda used: variables.get(used[1], used[0]), line)
        try:
            words = shlex.split(whole, comments=True)
        except ValueError as error:
            problems.append(f"{line!r}: {error}")
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if word in (";", "&&", "||", "|"):
                problems += _command(command)
                command = []
            else:
                command.append(word)
    return problems


def _command(words: list[str]) -> list[str]:
    while words and re.fullmatch(r"\w+=.*", words[0]):  # VARIABLE=value before a command
        words = words[1:]
    if not words:
        return []
    name = words[0].rsplit("/", 1)[-1]
    if name in ("python", "python3") and words[1:3] == ["-m", "nn"]:
        return _nn_py(words[3:])
    if name in ("python", "python3") and len(words) > 1 and words[1].endswith(".py"):
        return [] if (ROOT / words[1]).is_file() else [f"{words[1]} does not exist"]
    if name == "nn-py":
        return _nn_py(words[1:])
    if name == "nox":
        return _nox(words[1:])
    return []


def _nn_py(words: list[str]) -> list[str]:
    if not words or words[0] in ("--help", "-h", "--version"):
        return []
    known = subcommands()
    if words[0] not in known:
        return [f"nn-py has no subcommand {words[0]}"]
    flags = known[words[0]] | {"--help"}
    return [
        f"nn-py {words[0]} has no {word}"
        for word in (word.split("=", 1)[0] for word in words[1:])
        if re.match(r"--[a-z]", word) and word not in flags
    ]


def _nox(words: list[str]) -> list[str]:
    own = words[: words.index("--")] if "--" in words else words
    wanted = [own[at + 1] for at, word in enumerate(own[:-1]) if word == "-s"]
    return [f"nox has no session {name}" for name in wanted if name not in sessions()]


@functools.cache
def subcommands() -> dict[str, set[str]]:
    """Name of each subcommand -> its flags."""
    shared = _shared_flags()
    found: dict[str, set[str]] = {}
    for path in sorted(COMMANDS.glob("*.py")):
        for function in _functions(path):
            name = ""
            flags: set[str] = set()
            for call in (node for node in function.decorator_list if isinstance(node, ast.Call)):
                called = ast.unparse(call.func)
                words = [node.value for node in call.args if isinstance(node, ast.Constant)]
                if called == "app.command":
                    name = str(words[0])
                elif called == "click.option":
                    flags.update(str(word) for word in words if str(word).startswith("--"))
                elif called == "common_options":
                    flags.update(flag for word in words for flag in shared[str(word)])
            if name:
                found[name] = flags
    return found


def _shared_flags() -> dict[str, list[str]]:
    """Key of _COMMON in common.py -> the flags of its click.option."""
    for node in ast.parse(COMMON.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_COMMON":
            assert isinstance(node.value, ast.Dict)
            return {
                ast.literal_eval(key): [
                    str(word.value)
                    for word in value.args
                    if isinstance(word, ast.Constant) and str(word.value).startswith("--")
                ]
                for key, value in zip(node.value.keys, node.value.values, strict=True)
                if key is not None and isinstance(value, ast.Call)
            }
    raise SystemExit(f"{COMMON.relative_to(ROOT)}: no _COMMON")


@functools.cache
def sessions() -> set[str]:
    """Sessions of the noxfile."""
    return {
        function.name
        for function in _functions(ROOT / "noxfile.py")
        if any(ast.unparse(node).startswith("nox.session") for node in function.decorator_list)
    }


def _functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
