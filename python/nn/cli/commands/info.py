"""nn-py info: what is here, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform

import nn
from nn.cli.app import app
from nn.cli.common import common_options, print_result
from nn.cuda import library, open_backend, why_not
from nn.cuda.library import DEVICES
from nn.errors import NNError
from nn.json_strict import Json
from nn.tensor.backend import Backend


@app.command("info")
@common_options("as_json")
def command(as_json: bool) -> None:
    """Versions, devices, instruction set, threads."""
    result: dict[str, Json] = {
        "version": nn.__version__,
        "language": f"Python {platform.python_version()}",
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
    }
    try:
        found = library()
        result["library"] = found.path
        result["library_version"] = found.version
        result["library_build"] = found.build_info
        result["abi"] = found.lib.cunn_abi_version()
    except NNError as error:
        result["library"] = None
        result["missing"] = str(error)
    available: list[Json] = []
    for device in (*DEVICES, "reference"):
        reason = why_not(device)
        if reason:
            result[device] = reason
            continue
        available.append(device)
        with open_backend(device) as backend:
            result[device] = _describe(device, backend)
    result["devices"] = available
    print_result(result, as_json)


def _describe(device: str, backend: Backend) -> Json:
    name = library(device).device_name(device) if device in DEVICES else "NumPy"
    return {"name": name, "isa": backend.isa, "threads": backend.threads}
