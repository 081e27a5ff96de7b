"""Everything that needs a card, from a built tree, without a network; the results go to one JSON file.

    python cuda/gpu [--library build/libcunn.so] [--out FILE] [--only STEP ...] [--rehearse]

Steps: conformance (the vectors natively, called and recorded, then from Python), sanitizer (compute-sanitizer's four
tools, each of which must say that it ran), bits (run to run, alone and in a batch, chunks, recorded against called) and
timings (against cuBLAS and PyTorch's attention on the same card in the same run). A step that failed does not keep the next
from running; the exit status is 1 when any did, or when a floor of the timings could not be measured (without PyTorch).

--rehearse runs what can run without a card on the simt device with small sizes, to show that this program works: every step but
the sanitizer's, whose tools start only where there is a driver.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "python")]

import bits  # noqa: E402
import native  # noqa: E402
import timings  # noqa: E402

from nn.cuda.library import Library, library  # noqa: E402
from nn.errors import NNError  # noqa: E402

Step = Callable[[], dict[str, Any]]


def the_card(device: str) -> tuple[Library, str]:
    """The library and the card's name; ends the program with a sentence where there is none."""
    try:
        found = library(device)
    except NNError as error:
        raise SystemExit(f"{error}; nox -s build makes it, with the cuda device where a CUDA compiler is found") from None
    if not found.device_count(device):
        raise SystemExit(f"there is no card to run on: {found.device_note(device)}; --rehearse runs what needs none")
    return found, found.device_name(device)


def default_out(card: str) -> Path:
    stem = "-".join("".join(c if c.isalnum() else " " for c in card.lower()).split())
    return ROOT / "build" / "gpu" / f"{stem}-{datetime.date.today().isoformat()}.json"


def said(result: dict[str, Any]) -> str:
    """How a step ended; passed is null where nothing failed and something was not measured."""
    if result["passed"] is None:
        return f"not measured: {', '.join(result['not_measured'])};"
    return "passed" if result["passed"] else "FAILED"


def main() -> int:
    parser = argparse.ArgumentParser(prog="cuda/gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--library", type=Path, help="libcunn.so with the cuda device; build/libcunn.so when not given")
    parser.add_argument("--out", type=Path, help="the result file; build/gpu/CARD-DATE.json when not given")
    parser.add_argument("--only", action="append", choices=["conformance", "sanitizer", "bits", "timings"])
    parser.add_argument("--rehearse", action="store_true", help="on simt, small sizes, no claims")
    options = parser.parse_args()
    if options.rehearse and "sanitizer" in (options.only or []):
        parser.error("--rehearse has no step sanitizer: its tools need a card")
    if options.library:
        os.environ["CUNN_LIBRARY"] = str(options.library.resolve())
    device = "simt" if options.rehearse else "cuda"
    found, card = the_card(device)

    results: dict[str, Any] = {
        "card": card, "driver": native.driver_version(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
        "library": found.build_info, "rehearsal": options.rehearse, "steps": {},
    }  # fmt: skip
    out = (options.out or default_out(card)).resolve()
    steps: dict[str, Step] = {
        "conformance": lambda: native.conformance(ROOT, Path(found.path), device),
        "sanitizer": lambda: native.sanitizer(ROOT, Path(found.path), device),
        "bits": lambda: bits.check(device, small=options.rehearse),
        "timings": lambda: timings.measure(device, card, small=options.rehearse),
    }
    if options.rehearse:
        del steps["sanitizer"]
    for name, step in steps.items():
        if options.only and name not in options.only:
            continue
        print(f"== {name}", flush=True)
        started = time.perf_counter()
        try:
            result = step()
        except Exception as error:  # the next step still runs, and the file says what happened
            result = {"passed": False, "error": f"{type(error).__name__}: {error}"}
        result["seconds"] = round(time.perf_counter() - started, 1)
        results["steps"][name] = result
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=2) + "\n")
        print(f"{name}: {said(result)} in {result['seconds']} s{': ' + result['error'] if 'error' in result else ''}", flush=True)
    print(f"results in {out}")
    return 0 if all(step["passed"] for step in results["steps"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
