"""python -m benchmarks.lab run | merge"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.lab import plan, results, run
from benchmarks.lab.harnesses import HARNESSES, PEERS, ROOT, HarnessError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="measure, and write a result")
    one.add_argument("--quick", action="store_true", help="few cases and short: says that everything works")
    one.add_argument("--languages", default=",".join(HARNESSES), help="a comma list (default: all three)")
    one.add_argument(
        "--peers", default="", help=f"a comma list of {', '.join(PEERS)}: installed where they are missing"
    )
    one.add_argument("--cases", help="a comma list of names in cases.json (default: all)")
    one.add_argument("--no-processes", action="store_true", help="leave out whole-process cases")
    one.add_argument("--only-processes", action="store_true", help="whole-process cases alone")
    one.add_argument(
        "--rounds", type=int, help=f"rounds of every case (default {plan.FULL.rounds}, or what it asks for)"
    )
    one.add_argument("--minutes", type=float, default=12.0, help="what the cases should take at most (default 12)")
    one.add_argument("--out", type=Path, help="the file to write (default: benchmarks/results/<date>-<cpu>.json)")
    several = commands.add_parser("merge", help="put slices of one run together")
    several.add_argument("slices", type=Path, nargs="+")
    several.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    try:
        return _merge(asked) if asked.command == "merge" else _run(asked)
    except (HarnessError, results.ResultError, OSError, ValueError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _run(asked: argparse.Namespace) -> int:
    languages = asked.languages.split(",")
    for language in languages:
        if language not in HARNESSES:
            raise ValueError(f"there is no harness for {language}; there are {', '.join(HARNESSES)}")
    peers = [name for name in asked.peers.split(",") if name]
    for name in peers:
        if name not in PEERS:
            raise ValueError(f"there is no peer {name}; there are {', '.join(PEERS)}")
    pace = plan.QUICK if asked.quick else plan.FULL
    if asked.rounds is not None:
        if asked.rounds < 1:
            raise ValueError(f"--rounds is {asked.rounds}, expected at least 1")
        pace = plan.Pace(**{**vars(pace), "rounds": asked.rounds, "fixed": True})
    if not asked.minutes > 0:
        raise ValueError(f"--minutes is {asked.minutes}, expected a number above 0")
    names = asked.cases.split(",") if asked.cases else None
    cases = plan.chosen(run.listed("cases"), names, plan.QUICK_CASES if asked.quick else None)
    whole = plan.chosen(run.listed("processes"), None, plan.QUICK_PROCESSES if asked.quick else None)
    if asked.only_processes:
        cases = []
    elif asked.no_processes or names is not None:
        whole = []
    lab = run.Lab(
        languages, peers, pace, asked.quick, 60 * asked.minutes, run.clock(lambda text: print(text, flush=True))
    )
    lab.prepare()
    result = lab.run(cases, whole)
    out = asked.out or ROOT / "benchmarks" / "results" / f"{result['name']}{'-quick' if asked.quick else ''}.json"
    results.write(result, out)
    for sentence in lab.failures:
        print(f"lab: {sentence}", file=sys.stderr)
    print(out, flush=True)
    return 1 if lab.failures else 0


def _merge(asked: argparse.Namespace) -> int:
    results.write(results.merge([results.read(path) for path in asked.slices]), asked.out)
    print(asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
