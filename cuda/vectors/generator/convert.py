"""Conversion and layout: copy, cast, pack, quantize, dequantize. All exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .case import Case, In, Out, case, exact, strided
from .numbers import FLOATS, Array, Inputs, round_to, to_bytes

BLOCK = 32
BLOCK_BYTES = {"q8": 34, "q4": 18}


def _copy_cases() -> list[Case]:
    make = Inputs("copy")
    out: list[Case] = []
    for dtype in ("f32", "bf16", "f16"):
        x = make.floats(37, dtype)
        x[3], x[5], x[7] = np.inf, np.nan, -0.0
        out.append(case(dtype, "copy", y=Out(x, exact(x), dtype), x=In(x, dtype), n=37))
    for dtype, low, high in (("i32", -(1 << 30), 1 << 30), ("i64", -(1 << 29), 1 << 29), ("u8", 0, 256)):
        number = make.integers(37, low, high) * (1 << 33 if dtype == "i64" else 1)
        out.append(case(dtype, "copy", y=Out(number, dtype=dtype), x=In(number, dtype), n=37))
    for dtype in ("q8", "q4"):
        packed = quantize(make.floats(64), dtype)
        out.append(case(dtype, "copy", y=Out(packed, dtype=dtype, count=64), x=In(packed, dtype, count=64), n=64))
    return out


def _edges(dtype: str) -> Array:
    """Ties between neighbours of every narrower type, subnormals, the largest values, overflow, infinities, NaN."""
    kind = FLOATS[dtype]
    values = [0.0, -0.0, 1.0, -1.5, kind.max_value, -kind.max_value, np.inf, -np.inf, np.nan]
    for narrow in FLOATS.values():
        half = narrow.eps / 2
        values += [1 + half, 1 + 3 * half, -(1 + half), 1 + half * 1.5, 1 + half * 0.5, narrow.max_value]
        smallest = 2.0 ** (narrow.min_exponent - narrow.precision + 1)
        values += [smallest, 1.5 * smallest, 0.5 * smallest, 0.75 * smallest, 2.0**narrow.min_exponent]
        # Half way to the next power of two above the largest value, and just below it.
        edge = narrow.max_value + 2.0 ** (np.floor(np.log2(narrow.max_value)) - narrow.precision)
        values += [edge, -edge * (1 - 2.0**-20)]
    distinct: Array = np.unique(round_to(values, dtype))
    return distinct


def _cast_cases() -> list[Case]:
    out: list[Case] = []
    for source in FLOATS:
        for target in FLOATS:
            if source == target:
                continue
            x = np.concatenate([_edges(source), Inputs(f"cast {source} {target}").floats(17, source, 3.0)])
            y = round_to(x, target)
            out.append(case(f"{source}_{target}", "cast", y=Out(y, exact(y), target), x=In(x, source), n=x.size))
    number = np.array([0, 1, -1, (1 << 31) - 1, -(1 << 31), 12345, -777])
    for source, target in (("i32", "i64"), ("i64", "i32")):
        out.append(case(f"{source}_{target}", "cast", y=Out(number, dtype=target), x=In(number, source), n=number.size))
    return out


def _pack_cases() -> list[Case]:
    out: list[Case] = []
    for name, rows, cols, transpose, ldy, ldx, dtype in (
        ("5x7", 5, 7, 0, 7, 7, "f32"),
        ("5x7_transpose", 5, 7, 1, 7, 5, "f32"),
        ("33x17_ld_transpose", 33, 17, 1, 20, 35, "f32"),
        ("33x17_ld", 33, 17, 0, 19, 18, "bf16"),
        ("3x65_transpose", 3, 65, 1, 65, 3, "f16"),
        ("1x9_transpose", 1, 9, 1, 9, 1, "f32"),
        ("4x6_i32", 4, 6, 1, 6, 4, "i32"),
        ("4x6_i64", 4, 6, 0, 7, 6, "i64"),
        ("4x6_u8", 4, 6, 1, 6, 5, "u8"),
    ):
        is_float = dtype in FLOATS
        make = Inputs(f"pack {name}")
        y = make.floats((rows, cols), dtype) if is_float else make.integers((rows, cols), 0, 256).astype(np.float64)
        x = y.T if transpose else y
        want, before = strided(y, ldy, 3.0), strided(np.full_like(y, 9.0), ldy, 3.0)
        out.append(
            case(
                name,
                "pack",
                y=Out(want, exact(want) if is_float else None, dtype, initial=before),
                x=In(strided(x, ldx, np.nan if is_float else 77.0), dtype),
                transpose=transpose,
                rows=rows,
                cols=cols,
                ldy=ldy,
                ldx=ldx,
            )
        )
    return out


def scale_of(x: Array, dtype: str) -> float:
    """d of one block: max|x| / 127, or the element of largest magnitude (the first of them) / -8, as f16."""
    largest = x[np.argmax(np.abs(x))]
    return float(round_to(abs(largest) / 127.0 if dtype == "q8" else largest / -8.0, "f16"))


def quantize(x: Array, dtype: str) -> npt.NDArray[np.uint8]:
    """Blocks of 32: the scale, then the quotients rounded to nearest even and clamped; 0 where the scale is 0."""
    out = bytearray()
    for start in range(0, x.size, BLOCK):
        block = x[start : start + BLOCK]
        d = scale_of(block, dtype)
        quotient = block / d if d != 0.0 else np.zeros(BLOCK)
        q = np.rint(quotient).astype(np.int64)
        out += to_bytes(np.array([d]), "f16")
        if dtype == "q8":
            out += np.clip(q, -128, 127).astype(np.int8).tobytes()
        else:
            nibbles = np.clip(q, -8, 7) + 8
            out += (nibbles[:16] | nibbles[16:] << 4).astype(np.uint8).tobytes()
    return np.frombuffer(bytes(out), dtype=np.uint8)


def dequantize(packed: npt.NDArray[np.uint8], dtype: str) -> Array:
    size = BLOCK_BYTES[dtype]
    out = []
    for start in range(0, packed.size, size):
        block = packed[start : start + size]
        d = float(block[:2].copy().view("<f2")[0])
        body = block[2:]
        q = body.view(np.int8).astype(np.float64) if dtype == "q8" else np.concatenate([body & 15, body >> 4]) - 8.0
        out.append(d * q)
    values: Array = np.concatenate(out)
    return values


def _clear_of_rounding(x: Array, dtype: str) -> bool:
    """Whether no f32 quotient of a block can round to another integer or another scale."""
    for start in range(0, x.size, BLOCK):
        block = x[start : start + BLOCK]
        largest = float(np.max(np.abs(block)))
        exact_scale = largest / (127.0 if dtype == "q8" else 8.0)
        d = abs(scale_of(block, dtype))
        spacing = float(2.0 ** (np.floor(np.log2(exact_scale)) - 10))
        fraction = abs(exact_scale - d) / spacing
        near = np.abs(np.abs(block / d) % 1.0 - 0.5)
        if fraction > 0.499 or np.min(near) < 1e-4:
            return False
        if np.sum(np.abs(block) == largest) > 1:
            return False
    return True


def _clear_blocks(name: str, n: int, x_dtype: str, dtype: str) -> Array:
    for attempt in range(200):
        x = Inputs(f"quantize {name} {attempt}").floats(n, x_dtype)
        if _clear_of_rounding(x, dtype):
            return x
    raise ValueError(f"{name}: no clear blocks found")


def steps_of(dtype: str) -> Array:
    """Quotients that are whole, or exact halves, which go to the even neighbour; the first fixes the scale."""
    steps: Array = np.arange(BLOCK, dtype=np.float64) - 15.5
    if dtype == "q8":
        steps[0] = 127.0
        return steps
    steps = np.clip(np.round(steps) / 2.0, -7.5, 7.5)
    steps[0] = -8.0
    return steps


def _quantize_cases() -> list[Case]:
    out: list[Case] = []
    inputs: list[tuple[str, str, Array, str]] = []
    for dtype in ("q8", "q4"):
        inputs += [
            (f"{dtype}_n32", dtype, _clear_blocks(f"{dtype} 32", 32, "f32", dtype), "f32"),
            (f"{dtype}_bf16", dtype, _clear_blocks(f"{dtype} bf16", 64, "bf16", dtype), "bf16"),
            (f"{dtype}_f16", dtype, _clear_blocks(f"{dtype} f16", 64, "f16", dtype), "f16"),
            (f"{dtype}_ties", dtype, steps_of(dtype) / 16.0, "f32"),
        ]
        # A block of zeros (q4: its scale is 0 / -8, minus zero), one whose scale rounds to 0, one with a subnormal one.
        tiny = round_to(np.concatenate([np.linspace(-1.0, 0.9, 32) * 1e-7, steps_of(dtype) * 5 * 2.0**-24]), "f32")
        inputs.append((f"{dtype}_tiny", dtype, np.concatenate([np.zeros(32), tiny]), "f32"))
    # The first of two elements of largest magnitude gives the sign of the scale.
    tied = round_to(np.linspace(-0.9, 0.8, 32), "f32")
    tied[[3, 9]] = 1.0, -1.0
    inputs.append(("q4_tied_sign", "q4", tied, "f32"))
    for name, dtype, x, x_dtype in inputs:
        packed = quantize(x, dtype)
        out.append(case(name, "quantize", y=Out(packed, dtype=dtype, count=x.size), x=In(x, x_dtype), n=x.size))
        for y_dtype in ("f32", "bf16", "f16") if name.endswith(("n32", "tiny")) else ("f32",):
            y = round_to(dequantize(packed, dtype), y_dtype)
            out.append(
                case(
                    f"{name}_to_{y_dtype}",
                    "dequantize",
                    y=Out(y, exact(y), y_dtype),
                    x=In(packed, dtype, count=x.size),
                    n=x.size,
                )
            )
    return out


def cases() -> list[Case]:
    return _copy_cases() + _cast_cases() + _pack_cases() + _quantize_cases()
