"""The array that a decorated function sees while it is traced.

It has NumPy's operators, methods and dispatch, and no value: whatever needs one raises
with advice. It knows nothing of how a trace is made or used.
"""

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..ir.errors import TracedValueError
from ..ir.graph import Value
from ..ir.loc import traced_at, user_loc
from . import numpy_dispatch
from .functions import (
    counting,
    elementwise,
    indexing,
    linalg,
    matrices,
    rearranging,
    reductions,
    rounding,
    running,
    shaping,
)
from .functions.table import Impl
from .operators import Operators

if TYPE_CHECKING:
    from .trace import Trace


def described(value: Value) -> str:
    """Return how messages name a value: `f64[3] = mul`."""
    return (
        f"{value.type} = {value.node.primitive.name}"
        if value.node
        else (f"{value.type}, an argument")
    )


class TracedArray(Operators):
    """An array of known dtype and shape whose elements are not known yet."""

    __slots__ = ("_trace", "_value")

    def __init__(self, trace: "Trace", value: Value) -> None:
        self._trace = trace
        self._value = value

    def __repr__(self) -> str:
        return f"TracedArray({described(self._value)})"

    def _apply(self, impl: Impl, *args: Any) -> Any:
        return self._trace.call(impl, args, {})

    def _method(self, impl: Impl, args: tuple[Any, ...], options: Any) -> Any:
        return self._trace.call(impl, (self, *args), options)

    # -- NumPy's protocols ---------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any
    ) -> Any:
        impl = numpy_dispatch.of_ufunc(ufunc, method)
        return self._trace.call(impl, inputs, options)

    def __array_function__(
        self, function: Any, types: Any, args: Any, options: Any
    ) -> Any:
        return self._trace.call(numpy_dispatch.of_function(function), args, options)

    # -- methods of ndarray --------------------------------------------------------

    def sum(self, *args: Any, **options: Any) -> Any:
        """Return the sum over axes."""
        return self._method(reductions.sum, args, options)

    def mean(self, *args: Any, **options: Any) -> Any:
        """Return the mean over axes."""
        return self._method(reductions.mean, args, options)

    def max(self, *args: Any, **options: Any) -> Any:
        """Return the largest element over axes."""
        return self._method(reductions.max, args, options)

    def min(self, *args: Any, **options: Any) -> Any:
        """Return the smallest element over axes."""
        return self._method(reductions.min, args, options)

    def var(self, *args: Any, **options: Any) -> Any:
        """Return the variance over axes."""
        return self._method(reductions.var, args, options)

    def std(self, *args: Any, **options: Any) -> Any:
        """Return the standard deviation over axes."""
        return self._method(reductions.std, args, options)

    def prod(self, *args: Any, **options: Any) -> Any:
        """Return the product over axes."""
        return self._method(reductions.prod, args, options)

    def any(self, *args: Any, **options: Any) -> Any:
        """Return whether some element over axes is not 0."""
        return self._method(counting.any, args, options)

    def all(self, *args: Any, **options: Any) -> Any:
        """Return whether no element over axes is 0."""
        return self._method(counting.all, args, options)

    def argmax(self, *args: Any, **options: Any) -> Any:
        """Return the place of the first largest element."""
        return self._method(counting.argmax, args, options)

    def argmin(self, *args: Any, **options: Any) -> Any:
        """Return the place of the first smallest element."""
        return self._method(counting.argmin, args, options)

    def cumsum(self, *args: Any, **options: Any) -> Any:
        """Return the sums of the elements up to each one."""
        return self._method(running.cumsum, args, options)

    def cumprod(self, *args: Any, **options: Any) -> Any:
        """Return the products of the elements up to each one."""
        return self._method(running.cumprod, args, options)

    def round(self, *args: Any, **options: Any) -> Any:
        """Return elements rounded to a number of decimals."""
        return self._method(rounding.round, args, options)

    def trace(self, *args: Any, **options: Any) -> Any:
        """Return the sum along a diagonal."""
        return self._method(matrices.trace, args, options)

    def diagonal(self, *args: Any, **options: Any) -> Any:
        """Return a diagonal of two axes, as a last axis."""
        return self._method(matrices.diagonal, args, options)

    def repeat(self, *args: Any, **options: Any) -> Any:
        """Return each element several times in a row."""
        return self._method(rearranging.repeat, args, options)

    def take(self, *args: Any, **options: Any) -> Any:
        """Return the elements at integers along an axis."""
        return self._method(indexing.take, args, options)

    def reshape(self, *shape: Any, **options: Any) -> Any:
        """Return the elements in C order under another shape."""
        return self._method(shaping.reshape, shape, options)

    def transpose(self, *axes: Any) -> Any:
        """Return the axes in another order."""
        return self._method(shaping.transpose, axes, {})

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """Return two axes exchanged."""
        return self._method(shaping.swapaxes, (axis1, axis2), {})

    def squeeze(self, axis: Any = None) -> Any:
        """Return the array without axes of size 1."""
        return self._method(shaping.squeeze, (axis,), {})

    def ravel(self, order: str = "C") -> Any:
        """Return the elements on one axis."""
        return self._method(shaping.ravel, (order,), {})

    def flatten(self, order: str = "C") -> Any:
        """Return the elements on one axis."""
        return self._method(shaping.ravel, (order,), {})

    def astype(self, dtype: Any, **options: Any) -> Any:
        """Return the array in another dtype."""
        return self._method(elementwise.astype, (dtype,), options)

    def dot(self, other: Any) -> Any:
        """Return the product of matrices or vectors, as np.dot."""
        return self._method(linalg.dot, (other,), {})

    def clip(self, *args: Any, **options: Any) -> Any:
        """Return elements moved into an interval."""
        return self._method(elementwise.clip, args, options)

    @property
    def real(self) -> Any:
        """The real part: the array itself."""
        return self._method(rounding.real, (), {})

    @property
    def imag(self) -> Any:
        """The imaginary part: zeros."""
        return self._method(rounding.imag, (), {})

    def conj(self) -> Any:
        """Return the complex conjugate."""
        return self._method(rounding.conjugate, (), {})

    conjugate = conj

    def copy(self, order: str = "C") -> Any:
        """Return the same elements as a value of its own."""
        return self._method(elementwise.positive, (), {})

    # -- what needs values ---------------------------------------------------------

    def _refuse(self, asked: str, advice: str) -> NoReturn:
        value = self._value
        made = value.node.loc if value.node else None
        where = f"\n  made at: {made}" if made else ""
        raise TracedValueError(
            f"{asked} needs the value of {described(value)}, which is only traced"
            f"{traced_at(user_loc(3))}{where}\n  {advice}"
        )

    def __array__(self, *args: Any, **options: Any) -> NoReturn:
        self._refuse(
            "conversion to a NumPy array",
            "build arrays of traced values with np.stack, np.concatenate or pb.array; "
            "an element of a NumPy array at a traced i is pb.take(array, i, axis=0)",
        )

    def __float__(self) -> NoReturn:
        self._refuse(
            "float(), or an element of a NumPy array,",
            "use the array as it is; fill an array with np.stack or x.at[i].set(value)",
        )

    def __format__(self, spec: str) -> str:
        if spec:
            self._refuse("a format", "print it without one to see its type")
        return str(self)

    def __int__(self) -> NoReturn:
        self._refuse("int()", "use .astype(int), or pass the number as static")

    def __complex__(self) -> NoReturn:
        self._refuse("complex()", "use .astype(complex), or pb.complex of both parts")

    def __index__(self) -> NoReturn:
        self._refuse(
            "an index or a range",
            "x[i] takes a traced i where x is traced; "
            "else pass the number with static_argnums",
        )

    def __bool__(self) -> bool:
        trace = self._trace
        if trace.decide is not None and trace.innermost() is trace:
            return trace.decide(trace, self._value)
        self._refuse(
            "the truth of an `if`, `while`, `and` or `or`",
            "choose with np.where(condition, x, y) or pb.cond, repeat with "
            "pb.while_loop, or pass what decides with static_argnums",
        )

    def __setitem__(self, index: Any, item: Any) -> NoReturn:
        self._refuse(
            "assignment to elements",
            "traced arrays are immutable: build the result with np.where or "
            "np.concatenate",
        )

    def item(self, *args: Any) -> NoReturn:
        """Refuse: there is no value to return."""
        self._refuse(".item()", "return the array and read the number outside")

    def tolist(self) -> NoReturn:
        """Refuse: there is no value to return."""
        self._refuse(".tolist()", "return the array and read the numbers outside")
