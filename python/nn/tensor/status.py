"""What a backend's call can end in, numbered as in cunn.h."""

from __future__ import annotations

from enum import IntEnum

from nn.errors import NNError


class Status(IntEnum):
    OK = 0
    INVALID_ARGUMENT = 1
    OUT_OF_MEMORY = 2
    UNSUPPORTED = 3
    BUSY = 4
    DEVICE = 5
    INTERNAL = 6


class BackendError(NNError):
    """A call on a backend failed; the text is the library's sentence, the same on the reference backend.

    status says what kind of failure it is: INVALID_ARGUMENT is the caller's, DEVICE reports a bad value (id, offset,
    position) found while an earlier operation ran.
    """

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(status.name.lower(), 1, text)
        self.status = status
