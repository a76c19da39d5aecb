"""Make TensorFlow-named functions from pullback's: names, arguments, dtype rules."""

import sys
from collections.abc import Callable
from typing import Any

from ..tracer.functions.table import PUBLIC, Impl
from ..tracer.quick import Native
from .dtypes import as_dtype
from .errors import InvalidArgumentError
from .tensors import EagerTensor, ResourceVariable, call, convert, matched

Op = Callable[..., Any]
_FLOATS = "bfloat16, half, float, double, complex64, complex128"


def need_float(x: EagerTensor, op: str) -> EagerTensor:
    """Return x, which must be of floats.

    Raises:
        InvalidArgumentError: it is not.
    """
    if not x.dtype.is_floating:
        error = InvalidArgumentError(
            f"Value for attr 'T' of {x.dtype.name} is not in the list of allowed "
            f"values: {_FLOATS} [Op:{op}] name: "
        )
        error.add_note("  nothing is cast by itself: use tf.cast(x, tf.float32)")
        raise error
    return x


def unary(name: str, op: str, impl: "Impl | None" = None, floats: bool = True) -> Op:
    """Return a function of one tensor."""
    run = impl or PUBLIC[name]

    def function(x: Any, name: "str | None" = None) -> EagerTensor:
        made = native.form(x)
        if made is not None:
            return made  # type: ignore[no-any-return]
        held = convert(x)
        if floats and not held.dtype.is_complex:
            need_float(held, op)
        return call(run, (held,), op)  # type: ignore[no-any-return]

    native = Native(run, function, EagerTensor, ResourceVariable)
    return named(function, name, run)


def binary(name: str, op: str, impl: "Impl | None" = None, floats: bool = False) -> Op:
    """Return a function of two tensors of one dtype."""
    run = impl or PUBLIC[name]

    def function(x: Any, y: Any, name: "str | None" = None) -> EagerTensor:
        made = native.form(x, y)
        if made is not None:
            return made  # type: ignore[no-any-return]
        one, two = matched(x, y, op)
        if floats:
            need_float(convert(one, None, getattr(two, "dtype", None)), op)
        return call(run, (one, two), op)  # type: ignore[no-any-return]

    native = Native(run, function, EagerTensor, ResourceVariable)
    return named(function, name, run)


def reduction(name: str, op: str, impl: Impl, keep: bool = False) -> Op:
    """Return a reduction over axes; with `keep` the result has the tensor's dtype."""

    def function(
        input_tensor: Any, axis: Any = None, keepdims: bool = False, name: Any = None
    ) -> EagerTensor:
        held = convert(input_tensor)
        options = {"keepdims": keepdims}
        made = call(impl, (held, plain_axis(axis)), op, options)
        return cast_to(made, held.dtype) if keep else made

    return named(function, name, impl)


def plain_axis(axis: Any) -> Any:
    """Return axes as integers: a tensor, a list or a number may name them."""
    if axis is None or isinstance(axis, int):
        return axis
    if isinstance(axis, EagerTensor):
        axis = axis.numpy().tolist()
    if isinstance(axis, (list, tuple)):
        return tuple([int(a) for a in axis])
    return int(axis)


def plain_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape as integers: a tensor, a list or a number may give it."""
    if isinstance(shape, (list, tuple)):
        return tuple([int(d) for d in shape])
    if isinstance(shape, EagerTensor):
        shape = shape.numpy().tolist()
        return plain_shape(shape if isinstance(shape, list) else [shape])
    tolist = getattr(shape, "tolist", None)
    if tolist is not None:
        return plain_shape(tolist())
    return (int(shape),)


def cast_to(x: EagerTensor, dtype: Any) -> EagerTensor:
    """Return a tensor in another dtype; itself where nothing changes."""
    wanted = as_dtype(dtype)
    if x.dtype == wanted:
        return x
    if x.dtype.is_complex and not wanted.is_complex:
        return cast_to(call(PUBLIC["real"], (x,), "Real"), wanted)
    return call(PUBLIC["cast"], (x, wanted.dtype), "Cast")  # type: ignore[no-any-return]


def named(function: Op, name: str, impl: Impl) -> Op:
    """Return the function with a name and the documentation of what it runs."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = impl.__doc__
    # where it is called that, two frames up
    function.__module__ = sys._getframe(2).f_globals["__name__"]
    return function


def public_names(module: "dict[str, Any]") -> list[str]:
    """Return the names of the functions that a module makes, for its `__all__`."""
    here = module["__name__"]
    return sorted(
        name
        for name, held in module.items()
        if not name.startswith("_") and getattr(held, "__module__", "") == here
    )
