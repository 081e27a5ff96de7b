"""A step that is recorded once and then launched as one call."""

from __future__ import annotations

from collections.abc import Callable

from nn.model.transformer import MoETransformer
from nn.tensor.backend import Backend, Graph


class RecordedStep:
    """Runs a fixed sequence of calls: the first time one by one, which makes every buffer it needs; the second time
    recorded; from then on as one graph launch. When `workspace_version` changed in between, it starts over; a
    recording that failed is dropped."""

    def __init__(self, backend: Backend, model: MoETransformer, run: Callable[[], None]) -> None:
        self.backend = backend
        self.model = model
        self._run = run
        self._graph: Graph | None = None
        self._version = -1

    def run(self) -> None:
        """Runs the sequence once."""
        if self._version != self.model.workspace_version():
            self.close()
            self._run()
            self._version = self.model.workspace_version()
            return
        if self._graph is None:
            self.backend.graph_begin()
            try:
                self._run()
            except BaseException:
                self.backend.graph_end().close()
                raise
            self._graph = self.backend.graph_end()
        self.backend.graph_launch(self._graph)

    def close(self) -> None:
        """Forgets the recording."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None
