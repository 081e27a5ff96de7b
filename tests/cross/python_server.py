"""nn-py for hundreds of short runs: the package is imported once, and each run is a fork of that process.

Reads a line of JSON per run, {"arguments": [...], "out": PATH, "err": PATH, "cwd": PATH, "environment": {...}}, and
answers with a line that is the exit code. What runs is nn.cli.main as `python -m nn` calls it; no device is open before
the fork.
"""

from __future__ import annotations

import json
import os
import sys

import nn.cli.commands  # noqa: F401  what main would import
from nn.cli import main


def run(request: dict[str, object]) -> int:
    """In the child: never returns to the loop."""
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict) and isinstance(arguments, list)
    os.environ.update(environment)
    os.chdir(str(request["cwd"]))
    for number, path in ((0, os.devnull), (1, str(request["out"])), (2, str(request["err"]))):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    # The interpreter's own words come as the command line brings them: bytes that need not be UTF-8.
    code = main([os.fsdecode(bytes.fromhex(word)) for word in arguments])
    sys.stdout.flush()
    sys.stderr.flush()
    return code


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        status = 70  # an exception that main let through
        try:
            status = run(json.loads(line))
        finally:
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
