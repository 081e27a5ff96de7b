"""The table of error sentences."""

import inspect
import json
import subprocess
import sys

import pytest
from paths import ROOT

from nn import messages
from nn.errors import NNError

TABLE = json.loads((ROOT / "cuda" / "tools" / "messages.json").read_text())
SCRIPT = ROOT / "cuda" / "tools" / "messages.py"


def test_generated_files_are_in_step() -> None:
    run = subprocess.run([sys.executable, SCRIPT, "--check"], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("key", TABLE["messages"])
def test_every_sentence(key: str) -> None:
    exit_code, template = TABLE["messages"][key]
    make = getattr(messages, key)
    fields: dict[str, str | int] = {}
    expected = template
    for number, name in enumerate(inspect.signature(make).parameters):
        fields[name] = 7000 + number if f"{{{name}:int}}" in template else f"<{name}>"
        expected = expected.replace(f"{{{name}:int}}", str(fields[name])).replace(f"{{{name}:str}}", str(fields[name]))
    error = make(**fields)
    assert isinstance(error, NNError)
    assert (error.key, error.exit_code, str(error)) == (key, exit_code, expected)
    assert "\n" not in template


def test_every_reason_is_reachable() -> None:
    assert set(messages.REASONS.values()) == set(TABLE["reasons"].values())
