"""What the subcommands share: the common options, opening a device, and how results are printed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from nn import files, messages
from nn.cli.options import integer, number, text
from nn.cuda import open_backend
from nn.json_strict import Json, dumps, finite
from nn.model.config import MoEConfig, preset
from nn.tensor.backend import Backend
from nn.tokenizer import Tokenizer

F = TypeVar("F", bound=Callable[..., object])

_COMMON = {
    "device": click.option("--device", type=text, default="auto", help="auto, cpu, cuda, simt or reference"),
    "threads": click.option("--threads", type=integer, default=0, help="host threads, 0 for all"),
    "seed": click.option("--seed", type=integer, default=0, help="seed of everything random"),
    "ntk_alpha": click.option("--ntk-alpha", type=number, help="serve alpha times the trained context"),
    "as_json": click.option("--json", "as_json", is_flag=True, help="print the result as one JSON object"),
    "quiet": click.option("--quiet", is_flag=True, help="no progress"),
}


def common_options(*names: str) -> Callable[[F], F]:
    """Those of the common options that a subcommand takes."""

    def decorate(command: F) -> F:
        for name in reversed(names):
            command = _COMMON[name](command)
        return command

    return decorate


class Interrupted(Exception):  # noqa: N818  not an error: the user asked
    """Ctrl-C, after what had to be saved was saved."""


def open_device(device: str, threads: int) -> Backend:
    """Errors: device_unknown, device_missing, usage_bad_value."""
    if not 0 <= threads <= 1024:
        raise messages.usage_bad_value(option="--threads", value=str(threads), expected="an integer from 0 to 1024")
    return open_backend(device, threads=threads)


def check_seed(seed: int) -> int:
    """Errors: usage_bad_value."""
    if not 0 <= seed <= 2**63 - 1:
        raise messages.usage_bad_value(option="--seed", value=str(seed), expected="an integer from 0 to 2^63 - 1")
    return seed


def read_config(name: str, ntk_alpha: float | None = None) -> MoEConfig:
    """A preset by its name, or a config.json (or a folder that has one) by its path, for fresh weights.
    Errors: unknown_preset, quantized_weights and those of `MoEConfig.from_json`."""
    path = os.path.join(name, "config.json") if os.path.isdir(name) else name
    if path != name or os.path.isfile(path):
        config = MoEConfig.from_json(files.read_bytes(path, "checkpoint folder"), path).require_float(path)
    else:
        config = preset(name)
    return config if ntk_alpha is None else config.with_ntk_alpha(ntk_alpha)


def model_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a checkpoint. Errors: tokenizer_missing, tokenizer_bad."""
    return Tokenizer.load(Path(folder) / "tokenizer.json")


def print_result(result: Mapping[str, Json], as_json: bool) -> None:
    """One JSON object, in which what is not finite is null, or a line "name: value" for each field."""
    if as_json:
        sys.stdout.write(dumps(finite(dict(result))))
        return
    for name, value in result.items():
        print(f"{name}: {readable(value)}")


def readable(value: Json) -> str:
    """A value as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(readable(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {readable(item)}" for name, item in value.items())
    return "none" if value is None else str(value)


@contextmanager
def ctrl_c() -> Iterator[Any]:
    """Within, Ctrl-C (or a request to end) only makes the yielded function return True, so that the step in hand can
    be finished and saved. A second one ends at once."""
    asked = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    previous = [(number, signal.signal(number, ask)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield lambda: asked
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
