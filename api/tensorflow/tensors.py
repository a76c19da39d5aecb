"""Tensors and variables with TensorFlow's rules.

float32 unless said otherwise; no cast between tensors; Python's scalars and lists take
the dtype of the tensor beside them. The operations are pullback's.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from ..ir.errors import IndexOutOfRange, OpTypeError, SizeError, TracedValueError
from ..tracer.cell import leaf
from ..tracer.functions import indexing, shaping
from ..tracer.functions.table import BY_NUMPY, PUBLIC, Impl
from ..tracer.operators import Operators
from ..tracer.quick import QUICK
from ..tracer.symbolic import is_symbolic
from ..tracer.tensor import Taped, _text, current_recorder
from ..tracer.tensor import Tensor as BaseTensor
from ..tracer.variable import Variable as BaseVariable
from . import complex_face
from .dtypes import DType, TensorShape, as_dtype, short_name
from .errors import (
    InvalidArgumentError,
    OperatorNotAllowedInGraphError,
    OutOfRangeError,
)
from .numbers import may_be, numbers
from .op_names import OP_NAMES, Reference, instead

_SCALARS = (bool, int, float, complex)


class Face:
    """What tensors and variables have by TensorFlow's names."""

    __slots__ = ()

    _word = "Tensor"
    _instead = staticmethod(instead)
    _value: Any  # of the class beside this one

    def _apply(self, impl: Impl, *args: Any) -> Any:
        op = OP_NAMES.get(id(impl))
        if op is None:
            return call(impl, args, getattr(impl, "__name__", "op"))
        x, y = matched(args[0], args[1], op)
        return call(impl, (x, y), op)

    def _binary(self, impl: Impl, x: Any, y: Any, other: Any) -> Any:
        if isinstance(other, (Operators, *_SCALARS, list, tuple)) or hasattr(
            other, "__array__"
        ):
            return self._apply(impl, x, y)
        return NotImplemented

    @property
    def shape(self) -> TensorShape:
        """The extents of all axes."""
        return TensorShape(self._kind().shape)

    @property
    def dtype(self) -> DType:
        """The element type."""
        return as_dtype(self._kind().dtype.numpy)

    def _kind(self) -> Any:
        return self._value.type

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        held: Any = self
        if any(isinstance(k, (BaseTensor, np.ndarray, list)) for k in parts):
            # of its own, so that the gradient by this tensor is dense: only a gather's
            # is sparse
            held = call(PUBLIC["positive"], (self,), "Identity")
        return call(indexing.getitem, (held, index), "StridedSlice")

    def __len__(self) -> int:
        shape = self._kind().shape
        if not shape:
            raise TypeError("Scalar tensor has no `len()`")
        return int(shape[0])

    def __iter__(self) -> Any:
        if not self._kind().shape:
            raise TypeError("Cannot iterate over a scalar tensor.")
        return iter([self[k] for k in range(len(self))])

    def get_shape(self) -> TensorShape:
        """Return the extents of all axes."""
        return self.shape

    def ref(self) -> Reference:
        """Return a hashable stand-in; `deref` gives this back."""
        return Reference(self)

    def __hash__(self) -> NoReturn:
        raise TypeError(
            f"{self._word} is unhashable. Instead, use {self._word.lower()}.ref() as "
            "the key."
        )

    def __eq__(self, other: object) -> Any:
        return self._binary(BY_NUMPY[np.equal], self, other, other)

    def __ne__(self, other: object) -> Any:
        return self._binary(BY_NUMPY[np.not_equal], self, other, other)


class EagerTensor(Face, BaseTensor):  # type: ignore[misc]  # its dtype is TensorFlow's
    """A tensor; immutable, computed when it is looked at."""

    __slots__ = ()
    __hash__ = Face.__hash__

    def __bool__(self) -> bool:
        try:
            return BaseTensor.__bool__(self)
        except TracedValueError as error:
            made = OperatorNotAllowedInGraphError(
                "Using a symbolic `tf.Tensor` as a Python `bool` is not allowed. You "
                "can attempt the following resolutions to the problem: If you are "
                "running in Graph mode, use Eager execution mode or decorate this "
                "function with @tf.function."
            )
            made.add_note(str(error))
            raise made from None

    def __str__(self) -> str:
        if self._is_symbolic():
            return self._symbolic()
        shown = _text(self.numpy())
        return f"tf.Tensor({shown}, shape={self.shape}, dtype={self.dtype.name})"

    @staticmethod
    def _paired(re: Any, im: Any) -> Any:
        return complex_face.paired(re, im)

    def _is_symbolic(self) -> bool:
        return is_symbolic(self._value)

    def _symbolic(self) -> str:
        return f"Tensor(shape={self.shape}, dtype={self.dtype.name})"

    def __repr__(self) -> str:
        if self._is_symbolic():
            return f"<tf.{self._symbolic()}>"
        return (
            f"<tf.Tensor: shape={self.shape}, dtype={self.dtype.name}, "
            f"numpy={_text(self.numpy(), True)}>"
        )


class ResourceVariable(Face, BaseVariable):  # type: ignore[misc]  # as above
    """A tensor whose value can be replaced.

    Args:
        initial_value: numbers, lists, an array, a tensor, or a function that makes one.
        trainable: whether tapes watch it when it is read.
        name: its name; `:0` is added.
        dtype: the element type.
        shape: checked against the value's, where it is given.
    """

    __slots__ = ()
    __hash__ = Face.__hash__
    _word = "Variable"

    def __init__(
        self,
        initial_value: Any = None,
        trainable: bool = True,
        validate_shape: bool = True,
        caching_device: Any = None,
        name: "str | None" = None,
        variable_def: Any = None,
        dtype: Any = None,
        import_scope: Any = None,
        constraint: Any = None,
        synchronization: Any = None,
        aggregation: Any = None,
        shape: Any = None,
    ) -> None:
        if initial_value is None:
            raise ValueError(
                "The `initial_value` arg to `tf.Variable` must be specified except "
                "when you are not providing a `variable_def`. You provided neither."
            )
        if callable(initial_value) and not isinstance(initial_value, BaseTensor):
            initial_value = initial_value()
        given = convert(initial_value, dtype)
        BaseVariable.__init__(self, given, trainable, f"{name or 'Variable'}:0")
        if shape is not None and TensorShape(shape) != self.shape:
            raise ValueError(
                f"The initial value's shape ({self.shape}) is not compatible with the "
                f"explicitly supplied `shape` argument ({TensorShape(shape)})."
            )

    @classmethod
    def _of_complex(cls, *args: Any, **options: Any) -> Any:
        return complex_face.variable(cls, *args, **options)

    def _kind(self) -> Any:
        return self._current.type

    def value(self) -> EagerTensor:
        """Return the present value as a tensor."""
        return EagerTensor(self._value)

    def assign(
        self,
        value: Any,
        use_locking: bool = False,
        name: "str | None" = None,
        read_value: bool = True,
    ) -> "ResourceVariable":
        """Replace the value; shape and dtype stay.

        Raises:
            ValueError: the shape or the dtype differs.
        """
        new = convert(value, self.dtype)
        if new.shape != self.shape:
            raise ValueError(
                f"Cannot assign value to variable ' {self.name}': Shape mismatch."
                f"The variable shape {self.shape}, and the assigned value shape "
                f"{new.shape} are incompatible."
            )
        BaseVariable.assign(self, new)
        return self

    def assign_add(self, value: Any, *args: Any, **options: Any) -> "ResourceVariable":
        """Add to the value."""
        return self.assign(self.value() + self._fitting(value))

    def assign_sub(self, value: Any, *args: Any, **options: Any) -> "ResourceVariable":
        """Subtract from the value."""
        return self.assign(self.value() - self._fitting(value))

    def _fitting(self, delta: Any) -> EagerTensor:
        given = convert(delta, self.dtype)
        if given.shape != self.shape:
            raise ValueError(
                f"Cannot update variable with shape {list(self.shape)} using a Tensor "
                f"with shape {list(given.shape)}, shapes must be equal."
            )
        return given

    def __str__(self) -> str:
        return (
            f"<tf.Variable {self.name!r} shape={self.shape} dtype={self.dtype.name}, "
            f"numpy={_text(self.numpy(), True)}>"
        )

    __repr__ = __str__


EagerTensor.plain = EagerTensor
ResourceVariable.plain = EagerTensor


# -- making tensors --------------------------------------------------------------------


def convert(value: Any, dtype: Any = None, hint: Any = None) -> EagerTensor:
    """Return a tensor of what a value is: a tensor, numbers, lists of them, arrays.

    Args:
        value: what is converted.
        dtype: the element type it must have.
        hint: the element type Python's numbers take where they can.

    Raises:
        ValueError: it is a tensor of another dtype, or no array of numbers.
        TypeError: Python numbers cannot be of that dtype.
    """
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(value, Taped):
        held: EagerTensor = _held(value)
        if wanted is not None and held.dtype != wanted:
            raise ValueError(
                f"Tensor conversion requested dtype {wanted.name} for Tensor with "
                f"dtype {held.dtype.name}: {held!r}"
            )
        return held
    as_tensor = getattr(value, "_as_tensor", None)
    if as_tensor is not None:
        return convert(as_tensor(), dtype)
    if isinstance(value, (list, tuple)) and _holds_tensor(value):
        return _packed(value, wanted)
    return _made(numbers(value, wanted, hint))  # type: ignore[no-any-return]


def _held(value: Any) -> Any:
    """Return a tensor of this face for a tensor or a variable."""
    if type(value) is EagerTensor:
        return value
    if not isinstance(value, BaseTensor):
        return complex_face.held(value)
    return EagerTensor(value._value)


def _made(array: np.ndarray[Any, Any]) -> Any:
    """Return a tensor that holds a copy of an array."""
    if array.dtype.kind != "c":
        return EagerTensor(leaf(array))
    return EagerTensor._paired(*[_made(part) for part in (array.real, array.imag)])


def _holds_tensor(items: Sequence[Any]) -> bool:
    return any(
        isinstance(x, Taped) or (isinstance(x, (list, tuple)) and _holds_tensor(x))
        for x in items
    )


def _first_dtype(items: Sequence[Any]) -> "DType | None":
    for x in items:
        if isinstance(x, Taped):
            return as_dtype(np.dtype(x.dtype))
        if isinstance(x, (list, tuple)):
            found = _first_dtype(x)
            if found is not None:
                return found
    return None


def _packed(items: Sequence[Any], wanted: "DType | None") -> EagerTensor:
    kind = wanted or _first_dtype(items)
    parts = [convert(x, kind) for x in items]
    return call(shaping.stack, (parts,), "Pack")  # type: ignore[no-any-return]


def constant(
    value: Any, dtype: Any = None, shape: Any = None, name: "str | None" = "Const"
) -> EagerTensor:
    """Return a tensor of numbers, lists or arrays; a single number fills a shape."""
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(value, Taped):
        made: EagerTensor = _made(np.asarray(convert(value, wanted)._array()))
    else:
        made = convert(value, wanted)
    if shape is None:
        return made
    array = made._array()
    size = tuple(int(d) for d in np.atleast_1d(np.asarray(shape, np.int64)))
    if array.size == 1:
        array = np.broadcast_to(array.reshape(()), size)
    elif array.size != int(np.prod(size)):
        raise TypeError(
            f"Eager execution of tf.constant with unsupported shape. Tensor {made!r} "
            f"(converted from {value!r}) has {array.size} elements, but got `shape` "
            f"{size} with {int(np.prod(size))} elements)."
        )
    return _made(array.reshape(size))  # type: ignore[no-any-return]  # of this face


# -- running ---------------------------------------------------------------------------


def matched(x: Any, y: Any, op: str) -> tuple[Any, Any]:
    """Return two operands of one dtype; Python scalars stay as they are.

    Raises:
        InvalidArgumentError: two tensors differ in dtype.
        TypeError: a Python number is none of the tensor's dtype.
    """
    beside = x if isinstance(x, Taped) else y
    if not isinstance(beside, Taped):
        held = convert(x)
        return matched(held, y, op)
    kind = as_dtype(np.dtype(beside.dtype))
    x, y = _beside(x, kind), _beside(y, kind)
    if isinstance(x, Taped) and isinstance(y, Taped):
        other = as_dtype(np.dtype(y.dtype))
        first = as_dtype(np.dtype(x.dtype))
        if first != other:
            raise differ(op, 1, first, other)
    return x, y


def differ(op: str, at: int, first: DType, other: DType) -> InvalidArgumentError:
    """Return the error of an operand that has another dtype than the first."""
    error = InvalidArgumentError(
        f"cannot compute {op} as input #{at}(zero-based) was expected to be a "
        f"{short_name(first)} tensor but is a {short_name(other)} tensor [Op:{op}] "
        "name: "
    )
    error.add_note(f"  nothing is cast by itself: use tf.cast(x, tf.{first.name})")
    return error


def _beside(x: Any, kind: DType) -> Any:
    if isinstance(x, Taped):
        return x
    if type(x) in _SCALARS:
        if not may_be(np.asarray(x), kind, True):
            raise TypeError(f"Cannot convert {x!r} to EagerTensor of dtype {kind.name}")
        return x
    if isinstance(x, (list, tuple)):
        return convert(x, kind)
    return convert(x, None, kind)


def call(
    impl: Impl, args: Sequence[Any], op: str, options: "dict[str, Any] | None" = None
) -> Any:
    """Run one of pullback's functions; results are tensors of this face."""
    try:
        return current_recorder().call(impl, args, options or {}, EagerTensor)
    except IndexOutOfRange as error:
        raise _renamed(OutOfRangeError, error, args, op) from None
    except (OpTypeError, SizeError) as error:
        raise _renamed(InvalidArgumentError, error, args, op) from None


def _renamed(
    kind: type[Exception], error: Exception, args: Sequence[Any], op: str
) -> Exception:
    shapes = [
        list(x.shape) if isinstance(x, Taped) else list(np.shape(x))
        for x in args
        if isinstance(x, (Taped, np.ndarray))
    ]
    said, _, rest = str(error).partition("\n")
    if "do not broadcast" in said and len(shapes) == 2:
        said = f"Incompatible shapes: {_sizes(shapes[0])} vs. {_sizes(shapes[1])}"
    elif op == "MatMul" and len(shapes) == 2:
        said = (
            f"Matrix size-incompatible: In[0]: {_sizes(shapes[0])}, "
            f"In[1]: {_sizes(shapes[1])}"
        )
    made = kind(f"{said} [Op:{op}] name: ")
    if rest:
        made.add_note(rest)
    return made


def _sizes(shape: Sequence[Any]) -> str:
    return f"[{','.join(map(str, shape))}]"


Tensor = EagerTensor
Variable = ResourceVariable
QUICK.add(EagerTensor, ResourceVariable)

__all__ = [
    "EagerTensor",
    "Reference",
    "ResourceVariable",
    "Tensor",
    "Variable",
    "call",
    "constant",
    "convert",
    "differ",
    "matched",
]
