"""What changed between two results, beyond what their noise explains."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from benchmarks.lab import results, spread, statistics
from benchmarks.report import titles, units
from benchmarks.report.words import DISTURBED

LEAST = 0.02
"""Two runs of rows that are no further apart than this are called the same: alignment and layout of another build do
as much."""
CHANCE = 0.05
"""Of the rows that are named, this share at most is expected to be there by chance."""


@dataclass(frozen=True)
class Change:
    """`ratio` is new over old, with its interval; `chance` the probability of at least as large a difference between
    two runs of rows that are at most LEAST apart; `within` when the new median lies in the old one's interval;
    `doubtful` when either side was flagged as noisy; `beyond_noise` when it is named among all rows (see `changes`)."""

    key: tuple[str, str, str, int]
    old: float
    new: float
    ratio: float
    low: float
    high: float
    chance: float
    within: bool
    doubtful: bool
    beyond_noise: bool = False


def changes(old: results.Result, new: results.Result) -> list[Change]:
    """Rows that both have, largest change first.

    Among many rows some differ by chance: those are named whose probabilities are too small for that (Benjamini and
    Hochberg). What is tested is what is reported, a change beyond LEAST: a filter behind the test would leave the noise
    that certain but tiny changes let through.
    """
    before = {results.key(row): row for row in old["rows"]}
    then, now = _cases(old), _cases(new)
    found = [
        _change(before[results.key(row)], row)
        for row in new["rows"]
        if results.key(row) in before and then[row["case"]] == now[row["case"]]
    ]
    chances = statistics.by_chance([change.chance for change in found], CHANCE)
    named = [replace(change, beyond_noise=not chance) for change, chance in zip(found, chances, strict=True)]
    return sorted(named, key=lambda change: -max(change.ratio, 1 / change.ratio))


def _change(was: results.Row, row: results.Row) -> Change:
    ratio = row["median"] / was["median"]
    error, degrees = spread.both((was["error"], was["degrees"]), (row["error"], row["degrees"]))
    low, high = spread.around(ratio, error, degrees)
    beyond = max(0.0, abs(math.log(ratio)) - math.log1p(LEAST))
    chance = spread.two_sided(beyond / error, degrees) if error else float(beyond == 0)
    within = was["low"] <= row["median"] <= was["high"]
    doubtful = bool(row["noise"] or was["noise"])
    return Change(results.key(row), was["median"], row["median"], ratio, low, high, chance, within, doubtful)


def _cases(result: results.Result) -> dict[str, dict[str, object]]:
    """What each case does, without how often and how long it is timed."""
    timing = ("rounds", "seconds", "scaling", "series", "x", "loops")
    return {
        case["name"]: {name: value for name, value in case.items() if name not in timing} for case in result["cases"]
    }


def refusal(old: results.Result, new: results.Result) -> str | None:
    """A sentence when the two are of different machines: then nothing that differs says anything of the sources."""
    for name in ("cpu", "usable", "architecture"):
        was, now = (result["machine"].get(name) for result in (old, new))
        if was != now:
            return f"{new['name']} was measured on another machine than {old['name']}: {name} was {was}, is {now}"
    return None


def _only(these: results.Result, those: results.Result) -> list[str]:
    """A list of the cases of which one result has rows that the other lacks: a case as a whole where the other has none
    of it, else how many of its rows, and which, by language with their threads."""
    other = {results.key(row) for row in those["rows"]}
    both = {case for case, *_ in other}
    only: dict[str, dict[str, dict[str, list[str]]]] = {}
    for case, language, row, threads in map(results.key, these["rows"]):
        if (case, language, row, threads) not in other:
            rows = only.setdefault(case, {}).setdefault(titles.LANGUAGES[language], {})
            rows.setdefault(row, []).append(str(threads))
    lines = []
    for case, languages in only.items():
        count = sum(len(threads) for rows in languages.values() for threads in rows.values())
        line = f"- {case}: {count} {'row' if count == 1 else 'rows'}"
        if case in both:
            line += ": " + "; ".join(
                f"{language} " + ", ".join(f"{row} ({' and '.join(threads)})" for row, threads in rows.items())
                for language, rows in languages.items()
            )
        lines.append(line)
    return lines


def report(old: results.Result, new: results.Result) -> str:
    """Markdown: how many medians are where the old ones said they would be, the rows that changed, and what only one of
    them has. Errors: ResultError where the two are of different machines."""
    sentence = refusal(old, new)
    if sentence:
        raise results.ResultError(sentence)
    lines = [f"# {old['name']} ({old.get('commit')}) to {new['name']} ({new.get('commit')})", ""]
    if old["machine"].get("system") != new["machine"].get("system"):
        lines += [f"Another system: {old['machine'].get('system')} then, {new['machine'].get('system')} now.", ""]
    for which, result in (("old", old), ("new", new)):
        disturbed = sum(bool({"busy", "stolen"} & set(row["noise"])) for row in result["rows"])
        if disturbed > DISTURBED * len(result["rows"]):
            lines += [
                f"The machine was not quiet in the {which} run: {disturbed} of {len(result['rows'])} rows are flagged.",
                "",
            ]
    every = changes(old, new)
    moved = [change for change in every if change.beyond_noise]
    slower = sum(change.ratio > 1 for change in moved)
    lines += [f"{len(every)} rows in both: {slower} slower and {len(moved) - slower} faster beyond noise.", ""]
    if every:
        inside = sum(change.within for change in every)
        share = units.percent(inside / len(every))
        lines += [f"{inside} of {len(every)} medians ({share}) lie within the old interval, "
                  "which is to hold 95% of a re-run's.", ""]  # fmt: skip
    if moved:
        head = ["Case", "Language", "Row", "Threads", "Old", "New", "New / old", "95% interval", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for change in moved:
        case, language, row, threads = change.key
        cells = [case, titles.LANGUAGES[language], row, str(threads), units.time(change.old), units.time(change.new),
                 units.factor(change.ratio), f"{units.factor(change.low)} – {units.factor(change.high)}",
                 "noisy" if change.doubtful else ""]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    now, then = _cases(new), _cases(old)
    others = [name for name in then if name in now and then[name] != now[name]]
    if others:
        lines += ["", f"Not compared, since the case is another: {', '.join(others)}."]
    for which, these, those in (("old", old, new), ("new", new, old)):
        only = _only(these, those)
        if only:
            lines += ["", f"Only in the {which}, by case (threads in brackets):", "", *only]
    return "\n".join(lines).rstrip() + "\n"
