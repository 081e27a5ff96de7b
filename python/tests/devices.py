"""The devices that the tests run on: the reference, and whatever the library has here."""

from __future__ import annotations

import os

from nn.cuda import devices, why_not


def available_devices() -> list[str]:
    """With CUNN_REQUIRE=1 an absent library is a failure, not fewer tests."""
    if os.environ.get("CUNN_REQUIRE") == "1" and why_not("cpu"):
        raise RuntimeError(why_not("cpu"))
    return sorted(devices())
