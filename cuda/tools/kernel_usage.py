"""Compiles every CUDA kernel and prints what ptxas says it uses: registers, spills, shared memory.

    python kernel_usage.py [--nvcc PATH] [--arch sm_80 --arch sm_90a ...] [--sm70 FOLDER] [--summary] [FILE...]

Every architecture of the release from sm_75 unless --arch names some. The release's sm_70 is made by NVRTC 12.9, since nvcc 13
cannot, of the kernels that the objects of a build with CUNN_SM70 launch (../sm70/cubins.py): it is among them with --sm70 and
the build's folder. A spill is a defect: the exit status is 1 when a kernel spills. One
line a kernel and architecture, the worst first; then one line an architecture, with the seconds its compilation took.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CUDA = Path(__file__).resolve().parents[1]


@dataclass
class Usage:
    kernel: str
    arch: str
    registers: int = 0
    spilled_bytes: int = 0
    stack_bytes: int = 0
    shared_bytes: int = 0


def demangle(names: list[str]) -> dict[str, str]:
    """Readable names, without argument lists; as they are where c++filt is missing."""
    tool = shutil.which("c++filt")
    if not tool or not names:
        return {name: name for name in names}
    text = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return dict(zip(names, map(shorten, text.splitlines()), strict=True))


def shorten(name: str) -> str:
    """"void cunn::cuda::(anonymous namespace)::gemm_kernel<float>(cunn::Gemm)" is gemm_kernel<float>."""
    name = name.replace("(anonymous namespace)::", "").replace("cunn::cuda::", "").replace("cunn::", "")
    name = re.sub(r"^void ", "", name)
    depth = 0
    for i, character in enumerate(name):
        depth += (character == "<") - (character == ">")
        if character == "(" and depth == 0:
            return name[:i]
    return name


def parse(log: str) -> list[Usage]:
    found: list[Usage] = []
    for line in log.splitlines():
        if entry := re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line):
            found.append(Usage(*entry.groups()))
        elif not found:
            continue
        elif frame := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            found[-1].stack_bytes = int(frame.group(1))
            found[-1].spilled_bytes = int(frame.group(2)) + int(frame.group(3))
        elif used := re.search(r"Used (\d+) registers", line):
            found[-1].registers = int(used.group(1))
            if shared := re.search(r"(\d+) bytes smem", line):
                found[-1].shared_bytes = int(shared.group(1))
    return found


ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90a"]


def find_nvcc() -> str:
    """On PATH, in CUDA_PATH, or in the wheels of this Python."""
    wheel = Path(sysconfig.get_path("purelib")) / "nvidia" / "cu13" / "bin" / "nvcc"
    places = [shutil.which("nvcc"), os.environ.get("CUDA_PATH", "") + "/bin/nvcc", str(wheel), "/usr/local/cuda/bin/nvcc"]
    for place in places:
        if place and Path(place).is_file():
            return place
    raise SystemExit('nvcc is missing: pip install "cuda-toolkit[nvcc,nvvm,crt,cudart,cccl]==13.0.2" nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88')


def compile_file(nvcc: str, path: Path, arch: str) -> list[Usage]:
    with tempfile.TemporaryDirectory() as folder:
        target = f"-gencode=arch={arch.replace('sm_', 'compute_')},code={arch}"
        command = [nvcc, "-std=c++17", "--fmad=false", "-Xptxas", "-v", target, f"-I{CUDA / 'include'}", f"-I{CUDA / 'src'}",
                   "-cubin", str(path), "-o", str(Path(folder) / "out.cubin")]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{path.name} does not compile:\n{done.stderr}")
    return parse(done.stderr + done.stdout)


class Sm70:
    """ptxas's log of what sm70/cubins.py compiles."""

    def __init__(self, build: Path, work: Path) -> None:
        sys.path.insert(0, str(CUDA / "sm70"))
        import cubins

        self.cubins, self.work = cubins, work
        self.objects = {path.name.split(".")[0]: path for path in build.rglob("*.cu.o") if "cunn_sm70_host.dir" in path.parts}
        if not self.objects:
            raise SystemExit(f"{build} has no objects of sm_70's kernels: build there with -DCUNN_SM70=ON")
        self.nvrtc = cubins.Nvrtc()
        cubins.copy_device_sources(work / "device")

    def compile_file(self, path: Path) -> list[Usage]:
        names = self.cubins.kernel_names(self.objects[path.stem]) if path.stem in self.objects else []
        if not names:
            return []
        _, symbols, log = self.cubins.compile_unit(self.nvrtc, path.stem, names, self.work, "sm_70", "--ptxas-options=-v")
        found = parse(log)
        if missing := set(symbols) - {usage.kernel for usage in found}:
            raise SystemExit(f"{path.name}: ptxas says nothing of {', '.join(sorted(missing))} for sm_70")
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default="")
    parser.add_argument("--arch", action="append", help="all of " + ", ".join(ARCHITECTURES) + " when none is given")
    parser.add_argument("--sm70", type=Path, metavar="FOLDER", help="a build with CUNN_SM70, whose kernels are compiled for sm_70 too")
    parser.add_argument("--summary", action="store_true", help="only kernels that spill, and the line of each architecture")
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    archs = options.arch or (["sm_70"] if options.sm70 else []) + ARCHITECTURES
    if ("sm_70" in archs) != bool(options.sm70):
        parser.error("sm_70 needs --sm70 FOLDER, and --sm70 needs sm_70 among the architectures")
    nvcc = "" if archs == ["sm_70"] else options.nvcc or find_nvcc()
    with tempfile.TemporaryDirectory() as work:
        return report(options, archs, nvcc, Sm70(options.sm70, Path(work)) if options.sm70 else None)


def report(options: argparse.Namespace, archs: list[str], nvcc: str, sm70: Sm70 | None) -> int:
    """Compiles and prints; the exit status."""
    files = options.files or sorted((CUDA / "kernels").glob("*.cu"))
    found: dict[str, list[Usage]] = {arch: [] for arch in archs}
    seconds = dict.fromkeys(archs, 0.0)
    print(f"{'file':20} {'arch':8} {'registers':>9} {'spilled':>8} {'stack':>6} {'shared':>7}  kernel")
    for path in files:
        usages = []
        for arch in archs:
            started = time.perf_counter()
            compiled = sm70.compile_file(path) if sm70 and arch == "sm_70" else compile_file(nvcc, path, arch)
            seconds[arch] += time.perf_counter() - started
            found[arch] += compiled
            usages += compiled
        names = demangle(sorted({u.kernel for u in usages}))
        for u in sorted(usages, key=lambda u: (-u.spilled_bytes, -u.registers)):
            if u.spilled_bytes or not options.summary:
                print(f"{path.stem:20} {u.arch:8} {u.registers:9} {u.spilled_bytes:8} {u.stack_bytes:6} {u.shared_bytes:7}  {names[u.kernel]}", flush=True)
    for arch, usages in found.items():
        spilling = sum(u.spilled_bytes > 0 for u in usages)
        most = max((u.registers for u in usages), default=0)
        shared = max((u.shared_bytes for u in usages), default=0)
        print(f"{arch}: {len(usages)} kernels in {seconds[arch]:.0f} s, {spilling} spill, at most {most} registers and {shared} bytes of static shared memory")
    return 1 if any(u.spilled_bytes for usages in found.values() for u in usages) else 0


if __name__ == "__main__":
    sys.exit(main())
