"""Everything a report shows, computed once from a result: rows beside the machine's limits, factors, curves, agreement.

The renderers only write down what stands here, so that Markdown, page and pictures cannot disagree.
"""

from __future__ import annotations

import math
from typing import Any

from benchmarks.lab import ratios, results, statistics
from benchmarks.lab.costs import Cost, cost
from benchmarks.report import titles

View = dict[str, Any]
Row = results.Row

SHARED = ("python", "rust", "go")


def view(result: results.Result) -> View:
    """The whole report. Rows of one case are sorted by their time; `whole` ones have the most threads that their kind
    of row was timed with, which is one where it can use no more."""
    every = max((row["threads"] for row in result["rows"]), default=1)
    cases = [_case(result, case) for case in result["cases"]]
    return {
        "name": result["name"],
        "started": result["started"],
        "commit": result.get("commit"),
        "machine": result["machine"],
        "runtimes": result["runtimes"],
        "pace": result["pace"],
        "skipped": result["skipped"],
        "threads": every,
        "limits": _limits(result),
        "cases": [case for case in cases if case["rows"]],
        "factors": factors(result, every),
        "against": against(result),
        "steps": steps(result, every),
        "path": path(result, every),
        "scaling": _scaling(result),
        "series": _series(result, every),
        "agreement": agreement(result, every),
    }


def _case(result: results.Result, case: dict[str, Any]) -> View:
    english, japanese = titles.title(case)
    spent = _cost(result, case)
    rows = [_row(result, row, spent) for row in result["rows"] if row["case"] == case["name"]]
    rows.sort(key=lambda row: (row["median"], row["language"]))
    most: dict[tuple[str, str], int] = {}
    for row in rows:
        most[row["language"], row["row"]] = max(row["threads"], most.get((row["language"], row["row"]), 0))
    for row in rows:
        row["whole"] = row["threads"] == most[row["language"], row["row"]]
    fastest = min((row["median"] for row in rows if row["whole"]), default=None)
    for row in rows:
        row["relative"] = row["median"] / fastest if fastest else None
    return {
        "name": case["name"],
        "group": titles.group(case),
        "title": {"en": english, "jp": japanese},
        "flop": spent.flop if spent else None,
        "byte": spent.byte if spent else None,
        "bound": spent.limit if spent else None,
        "seconds": case.get("seconds"),
        "rows": rows,
    }


def _cost(result: results.Result, case: dict[str, Any]) -> Cost | None:
    if "command" in case:
        return None
    return cost(case, result["configs"].get(case.get("config", "")))


def _row(result: results.Result, row: Row, spent: Cost | None) -> Row:
    samples = len(row["samples"])
    kept = ("language", "row", "implementation", "harness", "threads", "isa", "median", "low", "high", "rate", "unit")
    return {
        **{name: row[name] for name in kept},
        "noise": row["noise"],
        "samples": samples,
        "rounds": len(row["rounds"]),
        "fraction": row.get("fraction") or 1.0,
        "allocations": row.get("allocations"),
        "allocated_bytes": row.get("allocated_bytes"),
        "gc_share": _collected(row),
        "peak_rss_bytes": row.get("peak_rss_bytes"),
        "flop_rate": spent.flop / row["median"] if spent and spent.flop else None,
        "intensity": spent.intensity if spent and spent.flop and spent.byte else None,
        "of_limit": _share(result, row, spent),
    }


def _collected(row: Row) -> float | None:
    """The garbage collector's part of the process's processor time: both are seconds of processors, so that a collector
    beside the program on another one is not taken for more than there is."""
    seconds, every = row.get("gc_seconds"), row.get("cpu_seconds")
    if seconds is None:
        return None
    return 0.0 if seconds == 0 else seconds / every if every else None


def _share(result: results.Result, row: Row, spent: Cost | None) -> float | None:
    """The part of the machine's limit that a row reaches at its number of threads."""
    if spent is None or spent.limit is None:
        return None
    best = results.limit(result, spent.limit, row["threads"])
    if best is None:
        return None
    done = spent.flop if spent.limit == "fma" else spent.byte
    return float(done / row["median"] / best)


def _limits(result: results.Result) -> list[View]:
    seen: dict[tuple[str, str, int], list[float]] = {}
    units = {}
    for one in result["limits"]:
        name = (one["limit"], one["isa"], one["threads"])
        seen.setdefault(name, []).extend(one["rates"])
        units[name] = one["unit"]
    found = []
    for (limit, isa, threads), rates in seen.items():
        low, high = statistics.interval(rates)
        found.append({"limit": limit, "isa": isa, "threads": threads, "unit": units[limit, isa, threads],
                      "best": max(rates), "median": statistics.median(rates), "low": low, "high": high})  # fmt: skip
    return found


def find(result: results.Result, case: str, language: str, row: str, threads: int | None = None) -> Row | None:
    """A row by its key; without threads the one with most."""
    found = [one for one in result["rows"]
             if one["case"] == case and one["language"] == language and one["row"] == row
             and threads in (None, one["threads"])]  # fmt: skip
    return max(found, key=lambda one: one["threads"], default=None)


def _ratio(known: ratios.Known, name: str, case: str, slow: Row | None, fast: Row | None) -> View | None:
    """How many times longer `slow` takes than `fast`, with its interval."""
    if slow is None or fast is None:
        return None
    middle, low, high = ratios.ratio(slow, fast, known)
    return {
        "factor": name,
        "case": case,
        "value": middle,
        "low": low,
        "high": high,
        "noise": sorted(set(slow["noise"]) | set(fast["noise"])),
        "slow": _who(slow),
        "fast": _who(fast),
        "slow_seconds": slow["median"],
        "fast_seconds": fast["median"],
    }


def _who(row: Row) -> View:
    return {"language": row["language"], "row": row["row"], "threads": row["threads"]}


def factors(result: results.Result, every: int) -> list[View]:
    """The four factors, each against its own baseline and one thing at a time:

    loops      one algorithm in two languages (plain loops, one thread)
    binding    one kernel from two languages (the rest of the case is the same code)
    blas       the ecosystem's matrix product against plain loops of the same language
    simd       vector against scalar instructions: the same loops with a fused multiply-add in either, one thread
    build      the kernels' vector against their scalar build, one thread: the instructions and, where the scalar
               build has to run on processors without a fused multiply-add, the function of the C library that it calls
    blocking   the blocked and packed kernel against vector loops that are neither, one thread
    """
    known = ratios.common(result)
    operations = [case["name"] for case in result["cases"] if titles.group(case) == "operation"]
    found: list[View | None] = []
    for case in operations:
        for language in ("python", "go"):
            slow, fast = find(result, case, language, "naive"), find(result, case, "rust", "naive")
            found.append(_ratio(known, "loops", case, slow, fast))
    for case in (case["name"] for case in result["cases"] if titles.group(case) in ("call", "model")):
        for language in ("python", "go"):
            slow, fast = find(result, case, language, "cpu", every), find(result, case, "rust", "cpu", every)
            found.append(_ratio(known, "binding", case, slow, fast))
    for case in (case["name"] for case in result["cases"] if case.get("kind") == "matmul"):
        for language in SHARED:
            fast = find(result, case, language, "library", 1)
            found.append(_ratio(known, "blas", case, find(result, case, language, "naive"), fast))
        vector = find(result, case, "native", "cpu-unblocked", 1)
        found.append(_ratio(known, "simd", case, find(result, case, "native", "unblocked-scalar", 1), vector))
        found.append(_ratio(known, "blocking", case, vector, find(result, case, "native", "cpu", 1)))
    for case in operations:
        slow = find(result, case, "python", "cpu-scalar", 1) or find(result, case, "python", "cpu-scalar")
        fast = find(result, case, "python", "cpu", slow["threads"]) if slow else None
        found.append(_ratio(known, "build", case, slow, fast))
    return [factor for factor in found if factor is not None]


def steps(result: results.Result, every: int) -> list[View]:
    """One product from the slowest way to the fastest, each step one thing more than the one before. Those that were
    not measured are left out."""
    known = ratios.common(result)
    taken = _ways(result, every)
    shown = []
    for number, (name, row) in enumerate(taken):
        before = taken[number - 1][1] if number else None
        value, low, high = ratios.ratio(before, row, known) if before else (1.0, 1.0, 1.0)
        kept = {field: row[field] for field in ("median", "low", "high", "rate")}
        gain = {"factor": value, "factor_low": low, "factor_high": high}
        shown.append({"step": name, "case": row["case"], **kept, **gain, **_who(row)})
    return shown


def path(result: results.Result, every: int) -> View | None:
    """All steps as one: how many times longer the first way takes than the last."""
    taken = _ways(result, every)
    if len(taken) < 2:
        return None
    (_, first), (_, last) = taken[0], taken[-1]
    return _ratio(ratios.common(result), "path", first["case"], first, last)


def _ways(result: results.Result, every: int) -> list[tuple[str, Row]]:
    case = next((case["name"] for case in result["cases"] if case.get("kind") == "matmul"
                 and find(result, case["name"], "native", "naive")), None)  # fmt: skip
    if case is None:
        return []
    ways = [
        ("python-loops", find(result, case, "python", "naive")),
        ("compiled", find(result, case, "native", "naive")),
        ("order", find(result, case, "native", "unblocked-scalar", 1)),
        ("simd", find(result, case, "native", "cpu-unblocked", 1)),
        ("blocking", find(result, case, "native", "cpu", 1)),
        ("threads", find(result, case, "native", "cpu", every) if every > 1 else None),
    ]
    return [(name, row) for name, row in ways if row is not None]


def against(result: results.Result) -> list[View]:
    """How many times as fast the shared kernels are as the libraries and peers of their language, case by case (single
    operations and whole models) and at equal threads: at one, and at all where the other has as many."""
    known = ratios.common(result)
    found = []
    for case in result["cases"]:
        group = titles.group(case)
        if group not in ("operation", "model"):
            continue
        for row in result["rows"]:
            if row["case"] != case["name"] or not (row["row"] == "library" or row["row"].startswith("peer-")):
                continue
            shared = find(result, case["name"], row["language"], "cpu", row["threads"])
            factor = _ratio(known, row["row"], case["name"], row, shared)
            if factor is not None:
                found.append({**factor, "language": row["language"], "threads": row["threads"], "group": group})
    return found


def agreement(result: results.Result, every: int) -> list[View]:
    """The shared kernels' rows of the languages beside one another, from what the languages took in the same rounds:
    each as a multiple of the fastest, and the spread between the slowest and the fastest, with the upper end of its
    interval."""
    known = ratios.common(result)
    found = []
    for case in result["cases"]:
        if titles.group(case) == "process":
            continue
        rows = [row for language in SHARED if (row := find(result, case["name"], language, "cpu", every))]
        if len(rows) < 2:
            continue
        fastest = min(rows, key=lambda row: ratios.ratio(row, rows[0], known)[0])
        beside = []
        for row in rows:
            value, low, high = ratios.ratio(row, fastest, known) if row is not fastest else (1.0,) * 3
            beside.append({"language": row["language"], "relative": value, "low": low, "high": high,
                           "median": row["median"]})  # fmt: skip
        slowest = max(beside, key=lambda one: one["relative"])
        found.append(
            {
                "case": case["name"],
                "group": titles.group(case),
                "spread": slowest["relative"] - 1,
                "spread_high": max(one["high"] for one in beside) - 1,
                "noise": sorted({flag for row in rows for flag in row["noise"]}),
                "languages": beside,
            }
        )
    return found


def _scaling(result: results.Result) -> list[View]:
    """Speed-up over one thread, for each row of a case that is timed at every count."""
    known = ratios.common(result)
    scale = {case["name"] for case in result["cases"] if case.get("scaling")}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in result["rows"]:
        if row["case"] in scale and row["row"] in ("cpu", "library") and row["language"] != "native":
            groups.setdefault((row["case"], row["language"], row["row"]), []).append(row)
    found = []
    for (case, language, row), rows in groups.items():
        rows.sort(key=lambda one: one["threads"])
        if len(rows) < 2 or rows[0]["threads"] != 1:
            continue
        points = []
        for one in rows:
            value, low, high = ratios.ratio(rows[0], one, known)
            points.append({"threads": one["threads"], "speedup": value, "low": low, "high": high})
        found.append({"case": case, "language": language, "row": row, "points": points})
    return found


def _series(result: results.Result, every: int) -> list[View]:
    """Rates over a size that the cases of a series differ in."""
    names = dict.fromkeys(case["series"] for case in result["cases"] if case.get("series"))
    found = []
    for name in names:
        for language in SHARED:
            points = []
            for case in result["cases"]:
                if case.get("series") == name and (row := find(result, case["name"], language, "cpu", every)):
                    points.append({"x": case["x"], "rate": row["rate"], "low": row["units"] / row["high"],
                                   "high": row["units"] / row["low"], "unit": f"{row['unit']}/s"})  # fmt: skip
            if len(points) > 1:
                found.append({"series": name, "language": language, "points": sorted(points, key=lambda p: p["x"])})
    return found


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))
