"""Every (case, row) under pytest-benchmark."""

from __future__ import annotations

import gc

import pytest
from nn.json_fields import Fields
from pytest_benchmark.fixture import BenchmarkFixture

from rows import Collections, Measured, Rows, measured, plan


def bench_case(benchmark: BenchmarkFixture, rows: Rows, keep: list[Measured], case: Fields, row: str) -> None:
    try:
        subject = rows.subject(case, row)
    except AssertionError as error:
        pytest.fail(str(error), pytrace=False)
    gc.collect()
    samples, iterations = plan(subject, rows.protocol)
    with Collections() as collections:
        benchmark.pedantic(subject.run, rounds=samples, iterations=iterations)  # type: ignore[no-untyped-call]
    assert benchmark.stats is not None
    taken = [float(sample) for sample in benchmark.stats.stats.data]
    keep.append(measured(case, row, subject, taken, iterations, collections))
    subject.close()
