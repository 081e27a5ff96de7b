"""Removes each barrier and each bounds check of the kernels in turn and asks whether anything notices.

    python mutants.py --thread BUILD --address BUILD [--only barriers|checks] [--file STEM] [--sample N]

BUILD are CMake build folders (Makefile generator, CMAKE_EXPORT_COMPILE_COMMANDS=ON) with CUNN_SIMT=ON and
CUNN_SANITIZE=thread and address. A mutant without a barrier is built for TSan, one without a check for ASan; it is noticed
when the vectors, the shapes or the faults fail, when a sanitizer reports, or when it does not end. Sources are never touched. The last
line counts; survivors are listed and make the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CUDA = Path(__file__).resolve().parents[2]
KERNELS = CUDA / "kernels"  # main() makes it a copy, so that the tree may change under a long run
# A header's mutants are built through one of the files that include it.
INCLUDED_BY = {
    "attention.cuh": "attention.cu",
    "attention_mma.cuh": "attention.cu",
    "attention_forward_mma.cuh": "attention.cu",
    "attention_backward_mma.cuh": "attention_backward.cu",
    "attention_spans.cuh": "attention.cu",
    "gemm.cuh": "gemm.cu",
    "gemm_fma.cuh": "gemm.cu",
    "gemm_mma.cuh": "gemm.cu",
    "launch.cuh": "embedding.cu",
    "ordered_sum.cuh": "loss.cu",
    "rows.cuh": "softmax.cu",
    "top_k.cuh": "softmax.cu",
}
FAMILIES = {
    "attention": ["attention", "edges"],
    "attention_backward": ["attention", "edges"],
    "attention_readable": ["attention"],
    "cache": ["attention"],
}
BARRIER = re.compile(r"__syncthreads\(\);|__syncwarp\([^;]*\);|cp_async_wait<[^;]*>\(\);")
# "if (row >= rows) return;" and its like, "x < limit" guards of the copies in and out.
CHECK = re.compile(r"if \((?:[^()]|\([^()]*\))*(?:>=|<|in_range)(?:[^()]|\([^()]*\))*\) (?:return|continue);")
# Survivors with a reason: (file, text of the line).
EXPLAINED: dict[tuple[str, str], str] = {
    ("attention.cu", "if (span_begin >= span_end) return;"): "saves time only: the spans it skips have no keys and nobody reads their result",
    ("attention_forward_mma.cuh", "if (block >= block_end) return;"): "saves time only: the spans it skips have no keys and nobody reads their result",
}


@dataclass(frozen=True)
class Mutant:
    path: Path
    line: int
    start: int
    end: int
    kind: str

    def source(self) -> str:
        text = self.path.read_text()
        return text[: self.start] + ";" + text[self.end :]


def find_mutants(kind: str) -> list[Mutant]:
    found = []
    for path in sorted(KERNELS.glob("*.cu*")):
        if path.name == "ptx.cuh":
            continue
        text = path.read_text()
        for match in (BARRIER if kind == "barriers" else CHECK).finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if text.splitlines()[line - 1].lstrip().startswith("//"):
                continue
            if kind == "checks" and not on_device(text, match.start()):
                continue
            found.append(Mutant(path, line, match.start(), match.end(), kind))
    return found


def on_device(text: str, position: int) -> bool:
    """Whether the last function head before the position is a kernel's or a device function's."""
    heads = list(re.finditer(r"^(?:static |template <[^>]*>\n)*.*(__global__|__device__|^void |^bool |^inline )", text[:position], re.M))
    return bool(heads) and heads[-1].group(1).startswith("__")


class Build:
    """One sanitizer's build folder: compiles a changed copy of a kernel file and links it in place of the original."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        commands = json.loads((folder / "compile_commands.json").read_text())
        self.commands = {Path(c["file"]).name: c for c in commands if "cunn-simt.dir" in c["command"]}
        link = folder / "simt" / "CMakeFiles" / "cunn-simt.dir" / "link.txt"
        self.link = link.read_text()
        cache = (folder / "CMakeCache.txt").read_text()
        self.sanitizer = re.search(r"CUNN_SANITIZE:STRING=(\w+)", cache).group(1)  # type: ignore[union-attr]

    def library(self, mutant: Mutant, work: Path) -> Path | None:
        """The library with the mutant; None when the compiler refuses it."""
        mirror = work / "cuda"
        if not mirror.exists():
            mirror.mkdir(parents=True)
            for name in ("src", "include", "simt"):
                (mirror / name).symlink_to(CUDA / name)
        kernels = mirror / "kernels"
        shutil.rmtree(kernels, ignore_errors=True)
        shutil.copytree(KERNELS, kernels)
        (kernels / mutant.path.name).write_text(mutant.source())
        unit = INCLUDED_BY.get(mutant.path.name, mutant.path.name)
        command = self.commands[unit]
        words = shlex.split(command["command"])
        original = words[words.index("-o") + 1]
        object_path = work / "mutant.o"
        words[words.index("-o") + 1] = str(object_path)
        words[-1] = str(kernels / unit)
        if subprocess.run(words, cwd=command["directory"], capture_output=True).returncode != 0:
            return None
        library = work / "libcunn-simt-mutant.so"
        link = shlex.split(self.link)
        output = link[link.index("-o") + 1]
        link = [str(library) if w == output else w for w in link]
        relative = os.path.relpath(Path(command["directory"]) / original, self.folder / "simt")
        link = [str(object_path) if w == relative else w for w in link]
        subprocess.run(link, cwd=self.folder / "simt", check=True, capture_output=True)
        return library

    def notices(self, library: Path, mutant: Mutant) -> str:
        """What noticed, or an empty text."""
        stem = Path(INCLUDED_BY.get(mutant.path.name, mutant.path.name)).stem
        families = FAMILIES.get(stem, [stem, "edges"])
        runs = [[str(self.folder / "simt" / "simt_vectors"), str(library), "simt", str(CUDA / "vectors"), "--largest", "20000", *families]]
        runs.append([str(self.folder / "simt" / "simt_faults"), str(library)])
        runs.append([str(self.folder / "simt" / "simt_shapes"), str(library)])
        prefix = ["setarch", "-R"] if self.sanitizer == "thread" else []
        # TSan sees a race in any order; a missing check may need one.
        for order in ("parallel",) if self.sanitizer == "thread" else ("parallel", "reverse"):
            for run in runs:
                try:
                    done = subprocess.run(prefix + run, env={**os.environ, "CUNN_SIMT_ORDER": order}, capture_output=True, timeout=300, text=True)
                except subprocess.TimeoutExpired:
                    return "does not end"
                if "Sanitizer" in done.stderr or "runtime error" in done.stderr:
                    return "sanitizer"
                if done.returncode != 0:
                    return Path(run[0]).name
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thread", type=Path, required=True)
    parser.add_argument("--address", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("mutants"))
    parser.add_argument("--only", choices=["barriers", "checks"])
    parser.add_argument("--file", help="stem of one kernel file")
    parser.add_argument("--sample", type=int, help="this many, chosen at random")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    global KERNELS
    base = options.work.resolve() / "base"
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(KERNELS, base)
    KERNELS = base
    builds = {"barriers": Build(options.thread), "checks": Build(options.address)}
    mutants = [m for kind in ("barriers", "checks") if options.only in (None, kind) for m in find_mutants(kind)]
    if options.file:
        mutants = [m for m in mutants if m.path.stem == options.file]
    if options.sample:
        mutants = sorted(random.Random(1).sample(mutants, min(options.sample, len(mutants))), key=lambda m: (m.path, m.line))
    survivors = noticed = refused = explained = 0
    for mutant in mutants:
        text = mutant.path.read_text().splitlines()[mutant.line - 1].strip()
        library = builds[mutant.kind].library(mutant, options.work.resolve())
        verdict = "the compiler" if library is None else builds[mutant.kind].notices(library, mutant)
        reason = EXPLAINED.get((mutant.path.name, text), "")
        refused += library is None
        noticed += bool(verdict) and library is not None
        explained += not verdict and bool(reason)
        survivors += not verdict and not reason
        print(f"{mutant.path.name}:{mutant.line}: {verdict or reason or 'SURVIVED'}: {text}", flush=True)
    print(f"{len(mutants)} mutants: {noticed} noticed, {refused} refused by the compiler, {explained} explained, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
