"""Know where CPython and NumPy keep what the native entry reads.

Field offsets and function addresses, and `refusal`, which compares every one of them
with live objects before the first native entry is made. Nothing here emits code.
"""

import ctypes
import struct
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..pool import c_address
from .spec import DTYPES

# Any: the type of every array.
ARRAY_TYPE: type[np.ndarray[Any, Any]] = np.ndarray

# The layouts below are those of these versions' headers; `refusal` compares them with
# live objects all the same. The tests have run on 3.11.
KNOWN_PYTHONS = ((3, 11), (3, 12), (3, 13))
_NUMPY_ABI = 0x02000000

# CPython: PyObject, PyFloatObject, PyTupleObject, PyCapsule.
TYPE = 8
FLOAT_VALUE = 16
TUPLE_SIZE = 16
TUPLE_ITEMS = 24
CAPSULE_POINTER = 16
# NumPy: PyArrayObject_fields, PyArray_Descr, and the scalar objects.
ARRAY_DATA = 16
ARRAY_ND = 24
ARRAY_DIMS = 32
ARRAY_DESCR = 56
ARRAY_FLAGS = 64
ARRAY_HANDLER = 88
DESCR_KEY = 24
SCALAR_VALUE = 16

C_CONTIGUOUS = 0x1
OWNDATA = 0x4
ALIGNED = 0x100
WRITEABLE = 0x400

# kind, (type character), byte order, (unused), type number.
KEY_MASK = 0xFFFFFFFF00FF00FF

METH_FASTCALL_KEYWORDS = 0x82

_API_INDEX = {
    "PyArray_GetNDArrayCVersion": 0,
    "PyArray_Type": 2,
    "PyArray_Scalar": 60,
    "PyArray_NewCopy": 85,
    "PyArray_NewFromDescr": 94,
    "PyDataMem_SetHandler": 304,
}


class MethodDef(ctypes.Structure):
    """CPython's `PyMethodDef`: a builtin keeps its address, not the object."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


new_function = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p
)(("PyCFunction_NewEx", ctypes.pythonapi))
new_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


# Any: an array of any dtype and rank.
def _array_word(array: np.ndarray[Any, Any], offset: int) -> int:
    return _word(id(array) + offset)


@cache
def _api_table() -> int:
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    return int(get_pointer(capsule, None))


def numpy_address(name: str) -> int:
    """Return the address of a function or type of NumPy's C API."""
    return _word(_api_table() + 8 * _API_INDEX[name])


@cache
def python_address(name: str) -> int:
    """Return the address of a function of the Python C API."""
    return c_address(name)


def dtype_key(dtype: str) -> int:
    """Return the masked word at `DESCR_KEY` that tells a dtype in native byte order."""
    return _word(id(DTYPES[dtype]) + DESCR_KEY) & KEY_MASK


def scalar_type(dtype: str) -> type:
    """Return NumPy's scalar type of a dtype."""
    return DTYPES[dtype].type


# -- the self-test ---------------------------------------------------------------------


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise _Unexpected(what)


class _Unexpected(Exception):
    """An object is not laid out as this file says."""


def _check_python() -> None:
    value = 0.1
    _require(_word(id(value) + TYPE) == id(float), "object header")
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    _require(_word(id(value) + FLOAT_VALUE) == bits, "float")
    item = object()
    pair = (item, value)
    _require(_word(id(pair) + TUPLE_SIZE) == 2, "tuple")
    _require(_word(id(pair) + TUPLE_ITEMS) == id(item), "tuple")
    _require(_word(id(pair) + TUPLE_ITEMS + 8) == id(value), "tuple")
    capsule = new_capsule(0x1230, None, None)
    _require(_word(id(capsule) + CAPSULE_POINTER) == 0x1230, "capsule")


def _check_arrays() -> None:
    _require(numpy_address("PyArray_Type") == id(np.ndarray), "ndarray type")
    for name, dtype in DTYPES.items():
        array = np.zeros((3, 5), dtype)
        where = f"ndarray of {name}"
        _require(_array_word(array, TYPE) == id(np.ndarray), where)
        _require(_array_word(array, ARRAY_DATA) == array.ctypes.data, where)
        _require(_array_word(array, ARRAY_ND) & 0xFFFFFFFF == 2, where)
        dims = _array_word(array, ARRAY_DIMS)
        _require((_word(dims), _word(dims + 8)) == (3, 5), where)
        _require(_array_word(array, ARRAY_DESCR) == id(dtype), where)
        flags = _array_word(array, ARRAY_FLAGS) & 0xFFFFFFFF
        owned = C_CONTIGUOUS | OWNDATA | ALIGNED | WRITEABLE
        _require(flags == owned, where)
        key = struct.pack("<Q", dtype_key(name))
        order = b"|" if dtype.itemsize == 1 else b"="
        found = (key[0:1], key[2:3], struct.unpack("<i", key[4:])[0])
        _require(found == (dtype.kind.encode(), order, dtype.num), where)
        scalar = dtype.type(1)
        bits = _word(id(scalar) + SCALAR_VALUE) & ((1 << 8 * dtype.itemsize) - 1)
        _require(bits == int.from_bytes(scalar.tobytes(), "little"), f"scalar {name}")
    _check_flags()


def _check_flags() -> None:
    strided = _array_word(np.zeros((4, 4))[:, ::2], ARRAY_FLAGS)
    _require(not strided & C_CONTIGUOUS, "flag of contiguity")
    raw = np.zeros(17, np.uint8)[1:].view(np.float64)
    _require(not _array_word(raw, ARRAY_FLAGS) & ALIGNED, "flag of alignment")
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    _require(not _array_word(frozen, ARRAY_FLAGS) & WRITEABLE, "flag of writing")
    get = ctypes.PYFUNCTYPE(ctypes.py_object)(
        _word(_api_table() + 8 * (_API_INDEX["PyDataMem_SetHandler"] + 1))
    )
    handler: Callable[[], object] = get
    owner = np.zeros(3)
    _require(_array_word(owner, ARRAY_HANDLER) == id(handler()), "memory handler")


@cache
def refusal() -> str | None:
    """Say why the native entry can't be used in this process; None where it can."""
    version = sys.version_info[:2]
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} is not CPython"
    if version not in KNOWN_PYTHONS:
        return f"Python {version[0]}.{version[1]} is not among the known versions"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python has no global interpreter lock"
    if hasattr(sys, "getobjects"):
        return "this Python traces references"
    if sys.byteorder != "little" or sys.maxsize != 2**63 - 1:
        return "the machine is not 64-bit little-endian"
    if not np.__version__.startswith("2."):
        return f"NumPy {np.__version__} is not NumPy 2"
    try:
        abi = numpy_address("PyArray_GetNDArrayCVersion")
    except AttributeError:
        return f"NumPy {np.__version__} hides its C API"
    found_abi = ctypes.PYFUNCTYPE(ctypes.c_uint)(abi)()
    if found_abi != _NUMPY_ABI:
        return f"NumPy's ABI version is {found_abi:#x}"
    try:
        _check_python()
        _check_arrays()
    except _Unexpected as found:
        return f"unexpected object layout: {found}"
    return None
