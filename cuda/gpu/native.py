"""What runs outside this process: the native vector runner, pytest, nvidia-smi, compute-sanitizer."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST = "3000"
"""Elements of a vector under compute-sanitizer, which runs kernels ten to a hundred times slower."""


@dataclass(frozen=True)
class Tool:
    name: str
    summary: str
    """The line that a run ends with when the tool looked and found nothing."""


TOOLS = [
    Tool("memcheck", r"ERROR SUMMARY: 0 errors"),
    Tool("racecheck", r"RACECHECK SUMMARY: 0 hazards displayed \(0 errors, 0 warnings\)"),
    Tool("initcheck", r"ERROR SUMMARY: 0 errors"),
    Tool("synccheck", r"ERROR SUMMARY: 0 errors"),
]


def driver_version() -> str:
    """The NVIDIA driver's version; "none" where nvidia-smi is not there."""
    if not shutil.which("nvidia-smi"):
        return "none"
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else "unknown"


def runner(library: Path, device: str) -> Path:
    """The native vector runner, which the build puts beside the library: cunn_vectors, or simt_vectors for simt."""
    name = "simt_vectors" if device == "simt" else "cunn_vectors"
    for folder in (library.parent / "tests", library.parent):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{library.parent}/tests/{name} is missing: build with CUNN_TESTS=ON")


def run(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def counts(output: str) -> tuple[int, int]:
    """Cases that passed and failed, from the runner's last line; an error when it did not get there."""
    last = re.search(r"^(\d+) passed, (\d+) failed$", output, re.M)
    if not last:
        raise RuntimeError(f"the vector runner did not end: {output[-400:]}")
    return int(last.group(1)), int(last.group(2))


def pytest_passed(status: int, summary: str) -> bool:
    """Whether cases ran and none failed: pytest's exit status is also 0 when every case was skipped."""
    return status == 0 and re.search(r"\b[1-9]\d* passed\b", summary) is not None


def conformance(root: Path, library: Path, device: str) -> dict[str, Any]:
    """Every vector natively, called and recorded; then the Python suite's cases of this device where pytest is there."""
    _, output = run([str(runner(library, device)), str(library), device, str(root / "cuda" / "vectors")])
    passed, failed = counts(output)
    result: dict[str, Any] = {"native_passed": passed, "native_failed": failed}
    if failed:
        result["first_failures"] = output.splitlines()[:20]
    good = failed == 0 and passed > 0
    if importlib.util.find_spec("pytest"):
        tests = ["tests/test_conformance.py", "tests/test_golden.py"]
        # An absent library is a failure, not fewer cases; what is required is its cpu device, which libcunn-simt.so has not.
        env = {"CUNN_LIBRARY": str(library), "CUNN_REQUIRE": "0" if device == "simt" else "1"}
        status, output = run([sys.executable, "-m", "pytest", "-q", "-k", device, *tests], cwd=root / "python", env=env)
        result["python"] = (output.strip().splitlines() or ["no output"])[-1]
        good = good and pytest_passed(status, result["python"])
    else:
        result["python"] = "not run: pytest is not installed"
    return {"passed": good, **result}


def find_sanitizer() -> str | None:
    """compute-sanitizer on PATH, in a toolkit, or in the wheel nvidia-cuda-sanitizer-api of this Python."""
    wheel = Path(sysconfig.get_path("purelib")) / "nvidia" / "cu13" / "compute-sanitizer" / "compute-sanitizer"
    places = [shutil.which("compute-sanitizer"), "/usr/local/cuda/bin/compute-sanitizer", str(wheel), str(wheel.parents[1] / "bin" / "compute-sanitizer")]
    return next((place for place in places if place and Path(place).is_file()), None)


def verdict(tool: Tool, status: int, output: str) -> str:
    """What is wrong with a tool's run; "" when it ran to its end and found nothing."""
    if "COMPUTE-SANITIZER" not in output:
        return "it did not start"
    if not re.search(r"^(\d+) passed, 0 failed$", output, re.M):
        return "the program under it did not pass"
    if not re.search("^========= " + tool.summary, output, re.M):
        return "its summary is missing or counts errors"
    return "" if status == 0 else f"exit status {status}"


def sanitizer(root: Path, library: Path, device: str) -> dict[str, Any]:
    """The small vectors under each of the four tools."""
    program = find_sanitizer()
    if not program:
        raise RuntimeError("compute-sanitizer is missing: pip install nvidia-cuda-sanitizer-api==13.0.85, or a CUDA toolkit")
    target = [str(runner(library, device)), str(library), device, str(root / "cuda" / "vectors"), "--largest", LARGEST]
    found: dict[str, Any] = {}
    for tool in TOOLS:
        status, output = run([program, "--tool", tool.name, "--error-exitcode", "9", *target])
        wrong = verdict(tool, status, output)
        found[tool.name] = wrong or "ran and found nothing"
        if wrong:
            found[tool.name + "_output"] = output.splitlines()[-20:]
        print(f"   {tool.name}: {found[tool.name]}", flush=True)
    return {"passed": all(found[tool.name] == "ran and found nothing" for tool in TOOLS), "tools": found}
