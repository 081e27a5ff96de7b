"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ISA_FLAGS = ("sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "avx512_vnni",
             "amx_bf16", "asimd", "sve")  # fmt: skip


def describe() -> dict[str, Any]:
    """Processor, caches, instruction sets, memory, system, frequency policy; a field that cannot be read is None."""
    cpuinfo = _cpuinfo()
    flags = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    memory = _meminfo()
    return {
        "cpu": cpuinfo.get("model name") or platform.processor() or platform.machine(),
        "cpu_family": _numbers(cpuinfo, "cpu family", "model", "stepping"),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "usable": len(usable()),
        "threads_per_core": _threads_per_core(),
        "caches": _caches(),
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "virtual": "hypervisor" in flags,
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "frequency_khz": read("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"),
        "mhz_now": cpuinfo.get("cpu MHz"),
        "memory_bytes": memory.get("MemTotal"),
        "huge_pages": _chosen(read("/sys/kernel/mm/transparent_hugepage/enabled")),
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "load_before": os.getloadavg()[0],
    }


def usable() -> list[int]:
    """The processors this process may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pinned(threads: int) -> list[int]:
    """The processors that `threads` threads are bound to: the last of the usable ones, since the first also serves
    interrupts; 0 or more than there are takes all."""
    every = usable()
    return every if threads <= 0 or threads >= len(every) else every[-threads:]


class Load:
    """How busy the machine was with other things while this was open, from /proc/stat: `others` and `stolen` are
    shares of all processors' time, 0 where it cannot be read."""

    def __init__(self) -> None:
        self.others = self.stolen = 0.0

    def __enter__(self) -> Load:
        self._before = _ticks()
        self._own = _own_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        after = _ticks()
        if self._before is None or after is None:
            return
        total, idle, steal = (b - a for a, b in zip(self._before, after, strict=True))
        if total <= 0:
            return
        hertz = os.sysconf("SC_CLK_TCK")
        own = (_own_seconds() - self._own) * hertz
        self.others = max(0.0, (total - idle - steal - own) / total)
        self.stolen = steal / total


def commit(root: Path) -> str | None:
    """The checked-out commit, with a mark when sources of what is measured differ from it."""
    sources = ["cuda", "python", "rust", "go", "benchmarks/python", "benchmarks/rust", "benchmarks/go"]
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *sources)
    return None if head is None else head + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip() or None
    except OSError:
        return None


def _cpuinfo() -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in (read("/proc/cpuinfo") or "").splitlines():
        name, colon, value = line.partition(":")
        if not colon:
            break
        fields.setdefault(name.strip(), value.strip())
    return fields


def _numbers(fields: dict[str, str], *names: str) -> str | None:
    found = [f"{name} {fields[name]}" for name in names if name in fields]
    return ", ".join(found) or None


def _meminfo() -> dict[str, int]:
    found = {}
    for line in (read("/proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        parts = value.split()
        if len(parts) == 2 and parts[1] == "kB":
            found[name] = int(parts[0]) * 1024
    return found


def _threads_per_core() -> int | None:
    siblings = read("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    if siblings is None:
        return None
    count = 0
    for part in siblings.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def _caches() -> list[dict[str, Any]]:
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, size = read(str(index / "type")), read(str(index / "size"))
        if kind in ("Data", "Unified"):
            found.append({
                "level": int(read(str(index / "level")) or 0),
                "size": size,
                "ways": read(str(index / "ways_of_associativity")),
                "line": read(str(index / "coherency_line_size")),
                "shared_by": read(str(index / "shared_cpu_list")),
            })  # fmt: skip
    return found


def _chosen(text: str | None) -> str | None:
    """The word in brackets of "always [madvise] never"."""
    if text is None or "[" not in text:
        return text
    return text[text.index("[") + 1 : text.index("]")]


def _distribution() -> str | None:
    for line in (read("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return None


def _ticks() -> tuple[int, int, int] | None:
    """Total, idle (with waiting for disks) and stolen ticks of all processors."""
    first = (read("/proc/stat") or "").partition("\n")[0].split()
    if len(first) < 9 or first[0] != "cpu":
        return None
    values = [int(value) for value in first[1:9]]
    return sum(values), values[3] + values[4], values[7]


def _own_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
