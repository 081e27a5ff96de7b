"""What changed between two results, beyond what their noise explains."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.lab import results, statistics
from benchmarks.report import titles, units

LEAST = 0.02
"""A smaller change than this is not reported: alignment and layout of another build do as much."""


@dataclass(frozen=True)
class Change:
    """`ratio` is new over old, with its interval; `doubtful` when either side was flagged as noisy."""

    key: tuple[str, str, str, int]
    old: float
    new: float
    ratio: float
    low: float
    high: float
    doubtful: bool

    @property
    def beyond_noise(self) -> bool:
        """The interval of the ratio does not contain 1, and the change is not tiny."""
        return not self.low <= 1.0 <= self.high and abs(self.ratio - 1) > LEAST


def changes(old: results.Result, new: results.Result) -> list[Change]:
    """Rows that both have, largest change first."""
    before = {results.key(row): row for row in old["rows"]}
    found = []
    for row in new["rows"]:
        was = before.get(results.key(row))
        if was is None:
            continue
        ratio, low, high = statistics.ratio_interval(
            (row["median"], row["low"], row["high"]), (was["median"], was["low"], was["high"])
        )
        doubtful = bool(row["noise"] or was["noise"])
        found.append(Change(results.key(row), was["median"], row["median"], ratio, low, high, doubtful))
    return sorted(found, key=lambda change: -max(change.ratio, 1 / change.ratio))


def report(old: results.Result, new: results.Result) -> str:
    """Markdown: first whether the two can be compared, then the rows that changed, then what only one of them has."""
    lines = [f"# {old['name']} ({old.get('commit')}) to {new['name']} ({new.get('commit')})", ""]
    for name in ("cpu", "usable", "system"):
        if old["machine"].get(name) != new["machine"].get(name):
            lines.append(f"Another machine: {name} was {old['machine'].get(name)}, is {new['machine'].get(name)}.")
    every = changes(old, new)
    moved = [change for change in every if change.beyond_noise]
    slower = sum(change.ratio > 1 for change in moved)
    lines += [f"{len(every)} rows in both: {slower} slower and {len(moved) - slower} faster beyond noise.", ""]
    if moved:
        head = ["Case", "Language", "Row", "Threads", "Old", "New", "New / old", "95% interval", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for change in moved:
        case, language, row, threads = change.key
        cells = [case, titles.LANGUAGES[language], row, str(threads), units.time(change.old), units.time(change.new),
                 units.factor(change.ratio), f"{units.factor(change.low)} – {units.factor(change.high)}",
                 "noisy" if change.doubtful else ""]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    for which, these, those in (("old", old, new), ("new", new, old)):
        other = {results.key(row) for row in those["rows"]}
        only = [" ".join(map(str, results.key(row))) for row in these["rows"] if results.key(row) not in other]
        if only:
            lines += ["", f"Only in the {which}: {', '.join(only)}."]
    return "\n".join(lines).rstrip() + "\n"
