"""The part that every loader module shares; its text is copied into each of them.

It needs NumPy and the standard library alone, imports nothing of pullback, and begins
every name with an underscore, so it cannot clash with the functions of a program.
"""

import ctypes as _ctypes
import operator as _operator
import os as _os
import string as _string
import sys as _sys
import threading as _threading
from typing import Any as _Any

import numpy as _np

_DTYPES = {
    "f64": "float64", "f32": "float32", "i64": "int64", "i32": "int32", "i16": "int16",
    "i8": "int8", "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
    "bool": "bool",
}  # fmt: skip
_SHORT = {_np.dtype(long): short for short, long in _DTYPES.items()}
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}
_KEPT_WORKSPACE = 64 << 20  # bytes a thread keeps between calls

_GROW = _ctypes.CFUNCTYPE(
    _ctypes.c_void_p, _ctypes.c_void_p, _ctypes.c_void_p, _ctypes.c_int64
)


_PRINT = _ctypes.CFUNCTYPE(
    _ctypes.c_int32, _ctypes.c_void_p, _ctypes.c_int32,
    _ctypes.POINTER(_ctypes.c_void_p), _ctypes.POINTER(_ctypes.c_int64),
)  # fmt: skip
# text with fields, stream, and (dtype, number of axes) of each value
_TEXTS: tuple[tuple[str, str, tuple[tuple[str, int], ...]], ...] = ()


class _Status(_ctypes.Structure):
    _fields_ = [
        ("code", _ctypes.c_int32), ("node", _ctypes.c_int32),
        ("index", _ctypes.c_int64), ("axis", _ctypes.c_int64),
        ("extent", _ctypes.c_int64),
    ]  # fmt: skip


class _Context(_ctypes.Structure):
    _fields_ = [
        ("abi_version", _ctypes.c_uint32), ("size", _ctypes.c_uint32),
        ("status", _ctypes.POINTER(_Status)), ("grow", _GROW),
        ("grow_state", _ctypes.c_void_p), ("pool", _ctypes.c_void_p),
        ("threads", _ctypes.c_int32), ("reserved", _ctypes.c_int32),
        ("cancel", _ctypes.c_void_p), ("print", _PRINT),
        ("print_state", _ctypes.c_void_p),
    ]  # fmt: skip


def _address(array: _Any) -> int:
    """Return where an array's memory begins; several times faster than `.ctypes`."""
    return int(array.__array_interface__["data"][0])


def _aligned(size: int) -> _Any:
    """Return `size` bytes of memory that begin at a multiple of 64."""
    raw = _np.empty(size + 64, _np.uint8)
    start = -_address(raw) % 64
    return raw[start : start + size]


class _Formatter(_string.Formatter):
    """As `str.format`; a format given for an array is that of its elements."""

    def format_field(self, value: _Any, spec: str) -> _Any:
        if isinstance(value, _np.ndarray) and spec:
            each: _Any = {"all": lambda x: format(x, spec)}
            return _np.array2string(value, formatter=each)
        return super().format_field(value, spec)


def _shown(short: str, rank: int, address: int | None, extents: _Any) -> _Any:
    """Return what a program shows: an array, or a number where there are no axes."""
    made = _np.empty(tuple(extents), _DTYPES[short])
    if made.size and address:
        _ctypes.memmove(_address(made), address, made.nbytes)
    return made if rank else made[()]


class _State:
    """What one call of one thread works with; kept for the thread's next call."""

    def __init__(self, abi: int) -> None:
        self.status = _Status()
        self.grow = _GROW(self._grow)
        self.print = _PRINT(self._print)
        self.error: BaseException | None = None
        self.blocks: dict[int, _Any] = {}
        self.workspace = _aligned(0)
        self.context = _Context(
            abi, _ctypes.sizeof(_Context), _ctypes.pointer(self.status), self.grow,
            None, None, 1, 0, None, self.print, None,
        )  # fmt: skip

    def _grow(self, state: object, old: int | None, size: int) -> int | None:
        if size == 0:
            self.blocks.pop(old or 0, None)
            return None
        try:
            block = _aligned(size)
        except (MemoryError, ValueError):
            return None
        before = self.blocks.pop(old, None) if old else None
        if before is not None:
            kept = min(before.size, size)
            block[:kept] = before[:kept]
        address = _address(block)
        self.blocks[address] = block
        return address

    def _print(self, state: object, number: int, values: _Any, sizes: _Any) -> int:
        try:
            text, stream, kinds = _TEXTS[number]
            shown, at = [], 0
            for k, (short, rank) in enumerate(kinds):
                extents = [sizes[at + axis] for axis in range(rank)]
                shown.append(_shown(short, rank, values[k], extents))
                at += rank
            whole = _Formatter().vformat(text, shown, {})
            print(whole, end="", file=getattr(_sys, stream), flush=True)
        except BaseException as error:
            self.error = error
            return 1
        return 0

    def room(self, size: int) -> int | None:
        if self.workspace.size < size:
            self.workspace = _aligned(size)
        return _address(self.workspace) if size else None

    def release(self) -> None:
        self.blocks.clear()
        if self.workspace.size > _KEPT_WORKSPACE:
            self.workspace = _aligned(0)


_local = _threading.local()


def _type_text(array: _Any) -> str:
    short = _SHORT.get(array.dtype, array.dtype.str if array.dtype.kind != "O" else "O")
    return f"{short}[{','.join(map(str, array.shape))}]"


class _Function:
    """A function of the library with what its arguments must look like.

    `inputs` and `outputs` are (name, dtype, dimensions as text); `inferred` are
    (size, input, axis) where a dimension is a size; `dims` gives the dimensions of
    inputs and outputs from the sizes; trees say how arguments and results nest.
    """

    def __init__(
        self,
        library: _Any,
        symbol: str,
        sizes: tuple[str, ...],
        inputs: tuple[tuple[str, str, tuple[str, ...]], ...],
        outputs: tuple[tuple[str, str, tuple[str, ...]], ...],
        inferred: tuple[tuple[int, int, int], ...],
        dims: _Any,
        arguments: tuple[tuple[str, _Any], ...],
        result: _Any,
        abi: int,
    ) -> None:
        self.symbol, self.sizes, self.inputs, self.outputs = (
            symbol, sizes, inputs, outputs,
        )  # fmt: skip
        self.inferred, self.dims, self.abi = inferred, dims, abi
        self.arguments, self.result = arguments, result
        self.native = library[f"pb_{symbol}"]
        self.native.restype = _ctypes.c_int32
        self.native.argtypes = [_ctypes.c_void_p] * 5
        self.workspace = library[f"pb_{symbol}_workspace"]
        self.workspace.restype = _ctypes.c_int64
        self.workspace.argtypes = [_ctypes.c_void_p, _ctypes.c_int32]

    def __call__(
        self,
        values: tuple[_Any, ...],
        given: dict[str, _Any],
        said: str = "the keyword",
    ) -> _Any:
        return self.run(*self.read(values, given, said))

    def read(
        self, values: tuple[_Any, ...], given: dict[str, _Any], said: str
    ) -> tuple[list[_Any], list[int]]:
        """Return the arrays and sizes of a call; `said` is what gave sizes by name."""
        leaves: dict[int, _Any] = {}
        for (name, tree), value in zip(self.arguments, values, strict=True):
            self._flatten(name, tree, value, leaves)
        arrays = [self._array(spec, leaves[k]) for k, spec in enumerate(self.inputs)]
        sizes = self._sizes(arrays, given, said)
        expected = self.dims(sizes)[0]
        for array, spec, shape in zip(arrays, self.inputs, expected, strict=True):
            if array.shape != shape:
                raise ValueError(
                    f"{self.symbol}: argument {spec[0]} is {_type_text(array)}, "
                    f"expected {_spec_text(spec)} = {_shape_text(shape)} with "
                    f"{self._sizes_text(sizes)}"
                )
        return arrays, sizes

    def run(self, arrays: list[_Any], sizes: list[int]) -> _Any:
        """Return the results, nested."""
        produced = zip(self.outputs, self.dims(sizes)[1], strict=True)
        results = [self._result(spec, shape, sizes) for spec, shape in produced]
        self._run(arrays, sizes, results)
        return _unflatten(self.result, [r if r.ndim else r[()] for r in results])

    def _flatten(
        self, name: str, tree: _Any, value: _Any, leaves: dict[int, _Any]
    ) -> None:
        if isinstance(tree, int):
            leaves[tree] = value
        elif tree is None:
            if value is not None:
                raise self._bad(name, "None", value)
        elif isinstance(tree, list) or "tuple" in tree:
            kind = list if isinstance(tree, list) else tuple
            inner = tree if isinstance(tree, list) else tree["tuple"]
            if not isinstance(value, kind) or len(value) != len(inner):
                raise self._bad(name, f"a {kind.__name__} of {len(inner)}", value)
            for k, (part, item) in enumerate(zip(inner, value, strict=True)):
                self._flatten(f"{name}[{k}]", part, item, leaves)
        else:
            inner = tree["dict"]
            if not isinstance(value, dict) or set(value) != set(inner):
                raise self._bad(name, f"a dict with the keys {sorted(inner)}", value)
            for key, part in inner.items():
                self._flatten(f"{name}[{key!r}]", part, value[key], leaves)

    def _bad(self, name: str, wanted: str, value: _Any) -> TypeError:
        got = type(value).__name__
        if isinstance(value, dict):
            got += f" with the keys {list(value)}"
        elif isinstance(value, (list, tuple)):
            got += f" of {len(value)}"
        return TypeError(f"{self.symbol}: argument {name} must be {wanted}, got {got}")

    def _array(self, spec: tuple[str, str, tuple[str, ...]], value: _Any) -> _Any:
        name, short, dims = spec
        dtype = _np.dtype(_DTYPES[short])
        where = f"{self.symbol}: argument {name}"
        if isinstance(value, _np.ma.MaskedArray):
            raise TypeError(f"{where} is a masked array, expected {_spec_text(spec)}")
        array = value
        if type(value) in (bool, int, float):
            # A Python number takes the dtype that is asked for, unless that loses what
            # kind of number it is.
            if _RANK[dtype.kind] < _RANK[_np.dtype(type(value)).kind]:
                raise TypeError(
                    f"{where} is a Python {type(value).__name__}, expected "
                    f"{_spec_text(spec)}"
                )
            try:
                array = _np.array(value, dtype)
            except OverflowError:
                raise OverflowError(f"{where}: {value} does not fit {short}") from None
        elif not isinstance(value, _np.ndarray):
            array = _np.asarray(value)
        if array.dtype != dtype or array.ndim != len(dims):
            kind = "dtype" if array.dtype != dtype else "number of axes"
            error = TypeError if array.dtype != dtype else ValueError
            raise error(
                f"{where} is {_type_text(array)}, expected {_spec_text(spec)} ({kind})"
            )
        if array.flags.c_contiguous and array.flags.aligned:
            return array
        return _np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])

    def _sizes(
        self, arrays: list[_Any], given: dict[str, _Any], said: str
    ) -> list[int]:
        values: list[int | None] = [None] * len(self.sizes)
        source = [""] * len(self.sizes)
        for name, value in given.items():
            k = self.sizes.index(name)
            values[k], source[k] = _operator.index(value), said
            if not 0 <= _operator.index(value) < 2**63:
                raise ValueError(f"{self.symbol}: size {name} is {value}")
        for size, number, axis in self.inferred:
            extent = arrays[number].shape[axis]
            here = f"argument {self.inputs[number][0]} (axis {axis})"
            if values[size] is None:
                values[size], source[size] = extent, here
            elif values[size] != extent:
                raise ValueError(
                    f"{self.symbol}: size {self.sizes[size]} is {values[size]} in "
                    f"{source[size]} and {extent} in {here}"
                )
        return [v for v in values if v is not None]

    def _sizes_text(self, sizes: list[int]) -> str:
        return ", ".join(f"{n}={v}" for n, v in zip(self.sizes, sizes, strict=True))

    def _result(
        self, spec: tuple[str, str, tuple[str, ...]], shape: tuple[int, ...],
        sizes: list[int],
    ) -> _Any:  # fmt: skip
        dtype = _np.dtype(_DTYPES[spec[1]])
        total = dtype.itemsize
        for extent in shape:
            if extent < 0:
                raise ValueError(
                    f"{self.symbol}: result {spec[0]} would have shape "
                    f"{_shape_text(shape)} with {self._sizes_text(sizes)}"
                )
            total *= extent
        if total >= _sys.maxsize:
            raise MemoryError(f"{self.symbol}: result {spec[0]} needs {total} bytes")
        return _aligned(total).view(dtype).reshape(shape)

    def _run(self, arrays: list[_Any], sizes: list[int], results: list[_Any]) -> None:
        # The state leaves its place while it is used: a signal handler that calls the
        # function again finds none and makes its own.
        state = _local.__dict__.pop("state", None) or _State(self.abi)
        inputs = (_ctypes.c_void_p * (len(arrays) or 1))(*map(_address, arrays))
        outputs = (_ctypes.c_void_p * (len(results) or 1))(*map(_address, results))
        native_sizes = (_ctypes.c_int64 * (len(sizes) or 1))(*sizes)
        try:
            need = self.workspace(native_sizes, 1)
            if need < 0:
                raise MemoryError(f"{self.symbol}: the workspace exceeds the memory")
            code = self.native(
                _ctypes.addressof(state.context), inputs, native_sizes, outputs,
                state.room(need),
            )  # fmt: skip
            if code == 7 and state.error is not None:
                raise state.error
            if code:
                raise self._failure(code, state.status)
            _local.state = state  # after a failure its status is filled: not kept
        finally:
            state.release()

    def _failure(self, code: int, status: _Status) -> Exception:
        name = self.symbol
        if code == 1:
            return IndexError(
                f"{name}: index {status.index} is out of bounds for axis {status.axis} "
                f"with size {status.extent} (gather {status.node})"
            )
        if code == 2:
            return MemoryError(f"{name}: {status.index} bytes of workspace are needed")
        if code == 3:
            return RuntimeError(f"{name}: cancelled")
        if code == 4:
            return ValueError(
                f"{name}: sizes that must agree are {status.index} and {status.extent} "
                f"(guard {status.node})"
            )
        if code == 5:
            return _np.linalg.LinAlgError(
                f"{name}: matrix {status.axis} of a batch is not positive definite: "
                f"its leading minor of order {status.index} is not positive "
                f"(operation {status.node})"
            )
        if code == 6:
            return _np.linalg.LinAlgError(
                f"{name}: matrix {status.axis} of a batch is singular: pivot "
                f"{status.index} is 0 (operation {status.node})"
            )
        return RuntimeError(f"{name}: the library returned the unknown status {code}")


def _vjp(
    forward: _Any, backward: _Any, reads: tuple[int, ...], values: _Any, given: _Any
) -> _Any:
    """Return a value, and its pullback; inputs that it reads again are copied."""
    arrays, sizes = forward.read(values, given, "the keyword")
    value, residuals = forward.run(arrays, sizes)
    taken = [arrays[k].copy() for k in reads]
    known = dict(zip(forward.sizes, sizes, strict=True))

    def pullback(ct: _Any) -> _Any:
        """Return a tuple of cotangents; `ct` is nested as the value is."""
        return backward((ct, *taken, residuals), known, "the value")

    return value, pullback


def _spec_text(spec: tuple[str, str, tuple[str, ...]]) -> str:
    return f"{spec[1]}[{','.join(spec[2])}]"


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _unflatten(tree: _Any, leaves: list[_Any]) -> _Any:
    if isinstance(tree, int):
        return leaves[tree]
    if tree is None:
        return None
    if isinstance(tree, list):
        return [_unflatten(part, leaves) for part in tree]
    if "tuple" in tree:
        return tuple(_unflatten(part, leaves) for part in tree["tuple"])
    return {key: _unflatten(part, leaves) for key, part in tree["dict"].items()}


def _open(
    path: str, triple: str, flags: tuple[tuple[str, str], ...], stamp: tuple[str, bytes]
) -> _Any:
    """Load the library after checking that this machine can run it."""
    name = _os.path.basename(path)
    machine = triple.split("-")[0]
    here = f"{_os.uname().machine} {_sys.platform}" if hasattr(_os, "uname") else "this"
    if machine not in here.replace("arm64", "aarch64").split() or (
        "linux" in triple and not _sys.platform.startswith("linux")
    ):
        raise ImportError(f"{name} is for {triple}, this machine is {here}")
    present = _cpu_flags()
    lacking = [feature for feature, flag in flags if present and flag not in present]
    if lacking:
        raise ImportError(
            f"{name} uses instructions this processor lacks: {', '.join(lacking)}; "
            "compile it for this machine"
        )
    try:
        library = _ctypes.CDLL(path)
        found = bytes((_ctypes.c_char * len(stamp[1])).in_dll(library, stamp[0]))
    except (OSError, ValueError) as bad:
        raise ImportError(f"{path} cannot be used: {bad}") from bad
    if found != stamp[1]:
        raise ImportError(
            f"{path} is not the library this module was written with; copy both again"
        )
    return library


def _cpu_flags() -> frozenset[str]:
    """Return what the kernel says the processor can do; empty where it says nothing."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()
