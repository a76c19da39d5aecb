"""A graph as machine code of this process: how it is called, and how it is improved.

Knows the fast call, what a native status means, and how code is replaced by better
code while it is used; nothing of how a graph is lowered.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from time import perf_counter
from typing import Any
from weakref import ref

import numpy as np

from ..codegen.elf import undefined_symbols
from ..codegen.llvm import Function, Reg
from ..codegen.lower import Lowered
from ..codegen.sizes import emit_size
from ..codegen.status import (
    NOT_POSITIVE_DEFINITE,
    PRINT_STOPPED,
    SINGULAR,
    WORKSPACE_TOO_SMALL,
)
from ..codegen.target import Target, emit_object, host, optimize, write_object
from ..ir.errors import (
    ArgumentError,
    IndexOutOfRange,
    PullbackError,
    SizeError,
    TargetError,
)
from ..ir.forms import Control
from ..ir.graph import Graph, Node
from ..ir.loc import traced_at
from ..ir.log import log
from ..ir.ops.factorization_reference import not_definite, singular
from ..ir.report import ProgramReport
from ..ir.sizes import SizeExpr, evaluate_size
from ..ir.types import TensorType
from .fastcall import (
    DimEmitter,
    InSpec,
    OutSpec,
    Tree,
    call_path,
    context_of,
    make_entry,
    redirect,
)
from .kernels import kernels_of, largest_piece, passed_bytes
from .loading import Library
from .printing import Printer
from .threads import threads_text

Array = np.ndarray[Any, np.dtype[Any]]

_swapping = Lock()  # held while entries are told of better code


class Program:
    """A graph as machine code of this process."""

    __slots__ = (
        "__weakref__", "_entries", "_entry", "_gate", "_into", "_printer", "_quick",
        "graph", "library", "lowered", "seconds", "text", "threads",
    )  # fmt: skip

    def __init__(
        self,
        graph: Graph,
        lowered: Lowered,
        library: Library,
        text: str,
        seconds: Mapping[str, float],
        threads: int = 1,
        gate: str = "",
    ):
        self.graph = graph
        self.seconds = seconds
        self.lowered = lowered
        self.library = library
        self.text = text
        self.threads = threads
        self._entry: Callable[..., object] | None = None
        self._into: Callable[..., object] | None = None  # that takes `out=`
        self._printer = Printer(lowered.prints, threads) if lowered.prints else None
        self._entries: list[ref[Callable[..., object]]] = []
        self._gate = gate  # the symbol to enter by, while the code is quick
        self._quick: Library | None = None  # calls may still be in it

    @property
    def address(self) -> int:
        """Where calls enter its code."""
        return self.library.address(self._gate or f"pb_{self.lowered.symbol}")

    @property
    def is_quick(self) -> bool:
        """Whether its code is what was compiled quickly."""
        return bool(self._gate)

    def improving(self) -> Iterator[None]:
        """Compile again with all passes, and enter by that; pause between LLVM's calls.

        Calls that run meanwhile end in the code they began in.
        """
        if not self._gate:
            return
        clock = [perf_counter()]
        module = optimize(self.text, host())
        clock.append(perf_counter())
        yield
        clock.append(perf_counter())
        made = write_object(module, host())
        del module
        clock.append(perf_counter())
        yield
        library = Library(standing_alone(made, host()))
        address = library.address(f"pb_{self.lowered.symbol}")
        with _swapping:
            if not self._gate:  # another thread was first
                return
            self._quick, self.library, self._gate = self.library, library, ""
            for held in self._entries:
                entry = held()
                if entry is not None:
                    redirect(entry, address)
            self._entries.clear()
        took = clock[1] - clock[0] + clock[3] - clock[2]
        self.seconds = {**self.seconds, "full": took}
        log(
            "compile",
            lambda: f"{self.graph.name} is used: compiled fully in {took * 1e3:.1f} ms",
        )

    @property
    def arguments(self) -> int:
        """How many inputs a call passes: captures are bound already."""
        return len(self.graph.inputs) - len(self.graph.captures)

    def report(self) -> ProgramReport:
        """Return launches, memory and times, for people."""
        return ProgramReport(
            operations=len(self.graph.nodes),
            kernels=kernels_of(self.lowered),
            workspace=self.lowered.workspace,
            call_path=call_path(),
            seconds=self.seconds,
            threads=threads_text(self.threads),
            passed=passed_bytes(self.lowered),
            largest=largest_piece(self.lowered),
        )

    def entry(
        self,
        tree: Tree,
        miss: Callable[..., object],
        into: bool = False,
        arrays: bool = False,
    ) -> Callable[..., object]:
        """Return the fast native callable.

        Args:
            tree: how results are arranged: nested tuples of output numbers.
            miss: called with the arguments when they do not fit exactly.
            into: whether calls take `out=`, as `make_entry` says.
            arrays: results of rank 0 are arrays, not NumPy's scalars.
        """
        graph = self.graph
        count = self.arguments
        inputs = tuple(
            InSpec(name, x.type.dtype.name, _input_dims(name, x.type))
            for x, name in zip(graph.inputs[:count], graph.names[:count], strict=True)
        )
        outputs = tuple(
            OutSpec(x.type.dtype.name, tuple(_output_dim(d) for d in x.type.shape))
            for x in graph.outputs
        )
        lowered = self.lowered
        symbol, workspace = f"pb_{lowered.symbol}", lowered.workspace
        dynamic = isinstance(workspace, SizeExpr)
        made = make_entry(
            self.address,
            inputs,
            outputs,
            tuple(graph.sizes),
            0 if isinstance(workspace, SizeExpr) else workspace,
            tree,
            miss,
            self._failed,
            workspace_address=(
                self.library.address(f"{symbol}_workspace") if dynamic else 0
            ),
            context=self._context(),
            stoppable=lowered.loops,
            prints=self._printer is not None,
            into=into,
            arrays=arrays,
            keep=self,
        )
        with _swapping:
            if self._gate:
                self._entries.append(ref(made))
                return made
        redirect(made, self.address)  # it may have been improved meanwhile
        return made

    def _context(self) -> int:
        """Return the address of the context its calls copy; 0 for the plain one."""
        if self._printer is not None:
            return self._printer.address
        threads = self.threads if self.lowered.parts else 1
        if threads == 1 and not self.lowered.grows:
            return 0
        return context_of(self.lowered.grows, threads)

    def run(
        self, arrays: Sequence[Array], out: Sequence[Array | None] | None = None
    ) -> list[Array]:
        """Run on arrays of the right dtypes and shapes, of any strides.

        Args:
            arrays: the inputs that are not captures.
            out: an array for each output to be written into, or None where it is made.

        Returns:
            One array a result; results of rank 0 are 0-d arrays.

        Raises:
            ArgumentError: an array does not fit its input, or its output, or one of
                `out` overlaps another array.
            IndexOutOfRange: a gather met an index outside its axis.
            NotPositiveDefinite, SingularMatrix: a matrix cannot be factored or solved
                by.
        """
        flat = tuple(range(len(self.graph.outputs)))
        results: Any  # a tuple of arrays and scalars
        if out is not None:
            if self._into is None:
                self._into = self.entry(flat, self._refit, into=True, arrays=True)
            results = self._into(*arrays, out=tuple(out))
        else:
            if self._entry is None:
                self._entry = self.entry(flat, self._refit, arrays=True)
            results = self._entry(*arrays)
        return list(results)

    # Any: whatever was passed
    def _refit(self, *arrays: Any, **out: Any) -> object:
        """Run on copies of arrays that do not lie as the entry takes them."""
        fitted = [
            np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("=")).reshape(a.shape)
            if not (a.flags.c_contiguous and a.flags.aligned and a.dtype.isnative)
            else a
            for a in map(np.asarray, arrays)
        ]
        entry = self._into if out else self._entry
        if entry is None or all(map(operator.is_, fitted, arrays)):
            return self._misfit(*arrays, **out)
        return entry(*fitted, **out)

    # Any: whatever was passed
    def _misfit(self, *arrays: Any, out: Any = None) -> object:
        graph = self.graph
        if len(arrays) != self.arguments:
            raise ArgumentError(
                f"{graph.name} takes {self.arguments} arrays, {len(arrays)} given"
            )
        env: dict[str, int] = {}
        for array, x, name in zip(arrays, graph.inputs, graph.names, strict=False):
            held = np.asarray(array)
            given = f"{held.dtype}{list(held.shape)}"
            if held.dtype != x.type.dtype.numpy or held.ndim != x.type.rank:
                raise ArgumentError(
                    f"{graph.name}: {name} is {given}, {x.type} expected"
                )
            for d, got in zip(x.type.shape, held.shape, strict=True):
                if isinstance(d, SizeExpr) and str(d) in graph.sizes:
                    env.setdefault(str(d), got)
                if got != evaluate_size(d, env) or (
                    isinstance(d, SizeExpr) and got == 1
                ):
                    raise ArgumentError(
                        f"{graph.name}: {name} is {given}, {x.type} expected"
                        + (f" with {env}" if env else "")
                    )
        what = "of `out` does not fit or overlaps another" if out else ""
        raise ArgumentError(
            f"{graph.name}: an array {what or 'is too large or misaligned'}"
        )

    def _failed(
        self, code: int, node: int, index: int, axis: int, extent: int
    ) -> BaseException:
        """Return the exception of a native status."""
        if code == 1:
            made = self.lowered.checks[node]
            if isinstance(made.primitive.form, Control):
                return IndexOutOfRange(
                    f"{made.primitive.name}: branch {index} of {extent}"
                    f"{traced_at(made.loc)}"
                )
            source = made.operands[0].type
            return IndexOutOfRange(
                f"{made.primitive.name}: index {index} is out of range for axis {axis} "
                f"of size {extent}\n  operands: a {source}, b {made.operands[1].type}"
                f"{traced_at(made.loc)}"
            )
        if code in (NOT_POSITIVE_DEFINITE, SINGULAR):
            made = self.lowered.checks[node]
            return _unsolvable(made, code, index, axis)
        if code == 4:
            guard = self.graph.guards[node]
            return SizeError(
                f"{guard.why}: {guard.left} = {index} and {guard.right} = {extent} "
                f"must be equal{traced_at(guard.loc)}"
            )
        if code == WORKSPACE_TOO_SMALL:
            return MemoryError(
                f"{self.graph.name}: {index} bytes for what its loops keep"
            )
        if code == 3:
            return KeyboardInterrupt()
        if code == PRINT_STOPPED and self._printer is not None:
            error = self._printer.take_raised()
            if error is not None:
                return error
        return PullbackError(f"{self.graph.name}: native status {code}")


def _unsolvable(made: Node, code: int, index: int, matrix: int) -> PullbackError:
    """Return the exception of a matrix that cannot be factored or solved by."""
    name, given = made.primitive.name, made.operands[0].type
    which = matrix if given.rank > 2 else None
    describe = not_definite if code == NOT_POSITIVE_DEFINITE else singular
    error = describe(name, index, which)
    where = f"\n  operands: a {given}{traced_at(made.loc)}"
    return type(error)(f"{error}{where}")


def _input_dims(name: str, type: TensorType) -> tuple[int | str, ...]:
    dims: list[int | str] = []
    for d in type.shape:
        text = str(d)
        if isinstance(d, SizeExpr) and not text.isidentifier():
            raise ArgumentError(
                f"{name}: {type} has the size {text}: give an input's axis a name or a "
                "number, and let the function compute other sizes"
            )
        dims.append(text if isinstance(d, SizeExpr) else d)
    return tuple(dims)


def _output_dim(size: int | SizeExpr) -> int | DimEmitter:
    if isinstance(size, int):
        return size

    def emitter(fn: Function, env: Any) -> Reg:  # Any: a mapping of name to register
        return emit_size(fn, size, env)

    return emitter


def checked_object(text: str, target: Target, level: int = 1) -> bytes:
    """Return the object of LLVM IR; it stands alone or is refused.

    Raises:
        TargetError: the object needs symbols from elsewhere, or is of a format whose
            symbols cannot be read.
    """
    return standing_alone(emit_object(text, target, level), target)


def standing_alone(made: bytes, target: Target) -> bytes:
    """Return an object that stands alone; see `checked_object`."""
    if made[:4] != b"\x7fELF":
        raise TargetError(
            f"the symbols of an object for {target.triple} cannot be read: only ELF"
        )
    missing = undefined_symbols(made)
    if missing:
        raise TargetError(
            f"the target {target.triple} ({target.cpu}) has no instruction for "
            f"{', '.join(missing)}: the object would need a library"
        )
    return made
