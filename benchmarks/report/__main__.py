"""python -m benchmarks.report make FILE | compare OLD NEW"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.lab import results
from benchmarks.report.compare import report
from benchmarks.report.markdown import markdown
from benchmarks.report.page import page
from benchmarks.report.pictures import pictures
from benchmarks.report.view import view


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="write Markdown, JSON, the page and pictures")
    make.add_argument("result", type=Path)
    make.add_argument("--out", type=Path, help="a folder (default: the result's name without .json)")
    compare = commands.add_parser("compare", help="say which rows changed beyond noise")
    compare.add_argument("old", type=Path)
    compare.add_argument("new", type=Path)
    asked = parser.parse_args()
    try:
        if asked.command == "compare":
            print(report(results.read(asked.old), results.read(asked.new)), end="")
            return 0
        return _make(asked.result, asked.out or asked.result.with_suffix(""))
    except (results.ResultError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1


def _make(result: Path, folder: Path) -> int:
    shown = view(results.read(result))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(markdown(shown))
    (folder / "report.json").write_text(json.dumps(shown, ensure_ascii=False, indent=1) + "\n")
    (folder / "index.html").write_text(page(shown))
    pictures(shown, folder)
    print(folder / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
