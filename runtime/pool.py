"""Keep the memory of large results and hand it out again.

Freshly mapped pages cost more than most programs that fill them, so blocks of dead
results are kept for the next result of nearly that size. The pool is a memory handler
in NumPy's sense (NEP 49): an array made on a block owns its data, and NumPy itself
gives the block back when the array dies. It is emitted once a process and stays mapped
until the process ends, so arrays may outlive every Python object of this package.

Every entry point runs under the interpreter lock, which is the pool's only lock; a
forked child therefore inherits a consistent pool.

State, in 8-byte words: limit, held bytes, slot count, hits, misses, then the slots
(address, capacity), least recently freed first. A block's two words before its data are
the address `malloc` gave and the capacity.
"""

import ctypes
import os
from dataclasses import dataclass
from functools import cache

from ..codegen.llvm import I64, PTR, VOID, Function, Module, Reg, const
from ..codegen.target import emit_object_quickly, host
from .loading import Library

POOLED_BYTES = 64 * 1024
"""Results of at least this size come from the pool."""

_SLOTS = 128
_PAGE = 4096
_SLACK = 3  # a block may be larger than asked by a 2**3-th part
_LIMIT, _HELD, _COUNT, _HITS, _MISSES, _TABLE = 0, 8, 16, 24, 32, 64
_STATE_BYTES = _TABLE + 16 * _SLOTS


class _Allocator(ctypes.Structure):
    """NumPy's `PyDataMem_Handler`, version 1."""

    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("ctx", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    ]


def c_address(name: str) -> int:
    """Return the address of a function of the Python C API."""
    symbol = getattr(ctypes.pythonapi, name)
    return ctypes.cast(symbol, ctypes.c_void_p).value or 0


def address_reg(address: int) -> Reg:
    """Return an address of this process as a constant."""
    return Reg(f"inttoptr (i64 {address} to ptr)", PTR)


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What the pool holds, in bytes and blocks, and how often it could serve."""

    limit: int
    held: int
    blocks: int
    hits: int
    misses: int


class Pool:
    """The addresses of the emitted pool, and its state."""

    __slots__ = ("_handler", "_state", "_trim", "capsule", "free", "lend", "malloc")

    def __init__(self, limit: int) -> None:
        # One word is allocated per field for good: live arrays point here at exit.
        self._state = (ctypes.c_int64 * (_STATE_BYTES // 8))()
        self._state[_LIMIT // 8] = limit
        module = host().module()
        _emit_pool(module, ctypes.addressof(self._state))
        library = Library(emit_object_quickly(module.text(), host()))
        self.malloc = library.address("pb_pool_malloc")
        self.lend = library.address("pb_pool_lend")
        self.free = library.address("pb_pool_free")
        self._trim = ctypes.PYFUNCTYPE(None, ctypes.c_int64)(
            library.address("pb_pool_trim")
        )
        self._handler = _Allocator(
            b"pullback",
            1,
            None,
            self.malloc,
            library.address("pb_pool_calloc"),
            library.address("pb_pool_realloc"),
            self.free,
        )
        new_capsule = ctypes.PYFUNCTYPE(
            ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
        )(("PyCapsule_New", ctypes.pythonapi))
        self.capsule: object = new_capsule(
            ctypes.addressof(self._handler), b"mem_handler", None
        )
        for needed in (library, self._state, self._handler, self.capsule):
            immortal(needed)

    def stats(self) -> PoolStats:
        """Return what is held now."""
        words = self._state
        return PoolStats(
            *(words[k // 8] for k in (_LIMIT, _HELD, _COUNT, _HITS, _MISSES))
        )

    def set_limit(self, limit: int) -> None:
        """Keep at most `limit` bytes of free blocks from now on."""
        if limit < 0:
            raise ValueError(f"negative limit {limit}")
        self._state[_LIMIT // 8] = limit
        self._trim(limit)

    def trim(self, keep: int = 0) -> None:
        """Give free blocks back to the system until `keep` bytes are held."""
        self._trim(max(keep, 0))


def immortal(value: object) -> None:
    """Keep an object until the process ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def _default_limit() -> int:
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 64 << 20
    return min(256 << 20, physical // 8)


@cache
def pool() -> Pool:
    """Return the pool of this process, emitting it on first use."""
    return Pool(_default_limit())


# -- the emitted pool ------------------------------------------------------------------


def _word(fn: Function, base: Reg, offset: int) -> Reg:
    return fn.gep(base, const(I64, offset)) if offset else base


def _bump(fn: Function, cell: Reg, by: Reg) -> None:
    fn.store(fn.add(fn.load(cell, I64), by), cell)


def _slot(fn: Function, state: Reg, index: Reg) -> Reg:
    return fn.gep(state, fn.add(fn.shl(index, const(I64, 4)), const(I64, _TABLE)))


def _emit_pool(module: Module, state_address: int) -> None:
    state = address_reg(state_address)
    _emit_raw(module)
    _emit_remove(module, state)
    _emit_trim(module, state)
    _emit_find(module, state)
    _emit_malloc(module, state)
    _emit_lend(module)
    _emit_free(module, state)
    _emit_calloc(module)
    _emit_realloc(module)


def _emit_raw(module: Module) -> None:
    """Emit raw(capacity): a new block with 64-byte-aligned data, or NULL."""
    fn = module.function("raw", PTR, [(I64, "")])
    (capacity,) = fn.args
    block = fn.call_ptr(
        address_reg(c_address("PyMem_RawMalloc")),
        PTR,
        [fn.add(capacity, const(I64, 128))],
    )
    fn.cond_br(fn.icmp("eq", block, Reg("null", PTR)), "none", "some")
    fn.start("some")
    data = fn.gep(block, const(I64, 127))
    low = fn.and_(fn.emit(I64, f"ptrtoint ptr {data.ref} to i64"), const(I64, 63))
    data = fn.gep(data, fn.sub(const(I64, 0), low))
    fn.store(block, fn.gep(data, const(I64, -16)))
    fn.store(capacity, fn.gep(data, const(I64, -8)))
    fn.ret(data)
    fn.start("none")
    fn.ret(Reg("null", PTR))
    fn = module.function("drop", VOID, [(PTR, "")])
    block = fn.load(fn.gep(fn.args[0], const(I64, -16)), PTR)
    fn.call_ptr(address_reg(c_address("PyMem_RawFree")), VOID, [block])
    fn.ret()


def _emit_remove(module: Module, state: Reg) -> None:
    """Emit remove(index): take a slot out of the table and return its data."""
    fn = module.function("remove", PTR, [(I64, "")])
    (index,) = fn.args
    slot = _slot(fn, state, index)
    data = fn.load(slot, PTR)
    capacity = fn.load(fn.gep(slot, const(I64, 8)), I64)
    _bump(fn, _word(fn, state, _HELD), fn.sub(const(I64, 0), capacity))
    count_cell = _word(fn, state, _COUNT)
    last = fn.sub(fn.load(count_cell, I64), const(I64, 1))
    fn.store(last, count_cell)
    fn.br("head")
    fn.start("head")
    k = fn.phi(I64, index, "entry")
    fn.cond_br(fn.icmp("slt", k, last), "move", "done")
    fn.start("move")
    to = _slot(fn, state, k)
    following = fn.add(k, const(I64, 1))
    source = _slot(fn, state, following)
    fn.store(fn.load(source, PTR), to)
    fn.store(fn.load(fn.gep(source, const(I64, 8)), I64), fn.gep(to, const(I64, 8)))
    fn.phi_edge(k, following, "move")
    fn.br("head")
    fn.start("done")
    fn.ret(data)


def _emit_trim(module: Module, state: Reg) -> None:
    """Emit pb_pool_trim(keep): drop the oldest blocks until `keep` bytes are held."""
    fn = module.function("pb_pool_trim", VOID, [(I64, "")], linkage="")
    fn.br("head")
    fn.start("head")
    held = fn.load(_word(fn, state, _HELD), I64)
    fn.cond_br(fn.icmp("sgt", held, fn.args[0]), "oldest", "done")
    fn.start("oldest")
    fn.call("drop", VOID, [fn.call("remove", PTR, [const(I64, 0)])])
    fn.br("head")
    fn.start("done")
    fn.ret()


def _emit_find(module: Module, state: Reg) -> None:
    """Emit find(bytes, slack): the youngest block at most so much larger, or NULL."""
    fn = module.function("find", PTR, [(I64, ""), (I64, "")])
    need, slack = fn.args
    count = fn.load(_word(fn, state, _COUNT), I64)
    fn.br("head")
    fn.start("head")
    k = fn.phi(I64, count, "entry")
    fn.cond_br(fn.icmp("sgt", k, const(I64, 0)), "look", "none")
    fn.start("look")
    index = fn.sub(k, const(I64, 1))
    fn.phi_edge(k, index, "look")
    capacity = fn.load(fn.gep(_slot(fn, state, index), const(I64, 8)), I64)
    fn.cond_br(fn.icmp("ule", fn.sub(capacity, need), slack), "take", "head")
    fn.start("take")
    _bump(fn, _word(fn, state, _HITS), const(I64, 1))
    fn.ret(fn.call("remove", PTR, [index]))
    fn.start("none")
    fn.ret(Reg("null", PTR))


def _emit_malloc(module: Module, state: Reg) -> None:
    """Emit pb_pool_malloc(ctx, bytes): the youngest block that fits, or a new one."""
    fn = module.function("pb_pool_malloc", PTR, [(PTR, ""), (I64, "")], linkage="")
    size = fn.args[1]
    null = Reg("null", PTR)
    too_big = fn.icmp("ugt", size, const(I64, 1 << 62))
    fn.cond_br(too_big, "none", "sane", likely=False)
    fn.start("sane")
    small = fn.icmp("ult", size, const(I64, POOLED_BYTES))
    grain = fn.select(small, const(I64, 64), const(I64, _PAGE))
    least = fn.emit(I64, f"call i64 @llvm.umax.i64(i64 {size.ref}, i64 1)")
    module.declare("llvm.umax.i64", "declare i64 @llvm.umax.i64(i64, i64)")
    up = fn.add(least, fn.sub(grain, const(I64, 1)))
    need = fn.and_(up, fn.sub(const(I64, 0), grain))
    fn.cond_br(small, "fresh", "held")
    fn.start("held")
    found = fn.call("find", PTR, [need, fn.lshr(need, const(I64, _SLACK))])
    fn.cond_br(fn.icmp("ne", found, null), "take", "fresh")
    fn.start("take")
    fn.ret(found)
    fn.start("fresh")
    missed = fn.select(small, const(I64, 0), const(I64, 1))
    _bump(fn, _word(fn, state, _MISSES), missed)
    block = fn.call("raw", PTR, [need])
    fn.cond_br(fn.icmp("ne", block, null), "got", "starved", likely=True)
    fn.start("got")
    fn.ret(block)
    fn.start("starved")
    fn.call("pb_pool_trim", VOID, [const(I64, 0)])
    fn.ret(fn.call("raw", PTR, [need]))
    fn.start("none")
    fn.ret(null)


def _emit_lend(module: Module) -> None:
    """Emit pb_pool_lend(ctx, bytes): a block that comes back when a call returns.

    One that nearly fits, else any that is larger: what is mapped already costs nothing.
    """
    fn = module.function("pb_pool_lend", PTR, [(PTR, ""), (I64, "")], linkage="")
    ctx, size = fn.args
    null = Reg("null", PTR)
    small = fn.icmp("ult", size, const(I64, POOLED_BYTES))
    fn.cond_br(small, "other", "near")
    fn.start("near")
    found = fn.call("find", PTR, [size, fn.lshr(size, const(I64, _SLACK))])
    fn.cond_br(fn.icmp("ne", found, null), "take", "any")
    fn.start("any")
    larger = fn.call("find", PTR, [size, const(I64, 1 << 62)])
    fn.cond_br(fn.icmp("ne", larger, null), "take", "other")
    fn.start("take")
    fn.ret(fn.merge(PTR, [(found, "near"), (larger, "any")]))
    fn.start("other")
    fn.ret(fn.call("pb_pool_malloc", PTR, [ctx, size]))


def _emit_free(module: Module, state: Reg) -> None:
    """Emit pb_pool_free(ctx, data, bytes): keep the block if it is worth keeping."""
    fn = module.function(
        "pb_pool_free", VOID, [(PTR, ""), (PTR, ""), (I64, "")], linkage=""
    )
    data = fn.args[1]
    fn.cond_br(fn.icmp("eq", data, Reg("null", PTR)), "done", "some")
    fn.start("some")
    capacity = fn.load(fn.gep(data, const(I64, -8)), I64)
    limit = fn.load(_word(fn, state, _LIMIT), I64)
    small = fn.icmp("slt", capacity, const(I64, POOLED_BYTES))
    large = fn.icmp("sgt", capacity, limit)
    fn.cond_br(fn.or_(small, large), "unmap", "keep")
    fn.start("unmap")
    fn.call("drop", VOID, [data])
    fn.ret()
    fn.start("keep")
    fn.call("pb_pool_trim", VOID, [fn.sub(limit, capacity)])
    count_cell = _word(fn, state, _COUNT)
    full = fn.icmp("sge", fn.load(count_cell, I64), const(I64, _SLOTS))
    fn.cond_br(full, "oldest", "push")
    fn.start("oldest")
    fn.call("drop", VOID, [fn.call("remove", PTR, [const(I64, 0)])])
    fn.br("push")
    fn.start("push")
    count = fn.load(count_cell, I64)
    slot = _slot(fn, state, count)
    fn.store(data, slot)
    fn.store(capacity, fn.gep(slot, const(I64, 8)))
    fn.store(fn.add(count, const(I64, 1)), count_cell)
    _bump(fn, _word(fn, state, _HELD), capacity)
    fn.br("done")
    fn.start("done")
    fn.ret()


def _emit_calloc(module: Module) -> None:
    """Emit pb_pool_calloc(ctx, count, bytes): malloc, zeroed."""
    fn = module.function(
        "pb_pool_calloc", PTR, [(PTR, ""), (I64, ""), (I64, "")], linkage=""
    )
    name = "llvm.umul.with.overflow.i64"
    module.declare(name, f"declare {{i64, i1}} @{name}(i64, i64)")
    pair = fn.call(name, "{i64, i1}", fn.args[1:])
    total = fn.emit(I64, f"extractvalue {{i64, i1}} {pair.ref}, 0")
    over = fn.emit("i1", f"extractvalue {{i64, i1}} {pair.ref}, 1")
    fn.cond_br(over, "none", "sane")
    fn.start("sane")
    data = fn.call("pb_pool_malloc", PTR, [fn.args[0], total])
    fn.cond_br(fn.icmp("eq", data, Reg("null", PTR)), "none", "head")
    fn.start("head")
    k = fn.phi(I64, const(I64, 0), "sane")
    fn.cond_br(fn.icmp("ult", k, total), "zero", "done")
    fn.start("zero")
    # Capacities are whole words, so the last word may be stored whole.
    fn.store(const(I64, 0), fn.gep(data, k))
    fn.phi_edge(k, fn.add(k, const(I64, 8)), "zero")
    fn.br("head")
    fn.start("done")
    fn.ret(data)
    fn.start("none")
    fn.ret(Reg("null", PTR))


def _emit_realloc(module: Module) -> None:
    """Emit pb_pool_realloc(ctx, data, bytes): in place where it fits and is used."""
    fn = module.function(
        "pb_pool_realloc", PTR, [(PTR, ""), (PTR, ""), (I64, "")], linkage=""
    )
    ctx, old, size = fn.args
    fn.cond_br(fn.icmp("eq", old, Reg("null", PTR)), "new", "some")
    fn.start("new")
    fn.ret(fn.call("pb_pool_malloc", PTR, [ctx, size]))
    fn.start("some")
    capacity = fn.load(fn.gep(old, const(I64, -8)), I64)
    fits = fn.icmp("ule", size, capacity)
    used = fn.icmp("uge", size, fn.lshr(capacity, const(I64, 1)))
    fn.cond_br(fn.and_(fits, used), "same", "move")
    fn.start("same")
    fn.ret(old)
    fn.start("move")
    data = fn.call("pb_pool_malloc", PTR, [ctx, size])
    fn.cond_br(fn.icmp("eq", data, Reg("null", PTR)), "done", "start")
    fn.start("start")
    smaller = fn.select(fits, size, capacity)
    fn.br("head")
    fn.start("head")
    k = fn.phi(I64, const(I64, 0), "start")
    fn.cond_br(fn.icmp("ult", k, smaller), "copy", "copied")
    fn.start("copy")
    fn.store(fn.load(fn.gep(old, k), I64), fn.gep(data, k))
    fn.phi_edge(k, fn.add(k, const(I64, 8)), "copy")
    fn.br("head")
    fn.start("copied")
    fn.call("pb_pool_free", VOID, [ctx, old, capacity])
    fn.br("done")
    fn.start("done")
    fn.ret(data)
