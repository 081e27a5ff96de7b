"""The one exception a caller needs to know."""

from __future__ import annotations


class NNError(Exception):
    """Something the user can put right, said in one sentence.

    `key` names the sentence in cuda/tools/messages.json, the same in Python, Rust and Go;
    `exit_code` is what the command line returns for it: 2 for usage, 1 for a failure.
    """

    def __init__(self, key: str, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.key = key
        self.exit_code = exit_code
