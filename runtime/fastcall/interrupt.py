"""Let Ctrl-C stop a loop of native code that runs on the main thread.

Python notes an interrupt and acts between two of its instructions: never while native
code runs. So Python's handler of the signal is called by one emitted here, which raises
a flag first; loops look at the flag, and a program that left because of it raises what
Python's handlers raise, or starts over where they raise nothing.

The handler is put in place by the first program with a loop and again after Python put
its own there (`signal.signal` does). Where the signal is ignored, ends the process or
has a handler that is not Python's, nothing is done.
"""

import ctypes
import os
import signal
import threading
from functools import cache

from ...codegen.llvm import I32, I64, PTR, VOID, Function, Module, Reg, const
from ...codegen.status import CANCELLED
from ...codegen.target import emit_object_quickly, host
from ..loading import Library
from ..pool import address_reg, c_address, immortal

RAISED = -1  # in place of a status: a Python exception is set
CONTEXT_CANCEL = 48

_RESTARTS = 8  # a signal whose handlers raise nothing stops a call so often
_FLAG, _MAIN, _PYTHON, _OURS = 0, 8, 16, 24
_NULL = Reg("null", PTR)

_Handler = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int)


class Interrupts:
    """The emitted functions; `watched` calls a program that may be stopped.

    i32 watched(program, context, inputs, sizes, outputs, workspace, i32 release)

    It runs under the interpreter lock and gives it up meanwhile where `release` is not
    0. The context must be the call's own.
    """

    __slots__ = ("_words", "watched")

    def __init__(self) -> None:
        self._words = (ctypes.c_int64 * 4)()
        module = host().module()
        words = ctypes.addressof(self._words)
        _emit_handler(module, words)
        _emit_watched(module, words)
        library = Library(emit_object_quickly(module.text(), host()))
        for needed in (library, self._words):
            immortal(needed)
        self._words[_OURS // 8] = library.address("pb_interrupted")
        self.watched = library.address("pb_watched")
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        """Learn which thread is the main one, and Python's handler if it is there."""
        self._words[_MAIN // 8] = threading.main_thread().ident or 0
        if not self._words[_PYTHON // 8] and callable(signal.getsignal(signal.SIGINT)):
            found = _Handler(("PyOS_getsig", ctypes.pythonapi))(signal.SIGINT)
            self._words[_PYTHON // 8] = found or 0


@cache
def _made() -> Interrupts:
    return Interrupts()


def interrupts() -> Interrupts:
    """Return the functions of this process, emitting them on first use."""
    made = _made()
    made.renew()
    return made


def _word(words: int, offset: int) -> Reg:
    return address_reg(words + offset)


def _emit_handler(module: Module, words: int) -> None:
    """Emit interrupted(signal): raise the flag, then do what Python does."""
    fn = module.function("pb_interrupted", VOID, [(I32, "")], linkage="")
    fn.raw(f"store volatile i32 1, ptr {_word(words, _FLAG).ref}, align 4")
    fn.call_ptr(fn.load(_word(words, _PYTHON), PTR), VOID, [fn.args[0]])
    fn.ret()


def _api(fn: Function, name: str, ret_ty: str, *args: Reg) -> Reg:
    return fn.call_ptr(address_reg(c_address(name)), ret_ty, args)


def _emit_watched(module: Module, words: int) -> None:
    params = [(PTR, "")] * 6 + [(I32, "")]
    fn = module.function("pb_watched", I32, params, linkage="")
    program, context, *arrays, release = fn.args
    args = [context, *arrays]
    flag = _word(words, _FLAG)
    cancel = fn.gep(context, const(I64, CONTEXT_CANCEL))
    given = fn.load(cancel, PTR)
    thread = _api(fn, "PyThread_get_thread_ident", I64)
    main = fn.icmp("eq", thread, fn.load(_word(words, _MAIN), I64))
    free = fn.and_(main, fn.icmp("eq", given, _NULL))
    fn.cond_br(free, "look", "run")
    fn.start("look")
    number = const(I32, signal.SIGINT)
    ours = fn.load(_word(words, _OURS), PTR)
    now = _api(fn, "PyOS_getsig", PTR, number)
    fn.cond_br(fn.icmp("eq", now, ours), "watch", "other", likely=True)
    fn.start("other")
    python = fn.load(_word(words, _PYTHON), PTR)
    known = fn.and_(fn.icmp("eq", now, python), fn.icmp("ne", python, _NULL))
    fn.cond_br(known, "install", "run")
    fn.start("install")
    _api(fn, "PyOS_setsig", PTR, number, ours)
    fn.br("watch")
    fn.start("watch")
    fn.store(flag, cancel)
    fn.br("run")
    fn.start("run")
    again = fn.emit(
        I32,
        "phi i32 [ 0, %entry ], [ 0, %other ], [ 0, %watch ], [ %following, %calm ]",
    )
    fn.cond_br(fn.icmp("eq", release, const(I32, 0)), "held", "free")
    fn.start("held")
    first = fn.call_ptr(program, I32, args)
    fn.br("ran")
    fn.start("free")
    state = _api(fn, "PyEval_SaveThread", PTR)
    second = fn.call_ptr(program, I32, args)
    _api(fn, "PyEval_RestoreThread", VOID, state)
    fn.br("ran")
    fn.start("ran")
    code = fn.merge(I32, [(first, "held"), (second, "free")])
    mine = fn.icmp("eq", fn.load(cancel, PTR), flag)
    stopped = fn.and_(mine, fn.icmp("eq", code, const(I32, CANCELLED)))
    fn.cond_br(stopped, "stopped", "done")
    fn.start("stopped")
    fn.raw(f"store volatile i32 0, ptr {flag.ref}, align 4")
    raised = _api(fn, "PyErr_CheckSignals", I32)
    fn.cond_br(fn.icmp("eq", raised, const(I32, 0)), "calm", "raised")
    fn.start("calm")
    fn.raw(f"%following = add i32 {again.ref}, 1")
    more = fn.icmp("slt", again, const(I32, _RESTARTS))
    fn.store(fn.select(more, flag, _NULL), cancel)
    fn.br("run")
    fn.start("raised")
    fn.ret(const(I32, RAISED))
    fn.start("done")
    fn.ret(code)
