"""The file of results: merging rounds into rows, what follows from the samples, reading, writing and checking.

A result is one JSON object:

    version     1
    name        of the file, for people
    started     UTC, ISO 8601
    commit      of the sources, "+" behind it when they differed
    pace        rounds, seconds, samples
    machine     see machine.describe
    runtimes    versions of what ran
    cases       the entries of cases.json that were asked for
    configs     the presets' sizes
    limits      {limit, unit, isa, threads, rates}: raw rates of "fma", "read" and "triad"
    rows        see ROW; `rounds` are the raw samples in seconds of one run of the case, a list for each round
    skipped     {what, why}

A merged row has its number of `slices`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from benchmarks.lab import spread, statistics
from benchmarks.lab.spread import Spread

Row = dict[str, Any]
Result = dict[str, Any]

LANGUAGES = ("python", "rust", "go", "native")
Kind = type | tuple[type, ...]
ROW: dict[str, Kind] = {
    "case": str,
    "language": str,
    "row": str,
    "implementation": str,
    "harness": str,
    "threads": int,
    "isa": str,
    "rounds": list,
    "units": (int, float),
    "unit": str,
    "checked": bool,
}
OPTIONAL: dict[str, Kind] = {
    "fraction": (int, float),
    "iterations": list,
    "checksum": str,
    "allocations": (int, float),
    "allocated_bytes": (int, float),
    "gc_seconds": (int, float),
    "peak_rss_bytes": (int, float),
    "cpu_seconds": (int, float),
    "processors": list,
    "others": (int, float),
    "stolen": (int, float),
    "slices": int,
}
DERIVED = ("samples", "median", "error", "degrees", "low", "high", "rate", "noise")


class ResultError(Exception):
    """A file that is not a result."""


def key(row: Row) -> tuple[str, str, str, int]:
    """What identifies a row in a result, and the same row in another."""
    return row["case"], row["language"], row["row"], row["threads"]


class Collector:
    """Puts the rows of many short runs together, round by round."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str, int], Row] = {}

    def add(self, rows: list[Row], processors: list[int], others: float, stolen: float) -> None:
        """Rows of one harness run. The worst of all rounds stays for `others` and `stolen`.

        Errors: ResultError for a row that a round before gave with another output, or on other processors.
        """
        for new in rows:
            taken = [float(sample) for sample in new["samples"]]
            row = self.rows.get(key(new))
            if row is None:
                row = {name: value for name, value in new.items() if name not in ("samples", "iterations")}
                row.update(rounds=[], iterations=[], processors=processors, others=0.0, stolen=0.0)
                self.rows[key(new)] = row
            else:
                _same(key(new), row, {**new, "processors": processors})
            row["rounds"].append(taken)
            row["iterations"].extend(int(count) for count in new.get("iterations") or [1] * len(taken))
            row["others"], row["stolen"] = max(row["others"], others), max(row["stolen"], stolen)

    def disagreements(self, case: str) -> list[str]:
        """Sentences on outputs of the shared kernels that are not the same in all languages."""
        sums: dict[str, list[str]] = {}
        for row in self.rows.values():
            if row["case"] == case and row["row"] in ("cpu", "cpu-scalar") and row.get("checksum"):
                sums.setdefault(row["checksum"], []).append(f"{row['language']} {row['row']} {row['threads']}")
        if len(sums) < 2:
            return []
        return [f"{case}: other bits: " + "; ".join(f"{value} ({', '.join(who)})" for value, who in sums.items())]


def _same(name: tuple[str, str, str, int], row: Row, new: Row) -> None:
    """Rounds of one row: of one output, on one choice of processors. Errors: ResultError."""
    if new.get("checksum") != row.get("checksum"):
        raise ResultError(f"{' '.join(map(str, name))}: {new.get('checksum')} in one round and {row.get('checksum')} "
                          "in another")  # fmt: skip
    if new.get("processors") != row.get("processors"):
        raise ResultError(f"{' '.join(map(str, name))}: bound to processors {row.get('processors')} in one round and "
                          f"to {new.get('processors')} in another")  # fmt: skip


def derived(result: Result) -> Result:
    """The result with what follows from its samples in every row:

    samples     of all rounds
    median      of them
    error       standard error of the logarithm of the median, and its degrees of freedom (see spread)
    degrees
    low, high   where the median of a re-run lies with 95%: it differs as much as this one, hence sqrt(2) errors
    rate        units a second
    noise       flags
    """
    known = spreads(result["rows"])
    return {**result, "rows": [_derive(row, known[_group(row)]) for row in result["rows"]]}


def spreads(rows: list[Row]) -> dict[tuple[str, int], Spread | None]:
    """For each case and number of threads, whose rows take turns in the same rounds."""
    groups: dict[tuple[str, int], list[list[float]]] = {}
    for row in rows:
        groups.setdefault(_group(row), []).append(statistics.rounds_of(row["rounds"]))
    own = {group: spread.observed(medians) for group, medians in groups.items()}
    common = spread.prior([one for one in own.values() if one is not None])
    return {group: spread.moderated(one, common) for group, one in own.items()}


def _group(row: Row) -> tuple[str, int]:
    return row["case"], row["threads"]


def _derive(row: Row, known: Spread | None) -> Row:
    """Of a row that varied more than its case's rows together its own variance: rows of one case are not equally noisy,
    and what a quiet one lends to a noisy one would narrow its interval."""
    rounds: list[list[float]] = row["rounds"]
    own = spread.observed([statistics.rounds_of(rounds)])
    if own is not None and known is not None:
        known = Spread(max(known.variance, own.variance), known.degrees)
    samples = [sample for one in rounds for sample in one]
    middle = statistics.median(samples)
    if known is None:  # a single round says nothing of another: what its samples say
        low, high = statistics.interval(samples)
        error, degrees = math.log(high / low) / (2 * spread.quantile(len(samples))), float(len(samples))
    else:
        error, degrees = known.error(len(rounds)), known.degrees
    low, high = spread.around(middle, math.sqrt(2) * error, degrees)
    flags = statistics.noise(rounds, low, high, row.get("others") or 0.0, row.get("stolen") or 0.0)
    return {**row, "samples": samples, "median": middle, "error": error, "degrees": degrees, "low": low, "high": high,
            "rate": row["units"] / middle, "noise": flags}  # fmt: skip


def write(result: Result, path: Path) -> None:
    """Only what was measured; what follows from it is derived when the file is read."""
    stripped = {**result, "rows": [{n: v for n, v in row.items() if n not in DERIVED} for row in result["rows"]]}
    lines = [
        f'"{name}": {json.dumps(value)}' for name, value in stripped.items() if name not in ("rows", "limits", "cases")
    ]
    for name in ("cases", "limits", "rows"):
        entries = ",\n".join(json.dumps(_rounded(entry)) for entry in stripped[name])
        lines.append(f'"{name}": [\n{entries}\n]')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def read(path: Path) -> Result:
    """A result with its derived fields. Errors: ResultError, OSError."""
    try:
        result = json.loads(path.read_text())
    except ValueError as error:
        raise ResultError(f"{path}: {error}") from None
    validate(result, str(path))
    return derived(result)


def validate(result: object, where: str) -> None:
    """Errors: ResultError, with the first thing that is wrong."""
    if not isinstance(result, dict):
        raise ResultError(f"{where} is not an object")
    if result.get("version") != 1:
        raise ResultError(f"{where}: version is {result.get('version')}, expected 1")
    expected = {"name": str, "started": str, "pace": dict, "machine": dict, "runtimes": dict, "cases": list,
                "configs": dict, "limits": list, "rows": list, "skipped": list}  # fmt: skip
    for name, kind in expected.items():
        if not isinstance(result.get(name), kind):
            raise ResultError(f"{where}: {name} is missing or of another type")
    cases = {case.get("name") for case in result["cases"]}
    seen = set()
    for number, row in enumerate(result["rows"]):
        place = f"{where}: rows[{number}]"
        _row(row, place)
        if row["case"] not in cases:
            raise ResultError(f"{place}: {row['case']} is not among the cases")
        if key(row) in seen:
            raise ResultError(f"{place}: {' '.join(map(str, key(row)))} is there twice")
        seen.add(key(row))


def _row(row: object, place: str) -> None:
    if not isinstance(row, dict):
        raise ResultError(f"{place} is not an object")
    for name, kind in ROW.items():
        if not isinstance(row.get(name), kind):
            raise ResultError(f"{place}: {name} is missing or of another type")
    for name, kind in OPTIONAL.items():
        if row.get(name) is not None and not isinstance(row[name], kind):
            raise ResultError(f"{place}: {name} is of another type")
    if row["language"] not in LANGUAGES:
        raise ResultError(f"{place}: language is {row['language']}, expected one of {', '.join(LANGUAGES)}")
    samples = [sample for one in row["rounds"] for sample in one]
    if not samples or not all(isinstance(sample, int | float) and sample > 0 for sample in samples):
        raise ResultError(f"{place}: rounds hold no samples, or one that is not above 0")
    # The cpu's rows are what others are compared with; they have a checksum, which has to be equal in all languages.
    if not row["checked"] and not row.get("checksum"):
        raise ResultError(f"{place}: was timed without its output having been checked")


def merge(results: list[Result]) -> Result:
    """Slices of one run on one machine as one result: other cases, or the same with more rounds.

    Errors: ResultError when the machines or the sources differ, or a row's output or processors.
    """
    first = results[0]
    rows: dict[tuple[str, str, str, int], Row] = {}
    for result in results:
        for name in ("cpu", "processors", "usable"):
            if result["machine"].get(name) != first["machine"].get(name):
                raise ResultError(f"{result['name']} was measured on another machine than {first['name']}")
        if result.get("commit") != first.get("commit"):
            raise ResultError(f"{result['name']} has other sources than {first['name']}")
        for row in result["rows"]:
            known = rows.get(key(row))
            if known is None:
                rows[key(row)] = {name: value for name, value in row.items() if name not in DERIVED}
            else:
                _same(key(row), known, row)
                known["slices"] = (known.get("slices") or 1) + (row.get("slices") or 1)
                known["rounds"] = known["rounds"] + row["rounds"]
                known["iterations"] = (known.get("iterations") or []) + (row.get("iterations") or [])
                for name in ("others", "stolen", "peak_rss_bytes"):
                    known[name] = max(known.get(name) or 0, row.get(name) or 0) or known.get(name)
    cases = {case["name"]: case for result in results for case in result["cases"]}
    skipped = {(one["what"], one["why"]): one for result in results for one in result["skipped"]}
    return derived({
        **first,
        "cases": list(cases.values()),
        "limits": [limit for result in results for limit in result["limits"]],
        "rows": list(rows.values()),
        "skipped": list(skipped.values()),
    })  # fmt: skip


def limit(result: Result, name: str, threads: int, isa: str | None = None) -> float | None:
    """The highest rate seen of "fma" (of an instruction set, or of the best), "read" or "triad" at so many threads.
    With other thread counts than were measured, None."""
    rates = [
        rate
        for one in result["limits"]
        if one["limit"] == name and one["threads"] == threads and (isa is None or one["isa"] == isa)
        for rate in one["rates"]
    ]
    return max(rates, default=None)


def _rounded(value: Any) -> Any:
    """Times to nine digits: a nanosecond in a second, and files half as long."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return value
