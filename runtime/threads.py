"""Run the parts of a kernel on threads: the pool of docs/abi.md.

The caller publishes a job and takes parts of it like everybody else; workers only help.
So a job ends without any worker, be they missing, late, or gone with a fork. There is
one job at a time: a caller that finds another one running does all its parts itself.

Workers are threads of the C library that never touch Python. They are made when a job
wants them and live until the process ends; a forked child makes its own. A worker that
finds nothing spins for tens of microseconds, then sleeps in the kernel.

`claim` holds the number of the job in its upper half and how many parts nobody took in
its lower half. A part is taken by one compare-and-swap of both, which succeeds only
while the job lives: what a worker read of the job before is still true then.
"""

import ctypes
import os
import platform
import sys
from functools import cache

from ..codegen.llvm import I32, I64, PTR, VOID, Function, Module, Reg, const
from ..codegen.target import emit_object_quickly, host
from ..ir.errors import ArgumentError
from .loading import Library
from .pool import address_reg, c_address, immortal

MOST = 256  # threads of a call
PARTS_ABOVE = 1 << 23  # cheap instructions: 100 to 250 us of one thread

_FUTEX = {"x86_64": 202, "aarch64": 98}  # number of the system call
_PAUSE = {"x86_64": ("x86.sse2.pause", ()), "aarch64": ("aarch64.hint", (1,))}
_WAIT, _WAKE = 128, 129  # private to the process
_SPINS = 1000
_BLOCK = 0  # SIG_BLOCK
_SIGNAL_SET = 128  # bytes, at least those of any sigset_t

# The state, in bytes; what different threads write lies on lines of its own.
_CLAIM, _LOCK, _DONE, _WAITING, _SLEEPERS = 0, 64, 128, 132, 192
_PART, _ARGUMENT, _COUNT, _ERROR, _STARTED, _WORKERS = 256, 264, 272, 280, 320, 324
_STATE_BYTES = 384
_NULL = Reg("null", PTR)
_NO_ERROR = const(I64, -1)


class Threads:
    """The emitted pool: `table` is the address for a pb_ctx."""

    __slots__ = ("_memory", "_state", "_table", "table")

    def __init__(self) -> None:
        self._memory = (ctypes.c_uint8 * (_STATE_BYTES + 64))()
        self._state = (ctypes.addressof(self._memory) + 63) & ~63
        module = host().module()
        _emit_work(module)
        _emit_worker(module)
        _emit_start(module)
        _emit_run(module)
        library = Library(emit_object_quickly(module.text(), host()))
        self._table = (ctypes.c_uint64 * 2)(library.address("pb_run"), self._state)
        self.table = ctypes.addressof(self._table)
        for needed in (library, self._memory, self._table):
            immortal(needed)
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Begin without workers and without a job."""
        ctypes.memset(self._state, 0, _STATE_BYTES)
        workers = ctypes.c_int32.from_address(self._state + _WORKERS)
        workers.value = MOST - 1

    @property
    def started(self) -> int:
        """How many workers there are in this process."""
        return ctypes.c_int32.from_address(self._state + _STARTED).value


@cache
def threads() -> Threads:
    """Return the pool of this process, emitting it on first use."""
    return Threads()


@cache
def refusal() -> str | None:
    """Say why there are no threads here; None where there are."""
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} is not Linux"
    if platform.machine() not in _FUTEX:
        return f"the waiting of threads is not known on {platform.machine()}"
    return None


def thread_count(asked: int | None) -> int:
    """Return how many threads a program may use; `asked` is what its user wants.

    Raises:
        ArgumentError: the number is not one from 1 to 256.
    """
    if asked is None:
        return _default()
    if type(asked) is not int or not 1 <= asked <= MOST:
        raise ArgumentError(f"threads is a number from 1 to {MOST}, got {asked!r}")
    return asked if refusal() is None else 1


def threads_text(count: int) -> str:
    """Return how many threads a program uses, for people, and why only one."""
    reason = refusal()
    if reason is not None:
        return f"1: {reason}"
    return str(count)


@cache
def _default() -> int:
    text = os.environ.get("PULLBACK_THREADS", "")
    if text:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
            raise ArgumentError(
                f"PULLBACK_THREADS is a number from 1 to {MOST}, got {text!r}"
            )
        return thread_count(int(text))
    return 1


# -- emission --------------------------------------------------------------------------


def _at(fn: Function, offset: int) -> Reg:
    """Return the address of a field; the state is the first parameter."""
    return fn.gep(fn.args[0], const(I64, offset)) if offset else fn.args[0]


def _read(fn: Function, offset: int, ty: str) -> Reg:
    size = 4 if ty == I32 else 8
    return fn.emit(
        ty, f"load atomic {ty}, ptr {_at(fn, offset).ref} seq_cst, align {size}"
    )


def _write(fn: Function, offset: int, value: Reg) -> None:
    size = 4 if value.ty == I32 else 8
    fn.raw(
        f"store atomic {value.ty} {value.ref}, ptr {_at(fn, offset).ref} seq_cst, "
        f"align {size}"
    )


def _change(fn: Function, how: str, offset: int, value: Reg) -> Reg:
    """Change a field at once; returns what it was."""
    at = _at(fn, offset)
    return fn.emit(
        value.ty, f"atomicrmw {how} ptr {at.ref}, {value.ty} {value.ref} seq_cst"
    )


def _swap(fn: Function, offset: int, old: Reg, new: Reg) -> Reg:
    """Put `new` where `old` is; returns whether it was."""
    pair = fn.emit(
        f"{{{old.ty}, i1}}",
        f"cmpxchg ptr {_at(fn, offset).ref}, {old.ty} {old.ref}, {new.ty} {new.ref} "
        "seq_cst seq_cst",
    )
    return fn.emit("i1", f"extractvalue {pair.ty} {pair.ref}, 1")


def _futex(fn: Function, offset: int, how: int, value: Reg) -> None:
    call = address_reg(c_address("syscall"))
    number = _FUTEX[platform.machine()]
    fn.emit(
        I64,
        f"call i64 (i64, ...) {call.ref}(i64 {number}, ptr {_at(fn, offset).ref}, "
        f"i32 {how}, i32 {value.ref}, ptr null, ptr null, i32 0)",
    )


def _pause(fn: Function) -> None:
    name, numbers = _PAUSE[platform.machine()]
    types = ", ".join([I32 for _ in numbers])
    fn.module.declare(f"llvm.{name}", f"declare void @llvm.{name}({types})")
    fn.call(f"llvm.{name}", VOID, [const(I32, n) for n in numbers])


def _untaken(fn: Function, claim: Reg) -> Reg:
    return fn.convert("trunc", claim, I32)


def _emit_work(module: Module) -> None:
    """Emit work(state): take parts of the job and run them until none is left."""
    fn = module.function("pb_work", VOID, [(PTR, "")])
    zero = const(I32, 0)
    fn.br("look")
    fn.start("look")
    claim = _read(fn, _CLAIM, I64)
    untaken = _untaken(fn, claim)
    fn.cond_br(fn.icmp("eq", untaken, zero), "none", "some")
    fn.start("none")
    fn.ret()
    fn.start("some")
    part = fn.emit(PTR, f"inttoptr i64 {_read(fn, _PART, I64).ref} to ptr")
    argument = fn.emit(PTR, f"inttoptr i64 {_read(fn, _ARGUMENT, I64).ref} to ptr")
    count = _read(fn, _COUNT, I32)
    taken = _swap(fn, _CLAIM, claim, fn.sub(claim, const(I64, 1)))
    fn.cond_br(taken, "mine", "look")
    fn.start("mine")
    index = fn.sub(count, untaken)
    code = fn.call_ptr(part, I32, [argument, index, count])
    fn.cond_br(fn.icmp("eq", code, zero), "done", "failed")
    fn.start("failed")
    # the failure of the first part wins, whenever it comes
    high = fn.shl(fn.convert("zext", index, I64), const(I64, 32))
    _change(fn, "umin", _ERROR, fn.or_(high, fn.convert("zext", code, I64)))
    fn.br("done")
    fn.start("done")
    before = _change(fn, "add", _DONE, const(I32, 1))
    last = fn.icmp("eq", fn.add(before, const(I32, 1)), count)
    fn.cond_br(last, "last", "look")
    fn.start("last")
    waiting = fn.icmp("ne", _read(fn, _WAITING, I32), zero)
    fn.cond_br(waiting, "wake", "look")
    fn.start("wake")
    _futex(fn, _DONE, _WAKE, const(I32, 1))
    fn.br("look")


def _emit_worker(module: Module) -> None:
    """Emit worker(state): help with every job, for ever."""
    fn = module.function("pb_worker", PTR, [(PTR, "")])
    zero, one = const(I32, 0), const(I32, 1)
    fn.br("help")
    fn.start("help")
    fn.call("pb_work", VOID, [fn.args[0]])
    fn.br("spin")
    fn.start("spin")
    turn = fn.phi(I32, zero, "help")
    _pause(fn)
    some = fn.icmp("ne", _untaken(fn, _read(fn, _CLAIM, I64)), zero)
    fn.cond_br(some, "help", "idle")
    fn.start("idle")
    following = fn.add(turn, one)
    fn.phi_edge(turn, following, "idle")
    fn.cond_br(fn.icmp("slt", following, const(I32, _SPINS)), "spin", "tired")
    fn.start("tired")
    _change(fn, "add", _SLEEPERS, one)
    claim = _read(fn, _CLAIM, I64)
    fn.cond_br(fn.icmp("eq", _untaken(fn, claim), zero), "sleep", "awake")
    fn.start("sleep")
    job = fn.convert("trunc", fn.lshr(claim, const(I64, 32)), I32)
    _futex(fn, _CLAIM + 4, _WAIT, job)
    fn.br("awake")
    fn.start("awake")
    _change(fn, "sub", _SLEEPERS, one)
    fn.br("help")


def _emit_start(module: Module) -> None:
    """Emit start(state, wanted): make workers until there are so many.

    They get no signals: those are for Python's threads. Where the system gives no more
    threads, no more are asked for.
    """
    fn = module.function("pb_start", VOID, [(PTR, ""), (I32, "")])
    every, before = (fn.alloca(I64, _SIGNAL_SET // 8, 8) for _ in "ab")
    thread = fn.alloca(I64, 1, 8)
    for k in range(_SIGNAL_SET // 8):
        fn.store(const(I64, -1), fn.gep(every, const(I64, k), I64))
    mask = address_reg(c_address("pthread_sigmask"))
    fn.call_ptr(mask, I32, [const(I32, _BLOCK), every, before])
    fn.br("more")
    fn.start("more")
    started = _read(fn, _STARTED, I32)
    fn.cond_br(fn.icmp("slt", started, fn.args[1]), "make", "enough")
    fn.start("make")
    create = address_reg(c_address("pthread_create"))
    code = fn.call_ptr(create, I32, [thread, _NULL, Reg("@pb_worker", PTR), fn.args[0]])
    fn.cond_br(fn.icmp("eq", code, const(I32, 0)), "made", "refused")
    fn.start("made")
    detach = address_reg(c_address("pthread_detach"))
    fn.call_ptr(detach, I32, [fn.load(thread, I64)])
    _write(fn, _STARTED, fn.add(started, const(I32, 1)))
    fn.br("more")
    fn.start("refused")
    _write(fn, _WORKERS, started)
    fn.br("enough")
    fn.start("enough")
    restore = const(I32, 2)  # SIG_SETMASK
    fn.call_ptr(mask, I32, [restore, before, _NULL])
    fn.ret()


def _emit_run(module: Module) -> None:
    """Emit run(state, part, argument, count), the table's function."""
    params = [(PTR, ""), (PTR, ""), (PTR, ""), (I32, "")]
    fn = module.function("pb_run", I32, params, linkage="")
    state, part, argument, count = fn.args
    zero, one = const(I32, 0), const(I32, 1)
    fn.cond_br(_swap(fn, _LOCK, zero, one), "first", "alone")

    fn.start("alone")
    fn.br("next")
    fn.start("next")
    index = fn.phi(I32, zero, "alone")
    code = fn.call_ptr(part, I32, [argument, index, count])
    fn.cond_br(fn.icmp("eq", code, zero), "good", "bad")
    fn.start("bad")
    fn.ret(code)
    fn.start("good")
    following = fn.add(index, one)
    fn.phi_edge(index, following, "good")
    fn.cond_br(fn.icmp("slt", following, count), "next", "finished")
    fn.start("finished")
    fn.ret(zero)

    fn.start("first")
    wanted = fn.smin(fn.sub(count, one), _read(fn, _WORKERS, I32))
    few = fn.icmp("slt", _read(fn, _STARTED, I32), wanted)
    fn.cond_br(few, "start", "publish")
    fn.start("start")
    fn.call("pb_start", VOID, [state, wanted])
    fn.br("publish")
    fn.start("publish")
    for offset, address in ((_PART, part), (_ARGUMENT, argument)):
        _write(fn, offset, fn.convert("ptrtoint", address, I64))
    _write(fn, _COUNT, count)
    _write(fn, _ERROR, _NO_ERROR)
    _write(fn, _DONE, zero)
    _write(fn, _WAITING, zero)
    job = fn.add(fn.lshr(_read(fn, _CLAIM, I64), const(I64, 32)), const(I64, 1))
    claim = fn.or_(fn.shl(job, const(I64, 32)), fn.convert("zext", count, I64))
    _write(fn, _CLAIM, claim)
    asleep = fn.icmp("ne", _read(fn, _SLEEPERS, I32), zero)
    fn.cond_br(asleep, "wake", "help")
    fn.start("wake")
    _futex(fn, _CLAIM + 4, _WAKE, fn.sub(count, one))
    fn.br("help")
    fn.start("help")
    fn.call("pb_work", VOID, [state])
    fn.br("wait")
    fn.start("wait")
    turn = fn.phi(I32, zero, "help")
    now = _read(fn, _DONE, I32)
    fn.cond_br(fn.icmp("eq", now, count), "joined", "missing")
    fn.start("missing")
    _pause(fn)
    later = fn.add(turn, one)
    fn.phi_edge(turn, later, "missing")
    fn.cond_br(fn.icmp("slt", later, const(I32, _SPINS)), "wait", "sleep")
    fn.start("sleep")
    _write(fn, _WAITING, one)
    fn.br("again")
    fn.start("again")
    seen = _read(fn, _DONE, I32)
    fn.cond_br(fn.icmp("eq", seen, count), "joined", "doze")
    fn.start("doze")
    _futex(fn, _DONE, _WAIT, seen)
    fn.br("again")
    fn.start("joined")
    error = _read(fn, _ERROR, I64)
    failed = fn.icmp("ne", error, _NO_ERROR)
    _write(fn, _LOCK, zero)
    fn.ret(fn.select(failed, fn.convert("trunc", error, I32), zero))
