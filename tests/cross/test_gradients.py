"""The gradient of every parameter, read back from the device, in three languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from compare import same_bytes
from conftest import RUNS, Runs
from languages import Language, build_program, everywhere


@pytest.fixture(scope="module")
def programs(request: pytest.FixtureRequest, languages: list[Language]) -> list[Language]:
    """gradients.py, gradients/rust and gradients/go, each on the sources that its command line was built from."""
    return [build_program(language, request.config.getoption(f"--{language.name}-root")) for language in languages]


@pytest.mark.parametrize("name", RUNS)
def test_gradients(runs: Runs, programs: list[Language], name: str, tmp_path: Path) -> None:
    """Of a batch with ignored targets in two micro-batches, by the trained weights of each run."""

    def gradients(program: Language) -> bytes:
        out = tmp_path / program.name
        program.succeed(runs.folder(name, program.name), out, 2, 11, 2)
        return out.read_bytes()

    same_bytes(f"{name}: gradients", everywhere(programs, gradients))
