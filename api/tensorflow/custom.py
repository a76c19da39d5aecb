"""Gradients of the user's own: `tf.custom_gradient` and `tf.RegisterGradient`."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..ir.graph import Value
from ..ir.primitive import NON_DIFFERENTIABLE
from ..tracer.pair import is_complex
from ..tracer.tape_custom import REGISTERED, Reads, record_step, step
from ..tracer.tensor import Tensor as BaseTensor
from ..tracer.tensor import current_recorder
from . import nest
from .errors import InternalError
from .tensors import EagerTensor, convert

# TensorFlow's names of ops that have a gradient, or are known to have none
_KNOWN = """
    Abs Acos Acosh AddV2 ArgMax ArgMin Asin Asinh Atan Atan2 Atanh BatchMatMulV2
    BiasAdd BroadcastTo Cast Ceil Cholesky ConcatV2 Cos Cosh Cumprod Cumsum Digamma
    Einsum Elu Equal Erf Erfc Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod
    GatherNd GatherV2 Greater GreaterEqual Identity IdentityN IsFinite IsInf IsNan
    L2Loss LeakyRelu Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd
    LogicalNot LogicalOr MatMul MatrixDeterminant MatrixInverse MatrixSolve Max
    Maximum Mean Min Minimum Mul Neg NotEqual OneHot Pack Pad PadV2 Pow Prod RealDiv
    Reciprocal Relu Relu6 Reshape ReverseV2 Round Rsqrt SelectV2 Selu Shape Sigmoid
    Sign Sin Sinh Slice Softmax SoftmaxCrossEntropyWithLogits Softplus Softsign
    Split Sqrt Square SquaredDifference Squeeze StopGradient StridedSlice Sub Sum
    Tan Tanh Tile Transpose Unpack Xlogy ZerosLike
"""


def custom_gradient(f: "Callable[..., Any] | None" = None) -> Any:
    """Return a function whose gradient is the one it returns beside its result.

    Args:
        f: returns its result and a function from one cotangent for each result to one
            for each argument. Where f reads variables that are no arguments, that
            function takes `variables=` too, and returns a pair.
    """
    if f is None:
        return custom_gradient

    @functools.wraps(f)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        recorder = current_recorder()
        with Reads(recorder) as reads:
            result, grad_fn = f(*args, **kwargs)
        flat_args = nest.flatten(args)
        if is_complex([*flat_args, *nest.flatten(result)]):
            raise TypeError(
                "a function with a gradient of its own takes and returns real tensors: "
                "pass tf.math.real(z) and tf.math.imag(z)"
            )
        inputs = [*flat_args, *nest.flatten(kwargs)]
        captured = [
            (variable, read)
            for variable, read in reads.found.values()
            if variable.trainable and not any(variable is x for x in inputs)
        ]
        variables = [variable for variable, _ in captured]
        _check_signature(grad_fn, variables)
        places: list[int] = []
        operands: list[Value] = []
        for k, x in enumerate(flat_args):
            if isinstance(x, BaseTensor):
                places.append(k)
                operands.append(x._value)
        operands += [read for _, read in captured]
        leaves = [convert(x) for x in nest.flatten(result)]
        count = len(flat_args)

        def rule(b: Any, ct: Any, out: Any, *at: Value, **params: Any) -> Any:
            cts = ct if isinstance(ct, tuple) else (ct,)
            found, own = _run(grad_fn, [_handle(c) for c in cts], variables, count)
            chosen = [found[k] for k in places]
            return [_fitted(g, x) for g, x in zip([*chosen, *own], at, strict=True)]

        name = getattr(f, "__name__", "custom_gradient")
        made = record_step(
            recorder, step(name, rule), operands, [x._value for x in leaves]
        )
        return nest.pack_sequence_as(result, [EagerTensor(x) for x in made])

    return decorated


def _handle(ct: Value) -> EagerTensor:
    return current_recorder().wrap(ct, (), EagerTensor)  # type: ignore[no-any-return]


def _check_signature(grad_fn: Callable[..., Any], variables: Sequence[Any]) -> None:
    if not variables:
        return
    spec = inspect.getfullargspec(grad_fn)
    if "variables" in (*spec.args, *spec.kwonlyargs) or spec.varkw:
        return
    raise TypeError(
        "@tf.custom_gradient grad_fn must accept keyword argument 'variables', since "
        f"function uses variables: {list(variables)}"
    )


def _run(
    grad_fn: Callable[..., Any], cts: list[EagerTensor], variables: Any, count: int
) -> tuple[list[Any], list[Any]]:
    own: list[Any] = []
    if variables:
        given, by_variable = grad_fn(*cts, variables=variables)
        own = nest.flatten(by_variable)
        if len(own) != len(variables):
            raise ValueError(
                "Must return gradient for each variable from @custom_gradient grad_fn."
            )
    else:
        given = grad_fn(*cts)
    found = nest.flatten(given)
    if len(found) != count:
        raise ValueError(
            f"custom_gradient function expected to return {count} gradients, but "
            f"returned {len(found)} instead."
        )
    return found, own


def _fitted(gradient: Any, x: Value) -> "Value | None":
    """Return a cotangent as a Value for an operand; None where there is none."""
    if gradient is None or not x.type.dtype.is_float:
        return None
    held = convert(gradient, None if hasattr(gradient, "dtype") else x.type.dtype.numpy)
    out: Value = held._value
    return out


# -- registered ------------------------------------------------------------------------


class Operation:
    """What a registered gradient is told of the op: operands, results, settings."""

    __slots__ = ("_attrs", "inputs", "name", "outputs", "type")

    def __init__(
        self, type: str, inputs: Any, outputs: Any, attrs: "dict[str, Any]"
    ) -> None:
        self.type = self.name = type
        self.inputs = inputs
        self.outputs = outputs
        self._attrs = attrs

    def get_attr(self, name: str) -> Any:
        """Return a setting of the op.

        Raises:
            ValueError: it has no such setting.
        """
        if name not in self._attrs:
            raise ValueError(f"Operation {self.name!r} has no attr named {name!r}.")
        return self._attrs[name]


class RegisterGradient:
    """A decorator that registers a function as the gradient of an op type.

    The function takes the op and one cotangent for each result; it returns one for each
    operand, None for one that has none.
    """

    __slots__ = ("_op_type",)

    def __init__(self, op_type: str) -> None:
        if not isinstance(op_type, str):
            raise TypeError("op_type must be a string")
        self._op_type = op_type

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Register a function.

        Raises:
            KeyError: the op type has a gradient.
        """
        if self._op_type in REGISTERED or self._op_type in _KNOWN.split():
            raise KeyError(f"Registering two gradient with name '{self._op_type}'!")
        REGISTERED[self._op_type] = _rule_of(self._op_type, f)
        return f


def _rule_of(op_type: str, f: Callable[..., Any]) -> Callable[..., Any]:
    def rule(b: Any, ct: Any, out: Any, *at: Value, **params: Any) -> Any:
        cts = ct if isinstance(ct, tuple) else (ct,)
        outs = out if isinstance(out, tuple) else (out,)
        op = Operation(
            op_type,
            [EagerTensor(x) for x in at],
            [EagerTensor(x) for x in outs],
            params,
        )
        found = f(op, *[_handle(c) for c in cts])
        given = list(found) if isinstance(found, (list, tuple)) else [found]
        if len(given) < len(at):
            raise InternalError(
                f"Recorded operation '{op_type}' returned too few gradients. Expected "
                f"{len(at)} but received {len(given)}"
            )
        return [_fitted(g, x) for g, x in zip(given, at, strict=False)]

    return rule


def no_gradient(op_type: str) -> None:
    """Register an op type as one whose gradient is None, always.

    Raises:
        TypeError: the op type is no string.
    """
    if not isinstance(op_type, str):
        raise TypeError("op_type must be a string")
    REGISTERED[op_type] = NON_DIFFERENTIABLE


def recompute_grad(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs again for its gradient instead of keeping values."""

    @functools.wraps(f)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **kwargs)

    return decorated


def run_step(
    name: str, operands: Sequence[EagerTensor], result: EagerTensor
) -> EagerTensor:
    """Return a result as that of an op type that has no gradient of its own."""
    (made,) = record_step(
        current_recorder(), step(name), [x._value for x in operands], [result._value]
    )
    return EagerTensor(made)


__all__ = [
    "Operation", "RegisterGradient", "custom_gradient", "no_gradient", "recompute_grad",
]  # fmt: skip
