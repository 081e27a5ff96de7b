"""nn-py bench: time the cases of a cases.json here."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import click

import nn
from nn import files, messages
from nn.bench import measure, protocol
from nn.cli.app import app
from nn.cli.common import common_options, open_device, readable
from nn.cli.options import path
from nn.cli.progress import ProgressBar
from nn.json_fields import Fields
from nn.json_strict import Json, describe, dumps, loads_object


@app.command("bench")
@click.option("--cases", type=path, required=True, help="the description of what is measured: benchmarks/cases.json")
@click.option("--out", type=path, required=True, help="the JSON file to write, every sample in it")
@common_options("device", "threads", "as_json", "quiet")
def command(cases: str, out: str, device: str, threads: int, as_json: bool, quiet: bool) -> None:
    """Time the kernels and the model: medians with a bootstrap 95% interval."""
    described = Fields(loads_object(files.read_bytes(cases, "checkout"), cases), cases)
    how = protocol(described)
    listed = described.get("cases")
    if not isinstance(listed, list):
        raise messages.field_wrong_type(where=cases, field="cases", found=describe(listed), expected="an array")
    rows: list[dict[str, Json]] = []
    with open_device(device, threads) as backend, ProgressBar("bench", len(listed), quiet) as bar:
        for number, entry in enumerate(listed):
            if not isinstance(entry, dict):
                raise messages.field_wrong_type(
                    where=cases, field=f"cases[{number}]", found=describe(entry), expected="an object"
                )
            row = measure(backend, Fields(entry, f"{cases}: cases[{number}]"), how)
            rows.append(row)
            bar.update(number + 1, str(row["name"]))
        result: dict[str, Json] = {
            "version": 1,
            "language": "python",
            "runtime": f"Python {platform.python_version()}",
            "release": nn.__version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} processors",
            "device": backend.name,
            "isa": backend.isa,
            "threads": backend.threads,
            "cases": [*rows],
        }
    files.write_file(Path(out), [dumps(result).encode()])
    if as_json:
        click.echo(dumps(result), nl=False)
        return
    for row in rows:
        click.echo(
            f"{row['name']:28} {_milliseconds(row['median'])} ms  [{_milliseconds(row['low'])}, "
            f"{_milliseconds(row['high'])}]  {readable(row['rate'])} {row['unit']}"
        )


def _milliseconds(value: Json) -> str:
    return f"{value * 1e3:10.4f}" if isinstance(value, float) else "?"
