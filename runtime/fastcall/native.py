"""Make native entries: the shared functions, the state of one entry, the builtin.

An entry is a builtin function whose `self` is a tuple: the two callbacks, the record's
capsule, then what must stay alive. A builtin keeps its `self` until it is gone, so the
tuple owns the method definition and the machine code as well. The garbage collector
sees the tuple, so an entry may take part in a cycle.
"""

import ctypes
from collections.abc import Callable
from functools import cache, lru_cache

from ...codegen.llvm import I32, I64, PTR, VOID, Module, Reg, const
from ...codegen.target import emit_object_quickly, host
from ..loading import Library
from ..pool import POOLED_BYTES, address_reg, immortal, pool
from . import capi, emit
from .emit import NULL, at, call_api
from .interrupt import RAISED
from .into import emit_apart, emit_entry_into
from .spec import DTYPES, Signature

_CAPSULE_NAME = b"pullback.fastcall"


_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_raw_calloc = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)(
    ("PyMem_RawCalloc", ctypes.pythonapi)
)


def make_native(
    address: int,
    signature: Signature,
    workspace_address: int,
    context: int,
    miss: Callable[..., object],
    failed: Callable[[int, int, int, int, int], BaseException],
    keep: object,
) -> Callable[..., object]:
    """Return the builtin that calls a program; see `make_entry`."""
    support = _support()
    write = emit_entry_into if signature.into else emit.emit_entry
    library = _entry_library(write(signature, support))
    method = capi.MethodDef(
        b"compiled", library.address("pb_entry"), capi.METH_FASTCALL_KEYWORDS, None
    )
    record = _raw_calloc(1, emit.RECORD_BYTES)
    if not record:
        raise MemoryError
    fields = (ctypes.c_uint64 * (emit.RECORD_BYTES // 8)).from_address(record)
    fields[emit.PROGRAM // 8] = address
    fields[emit.CONTEXT // 8] = context
    fields[emit.WORKSPACE_SIZE // 8] = workspace_address
    capsule = capi.new_capsule(record, _CAPSULE_NAME, support.destroy)
    # The order of the first three is that of emit.STATE_*.
    state = (miss, failed, capsule, library, method, keep)
    made: Callable[..., object] = capi.new_function(
        ctypes.addressof(method), state, None
    )
    return made


def redirect_native(entry: Callable[..., object], address: int) -> None:
    """Let an entry call a program that is elsewhere."""
    state = entry.__self__  # type: ignore[attr-defined]  # of builtins
    record = _pointer_of(state[emit.STATE_RECORD], _CAPSULE_NAME)
    ctypes.c_uint64.from_address(record + emit.PROGRAM).value = address


@lru_cache(maxsize=256)
def _entry_library(text: str) -> Library:
    return Library(emit_object_quickly(text, host()))


@cache
def _support() -> emit.Support:
    """Emit the shared functions; they stay mapped until the process ends."""
    module = host().module()
    _emit_large(module)
    _emit_take(module)
    _emit_give(module)
    _emit_fail(module)
    _emit_int(module, "pb_int_to_f64", "PyLong_AsDouble", "double")
    _emit_int(module, "pb_int_to_i64", "PyLong_AsLongLong", I64)
    _emit_destroy(module)
    emit_apart(module)
    library = Library(emit_object_quickly(module.text(), host()))
    immortal(library)
    names = (
        "large", "take", "give", "fail", "int_to_f64", "int_to_i64", "destroy", "apart",
    )  # fmt: skip
    support = emit.Support(*(library.address(f"pb_{name}") for name in names))
    for dtype in DTYPES.values():
        # Entries hold their addresses without references.
        immortal(dtype)
    return support


def _pool_call(name: str) -> Reg:
    return address_reg(getattr(pool(), name))


def _emit_large(module: Module) -> None:
    """Emit large(descr, rank, shape, bytes): an array on a block of the pool."""
    params = [(PTR, ""), (I32, ""), (PTR, ""), (I64, "")]
    fn = module.function("pb_large", PTR, params, linkage="")
    descr, rank, shape, size = fn.args
    block = fn.call_ptr(_pool_call("malloc"), PTR, [NULL, size])
    fn.cond_br(fn.icmp("ne", block, NULL), "got", "starved", likely=True)
    fn.start("starved")
    fn.ret(call_api(fn, "PyErr_NoMemory", PTR))
    fn.start("got")
    call_api(fn, "Py_IncRef", VOID, descr)
    flags = capi.C_CONTIGUOUS | capi.ALIGNED | capi.WRITEABLE
    array = fn.call_ptr(
        address_reg(capi.numpy_address("PyArray_NewFromDescr")),
        PTR,
        [
            address_reg(id(capi.ARRAY_TYPE)),
            descr, rank, shape, NULL, block, const(I32, flags), NULL,
        ],
    )  # fmt: skip
    fn.cond_br(fn.icmp("ne", array, NULL), "made", "failed", likely=True)
    fn.start("failed")
    fn.call_ptr(_pool_call("free"), VOID, [NULL, block, size])
    fn.ret(NULL)
    fn.start("made")
    handler = address_reg(id(pool().capsule))
    call_api(fn, "Py_IncRef", VOID, handler)
    fn.store(handler, at(fn, array, capi.ARRAY_HANDLER))
    cell = at(fn, array, capi.ARRAY_FLAGS)
    fn.store(fn.or_(fn.load(cell, I32), const(I32, capi.OWNDATA)), cell)
    fn.ret(array)


def _emit_take(module: Module) -> None:
    """Emit take(record, bytes, cell): put a workspace into cell; 0 with an error set.

    A small workspace stays with its entry and is lent to one call at a time; a large
    one, or a second one at the same time, comes from the pool.
    """
    fn = module.function("pb_take", I32, [(PTR, ""), (I64, ""), (PTR, "")], linkage="")
    record, size, cell = fn.args
    zero = const(I64, 0)
    fn.store(NULL, cell)
    fn.cond_br(fn.icmp("eq", size, zero), "ready", "some")
    fn.start("some")
    small = fn.icmp("ult", size, const(I64, POOLED_BYTES))
    idle = fn.icmp("eq", fn.load(at(fn, record, emit.BUSY), I64), zero)
    fn.cond_br(fn.and_(small, idle), "own", "lent", likely=True)
    fn.start("own")
    held = fn.load(at(fn, record, emit.WORKSPACE), PTR)
    room = fn.load(at(fn, record, emit.WORKSPACE_BYTES), I64)
    fn.cond_br(fn.icmp("ule", size, room), "lend", "grow", likely=True)
    fn.start("grow")
    bigger = fn.call_ptr(_pool_call("malloc"), PTR, [NULL, size])
    fn.cond_br(fn.icmp("ne", bigger, NULL), "grown", "starved", likely=True)
    fn.start("grown")
    fn.call_ptr(_pool_call("free"), VOID, [NULL, held, room])
    fn.store(bigger, at(fn, record, emit.WORKSPACE))
    fn.store(size, at(fn, record, emit.WORKSPACE_BYTES))
    fn.br("lend")
    fn.start("lend")
    fn.store(fn.merge(PTR, [(held, "own"), (bigger, "grown")]), cell)
    fn.store(const(I64, 1), at(fn, record, emit.BUSY))
    fn.br("ready")
    fn.start("lent")
    block = fn.call_ptr(_pool_call("lend"), PTR, [NULL, size])
    fn.store(block, cell)
    fn.cond_br(fn.icmp("ne", block, NULL), "ready", "starved", likely=True)
    fn.start("starved")
    call_api(fn, "PyErr_NoMemory", PTR)
    fn.ret(const(I32, 0))
    fn.start("ready")
    fn.ret(const(I32, 1))


def _emit_give(module: Module) -> None:
    """Emit give(record, workspace): undo take."""
    fn = module.function("pb_give", VOID, [(PTR, ""), (PTR, "")], linkage="")
    record, block = fn.args
    own = fn.icmp("eq", block, fn.load(at(fn, record, emit.WORKSPACE), PTR))
    fn.cond_br(own, "own", "lent", likely=True)
    fn.start("own")
    # NULL may equal an empty record's workspace: the flag is clear already then.
    fn.store(const(I64, 0), at(fn, record, emit.BUSY))
    fn.ret()
    fn.start("lent")
    fn.call_ptr(_pool_call("free"), VOID, [NULL, block, const(I64, 0)])
    fn.ret()


def _emit_fail(module: Module) -> None:
    """Emit fail(state, code, status): raise what the entry's callback builds.

    Where the code is RAISED, an exception is set already.
    """
    fn = module.function("pb_fail", VOID, [(PTR, ""), (I32, ""), (PTR, "")], linkage="")
    state, code, status = fn.args
    fn.cond_br(fn.icmp("eq", code, const(I32, RAISED)), "done", "build")
    fn.start("build")
    target = fn.load(emit.state_item(fn, state, emit.STATE_FAILED), PTR)
    numbers = [code, fn.load(at(fn, status, 4), I32)]
    numbers += [fn.load(at(fn, status, offset), I64) for offset in (8, 16, 24)]
    build = address_reg(capi.python_address("PyObject_CallFunction"))
    form = fn.alloca(I64, align=8)
    fn.store(const(I64, int.from_bytes(b"iiLLL", "little")), form)
    text = ", ".join(f"{number.ty} {number.ref}" for number in numbers)
    error = fn.emit(
        PTR,
        f"call ptr (ptr, ptr, ...) {build.ref}"
        f"(ptr {target.ref}, ptr {form.ref}, {text})",
    )
    fn.cond_br(fn.icmp("ne", error, NULL), "built", "done", likely=True)
    fn.start("built")
    kind = fn.load(at(fn, error, capi.TYPE), PTR)
    flags = call_api(fn, "PyType_GetFlags", I64, kind)
    is_error = fn.and_(flags, const(I64, 1 << 30))
    fn.cond_br(fn.icmp("ne", is_error, const(I64, 0)), "error", "other", likely=True)
    fn.start("error")
    call_api(fn, "PyErr_SetObject", VOID, kind, error)
    fn.br("drop")
    fn.start("other")
    call_api(fn, "PyErr_SetObject", VOID, address_reg(id(TypeError)), error)
    fn.br("drop")
    fn.start("drop")
    call_api(fn, "Py_DecRef", VOID, error)
    fn.br("done")
    fn.start("done")
    fn.ret()


def _emit_int(module: Module, name: str, converter: str, ty: str) -> None:
    """Emit name(object, slot): store a Python int; 0 where it doesn't fit."""
    fn = module.function(name, I32, [(PTR, ""), (PTR, "")], linkage="")
    item, slot = fn.args
    value = call_api(fn, converter, ty, item)
    fn.store(value, slot)
    minus = const(ty, -1)
    compare = fn.icmp("eq", value, minus) if ty == I64 else fn.fcmp("oeq", value, minus)
    fn.cond_br(compare, "suspect", "good")
    fn.start("suspect")
    error = call_api(fn, "PyErr_Occurred", PTR)
    fn.cond_br(fn.icmp("eq", error, NULL), "good", "bad")
    fn.start("bad")
    call_api(fn, "PyErr_Clear", VOID)
    fn.ret(const(I32, 0))
    fn.start("good")
    fn.ret(const(I32, 1))


def _emit_destroy(module: Module) -> None:
    """Emit destroy(capsule): free a record and its workspace."""
    fn = module.function("pb_destroy", VOID, [(PTR, "")], linkage="")
    record = fn.load(at(fn, fn.args[0], capi.CAPSULE_POINTER), PTR)
    held = fn.load(at(fn, record, emit.WORKSPACE), PTR)
    fn.call_ptr(_pool_call("free"), VOID, [NULL, held, const(I64, 0)])
    call_api(fn, "PyMem_RawFree", VOID, record)
    fn.ret()
