"""The report as Markdown: a table Language | Time | Relative for each case, then what was learned, then the method."""

from __future__ import annotations

from benchmarks.report import titles, units, words
from benchmarks.report.view import View

NOISE = {
    "wide": "its interval is wider than a tenth of the median",
    "drift": "its rounds differ by more than a tenth",
    "busy": "something else used its processors meanwhile",
    "stolen": "the host gave time to other guests",
    "few": "fewer than ten samples",
}


def markdown(view: View) -> str:
    """English; the page has both languages."""
    lines = [f"# Benchmark {view['name']}", "", *_machine(view), "", "## Key insights", ""]
    lines += [f"- {text['en']}" for text in words.insights(view)]
    lines += ["", "## What we learned", ""]
    for part in words.learned(view):
        lines += [f"**{part['title']['en']}.** {part['body']['en']}", ""]
    lines += _steps(view)
    for name, (english, _) in titles.GROUPS.items():
        cases = [case for case in view["cases"] if case["group"] == name]
        if cases:
            lines += [f"## {english}", ""]
            for case in cases:
                lines += _case(view, case)
    lines += _method(view)
    return "\n".join(lines).rstrip() + "\n"


def _machine(view: View) -> list[str]:
    m = view["machine"]
    caches = ", ".join(f"L{cache['level']} {cache['size']}" for cache in m["caches"])
    memory = units.size(m["memory_bytes"]) if m["memory_bytes"] else "unknown"
    virtual = ", a virtual machine" if m["virtual"] else ""
    load = f"load before {m['load_before']:.2f}, after {m['load_after']:.2f}"
    runtimes = ", ".join(f"{name}: {version}" for name, version in view["runtimes"].items())
    said = [
        f"- Processor: {m['cpu']} ({m['cpu_family'] or m['architecture']}), {m['usable']} usable processors{virtual}",
        f"- Caches: {caches or 'not readable'}; memory {memory}, huge pages: {m['huge_pages']}",
        f"- Instruction sets: {', '.join(m['isa']) or 'unknown'}; governor {m['governor'] or 'not readable'}",
        f"- System: {m['distribution'] or m['system']}, {m['system']}; {load}",
        f"- Measured {view['started']}, commit {view['commit']}; {runtimes}",
    ]
    said += [f"- Skipped: {one['what']}: {one['why']}" for one in view["skipped"]]
    if view["limits"]:
        said += ["", "| Limit, measured in the same run | Threads | Best | Median |", "|---|---|---|---|"]
        for one in view["limits"]:
            name = f"{one['limit']} {one['isa']}".strip()
            best, middle = (units.amount(one[which], one["unit"]) for which in ("best", "median"))
            said.append(f"| {name} | {one['threads']} | {best} | {middle} |")
    return said


STEPS = {
    "python-loops": "plain Python loops",
    "compiled": "compiled (C++)",
    "order": "loops in the order of memory",
    "simd": "vector instructions",
    "blocking": "blocked for registers and caches",
    "threads": "all threads",
}


def _steps(view: View) -> list[str]:
    if not view["steps"]:
        return []
    title = next(case["title"]["en"] for case in view["cases"] if case["name"] == view["steps"][0]["case"])
    lines = [f"## {title}, one step at a time", "", "| Step | Time | Rate | Gain |", "|---|---|---|---|"]
    for step in view["steps"]:
        rate = units.amount(step["rate"], "flop/s")
        lines.append(
            f"| {STEPS[step['step']]} | {units.time(step['median'])} | {rate} | {units.factor(step['factor'])} |"
        )
    return [*lines, ""]


def _case(view: View, case: View) -> list[str]:
    limited = any(row["of_limit"] for row in case["rows"])
    head = [
        "Language",
        "Row",
        "Threads",
        "Time",
        "95% interval",
        "Relative",
        "Rate",
        *(["Of the limit"] if limited else []),
    ]
    memory = any(row["peak_rss_bytes"] for row in case["rows"])
    head += ["Peak memory"] if memory else []
    head.append("Noise")
    lines = [f"### {case['title']['en']}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in case["rows"]:
        cells = [
            titles.LANGUAGES[row["language"]],
            f"{titles.ROWS[row['row']][0]} ({row['implementation']})",
            str(row["threads"]),
            units.time(row["median"]),
            f"{units.time(row['low'])} – {units.time(row['high'])}",
            units.factor(row["relative"]) if row["relative"] else "",
            units.amount(row["rate"], f"{row['unit']}/s"),
        ]
        cells += [units.percent(row["of_limit"]) if row["of_limit"] else ""] if limited else []
        cells += [units.size(row["peak_rss_bytes"]) if row["peak_rss_bytes"] else ""] if memory else []
        cells.append(", ".join(row["noise"]))
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _method(view: View) -> list[str]:
    pace = view["pace"]
    flags = "; ".join(f"{name}: {why}" for name, why in NOISE.items())
    return [
        "## Method",
        "",
        f"{_rounds(view)} over the languages and what stands beside them, interleaved case by case and rotated; in "
        f"each about {pace['seconds']} s{_longer(view)} and {pace['samples']} samples of a row after warming up or, "
        "where so many would take half as long again as that, ten over all the case's rounds and at least four. "
        "Programs are bound to as many processors as they have threads, one of each core first. Outputs are compared "
        "before anything is timed: the shared kernels' bit for bit between languages, loops and libraries within "
        "derived bounds. Intervals say where the median of a re-run lies with 95%, from the variance between rounds: "
        "that of a case's rows together, moderated by that of all cases, and a row's own where it is larger. Ratios "
        "between rows of a case are taken round by round, over the rounds that both had, since what slows a round down "
        "slows all its rows. Relative alone is of medians, to the fastest row, each with the most threads that it was "
        "timed with. A share of the limit is arithmetic against the fused multiply-add peak, or bytes against triad or "
        "read bandwidth, measured in the same run; what fits in a cache can exceed a memory's bandwidth. A naive row "
        f"that would take long runs a stated part of the case and is scaled. Noise flags: {flags}.",
    ]


def _longer(view: View) -> str:
    """Cases that ask for more seconds of a row than the pace has; a quick run gives them no more."""
    if view["pace"].get("quick"):
        return ""
    more = [f"{case['seconds']} s for {case['title']['en']}" for case in view["cases"]
            if (case["seconds"] or 0) > view["pace"]["seconds"]]  # fmt: skip
    return f" ({', '.join(more)})" if more else ""


def _rounds(view: View) -> str:
    """How many rounds the cases had."""
    counts = sorted({row["rounds"] for case in view["cases"] for row in case["rows"]})
    if not counts:
        return "No rounds"
    return f"{counts[0]} rounds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} rounds"
