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
        "threads_per_core": max(map(len, siblings(usable()).values())),
        "cores": sorted({tuple(own) for own in siblings(usable()).values()}),
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
    """The processors that `threads` threads are bound to: one of each core before the second of any, since two threads
    of one core share its arithmetic; the last cores first, since the first processor also serves interrupts. 0 or more
    than there are takes all."""
    every = usable()
    return every if threads <= 0 or threads >= len(every) else spread_over_cores(every, siblings(every), threads)


def spread_over_cores(processors: list[int], cores: dict[int, list[int]], threads: int) -> list[int]:
    """So many of these processors, in order. `cores`: the processors of each one's core."""
    own = {one: [other for other in cores.get(one, [one]) if other in processors] for one in processors}
    # Its place within its core first, then from the last core on.
    order = sorted(processors, key=lambda one: (own[one].index(one), -own[one][0]))
    return sorted(order[:threads])


def siblings(processors: list[int]) -> dict[int, list[int]]:
    """For each processor those of its core, itself among them; alone where the system does not say."""
    found = {}
    for one in processors:
        listed = read(f"/sys/devices/system/cpu/cpu{one}/topology/thread_siblings_list")
        found[one] = ranges(listed) if listed else [one]
    return found


def ranges(text: str) -> list[int]:
    """The numbers of a list as the kernel writes it: 0-2,8."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return sorted(numbers)


class Load:
    """How busy these processors were with other things while this was open, from /proc/stat: `others` and `stolen` are
    shares of their time, 0 where it cannot be read. Work on another processor of the same core counts as well: it takes
    from what they share."""

    def __init__(self, processors: list[int]) -> None:
        self.others = self.stolen = 0.0
        self._processors = processors
        self._watched = sorted({other for own in siblings(processors).values() for other in own})

    def __enter__(self) -> Load:
        self._before = ticks(read("/proc/stat") or "")
        self._own = _own_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        after = ticks(read("/proc/stat") or "")
        own = (_own_seconds() - self._own) * os.sysconf("SC_CLK_TCK")
        self.others, self.stolen = shares(self._before, after, self._processors, self._watched, own)


def ticks(stat: str) -> dict[int, tuple[int, int, int]]:
    """Total, idle (with waiting for disks) and stolen ticks of each processor."""
    found = {}
    for line in stat.splitlines():
        fields = line.split()
        if len(fields) >= 9 and fields[0].startswith("cpu") and fields[0] != "cpu":
            values = [int(value) for value in fields[1:9]]
            found[int(fields[0][3:])] = (sum(values), values[3] + values[4], values[7])
    return found


def shares(
    before: dict[int, tuple[int, int, int]],
    after: dict[int, tuple[int, int, int]],
    processors: list[int],
    watched: list[int],
    own: float,
) -> tuple[float, float]:
    """Of the time of `processors`: what others than the `own` ticks took of the `watched` ones, and what was stolen."""
    known = [one for one in watched if one in before and one in after]
    total, idle, steal = (sum(after[one][at] - before[one][at] for one in known) for at in range(3))
    time = sum(after[one][0] - before[one][0] for one in processors if one in known)
    if time <= 0:
        return 0.0, 0.0
    return max(0.0, (total - idle - steal - own) / time), steal / time


UNMEASURED = ("benchmarks/results", "benchmarks/tests", "docs-en", "docs-jp", "tests", "*.md")
"""Where a change changes nothing that is measured."""


def commit(root: Path) -> str | None:
    """The checked-out commit, with a "+" when anything that can change a measurement differs or is not in it."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in UNMEASURED))
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


def _own_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
