"""Compiles one CUDA file with the C++ compiler of this machine and runs it on the host: no GPU, no CUDA toolkit.

    python cuda/simt/run.py FILE.cu [--find races|memory] [ARGUMENT...]

The file includes kernels/common.cuh, declares shared memory with CUNN_SHARED and launches with CUNN_LAUNCH; nvcc takes the same
file. Barriers that not all threads reach, deadlocks, lanes missing from a mask and launches that a card would refuse are found
always; --find races builds for ThreadSanitizer, --find memory for AddressSanitizer and UndefinedBehaviorSanitizer, whose reports
are shortened to what happened and where in the kernel; --full leaves them whole.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SIMT = Path(__file__).resolve().parent
BUILD = SIMT.parents[1] / "build" / "simt-run"
# As in CMakeLists.txt, where the reasons are.
FLAGS = ["-std=gnu++17", "-O1", "-g", "-Wall", "-ffp-contract=off", "-fno-strict-aliasing", "-pthread", f"-I{SIMT / 'include'}", f"-I{SIMT.parent}"]
KERNEL = {"": [], "races": ["-fsanitize=thread"], "memory": ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]}
RUNTIME = {"": [], "races": ["-DSIMT_TSAN"], "memory": KERNEL["memory"]}


NOISE = re.compile(r" \(\S+\+0x[0-9a-f]+\)$|( on address| at pc| bp| sp| at)? 0x[0-9a-f]{8,}( in\b)?| \(pid=\d+\)|^==\d+==|( by)? thread T\d+:?")
"""Addresses, process and thread numbers, which differ from run to run."""


def run(command: list[str]) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def runtime(compiler: str, find: str) -> list[Path]:
    """The runtime's objects, compiled where they are older than its sources."""
    folder = BUILD / (find or "plain")
    folder.mkdir(parents=True, exist_ok=True)
    newest = max(path.stat().st_mtime for path in [*SIMT.glob("src/*"), *SIMT.glob("include/**/*.h")])
    objects, outdated = [], []
    for source in sorted(SIMT.glob("src/*.cpp")):
        target = folder / (source.stem + ".o")
        objects.append(target)
        if not target.is_file() or target.stat().st_mtime < newest:
            outdated.append([compiler, *FLAGS, *RUNTIME[find], "-c", str(source), "-o", str(target)])
    with ThreadPoolExecutor() as pool:
        list(pool.map(run, outdated))  # asked for, so that a failed compilation ends the command
    return objects


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE.cu")
    parser.add_argument("--find", choices=["races", "memory"], default="")
    parser.add_argument("--full", action="store_true", help="a sanitizer's report as it is")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="of the program")
    options = parser.parse_args()
    compiler = os.environ.get("CXX") or shutil.which("c++") or sys.exit("a C++17 compiler is missing (Debian: apt install g++)")
    objects = runtime(compiler, options.find)
    program = BUILD / (options.find or "plain") / options.file.stem
    run([compiler, *FLAGS, *KERNEL[options.find], "-x", "c++", str(options.file), "-x", "none", *map(str, objects), "-o", str(program)])
    # ThreadSanitizer and the address space layout of newer kernels do not get along: a fixed one.
    fixed = ["setarch", "-R"] if options.find == "races" and shutil.which("setarch") else []
    settings = {"TSAN_OPTIONS": "suppress_equal_addresses=0:" + os.environ.get("TSAN_OPTIONS", "")}
    program_and_arguments = [*fixed, str(program), *options.arguments]
    if not options.find or options.full:
        return subprocess.run(program_and_arguments, env={**os.environ, **settings}, check=False).returncode
    with subprocess.Popen(program_and_arguments, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if wanted(line):
                print(NOISE.sub("", line.rstrip()), file=sys.stderr)
    return running.returncode


def wanted(line: str) -> bool:
    """What happened, and the first frame of each stack: the kernel's line."""
    return bool(re.match(r"WARNING: |.*ERROR: |  (Previous |Atomic )?([Ww]rite|[Rr]ead) of size|(READ|WRITE) of size|\s+#0 .*\.cu|SUMMARY: |.*runtime error: ", line))


if __name__ == "__main__":
    sys.exit(main())
