"""Progress on stderr: a live bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_SECONDS = 10.0
"""Between two plain lines."""


class ProgressBar:
    """`update(done, note)` as often as wanted; the note says loss, tokens/s and the like. `begin` turns it to the next
    part of the work."""

    def __init__(self, what: str, total: int, quiet: bool) -> None:
        self.what = what
        self.total = total
        self.quiet = quiet
        self._live: Progress | None = None
        self._last_line = time.monotonic()
        self._start = self._last_line

    def __enter__(self) -> ProgressBar:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._live = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(), console=Console(stderr=True), transient=False,
            )  # fmt: skip
            self._live.start()
            self._task = self._live.add_task(self.what, total=self.total or None, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, what: str, total: int) -> None:
        """From here on `update` counts `total` of `what`; nothing when that is what it counts already."""
        if (what, total) == (self.what, self.total):
            return
        self.what, self.total = what, total
        self._start = time.monotonic()
        if self._live is not None:
            self._live.reset(self._task, description=what, total=total)

    def update(self, done: int, note: str = "") -> None:
        if self.quiet:
            return
        if self._live is not None:
            self._live.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS or done == self.total:
            self._last_line = now
            left = (now - self._start) / done * (self.total - done) if done > 0 else 0.0
            self.line(f"{self.what}: {done}/{self.total}  {note}  {left:.0f} s left")

    def line(self, text: str) -> None:
        """A line of its own, above the bar."""
        if self.quiet:
            return
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)
