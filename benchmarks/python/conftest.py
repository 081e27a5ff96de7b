"""pytest-benchmark over cases.json: a test for each (case, row), written to BENCH_OUT as rows of the common schema.

NumPy's threads are those of its BLAS, which reads OPENBLAS_NUM_THREADS: set it as BENCH_THREADS.
"""

from __future__ import annotations

import json

import pytest
from nn.errors import NNError

from protocol import Protocol, ProtocolError, protocol
from rows import Measured, Rows, applies


def pytest_configure(config: pytest.Config) -> None:
    try:
        config.stash[_PROTOCOL] = protocol()
    except (ProtocolError, NNError) as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_MEASURED] = []


_PROTOCOL = pytest.StashKey[Protocol]()
_MEASURED = pytest.StashKey[list[Measured]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    asked = metafunc.config.stash[_PROTOCOL]
    pairs = [(case, row) for case in asked.cases for row in asked.rows if applies(case, row)]
    names = [f"{case.string('name')}-{row}" for case, row in pairs]
    metafunc.parametrize(("case", "row"), pairs, ids=names)


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> Rows:
    return Rows(request.config.stash[_PROTOCOL])


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> list[Measured]:
    return request.config.stash[_MEASURED]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    asked = session.config.stash[_PROTOCOL]
    if asked.out is not None and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        written = {"version": 1, "rows": session.config.stash[_MEASURED]}
        asked.out.write_text(json.dumps(written, indent=1) + "\n")
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:  # nothing that was asked for applies here
        session.exitstatus = pytest.ExitCode.OK
