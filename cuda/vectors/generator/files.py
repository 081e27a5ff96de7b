"""Vector files: safetensors whose __metadata__ says, one entry a case, how to call the op."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .case import Case, In, Out, Same, Unchecked, Value
from .numbers import to_bytes

_STORED = {"f32": "F32", "bf16": "BF16", "f16": "F16", "i32": "I32", "i64": "I64", "u8": "U8", "q8": "U8", "q4": "U8"}

# name -> (safetensors dtype, shape, bytes)
Tensors = dict[str, tuple[str, list[int], bytes]]


def call_line(case: Case) -> str:
    """The call as text: the op, then each argument in the header's order."""
    return " ".join([case.op, *(f"{name}={_token(value)}" for name, value in case.arguments.items())])


def _token(value: Value) -> str:
    if value is None:
        return "@none"
    if isinstance(value, In):
        return f"@in:{value.dtype}:{value.count or value.data.size}"
    if isinstance(value, Out):
        role = "out" if value.initial is None else "inout"
        return f"@{role}:{value.dtype}:{value.count or value.want.size}"
    if isinstance(value, Unchecked):
        return f"@out:{value.dtype}:{value.count}"
    if isinstance(value, Same):
        return f"@same:{value.other}"
    return repr(value)


def encode(cases: list[Case]) -> tuple[dict[str, str], Tensors]:
    """Metadata and tensors of one family."""
    metadata = {"format": "cunn-vectors-1"}
    tensors: Tensors = {}
    for case in cases:
        if case.name in metadata:
            raise ValueError(f"two cases are called {case.name}")
        metadata[case.name] = call_line(case)
        derivations = []
        for name, value in case.arguments.items():
            if isinstance(value, In):
                tensors[f"{case.name}/in/{name}"] = _stored(value.data, value.dtype)
            if isinstance(value, Out) and value.initial is not None:
                tensors[f"{case.name}/in/{name}"] = _stored(value.initial, value.dtype)
        for name, output in case.outputs():
            dtype = output.dtype if isinstance(output, Out) else "f32"
            assert output.want is not None
            if output.limit is None or not output.limit.array.any():
                tensors[f"{case.name}/out/{name}"] = _stored(output.want, dtype)
                continue
            want = np.asarray(output.want, dtype=np.float64)
            tensors[f"{case.name}/out/{name}"] = ("F64", list(want.shape), want.astype("<f8").tobytes())
            tensors[f"{case.name}/bound/{name}"] = ("F32", list(want.shape), _round_up(output.limit.array))
            derivations.append(f"{name}=" + "+".join(output.limit.parts))
        metadata[case.name + "#bounds"] = " ".join(derivations) or "exact"
    return metadata, tensors


def _stored(data: np.ndarray, dtype: str) -> tuple[str, list[int], bytes]:
    return _STORED[dtype], list(data.shape), to_bytes(data, dtype)


def _round_up(limit: np.ndarray) -> bytes:
    if not np.all(np.isfinite(limit)) or np.any(limit < 0):
        raise ValueError("a bound is negative or not finite")
    narrow = limit.astype(np.float32)
    return np.where(narrow < limit, np.nextafter(narrow, np.float32(np.inf)), narrow).astype("<f4").tobytes()


def write(path: Path, metadata: dict[str, str], tensors: Tensors) -> None:
    """__metadata__ first, names in byte order, compact, space-padded to 8; data in that order."""
    path.write_bytes(serialize(metadata, tensors))


def serialize(metadata: dict[str, str], tensors: Tensors) -> bytes:
    """The whole file."""
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name in sorted(tensors, key=str.encode):
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(tensors[n][2] for n in sorted(tensors, key=str.encode))


def read(path: Path) -> tuple[dict[str, str], Tensors]:
    """What `write` wrote."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__")
    body = data[8 + size :]
    return metadata, {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])]) for name, entry in header.items()
    }
