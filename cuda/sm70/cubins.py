"""Compiles the kernels that libcunn-sm70.so launches, with NVRTC 12.9, for sm_70, which newer CUDA compilers dropped.

    python cubins.py --out FOLDER [--arch sm_70] [--check] OBJECT...

OBJECT, UNIT.cu.o or the like, is what the C++ compiler made of kernels/UNIT.cu with CUNN_DRIVER_HOST: it holds the name of
every kernel that is launched, as kernel_name() spells it. Each unit that launches any becomes FOLDER/UNIT.cubin;
FOLDER/modules.cpp embeds them and maps the names to symbols (modules.h). --check compiles them once more, elsewhere, and compares:
the same sources give the same bytes.

Needs the wheels nvidia-cuda-nvrtc-cu12==12.9.86 and nvidia-cuda-runtime-cu12==12.9.79 (cuda_fp16.h, cuda_bf16.h); no driver.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import sysconfig
import tempfile
from pathlib import Path

CUDA = Path(__file__).resolve().parents[1]
NAME = re.compile(rb"const char\* cunn::driver::kernel_name\(\) \[with auto kKernel = ([^\]\0]+)\]")
# The definition of a function at the left margin that takes an Exec or calls the runtime: the host's, which NVRTC refuses.
HOST_FUNCTION = re.compile(
    r"^(?:template <[^\n]*>\n)?(?!static)[^\s#/}][^\n;{]*\([^;{]*(?:Exec&|Kernel\*)[^;{]*\)(?:;|[^;{]*\{(?:[^\n]*\}\n|[^\n]*\n(?:.*\n)*?\}\n))",
    re.M,
)
HOST_HEADERS = {"cuda_exec.h", "failure.h", "ops_decl.h"}


def device_source(text: str) -> str:
    """A kernel file without the functions that run on the host and the headers that only they need."""
    lines = [line for line in text.splitlines() if not any(f'/{name}"' in line or f'"{name}"' in line for name in HOST_HEADERS)]
    return HOST_FUNCTION.sub("", "\n".join(lines) + "\n")


def copy_device_sources(folder: Path) -> None:
    """kernels/ as NVRTC takes it, and the headers of src/ that kernels include, in the same places to each other."""
    for name in ("kernels", "src", "std"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in sorted((CUDA / "kernels").glob("*.cu*")):
        (folder / "kernels" / path.name).write_text(device_source(path.read_text()))
    for name in ("ops.h", "types.h", "angles.h"):
        (folder / "src" / name).write_text((CUDA / "src" / name).read_text())
    # NVRTC has the functions built in, and no standard headers.
    integers = "".join(
        f"typedef {kind} {name}_t;\n"
        for name, kind in (
            ("int8", "signed char"), ("uint8", "unsigned char"), ("int16", "short"), ("uint16", "unsigned short"), ("int32", "int"),
            ("uint32", "unsigned"), ("int64", "long"), ("uint64", "unsigned long"), ("uintptr", "unsigned long"),
        )
    )  # fmt: skip
    (folder / "std" / "cstdint").write_text("#pragma once\n#define INT32_MAX 2147483647\n#define INT32_MIN (-INT32_MAX - 1)\n#define INT64_MAX 9223372036854775807L\n" + integers)
    (folder / "std" / "cstddef").write_text("#pragma once\n")
    (folder / "std" / "cmath").write_text("#pragma once\n#define __builtin_huge_valf() __builtin_bit_cast(float, 0x7f800000)\n")
    (folder / "std" / "cstring").write_text("#pragma once\nnamespace std { using ::memcpy; }\n")
    (folder / "std" / "cuda_runtime.h").write_text("#pragma once\n")


def kernel_names(path: Path) -> list[str]:
    """Names of the kernels that an object file launches, as the compiler spells them."""
    return sorted({match.decode() for match in NAME.findall(path.read_bytes())})


def expression(name: str) -> str:
    """The name as an expression at namespace scope: what is in an unnamed namespace is found in the one around it."""
    return name.replace("cunn::cuda::{anonymous}::", "cunn::cuda::").replace("{anonymous}::", "cunn::cuda::")


class Nvrtc:
    """The library, from the wheels of this Python."""

    def __init__(self) -> None:
        root = Path(sysconfig.get_path("purelib")) / "nvidia"
        self.include = root / "cuda_runtime" / "include"
        try:
            ctypes.CDLL(str(root / "cuda_nvrtc" / "lib" / "libnvrtc-builtins.so.12.9"), mode=ctypes.RTLD_GLOBAL)
            self.lib = ctypes.CDLL(str(root / "cuda_nvrtc" / "lib" / "libnvrtc.so.12"))
        except OSError as error:
            raise SystemExit(f"{error}: pip install nvidia-cuda-nvrtc-cu12==12.9.86 nvidia-cuda-runtime-cu12==12.9.79") from None

    def check(self, status: int, call: str) -> None:
        if status:
            self.lib.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise SystemExit(f"{call}: {self.lib.nvrtcGetErrorString(status).decode()}")

    def text(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self.check(getattr(self.lib, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), what)
        buffer = ctypes.create_string_buffer(size.value)
        self.check(getattr(self.lib, f"nvrtcGet{what}")(program, buffer), what)
        return buffer.raw

    def compile(self, source: str, file: str, options: list[str], names: list[str]) -> tuple[bytes, list[str], str]:
        """The cubin, the symbol of each name, and what the compiler said."""
        program = ctypes.c_void_p()
        self.check(self.lib.nvrtcCreateProgram(ctypes.byref(program), source.encode(), file.encode(), 0, None, None), "nvrtcCreateProgram")
        for name in names:
            self.check(self.lib.nvrtcAddNameExpression(program, name.encode()), name)
        array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = self.lib.nvrtcCompileProgram(program, len(options), array)
        log = self.text(program, "ProgramLog").rstrip(bytes(1)).decode()
        if status:
            raise SystemExit(f"{file}:\n{log}")
        symbols = []
        for name in names:
            symbol = ctypes.c_char_p()
            self.check(self.lib.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(symbol)), name)
            symbols.append((symbol.value or b"").decode())
        cubin = self.text(program, "CUBIN")
        self.check(self.lib.nvrtcDestroyProgram(ctypes.byref(program)), "nvrtcDestroyProgram")
        return cubin, symbols, log


def compile_unit(nvrtc: Nvrtc, unit: str, names: list[str], folder: Path, arch: str, *more: str) -> tuple[bytes, list[str], str]:
    """Nvrtc.compile of the kernels that a unit launches; copy_device_sources(folder / "device") has been called."""
    # Names of what has internal linkage are made of random numbers where there is no seed: other bytes in every run.
    flags = [f"--gpu-architecture={arch}", "--std=c++17", "--fmad=false", "-default-device", "-w", f"--frandom-seed={unit}", *more,
             f"-I{folder / 'device' / 'std'}", f"-I{folder / 'device' / 'kernels'}", f"-I{nvrtc.include}"]  # fmt: skip
    source = f'#include "{unit}.cu"\nusing namespace cunn;\nusing namespace cunn::cuda;\n'  # names leave out the nearest scope
    return nvrtc.compile(source, f"{unit}.nvrtc.cu", flags, [expression(name) for name in names])


def check(nvrtc: Nvrtc, objects: list[Path], folder: Path, arch: str) -> None:
    """Ends the program where a unit's cubin in the folder is not what another compilation makes."""
    with tempfile.TemporaryDirectory() as elsewhere:
        copy_device_sources(Path(elsewhere) / "device")
        for path in objects:
            unit = path.name.split(".")[0]
            cubin, _, _ = compile_unit(nvrtc, unit, kernel_names(path), Path(elsewhere), arch)
            if cubin != (folder / f"{unit}.cubin").read_bytes():
                raise SystemExit(f"{unit}.cubin has other bytes the second time")
            print(f"{unit}.cubin has the same {len(cubin)} bytes the second time")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arch", default="sm_70")
    parser.add_argument("--check", action="store_true", help="compare with what lies in FOLDER")
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT")
    options = parser.parse_args()
    nvrtc = Nvrtc()
    if options.check:
        check(nvrtc, options.objects, options.out, options.arch)
        return
    folder = options.out.resolve()
    copy_device_sources(folder / "device")
    modules, entries, embedded = [], [], []
    for path in options.objects:
        unit, names = path.name.split(".")[0], kernel_names(path)
        if not names:
            continue
        cubin, symbols, _ = compile_unit(nvrtc, unit, names, folder, options.arch)
        (folder / f"{unit}.cubin").write_bytes(cubin)
        index = len(modules)
        modules.append(f'    {{"{unit}", cunn_cubin_{unit}}},')
        embedded.append(unit)
        for name, symbol in zip(names, symbols, strict=True):
            spelled = f"const char* cunn::driver::kernel_name() [with auto kKernel = {name}]"
            entries.append(f'    {{{index}, "{spelled}", "{symbol}"}},')
    assembly = "\n".join(
        f'asm(".pushsection .rodata,\\"a\\"\\n.balign 64\\n.global cunn_cubin_{unit}\\n.hidden cunn_cubin_{unit}\\n'
        f'cunn_cubin_{unit}:\\n.incbin \\"{folder / unit}.cubin\\"\\n.popsection\\n");\nextern "C" const char cunn_cubin_{unit}[];'
        for unit in embedded
    )
    text = "\n".join(
        [f"// Written by cubins.py for {options.arch}.", '#include "modules.h"', "", assembly, "", "namespace cunn::driver {", "",
         "const Module kModules[] = {", *modules, "};", "const Entry kEntries[] = {", *entries, "};",
         f"const size_t kModuleCount = {len(modules)}, kEntryCount = {len(entries)};", "", "}  // namespace cunn::driver", ""]
    )  # fmt: skip
    (folder / "modules.cpp").write_text(text)
    print(f"{len(modules)} cubins, {len(entries)} kernels, {sum((folder / f'{u}.cubin').stat().st_size for u in embedded)} bytes")


if __name__ == "__main__":
    main()
