"""LLVM's types, registers and constants, as text.

A register is a name and an LLVM type. Types are plain strings, so a function that takes
one works for scalars and for fixed vectors alike.
"""

import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

F64 = "double"
F32 = "float"
I64 = "i64"
I32 = "i32"
I16 = "i16"
I8 = "i8"
I1 = "i1"
PTR = "ptr"
VOID = "void"

_SUFFIX = {F64: "f64", F32: "f32", PTR: "p0"}


class Reg(NamedTuple):
    """An LLVM value: its text (`%12`, or a constant) and its LLVM type."""

    ref: str
    ty: str


@cache
def vec(elem: str, width: int) -> str:
    """Return the type of `width` lanes of `elem`; the scalar type for width 1."""
    return elem if width == 1 else f"<{width} x {elem}>"


@cache
def elem_of(ty: str) -> str:
    """Return the lane type of a vector type, or the type itself."""
    return ty[1:-1].split(" x ")[1] if ty[0] == "<" else ty


@cache
def width_of(ty: str) -> int:
    """Return the number of lanes: 1 for a scalar type."""
    return int(ty[1:].split(" x ")[0]) if ty[0] == "<" else 1


@cache
def bits_of(ty: str) -> int:
    """Return the size in bits of one lane."""
    elem = elem_of(ty)
    return {F64: 64, F32: 32, PTR: 64}.get(elem) or int(elem[1:])


@cache
def int_of(ty: str) -> str:
    """Return the integer type with the lanes and lane size of `ty`."""
    return vec(f"i{bits_of(ty)}", width_of(ty))


@cache
def mask_of(ty: str) -> str:
    """Return the type of a comparison of two `ty`."""
    return vec(I1, width_of(ty))


@cache
def suffix_of(ty: str) -> str:
    """Return the mangling of a type in an intrinsic's name: `v8f64`, `i32`."""
    elem, width = elem_of(ty), width_of(ty)
    text = _SUFFIX.get(elem, elem)
    return text if width == 1 else f"v{width}{text}"


def _float_text(elem: str, value: float) -> str:
    if elem == F32:
        # LLVM spells a float constant by the bits of the equal double.
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


@lru_cache(maxsize=8192)
def _const(ty: str, key: str) -> Reg:
    elem = elem_of(ty)
    if elem in (F64, F32):
        text = _float_text(elem, float.fromhex(key))
    elif elem == I1:
        text = "true" if int(key) else "false"
    else:
        bits = bits_of(ty)
        value = int(key) & ((1 << bits) - 1)
        text = str(value - (1 << bits) if value >> (bits - 1) else value)
    return Reg(text if ty == elem else f"splat ({elem} {text})", ty)


def const(ty: str, value: float) -> Reg:
    """Return a constant, the same in every lane of `ty`.

    Floats are exact to the bit (a NaN becomes the quiet NaN); integers wrap.
    """
    if elem_of(ty) in (F64, F32):
        return _const(ty, float(value).hex())
    return _const(ty, str(int(value)))


def const_lanes(ty: str, values: Sequence[float]) -> Reg:
    """Return a vector constant with one value a lane."""
    elem = elem_of(ty)
    if len(values) == 1 and ty == elem:
        return const(ty, values[0])
    inner = ", ".join(f"{elem} {const(elem, v).ref}" for v in values)
    return Reg(f"<{inner}>", ty)


def undef(ty: str) -> Reg:
    """Return the poison value of `ty`."""
    return Reg("poison", ty)
