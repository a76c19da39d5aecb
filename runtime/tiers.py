"""Programs that are wanted soon: compiled quickly first, and fully once they are used.

A program that was compiled quickly is entered by a gate, emitted beside it, which adds
up what its runs lose. When they have lost a part of what full compilation costs, the
gate asks for that, and a thread does it while the program goes on running; when they
have lost half of it, the next run waits. `Improver` knows the thread and nothing of
programs; docs/decisions/tiers.md has the figures.
"""

import atexit
import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from time import monotonic
from typing import Protocol
from weakref import WeakValueDictionary

from ..codegen.cost import Size
from ..codegen.llvm import I32, I64, PTR, Module, Reg, const
from ..codegen.sizes import emit_size
from ..codegen.status import CANCELLED
from ..ir.errors import ArgumentError
from ..ir.sizes import evaluate_size, names_in
from .pool import address_reg, immortal

# What LLVM's full pipeline takes for a line of text, 40 us, in cheap instructions.
LINE = 1 << 21
EARLY = 32  # what part of the budget runs lose until it is begun beside them
RUNS = 32  # after which it is begun however little they lose
LINES = 1 << 14  # of one function: its frame may have 64 bytes for each
NICE = 5  # lower than what the user computes: a quarter of a processor if all are busy
CALM = 0.02  # seconds without a compilation, before others' LLVM is taken from them
PATIENCE = 50  # times CALM that one waits for it

_INTERRUPTED = 1  # no address

_Ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_int64, ctypes.c_int32)


@cache
def is_quick() -> bool:
    """Return whether programs are compiled quickly first: unless PULLBACK_QUICK=0.

    Raises:
        ArgumentError: PULLBACK_QUICK is something else than 0 or 1.
    """
    text = os.environ.get("PULLBACK_QUICK", "")
    if text not in ("", "0", "1"):
        raise ArgumentError(f"PULLBACK_QUICK is 0 or 1, got {text!r}")
    return text != "0"


def budget_of(text: str) -> int:
    """Return what runs may lose until they wait for full compilation: half of that."""
    return text.count("\n") * LINE // 2


def fits(text: str, cost: Size) -> bool:
    """Return whether a program should be compiled quickly first.

    Not one whose first run loses too much, nor one with a function whose frame might
    be too large for a stack.
    """
    least = evaluate_size(cost, dict.fromkeys(names_in(cost), 2))
    if least > budget_of(text):
        return False
    return max(part.count("\n") for part in text.split("\n}\n")) <= LINES


class Improvable(Protocol):
    """A program that can be compiled again."""

    def improving(self) -> Iterator[None]:
        """Compile again, and pause between calls of LLVM."""

    @property
    def address(self) -> int:
        """Return where its code is now."""


def emit_gate(
    module: Module, symbol: str, number: int, sizes: tuple[str, ...], cost: Size,
    budget: int,
) -> str:  # fmt: skip
    """Emit the gate of a program, and return its name."""
    name = f"pb_{symbol}_gate"
    begin = max(budget // EARLY, 1)
    for what, left in (("begin", begin), ("wait", budget)):
        text = f"@{name}_{what} = internal global i64 {left}, align 8"
        module.globals.append(text)
    fn = module.function(name, I32, [(PTR, "")] * 5, linkage="dso_local")
    env = {
        n: fn.load(fn.gep(fn.args[2], const(I64, k), I64), I64)
        for k, n in enumerate(sizes)
    }
    loss = emit_size(fn, cost, env)
    charge = fn.smax(loss, const(I64, -(-begin // RUNS)))
    zero = const(I64, 0)

    def taken(counter: str, amount: Reg) -> tuple[Reg, Reg]:
        text = f"atomicrmw sub ptr @{counter}, i64 {amount.ref} monotonic, align 8"
        before = fn.emit(I64, text)
        return before, fn.sub(before, amount)

    before, after = taken(f"{name}_begin", charge)
    crossed = fn.and_(fn.icmp("sgt", before, zero), fn.icmp("sle", after, zero))
    _, rest = taken(f"{name}_wait", loss)
    late = fn.icmp("sle", rest, zero)
    fn.cond_br(fn.or_(crossed, late), "ask", "run", likely=False)
    fn.start("ask")
    given = (const(I64, number), fn.convert("zext", late, I32))
    found = fn.call_ptr(address_reg(improver().ask_address), I64, given)
    fn.cond_br(fn.icmp("ne", found, zero), "better", "run")
    fn.start("better")
    stop = fn.icmp("eq", found, const(I64, _INTERRUPTED))
    fn.cond_br(stop, "interrupted", "go", likely=False)
    fn.start("interrupted")
    fn.ret(const(I32, CANCELLED))
    fn.start("go")
    better = fn.convert("inttoptr", found, PTR)
    fn.ret(fn.call_ptr(better, I32, fn.args))
    fn.start("run")
    fn.ret(fn.call(f"pb_{symbol}", I32, fn.args))
    return name


class Improver:
    """Compiles programs again: those that were asked for, in turn, on a thread.

    The thread lives while there is work, and pauses before a process forks or ends:
    then nothing of ours is in LLVM, nor is there another thread of ours to be seen.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._known: WeakValueDictionary[int, Improvable] = WeakValueDictionary()
        self._asked: deque[int] = deque()
        self._steps: Iterator[None] | None = None  # of the program that is in work
        self._number = 0  # of that program
        self._others = 0  # compilations of others that go on
        self._last = monotonic()  # when one ended
        self._forget()
        self._callback = _Ask(self._ask)
        address = ctypes.cast(self._callback, ctypes.c_void_p).value
        assert address is not None, "a callback has an address"
        self.ask_address = address
        os.register_at_fork(
            before=self._halt,
            after_in_parent=self._go_on,
            after_in_child=self._forget,
        )
        atexit.register(self._halt)

    def _forget(self) -> None:
        """Begin without a thread."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._halted = False

    def reserve(self) -> int:
        """Return the number of a program that is about to be compiled."""
        return next(self._numbers)

    def enroll(self, number: int, program: Improvable) -> None:
        """Know a program by the number with which its gate asks for it."""
        self._known[number] = program

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave LLVM to what compiles in this context, and for a while after it."""
        self._others += 1
        try:
            yield
        finally:
            self._others -= 1
            self._last = monotonic()

    def improve_all(self) -> None:
        """Compile all programs fully that are not yet: what is timed is to be that."""
        for program in list(self._known.values()):
            for _ in program.improving():
                pass

    def finish(self) -> None:
        """Wait until what was asked for is done."""
        self._go_on()
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None)

    # -- what gates call -----------------------------------------------------------

    def _ask(self, number: int, now: int) -> int:
        """Return where better code is; 0 while there is none, 1 to stop the run."""
        try:
            return self._answer(number, now)
        except KeyboardInterrupt:  # nothing can be raised from here
            return _INTERRUPTED

    def _answer(self, number: int, now: int) -> int:
        program = self._known.get(number)
        if program is None:
            return 0
        if now:
            self._wait(number)
            for _ in program.improving():  # nothing is left where the thread was at it
                pass
            return program.address
        self._asked.append(number)
        if not self._halted:
            self._go_on()
        return 0

    def _wait(self, number: int) -> None:
        """Wait while the thread is at a program; from then on it will not be."""
        with self._changed:
            if number in self._asked:
                self._asked.remove(number)
            self._changed.wait_for(
                lambda: self._thread is None or self._number != number
            )

    # -- the thread ----------------------------------------------------------------

    def _go_on(self) -> None:
        """Have a thread where there is work."""
        with self._changed:
            self._halted = False
            if self._thread is None and (self._asked or self._steps):
                thread = threading.Thread(
                    target=self._work, name="pullback compiler", daemon=True
                )
                thread.start()
                self._thread = thread

    def _halt(self) -> None:
        """Let the thread end after the call of LLVM that it is in, and wait for that.

        What it worked on waits for the next one.
        """
        with self._changed:
            self._halted = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        if sys.platform == "linux":  # where each thread has its own priority
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        try:
            while self._is_calm() and self._has_work():
                self._step()
        finally:
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None
                self._changed.notify_all()

    def _is_calm(self) -> bool:
        """Wait until nobody else compiles; return whether to go on."""
        with self._changed:
            for _ in range(PATIENCE):
                left = CALM if self._others else self._last + CALM - monotonic()
                if left <= 0 or self._changed.wait_for(lambda: self._halted, left):
                    break
            return not self._halted

    def _has_work(self) -> bool:
        """Begin the next program where none is in work; none left ends the thread."""
        while self._steps is None:
            with self._changed:
                if not self._asked:
                    self._thread = None  # whoever asks from here on begins another
                    return False
                self._number = self._asked.popleft()
                program = self._known.get(self._number)
            if program is not None:
                self._steps = program.improving()
        return True

    def _step(self) -> None:
        steps, self._steps = self._steps, None  # gone if it fails
        assert steps is not None, "there is work"
        done = object()
        if next(steps, done) is not done:
            self._steps = steps
            return
        with self._changed:
            self._number = 0
            self._changed.notify_all()


@cache
def improver() -> Improver:
    """Return the one of this process."""
    made = Improver()
    immortal(made)  # emitted code has its address
    return made
