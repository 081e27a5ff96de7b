"""The devices that the tests run on: the reference, and whatever the library has here."""

from __future__ import annotations

import os

from nn.cuda import devices, why_not


def available_devices() -> list[str]:
    """With CUNN_REQUIRE=1 an absent library is a failure, not fewer tests; with simt, libcunn-simt is needed too."""
    required = {"1": ["cpu"], "simt": ["cpu", "simt"]}.get(os.environ.get("CUNN_REQUIRE", ""), [])
    for device in required:
        if why_not(device):
            raise RuntimeError(why_not(device))
    return sorted(devices())
