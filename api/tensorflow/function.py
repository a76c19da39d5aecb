"""`tf.function`: recorded once for each signature, then played or run natively.

Tensors and arrays are arguments; everything else is a setting, and another setting is
another recording. Variables that the function reads are read at each call.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tracer.cell import leaf
from ..tracer.mode import MODE
from ..tracer.pair import is_complex
from ..tracer.state import STATE, WATCHERS
from ..tracer.symbolic import Recorded, SymbolicRecorder, is_recording, recording
from ..tracer.tensor import Tensor as BaseTensor
from ..tracer.tensor import current_recorder
from ..tracer.trace import name_of
from ..tracer.trees import unflatten
from ..tracer.variable import Variable as BaseVariable
from . import nest
from .dtypes import TensorSpec
from .tensors import EagerTensor, convert

_MOST = 1024  # recordings of one function


class ConcreteFunction:
    """One recording: the steps, and how its results nest."""

    def __init__(self, recorded: Recorded, result: Any, leaves: list[Any]) -> None:
        self._recorded = recorded
        self._result = result
        self._leaves = leaves  # results that are no tensors; None stands for a tensor

    def __call__(self, *given: Any) -> Any:
        """Return the results for tensors in the order of arguments."""
        return self.call([convert(x) for x in given])

    def call(self, given: Sequence[EagerTensor]) -> Any:
        """Play the steps, or run them as one program where nothing records."""
        recorder = current_recorder()
        if WATCHERS.get() or is_recording() or MODE.users:
            values = [x._value for x in given]
            made = self._recorded.play(values)
            out = [recorder.wrap(x, values, EagerTensor) for x in made]
        else:
            arrays = self._recorded.run([x._array() for x in given])
            out = [EagerTensor(leaf(a, copy=False)) for a in arrays]
        found = iter(out)
        leaves = [next(found) if x is _TENSOR else x for x in self._leaves]
        return nest.pack_sequence_as(self._result, leaves)

    @property
    def variables(self) -> tuple[Any, ...]:
        """The variables that are read or assigned."""
        return tuple(self._recorded.read)


_TENSOR = object()


class Function:
    """A Python function over tensors, recorded for each signature it meets."""

    def __init__(
        self, fun: Callable[..., Any], input_signature: "Sequence[TensorSpec] | None"
    ) -> None:
        functools.update_wrapper(self, fun)
        self._fun = fun
        self._signature = None if input_signature is None else list(input_signature)
        self._made: dict[Any, ConcreteFunction] = {}
        self._kept: list[Any] = []  # settings whose identity is part of a key
        self._lock = threading.RLock()

    @property
    def python_function(self) -> Callable[..., Any]:
        """The function that was given."""
        return self._fun

    @property
    def input_signature(self) -> "tuple[TensorSpec, ...] | None":
        """The signature that was given."""
        return None if self._signature is None else tuple(self._signature)

    def experimental_get_tracing_count(self) -> int:
        """Return how many times the function has been recorded."""
        return len(self._made)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else _Bound(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        return self._call((), args, kwargs)

    def _call(self, fixed: tuple[Any, ...], args: Any, kwargs: Any) -> Any:
        if STATE.trace is not None:
            return self._fun(*fixed, *args, **kwargs)
        made, given = self._find((*fixed, *self._cast(args)), kwargs)
        return made.call(given)

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> ConcreteFunction:
        """Return the recording for arguments; a TensorSpec stands for a tensor."""
        return self._concrete((), args, kwargs)

    def _concrete(
        self, fixed: tuple[Any, ...], args: Any, kwargs: Any
    ) -> ConcreteFunction:
        if not args and self._signature is not None:
            args = tuple(self._signature)
        given = tuple([nest.map_structure(_example, x) for x in args])
        options = {name: nest.map_structure(_example, x) for name, x in kwargs.items()}
        return self._find((*fixed, *given), options)[0]

    def _cast(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return arguments as the signature has them.

        Raises:
            TypeError: they do not fit it.
        """
        signature = self._signature
        if signature is None:
            return args
        if len(args) != len(signature):
            raise TypeError(
                "Binding inputs to tf.function failed due to `expected "
                f"{len(signature)} arguments, got {len(args)}`."
            )
        return tuple([_to_spec(x, s) for x, s in zip(args, signature, strict=True)])

    def _find(
        self, args: Any, kwargs: Any
    ) -> tuple[ConcreteFunction, list[EagerTensor]]:
        tree = (args, kwargs)
        leaves, structure = nest.split(tree)
        given: list[EagerTensor] = []
        key: list[Any] = []
        for x in leaves:
            if isinstance(x, BaseVariable):
                key.append(("variable", id(x)))
            elif _is_data(x):
                held = convert(x)
                given.append(held)
                key.append((held.dtype, held._value.type))
            else:
                key.append(_setting(x))
        where = (structure, tuple(key))
        made = self._made.get(where)
        if made is None:
            with self._lock:
                made = self._made.get(where)
                if made is None:
                    made = self._record(leaves, structure)
                    if len(self._made) >= _MOST:
                        del self._made[next(iter(self._made))]
                    self._kept += [x for x in leaves if not _is_data(x)]
                    self._made[where] = made
        return made, given

    def _record(self, leaves: Sequence[Any], structure: Any) -> ConcreteFunction:
        recorder = SymbolicRecorder(EagerTensor, name_of(self._fun))
        with recording(recorder):
            given = [
                EagerTensor(recorder.input(convert(x)._value.type))
                if _is_data(x)
                else x
                for x in leaves
            ]
            args, kwargs = unflatten(structure, given)
            result = self._fun(*args, **kwargs)
            found = nest.flatten(result)
            _demand_real(found)
            tensors: list[Any] = []
            kept: list[Any] = []
            for x in found:
                if x is None or isinstance(x, str):
                    kept.append(x)
                    continue
                tensors.append(convert(x)._value)
                kept.append(_TENSOR)
            recorded = recorder.finish(tensors)
        return ConcreteFunction(recorded, nest.map_structure(_shape_only, result), kept)


def _is_data(x: Any) -> bool:
    """Return whether a leaf is an argument, and not a setting.

    Raises:
        TypeError: it is complex.
    """
    _demand_real((x,))
    return not isinstance(x, BaseVariable) and isinstance(
        x, (BaseTensor, np.ndarray, np.generic)
    )


def _demand_real(leaves: Sequence[Any]) -> None:
    """Raise TypeError where an argument or a result of a function is complex."""
    if is_complex(leaves):
        raise TypeError(
            "arguments and results of a tf.function are real: pass tf.math.real(z) and "
            "tf.math.imag(z), and make tf.complex of them inside"
        )


def _shape_only(x: Any) -> Any:
    return 0  # a leaf that holds nothing alive


class _Bound:
    """A method that is a function: called with its object first."""

    def __init__(self, function: Function, instance: Any) -> None:
        self._function, self._instance = function, instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function._call((self._instance,), args, kwargs)

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> ConcreteFunction:
        """Return the recording for arguments; a TensorSpec stands for a tensor."""
        found: ConcreteFunction
        found = self._function._concrete((self._instance,), args, kwargs)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _setting(x: Any) -> Any:
    try:
        hash(x)
    except TypeError:
        return ("object", id(x))
    return (type(x), x)


def _example(x: Any) -> Any:
    if not isinstance(x, TensorSpec):
        return x
    if x.shape is None or None in x.shape:
        raise ValueError(
            f"{x}: a recording has sizes that are known; give a tensor of the shape"
        )
    return np.zeros(x.shape, x.dtype.dtype)


def _to_spec(x: Any, spec: TensorSpec) -> EagerTensor:
    held = convert(x) if hasattr(x, "dtype") else convert(x, spec.dtype)
    fits = spec.shape is None or spec.shape.is_compatible_with(held.shape)
    if held.dtype != spec.dtype or not fits:
        got = TensorSpec(held.shape, held.dtype)
        raise TypeError(
            "Binding inputs to tf.function failed due to "
            f"`Can not cast {got} to {spec}`."
        )
    return held


def function(
    func: "Callable[..., Any] | None" = None,
    input_signature: "Sequence[TensorSpec] | None" = None,
    autograph: bool = True,
    jit_compile: "bool | None" = None,
    reduce_retracing: bool = False,
    **options: Any,
) -> Any:
    """Return a function that is recorded for each signature of tensors it meets.

    Args:
        func: a Python function over tensors.
        input_signature: the arguments' shapes and dtypes; other calls are refused.
        autograph: accepted; `if` and `while` on tensors are not rewritten: use tf.cond.
        jit_compile: accepted; every recording is compiled.
        reduce_retracing: accepted; a recording serves one shape.
        options: TensorFlow's other settings, which change nothing here.

    Returns:
        The function, or a decorator where `func` is not given.
    """
    if func is None:
        return functools.partial(
            function, input_signature=input_signature, autograph=autograph
        )
    return Function(func, input_signature)


__all__ = ["ConcreteFunction", "Function", "TensorSpec", "function"]
