"""Record natively what tapes record again and again.

The functions of `runtime/recording` do what `tracer/walk.py` does for an op that was
met before. Making them takes about as long as some thousand such ops take in Python, so
they are made once so many were met; after that the operators of tensors and the public
functions try them first. Where they cannot be made, Python goes on.
"""

from collections.abc import Callable
from types import CodeType
from typing import Any

import numpy as np

from ..ir.graph import Value
from ..ir.loc import user_loc
from . import engine
from .cell import COMPARED, Cell, leaf
from .functions import elementwise, linalg
from .functions.table import BY_NUMPY, Impl
from .operators import Operators
from .state import WATCHERS
from .steps import ARRAYS, KINDS, LITERALS, TYPES, Step
from .tensor import Tensor
from .trail import Trail
from .variable import Variable

ENOUGH = 4000  # values that tapes met

_BINARY: dict[str, Impl] = {
    "add": BY_NUMPY[np.add],
    "sub": BY_NUMPY[np.subtract],
    "mul": BY_NUMPY[np.multiply],
    "truediv": BY_NUMPY[np.true_divide],
    "pow": elementwise.power,
    "matmul": linalg.matmul,
}

# code between a user's line and a native function
THROUGH: set[CodeType] = set()


class Quick:
    """Native recording, once it pays.

    Classes of tensors beside Tensor are added by those who make them.
    """

    def __init__(self) -> None:
        self.enough = ENOUGH
        self.claim: Callable[[Any, Any], None] | None = None
        self.recording: Any = None  # Any: runtime.recording.Recording
        self.face: Any = None  # Any: runtime.recording.Face, once there is a recording
        self.faces: list[tuple[type[Tensor], type[Variable]]] = []
        self.natives: list[Native] = []  # those that are made
        self._python: list[tuple[Any, str, Any]] = []  # what was replaced

    def add(self, tensor: type[Tensor], variable: type[Variable]) -> None:
        """Add a class of results, and the class of its variables."""
        self.faces.append((tensor, variable))
        if self.recording is not None:
            self.remove()
            self.enough = 0  # again with the next tape

    def install(self) -> None:
        """Make the functions, and have tensors use them."""
        self.enough = 1 << 62
        spec, operator, self.face = engine.recording_spec()
        faces = [self.of(*pair) for pair in ((Tensor, Variable), *self.faces)]
        operators = [
            operator(
                name, impl, faces, getattr(Operators, name), reflected,
                name == "__neg__", _is_weak(impl),
            )
            for name, reflected, impl in _methods()
        ]  # fmt: skip
        signs = (0.0, -0.0)
        literals = [x for x in LITERALS if x != 0]
        described = spec(
            walk=Trail,
            step=Step,
            value=Value,
            cell=Cell,
            tensor=Tensor,
            variable=Variable,
            watchers=WATCHERS,
            types=TYPES,
            kinds=KINDS,
            arrays=ARRAYS,
            most_bytes=COMPARED,
            literals=tuple([_literal(float(x)) for x in (*signs, *literals)]),
            locate=_locate,
            number=_number,
            transparent=tuple(THROUGH),
        )
        made = engine.make_recording(described, operators)
        if made is None:
            return
        self.recording = made
        self.claim = made.claim
        for op, method in zip(operators, made.methods, strict=True):
            self._replace(Tensor, op.name, method)
        self._replace(Tensor, "__del__", made.finalize)

    def of(self, tensor: type[Tensor], variable: type[Variable]) -> Any:
        """Return a face; beside those of others numbers are converted first."""
        return self.face(tensor, variable, tensor is Tensor)

    def _replace(self, owner: Any, name: str, method: Any) -> None:
        self._python.append((owner, name, owner.__dict__.get(name)))
        setattr(owner, name, method)

    def remove(self) -> None:
        """Have tensors use Python again, as before."""
        for owner, name, method in reversed(self._python):
            if method is None:
                delattr(owner, name)
            else:
                setattr(owner, name, method)
        self._python.clear()
        for native in self.natives:
            native.forget()
        self.natives.clear()
        self.recording = self.claim = None
        self.enough = ENOUGH


QUICK = Quick()


def _methods() -> list[tuple[str, bool, Impl]]:
    """Return methods, whether the other operand comes first, and what they call."""
    made = [(f"__{name}__", False, impl) for name, impl in _BINARY.items()]
    made += [(f"__r{name}__", True, impl) for name, impl in _BINARY.items()]
    return [*made, ("__neg__", False, BY_NUMPY[np.negative])]


def _is_weak(impl: Impl) -> bool:
    return getattr(impl, "weak", False)


def _literal(x: float) -> tuple[int, object]:
    return int(np.float64(x).view(np.int64)), (float, x.hex())


def _locate(step: Step) -> None:
    step.loc = user_loc()


def _number(x: float, dtype: Any) -> Value:
    return leaf(np.array(x, dtype), copy=False)


class Native:
    """The native form of a function: `form` returns a tensor, or None: Python looks.

    Args:
        impl: the function.
        through: the Python function that calls `form` for the user.
        tensor: the class of operands and results.
        variable: that of variables.
    """

    __slots__ = ("_given", "form")

    def __init__(
        self,
        impl: Impl,
        through: Callable[..., Any],
        tensor: type[Tensor] = Tensor,
        variable: type[Variable] = Variable,
    ) -> None:
        THROUGH.add(through.__code__)
        self._given = impl, tensor, variable
        self.form: Callable[..., Any] = self._first

    def _first(self, *args: Any) -> Any:
        """Make the native form, once there can be one."""
        recording = QUICK.recording
        if recording is None:
            return None
        impl, tensor, variable = self._given
        face = QUICK.of(tensor, variable)
        self.form = recording.function(impl, face, _is_weak(impl))
        QUICK.natives.append(self)
        return self.form(*args)

    def forget(self) -> None:
        """Be as before it was made."""
        self.form = self._first


__all__ = ["QUICK", "Native", "Quick"]
