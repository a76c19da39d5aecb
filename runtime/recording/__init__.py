"""Record natively: an op that a tape met before costs no Python.

A tape that records what one recorded before walks along steps (`tracer/trail.py`). The
functions made here take such a step; whatever is not of that kind they leave to the
Python form of the same thing, which is handed in.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...codegen.target import emit_object_quickly, host
from ..fastcall import capi
from ..loading import Library
from ..pool import immortal
from . import emit
from .layout import Kind, Spec
from .walk import Calls

__all__ = ["Face", "Operator", "Recording", "Spec", "make_recording"]

_METH_FASTCALL, _METH_NOARGS = 0x80, 0x4


@dataclass(frozen=True)
class Face:
    """Classes of tensors that go together.

    Args:
        handle: the class of results, and of operands.
        variable: the class of variables that may be operands.
        numbers: whether numbers and arrays may be the other operand.
    """

    handle: Kind
    variable: Kind
    numbers: bool


@dataclass(frozen=True)
class Operator:
    """A method of tensors that records.

    It is one for all faces: a class that had its own would be asked first where it
    stands beside a class that it is made from, which Python's form is not.

    Args:
        name: of the method.
        impl: the function that it calls.
        faces: whose results it makes, by the class of `self`.
        fallback: the method in Python.
        reflected: whether the other operand comes first.
        unary: whether there is none.
        weak: whether arrays may be the other operand where numbers may.
    """

    name: str
    impl: Callable[..., Any]
    faces: Sequence[Face]
    fallback: Callable[..., Any]
    reflected: bool
    unary: bool
    weak: bool


_object = ctypes.py_object
_new_method = ctypes.PYFUNCTYPE(_object, _object, ctypes.c_void_p)(
    ("PyDescr_NewMethod", ctypes.pythonapi)
)


class Recording:
    """The functions of this process; they live until it ends.

    `methods` has what each operator is replaced by, in order; `finalize` is the method
    of that name of tensors, and `claim(walk, locals)` says that this thread walks.
    """

    def __init__(self, spec: Spec, operators: Sequence[Operator]) -> None:
        self._record = (ctypes.c_uint64 * (emit.RECORD_BYTES // 8))()
        self._ops: list[Any] = []  # Any: arrays of ctypes
        module = host().module()
        writer = Calls(module, spec, ctypes.addressof(self._record))
        writer.emit()
        for k, op in enumerate(operators):
            ops: list[tuple[Kind, int]] = []
            for face in op.faces:
                held = self._op(op.impl, face, op.fallback, op.weak)
                ops += [(face.handle, held), (face.variable, held)]
            writer.operator(f"op{k}", ops, op.reflected, op.unary)
        self._library = Library(emit_object_quickly(module.text(), host()))
        self.methods = [
            self._method(spec.tensor, op.name, f"op{k}")
            for k, op in enumerate(operators)
        ]
        self.finalize = self._method(spec.tensor, "__del__", "finalize", _METH_NOARGS)
        claim = self._definition("claim", "claim", _METH_FASTCALL)
        self.claim: Callable[[Any, Any], None] = capi.new_function(claim, None, None)
        for needed in (self, spec):
            immortal(needed)

    def _op(self, impl: Any, face: Face, fallback: Any, weak: bool) -> int:
        """Return the address of the record of an op."""
        for needed in (impl, face.handle, face.variable, fallback):
            immortal(needed)
        made = (ctypes.c_uint64 * (emit.OP_BYTES // 8))()
        made[emit.IMPL // 8], made[emit.FALLBACK // 8] = id(impl), id(fallback)
        made[emit.HANDLE // 8] = id(face.handle)
        made[emit.VARIABLES // 8] = id(face.variable)
        made[emit.NUMBERS // 8] = face.numbers
        made[emit.ARRAYS // 8] = face.numbers and weak
        self._ops.append(made)
        return ctypes.addressof(made)

    def _definition(self, name: str, symbol: str, flags: int) -> int:
        address = self._library.address(symbol)
        made = capi.MethodDef(name.encode(), address, flags, None)
        self._ops.append(made)
        return ctypes.addressof(made)

    def _method(
        self, owner: Kind, name: str, symbol: str, flags: int = _METH_FASTCALL
    ) -> Any:
        return _new_method(owner, self._definition(name, symbol, flags))

    def function(
        self, impl: Callable[..., Any], face: Face, weak: bool
    ) -> Callable[..., Any]:
        """Return what records a function of one or two operands, or returns None."""
        op = self._op(impl, face, None, weak)
        capsule = capi.new_capsule(op, None, None)
        made: Callable[..., Any] = capi.new_function(
            self._definition("walked", "function", _METH_FASTCALL), capsule, None
        )
        return made


def make_recording(spec: Spec, operators: Sequence[Operator]) -> Recording | None:
    """Return native recording, or None where objects are not laid out as is known."""
    return None if capi.refusal() is not None else Recording(spec, operators)
