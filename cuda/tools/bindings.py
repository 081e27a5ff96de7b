#!/usr/bin/env python3
"""Writes what the three languages know of the ABI from cunn.h, the only place where it is declared by hand.

    python cuda/tools/bindings.py            write the generated files
    python cuda/tools/bindings.py --check    exit 1 and name the files that are out of step

An op becomes a method with the header's name and argument order, without the context. Buffers are typed objects, a
buffer that may be 0 is optional (None, Option, nil), an int32_t flag is a bool, a status becomes the language's error.
"""

from __future__ import annotations

import argparse
import sys

import bind_go
import bind_python
import bind_rust
from header import ROOT, read_abi


def main() -> int:
    parser = argparse.ArgumentParser(description="bindings of three languages from cuda/include/cunn.h")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    abi = read_abi()
    stale = []
    for name, text in {**bind_python.files(abi), **bind_rust.files(abi), **bind_go.files(abi)}.items():
        path = ROOT / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"out of step with cunn.h: {', '.join(stale)}; run python cuda/tools/bindings.py", file=sys.stderr)
        return 1
    outcome = f"wrote {', '.join(stale)}" if stale else "all in step"
    print(f"{len(abi.functions)} functions, {len(abi.ops)} ops: {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
