"""One run of the lab: limits, cases in interleaved rounds, whole processes."""

from __future__ import annotations

import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.lab import machine, plan, processes, results
from benchmarks.lab.harnesses import (
    HARNESSES,
    LIBRARY,
    PEERS,
    ROOT,
    Harness,
    HarnessError,
    NativeHarness,
    SkippedError,
)

Say = Callable[[str], None]


class Lab:
    """`budget`: seconds that the cases should take together; a run that is late makes fewer rounds. `say` hears what is
    going on, a line at a time."""

    def __init__(
        self, languages: list[str], peers: list[str], pace: plan.Pace, quick: bool, budget: float, say: Say
    ) -> None:
        self.pace = pace
        self.quick = quick
        self.say = say
        self.skipped: list[dict[str, str]] = []
        self.failures: list[str] = []
        self.harnesses: dict[str, Harness] = {}
        self.native: NativeHarness | None = None
        self.collected = results.Collector()
        self.limits: list[dict[str, Any]] = []
        self._languages = languages
        self._peers = peers
        self.peers: dict[str, Harness] = {}
        self.budget = budget

    def prepare(self) -> None:
        """Builds every harness; a language whose tools are missing is skipped with a word. Errors: HarnessError."""
        if not LIBRARY.exists():
            raise HarnessError(
                f"{LIBRARY} is not built (nox -s build, or cmake -S cuda -B build/obj && cmake --build build/obj)"
            )
        for language in self._languages:
            self.say(f"building: {language}")
            harness = HARNESSES[language]()
            try:
                harness.prepare()
            except SkippedError as reason:
                self._skip(language, str(reason))
                continue
            self.harnesses[language] = harness
        for name in self._peers:
            self.say(f"building: peer {name}")
            peer = PEERS[name]()
            try:
                peer.prepare()
                self.peers[name] = peer
            except SkippedError as reason:
                self._skip(f"peer {name}", str(reason))
        native = NativeHarness()
        try:
            native.prepare()
            self.native = native
        except SkippedError as reason:
            self._skip("limits and native rows", str(reason))

    def run(self, cases: list[plan.Case], whole: list[plan.Case]) -> results.Result:
        """What was measured; `failures` are sentences on harnesses that found something wrong, or on languages that
        compute other bits. Errors: HarnessError of whole processes."""
        every = machine.usable()
        described = machine.describe()
        started = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self._measure_limits()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        case = None
        began = time.monotonic()
        weights = [plan.weight(one, self.pace, len(every), self.quick) for one in cases]
        try:
            for number, case in enumerate(cases):
                late = (time.monotonic() - began) / self.budget - sum(weights[:number]) / sum(weights)
                rounds, wanted = plan.rounds_left(case, self.pace, late), plan.rounds(case, self.pace)
                fewer = "" if rounds == wanted else f" ({rounds} of {wanted} rounds: late)"
                self.say(f"case {number + 1} of {len(cases)}: {case['name']}{fewer}")
                try:
                    self._case(case, number, rounds)
                except (HarnessError, results.ResultError) as wrong:
                    self._failed(case, str(wrong))
            case = None
            if whole:
                self._processes(whole)
        except KeyboardInterrupt:
            self._stopped(case)
        self._measure_limits()
        described["load_after"] = os.getloadavg()[0]
        described["pinned"] = every
        return results.derived({
            "version": 1,
            "name": f"{started.date()}-{slug(described['cpu'])}-{described['usable']}",
            "started": started.isoformat(),
            "commit": machine.commit(ROOT),
            "pace": {**vars(self.pace), "quick": self.quick},
            "machine": described,
            "runtimes": runtimes(),
            "configs": presets(),
            "skipped": self.skipped,
            "cases": [one for one in [*cases, *whole] if any(key[0] == one["name"] for key in self.collected.rows)],
            "limits": self.limits,
            "rows": list(self.collected.rows.values()),
        })  # fmt: skip

    def _stopped(self, case: plan.Case | None) -> None:
        """Keeps what is complete: a case that some languages have not been through says nothing of them."""
        name = case["name"] if case else "whole processes"
        self._skip(f"{name} and what comes after", "interrupted")
        if case:
            self._forget(case)

    def _failed(self, case: plan.Case, sentence: str) -> None:
        """A case that is wrong in one language is timed in none; the other cases go on, and the run ends with 1."""
        self.failures.append(sentence)
        self._skip(case["name"], sentence.splitlines()[0])
        self._forget(case)

    def _forget(self, case: plan.Case) -> None:
        rows = self.collected.rows
        for key in [key for key in rows if key[0] == case["name"]]:
            del rows[key]

    def _case(self, case: plan.Case, number: int, rounds: int) -> None:
        every = len(machine.usable())
        takers = [*self.harnesses, *self.peers, *(["native"] if self.native and plan.native_turns(case, every) else [])]
        for round_ in range(rounds):
            for taker in plan.rotated(takers, round_ + number):
                for threads, rows in plan.turns_of_round(round_, self.pace, self._turns(taker, case, every)):
                    self._timed(taker, case, rows, machine.pinned(threads))
            wrong = self.collected.disagreements(case["name"])
            if wrong:
                raise HarnessError("\n".join(wrong))

    def _turns(self, taker: str, case: plan.Case, every: int) -> list[plan.Turn]:
        if taker in self.harnesses:
            return plan.turns(taker, case, every, self.quick)
        return plan.peer_turns(taker, case, every) if taker in self.peers else plan.native_turns(case, every)

    def _timed(self, taker: str, case: plan.Case, rows: list[str], processors: list[int]) -> None:
        seconds = self.pace.seconds if self.quick else max(self.pace.seconds, case.get("seconds", 0.0))
        with machine.Load(processors) as load:
            if taker == "native" and self.native:
                got = self.native.case(case, processors, seconds, self.pace.samples)
            else:
                harness = self.harnesses.get(taker) or self.peers[taker]
                samples = (self.pace.samples, plan.long_samples(case, self.pace))
                got = harness.run(case["name"], rows, processors, seconds, samples, self.pace.warmup)
        for row in got:
            if not row.get("threads"):  # 0 said "all"
                row["threads"] = len(processors)
        self.collected.add(got, processors, load.others, load.stolen)

    def _processes(self, cases: list[plan.Case]) -> None:
        every = machine.usable()
        try:
            launcher = processes.launcher()
        except SkippedError as reason:
            self._skip("whole processes", str(reason))
            return
        with tempfile.TemporaryDirectory() as folder:
            made = processes.Processes(Path(folder), len(every))
            for case in cases:
                self.say(f"whole process: {case['name']}")
                rounds: dict[str, list[list[processes.Spent]]] = {name: [] for name in self.harnesses}
                worst = {name: [0.0, 0.0] for name in self.harnesses}
                for round_ in range(plan.rounds(case, self.pace)):
                    for language in plan.rotated(list(self.harnesses), round_):
                        command = made.command(self.harnesses[language], case)
                        if round_ == 0 and self._repeats(case) > 1:
                            processes.spent(launcher, command, every)  # files into the page cache
                        with machine.Load(every) as load:
                            group = [processes.spent(launcher, command, every) for _ in range(self._repeats(case))]
                        rounds[language].append(group)
                        worst[language] = [max(worst[language][0], load.others), max(worst[language][1], load.stolen)]
                for language, groups in rounds.items():
                    row = processes.row(case, self.harnesses[language], groups, len(every))
                    row.update(processors=every, others=worst[language][0], stolen=worst[language][1])
                    self.collected.rows[results.key(row)] = row

    def _repeats(self, case: plan.Case) -> int:
        return self.pace.processes if case["command"] == "logits" else 1

    def _measure_limits(self) -> None:
        if self.native is None:
            return
        self.say("limits of the machine")
        seconds = self.pace.seconds / 2
        self.limits += self.native.limits(machine.usable(), seconds, self.pace.samples)

    def _skip(self, what: str, why: str) -> None:
        self.say(f"skipped: {what}: {why}")
        self.skipped.append({"what": what, "why": why})


def slug(text: str) -> str:
    """Letters, digits and single dashes."""
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def runtimes() -> dict[str, str]:
    """Versions of what is installed, by its own word; what is missing is left out."""
    found = {"python": platform.python_version()}
    for name, command in {"rust": ["rustc", "--version"], "go": ["go", "version"], "c++": ["c++", "--version"]}.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout:
            found[name] = done.stdout.splitlines()[0]
    for package in ("numpy", "pytest_benchmark"):
        module = sys.modules.get(package) or __import__(package)
        found[package] = module.__version__
    return found


def presets() -> dict[str, dict[str, int]]:
    """The sizes that costs are computed from."""
    from nn.model.config import preset

    found = {}
    for name in ("tiny", "small"):
        config = preset(name)
        fields = ("vocab_size", "hidden_size", "n_layers", "n_heads", "n_kv_heads", "head_dim", "n_experts", "top_k",
                  "ffn_size")  # fmt: skip
        found[name] = {field: int(getattr(config, field)) for field in fields}
    return found


def listed(name: str) -> list[plan.Case]:
    """The "cases" or the "processes" of cases.json."""
    entries: list[plan.Case] = json.loads((ROOT / "benchmarks" / "cases.json").read_text())[name]
    return entries


def clock(say: Callable[[str], None]) -> Say:
    """`say` with the time since now in front."""
    began = time.monotonic()

    def line(text: str) -> None:
        seconds = int(time.monotonic() - began)
        say(f"{seconds // 60:3}:{seconds % 60:02}  {text}")

    return line
