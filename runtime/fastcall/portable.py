"""Call a program through ctypes, where the native entry can't be used.

Accepts exactly the arguments the native entry accepts and returns the same results;
costs microseconds. ctypes runs every program without the interpreter lock.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from ...codegen.llvm import I64, PTR, VOID, Reg, const
from ...codegen.target import emit_object_quickly, host
from ..loading import Library
from .interrupt import interrupts
from .spec import DTYPES, InSpec, Signature, Tree

_Program = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 5)
_Watched = ctypes.PYFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 6, ctypes.c_int32)
_WorkspaceSize = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32)
_Extents = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class Status(ctypes.Structure):
    """The ABI's pb_status."""

    _fields_ = [
        ("code", ctypes.c_int32),
        ("node", ctypes.c_int32),
        ("index", ctypes.c_int64),
        ("axis", ctypes.c_int64),
        ("extent", ctypes.c_int64),
    ]


class Context(ctypes.Structure):
    """The ABI's pb_ctx."""

    _fields_ = [
        ("abi_version", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("status", ctypes.c_void_p),
        ("grow", ctypes.c_void_p),
        ("grow_state", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
        ("threads", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("cancel", ctypes.c_void_p),
    ]


class PrintingContext(Context):
    """The ABI's pb_ctx as long as programs need it that print."""

    _fields_ = [("print", ctypes.c_void_p), ("print_state", ctypes.c_void_p)]


class _Misfit(Exception):
    """An argument does not fit exactly."""


# Any throughout: arrays and scalars of any dtype.
class PortableEntry:
    """The callable; an instance doesn't bind when found on a type."""

    __slots__ = ("__weakref__", "_call", "_keep", "redirect")

    def __init__(
        self,
        call: Callable[..., object],
        redirect: Callable[[int], None],
        keep: object,
    ) -> None:
        self._call = call
        self.redirect = redirect  # to a program that is elsewhere
        self._keep = keep

    def __call__(self, *args: object, **keywords: object) -> object:
        """Call the program, or `miss`."""
        return self._call(*args, **keywords)


def make_portable(
    address: int,
    signature: Signature,
    workspace_address: int,
    context: int,
    miss: Callable[..., object],
    failed: Callable[[int, int, int, int, int], BaseException],
    keep: object,
) -> PortableEntry:
    """Return the callable that calls a program; see `make_entry`."""
    program: Callable[..., int]

    def redirect(address: int) -> None:
        nonlocal program
        program = _Program(address)
        if signature.stoppable:
            watched = _Watched(interrupts().watched)
            program = lambda *args: int(watched(address, *args, 1))  # noqa: E731

    redirect(address)

    find_size = _WorkspaceSize(workspace_address) if signature.workspace < 0 else None
    shapes_of = _Shapes(signature)
    count = len(signature.inputs)
    kind = PrintingContext if signature.prints else Context
    words = ctypes.c_int64 * len(signature.sizes)

    def call(*args: object, **keywords: object) -> object:
        wanted = keywords if signature.into else {}
        if (keywords and [*wanted] != ["out"]) or len(args) != count:
            return miss(*args, **keywords)
        sizes: dict[str, int] = {}
        try:
            pairs = zip(signature.inputs, args, strict=True)
            inputs = [_argument(spec, value, sizes) for spec, value in pairs]
            size_words = words(*(sizes[name] for name in signature.sizes))
            shapes = shapes_of(ctypes.addressof(size_words))
            given: dict[int, np.ndarray[Any, Any]] = {}
            _match(signature, signature.tree, wanted.get("out"), shapes, given)
            _demand_apart(inputs, [*given.values()])
        except _Misfit:
            return miss(*args, **keywords)
        results = [
            given[k] if k in given else np.empty(shape, DTYPES[out.dtype])
            for k, (out, shape) in enumerate(
                zip(signature.outputs, shapes, strict=True)
            )
        ]
        status = Status()
        local = kind.from_buffer_copy(kind.from_address(context))
        local.status = ctypes.addressof(status)
        need = signature.workspace
        if find_size is not None:
            need = find_size(ctypes.addressof(size_words), local.threads)
        workspace, base = _aligned(need)
        code = program(
            ctypes.addressof(local),
            _addresses(inputs),
            ctypes.addressof(size_words),
            _addresses(results),
            base,
        )
        del workspace
        if code:
            error: object = failed(
                code, status.node, status.index, status.axis, status.extent
            )
            raise error if isinstance(error, BaseException) else TypeError(error)
        return _arrange(signature.tree, results, given, signature.arrays)

    return PortableEntry(call, redirect, keep)


def _argument(spec: InSpec, value: Any, sizes: dict[str, int]) -> np.ndarray[Any, Any]:
    """Return the argument as an array the program may read."""
    dtype = DTYPES[spec.dtype]
    if not spec.dims and type(value) is not np.ndarray:
        return _scalar(spec.dtype, value)
    if (
        type(value) is not np.ndarray
        or value.dtype.num != dtype.num
        or not value.dtype.isnative
        or value.ndim != len(spec.dims)
        or not value.flags.c_contiguous
        or not value.flags.aligned
    ):
        raise _Misfit
    for dim, extent in zip(spec.dims, value.shape, strict=True):
        if isinstance(dim, int):
            fits = extent == dim
        elif dim in sizes:
            fits = extent == sizes[dim]
        else:
            fits = extent != 1
            sizes[dim] = extent
        if not fits:
            raise _Misfit
    return value


def _scalar(dtype: str, value: Any) -> np.ndarray[Any, Any]:
    python: tuple[type, ...] = {
        "f64": (float, int),
        "i64": (int,),
        "bool": (bool,),
    }.get(dtype, ())
    if type(value) is not DTYPES[dtype].type and type(value) not in python:
        raise _Misfit
    try:
        return np.array(value, DTYPES[dtype])
    except OverflowError:
        raise _Misfit from None


def _address(array: np.ndarray[Any, Any]) -> int:
    # `array.ctypes` would do, but leaves a reference cycle at every use.
    return int(array.__array_interface__["data"][0])


def _addresses(arrays: list[np.ndarray[Any, Any]]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*map(_address, arrays))


def _aligned(size: int) -> tuple[object, int | None]:
    """Return the owner and the 64-byte-aligned address of `size` bytes."""
    if size == 0:
        return None, None
    owner = np.empty(size + 63, np.uint8)
    return owner, (_address(owner) + 63) & ~63


def _match(
    signature: Signature,
    tree: Tree,
    item: Any,
    shapes: list[list[int]],
    given: dict[int, np.ndarray[Any, Any]],
) -> None:
    """Collect what is given for the results of a tree, by their numbers."""
    if item is None:
        return
    if isinstance(tree, tuple):
        if type(item) is not tuple or len(item) != len(tree):
            raise _Misfit
        for child, part in zip(tree, item, strict=True):
            _match(signature, child, part, shapes, given)
        return
    spec = InSpec("out", signature.outputs[tree].dtype, tuple(shapes[tree]))
    if type(item) is not np.ndarray or not item.flags.writeable:
        raise _Misfit
    given[tree] = _argument(spec, item, {})


def _demand_apart(
    inputs: list[np.ndarray[Any, Any]], given: list[np.ndarray[Any, Any]]
) -> None:
    """Raise _Misfit where memory that is written overlaps other memory."""
    spans = [(_address(x), _address(x) + x.nbytes) for x in [*inputs, *given]]
    for k in range(len(inputs), len(spans)):
        for low, high in spans[:k]:
            if max(low, spans[k][0]) < min(high, spans[k][1]):
                raise _Misfit


def _arrange(
    tree: Tree,
    results: list[np.ndarray[Any, Any]],
    given: dict[int, np.ndarray[Any, Any]],
    arrays: bool,
) -> object:
    if isinstance(tree, int):
        # Indexing by () makes a scalar of a 0-d array.
        whole = arrays or results[tree].ndim or tree in given
        return results[tree] if whole else results[tree][()]
    return tuple(_arrange(child, results, given, arrays) for child in tree)


class _Shapes:
    """Compute the shapes of the results from the sizes, by emitted code."""

    __slots__ = ("_compute", "_dtypes", "_library", "_ranks")

    def __init__(self, signature: Signature) -> None:
        self._ranks = [len(out.dims) for out in signature.outputs]
        self._dtypes = [DTYPES[out.dtype] for out in signature.outputs]
        self._library: Library = Library(
            emit_object_quickly(_emit_extents(signature), host())
        )
        self._compute = _Extents(self._library.address("pb_extents"))

    def __call__(self, sizes: int) -> list[list[int]]:
        """Return a shape a result; raise _Misfit where one is negative or overflows."""
        extents = (ctypes.c_int64 * sum(self._ranks))()
        self._compute(sizes, ctypes.addressof(extents))
        shapes: list[list[int]] = []
        start = 0
        for rank, dtype in zip(self._ranks, self._dtypes, strict=True):
            shape = list(extents[start : start + rank])
            start += rank
            size = dtype.itemsize
            for extent in shape:
                size *= extent
                if extent < 0 or size >= 1 << 63:
                    raise _Misfit
            shapes.append(shape)
        return shapes


def _emit_extents(signature: Signature) -> str:
    """Emit extents(sizes, out): every extent of every result in order."""
    module = host().module()
    fn = module.function("pb_extents", VOID, [(PTR, ""), (PTR, "")], linkage="")
    values = {
        name: fn.load(fn.gep(fn.args[0], const(I64, k), I64), I64)
        for k, name in enumerate(signature.sizes)
    }
    dims = [dim for out in signature.outputs for dim in out.dims]
    for k, dim in enumerate(dims):
        extent: Reg = const(I64, dim) if isinstance(dim, int) else dim(fn, values)
        fn.store(extent, fn.gep(fn.args[1], const(I64, k), I64))
    fn.ret()
    return module.text()
