"""Opening a device of the library, or the reference."""

from __future__ import annotations

from nn import messages
from nn.cuda.library import why_not
from nn.cuda.native import NativeBackend
from nn.tensor.backend import Backend

_KNOWN = ("auto", "cpu", "cuda", "simt", "reference")


def open_backend(device: str = "auto", *, ordinal: int = 0, threads: int = 0, isa: str | None = None) -> Backend:
    """Opens a device: "cpu", "cuda", "simt" of the library, "reference" in NumPy, or "auto": cuda when there is one,
    else cpu.

    threads: host threads that compute, the caller included, 0 for all. isa: forces an instruction set on cpu
    ("scalar", "avx2", "avx512"). Raises NNError when the device, or the library, is not here.
    """
    if device not in _KNOWN:
        raise messages.device_unknown(name=device, known=", ".join(_KNOWN))
    if device == "reference":
        from nn.tensor.reference import ReferenceBackend

        return ReferenceBackend()
    if device == "auto":
        device = "cuda" if not why_not("cuda") else "cpu"
    return NativeBackend(device, ordinal=ordinal, threads=threads, isa=isa)
