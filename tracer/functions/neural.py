"""Functions of neural networks: activations, softmax, cross-entropy, embeddings."""

import math
from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.types import I64, dtype_of
from ..builders import ArrayBuilder
from ..operands import axis_index, emit, floating, operand, shape_of, value
from .creation import positions
from .elementwise import same_dtype
from .indexing import take_along_axis
from .reductions import restore

# Klambauer et al. 2017, "Self-normalizing neural networks", equation 14
_SELU_SCALE = 1.0507009873554804934193349852946
_SELU_ALPHA = 1.6732632423543772848170429916717


def relu6(b: ArrayBuilder, x: Any) -> Value:
    """Return x moved into [0, 6]; the derivative at the ends is 0."""
    held = value(b, x, "relu6")
    return emit(b, "minimum", 6, emit(b, "maximum", 0, held))  # type: ignore[no-any-return]


def leaky_relu(b: ArrayBuilder, x: Any, negative_slope: Any = 0.01) -> Value:
    """Return x, times a slope where it is below 0; at 0 the derivative is the slope."""
    held = floating(b, x, "leaky_relu")
    low = emit(b, "mul", held, operand(b, negative_slope, "leaky_relu"))
    return emit(b, "select", b.op("gt", held, 0.0), held, low)  # type: ignore[no-any-return]


def elu(b: ArrayBuilder, x: Any, alpha: Any = 1.0) -> Value:
    """Return x above 0, alpha * (exp(x) - 1) below."""
    held = floating(b, x, "elu")
    # where x is above 0 the other branch must stay finite
    low = b.op("expm1", b.op("minimum", held, 0.0))
    scaled = emit(b, "mul", low, operand(b, alpha, "elu"))
    return emit(b, "select", b.op("gt", held, 0.0), held, scaled)  # type: ignore[no-any-return]


def selu(b: ArrayBuilder, x: Any) -> Value:
    """Return the elu that keeps mean 0 and variance 1."""
    return b.op("mul", elu(b, x, _SELU_ALPHA), _SELU_SCALE)  # type: ignore[no-any-return]


def gelu(b: ArrayBuilder, x: Any, approximate: bool = False) -> Value:
    """Return x times the normal distribution function, or its tanh approximation."""
    held = floating(b, x, "gelu")
    if approximate:
        cubed = b.op("mul", b.op("square", held), held)
        inner = b.op("add", held, b.op("mul", cubed, 0.044715))
        wave = b.op("tanh", b.op("mul", inner, math.sqrt(2.0 / math.pi)))
        return b.op("mul", b.op("mul", held, 0.5), b.op("add", wave, 1.0))  # type: ignore[no-any-return]
    # erfc keeps every digit where x is far below 0
    tail = emit(b, "erfc", b.op("mul", held, -math.sqrt(0.5)))
    return b.op("mul", b.op("mul", held, 0.5), tail)  # type: ignore[no-any-return]


def silu(b: ArrayBuilder, x: Any) -> Value:
    """Return x * sigmoid(x)."""
    held = floating(b, x, "silu")
    return b.op("mul", held, b.op("sigmoid", held))  # type: ignore[no-any-return]


def log_sigmoid(b: ArrayBuilder, x: Any) -> Value:
    """Return log(sigmoid(x)), finite for every finite x."""
    held = floating(b, x, "log_sigmoid")
    return b.op("neg", b.op("softplus", b.op("neg", held)))  # type: ignore[no-any-return]


def softsign(b: ArrayBuilder, x: Any) -> Value:
    """Return x / (1 + |x|)."""
    held = floating(b, x, "softsign")
    return b.op("div", held, b.op("add", b.op("abs", held), 1.0))  # type: ignore[no-any-return]


def hard_tanh(b: ArrayBuilder, x: Any) -> Value:
    """Return x moved into [-1, 1]."""
    held = floating(b, x, "hard_tanh")
    return b.op("minimum", b.op("maximum", held, -1.0), 1.0)  # type: ignore[no-any-return]


def _below_top(b: ArrayBuilder, x: Value, axis: int) -> Value:
    """Return x less its largest element along an axis; infinities stay."""
    top = b.op("stop_gradient", b.op("max", x, axes=(axis,)))
    top = b.op("select", b.op("isfinite", top), top, 0.0)
    return b.op("sub", x, b.broadcast(restore(b, top, (axis,)), x.type.shape))  # type: ignore[no-any-return]


def softmax(b: ArrayBuilder, x: Any, axis: Any = -1) -> Value:
    """Return exp(x) over its sum along an axis."""
    held = floating(b, x, "softmax")
    at = axis_index(axis, held.type.rank, "softmax")
    raised = b.op("exp", _below_top(b, held, at))
    total = restore(b, b.op("sum", raised, axes=(at,)), (at,))
    return b.op("div", raised, b.broadcast(total, held.type.shape))  # type: ignore[no-any-return]


def log_softmax(b: ArrayBuilder, x: Any, axis: Any = -1) -> Value:
    """Return x less the logarithm of the sum of exp(x) along an axis."""
    held = floating(b, x, "log_softmax")
    at = axis_index(axis, held.type.rank, "log_softmax")
    low = _below_top(b, held, at)
    total = b.op("log", b.op("sum", b.op("exp", low), axes=(at,)))
    return b.op("sub", low, b.broadcast(restore(b, total, (at,)), held.type.shape))  # type: ignore[no-any-return]


def softmax_cross_entropy(
    b: ArrayBuilder, logits: Any, labels: Any, axis: Any = -1
) -> Value:
    """Return -sum(labels * log_softmax(logits)) along an axis.

    Labels are probabilities in the shape of the logits, or integers, one a row.
    """
    held, given = (
        value(b, logits, "softmax_cross_entropy"),
        value(b, labels, "softmax_cross_entropy"),
    )
    rank = held.type.rank
    at = axis_index(axis, rank, "softmax_cross_entropy")
    logs = log_softmax(b, held, at)
    if given.type.dtype.kind in "iu" and given.type.rank == rank - 1:
        wide = b.op("expand_dims", given, axes=(at,))
        picked = take_along_axis(b, logs, wide, at)
        return b.op("neg", b.op("squeeze", picked, axes=(at,)))  # type: ignore[no-any-return]
    if given.type.rank != rank or given.type.dtype.kind == "b":
        raise OpTypeError(
            f"softmax_cross_entropy: labels {given.type} are neither probabilities in "
            f"the shape of {held.type} nor integers with an axis less"
        )
    logs, given = same_dtype(b, "softmax_cross_entropy", logs, given)
    given = emit(b, "broadcast_to", given, logs.type.shape)
    # a label of 0 leaves out what has no probability: 0 times -inf
    terms = b.op("mask_mul", given, logs)
    return b.op("neg", b.op("sum", terms, axes=(at,)))  # type: ignore[no-any-return]


def sigmoid_cross_entropy(b: ArrayBuilder, logits: Any, labels: Any) -> Value:
    """Return the cross-entropy of probabilities with sigmoid(logits), each element."""
    x, z = same_dtype(b, "sigmoid_cross_entropy", floating(b, logits, "logits"), labels)
    return emit(b, "sub", b.op("softplus", x), emit(b, "mul", x, z))  # type: ignore[no-any-return]


def one_hot(
    b: ArrayBuilder, x: Any, num_classes: Any, dtype: Any = float, axis: Any = -1
) -> Value:
    """Return rows that are 1 at an integer and else 0; all 0 where it is outside."""
    held = value(b, x, "one_hot")
    if held.type.dtype.kind not in "iu":
        raise OpTypeError(f"one_hot: classes are integers, not {held.type}")
    at = axis_index(axis, held.type.rank + 1, "one_hot")
    (count,) = shape_of(num_classes, "one_hot")
    shape = (*held.type.shape[:at], count, *held.type.shape[at:])
    lifted = b.op("expand_dims", cast_to(b, held, I64), axes=(at,))
    hit = b.op("eq", b.broadcast(lifted, shape), positions(b, shape, at))
    return cast_to(b, hit, dtype_of(dtype))


def l2_loss(b: ArrayBuilder, x: Any) -> Value:
    """Return half the sum of squares."""
    held = floating(b, x, "l2_loss")
    total = b.op("sum", b.op("square", held), axes=tuple(range(held.type.rank)))
    return b.op("mul", total, 0.5)  # type: ignore[no-any-return]


def bias_add(b: ArrayBuilder, x: Any, bias: Any) -> Value:
    """Return x with a vector added along its last axis."""
    held, added = value(b, x, "bias_add"), value(b, bias, "bias_add")
    if added.type.rank != 1:
        raise OpTypeError(f"bias_add: a bias is a vector, not {added.type}")
    return emit(b, "add", held, added)  # type: ignore[no-any-return]


def embedding_lookup(b: ArrayBuilder, params: Any, ids: Any) -> Value:
    """Return the rows of a table at integers."""
    table, rows = (
        value(b, params, "embedding_lookup"),
        value(b, ids, "embedding_lookup"),
    )
    return emit(b, "take", table, rows, axis=0)  # type: ignore[no-any-return]
