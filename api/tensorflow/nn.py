"""`tf.nn`: activations, losses, lookups."""

from typing import Any

import numpy as np

from ..tracer.functions import elementwise, neural
from ..tracer.functions.table import NN
from . import arrays, math
from . import random as draws
from .making import cast_to, plain_axis, public_names, unary
from .making import need_float as _need_float
from .tensors import EagerTensor, call, convert, matched

relu = unary("relu", "Relu", elementwise.relu, floats=False)
relu6 = unary("relu6", "Relu6", neural.relu6, floats=False)
softplus, sigmoid, tanh = math.softplus, math.sigmoid, math.tanh
selu = unary("selu", "Selu", neural.selu)
softsign = unary("softsign", "Softsign", neural.softsign)
log_sigmoid = unary("log_sigmoid", "LogSigmoid", neural.log_sigmoid)
l2_loss = unary("l2_loss", "L2Loss", neural.l2_loss)
elu = unary("elu", "Elu", neural.elu)
l2_normalize = math.l2_normalize


def silu(features: Any, beta: float = 1.0) -> EagerTensor:
    """Return x * sigmoid(beta * x)."""
    held = _need_float(convert(features), "Silu")
    if beta == 1.0:
        return call(NN["silu"], (held,), "Silu")  # type: ignore[no-any-return]
    return held * math.sigmoid(held * beta)  # type: ignore[no-any-return]


swish = silu


def leaky_relu(features: Any, alpha: float = 0.2, name: Any = None) -> EagerTensor:
    """Return x, times alpha where it is below 0."""
    held = _need_float(convert(features), "LeakyRelu")
    return call(NN["leaky_relu"], (held, alpha), "LeakyRelu")  # type: ignore[no-any-return]


def gelu(features: Any, approximate: bool = False, name: Any = None) -> EagerTensor:
    """Return x times the normal distribution function."""
    held = _need_float(convert(features), "Gelu")
    return call(NN["gelu"], (held, approximate), "Gelu")  # type: ignore[no-any-return]


def softmax(logits: Any, axis: Any = None, name: Any = None) -> EagerTensor:
    """Return exp(x) over its sum along an axis, the last by default."""
    held = _need_float(convert(logits), "Softmax")
    return call(NN["softmax"], (held, -1 if axis is None else axis), "Softmax")  # type: ignore[no-any-return]


def log_softmax(logits: Any, axis: Any = None, name: Any = None) -> EagerTensor:
    """Return the logarithm of softmax."""
    held = _need_float(convert(logits), "LogSoftmax")
    at = -1 if axis is None else axis
    return call(NN["log_softmax"], (held, at), "LogSoftmax")  # type: ignore[no-any-return]


def softmax_cross_entropy_with_logits(
    labels: Any, logits: Any, axis: int = -1, name: Any = None
) -> EagerTensor:
    """Return -sum(labels * log_softmax(logits)) along an axis."""
    op = "SoftmaxCrossEntropyWithLogits"
    y, x = matched(labels, logits, op)
    return call(NN["softmax_cross_entropy"], (convert(x), convert(y), axis), op)  # type: ignore[no-any-return]


def sparse_softmax_cross_entropy_with_logits(
    labels: Any, logits: Any, name: Any = None
) -> EagerTensor:
    """Return the cross-entropy of rows with the class each integer names."""
    op = "SparseSoftmaxCrossEntropyWithLogits"
    args = (convert(logits), convert(labels))
    return call(NN["softmax_cross_entropy"], args, op)  # type: ignore[no-any-return]


def sigmoid_cross_entropy_with_logits(
    labels: Any = None, logits: Any = None, name: Any = None
) -> EagerTensor:
    """Return the cross-entropy of probabilities with sigmoid(logits), each element."""
    x, z = matched(logits, labels, "SigmoidCrossEntropyWithLogits")
    return call(NN["sigmoid_cross_entropy"], (x, z), "SigmoidCrossEntropyWithLogits")  # type: ignore[no-any-return]


def bias_add(
    value: Any, bias: Any, data_format: Any = None, name: Any = None
) -> EagerTensor:
    """Return a tensor with a vector added along its last axis."""
    x, y = matched(value, bias, "BiasAdd")
    return call(NN["bias_add"], (convert(x), convert(y)), "BiasAdd")  # type: ignore[no-any-return]


def embedding_lookup(
    params: Any, ids: Any, max_norm: Any = None, name: Any = None
) -> EagerTensor:
    """Return the rows of a table at integers."""
    if max_norm is not None:
        raise ValueError("tf.nn.embedding_lookup: max_norm is not supported")
    return arrays.gather(params, ids)


def moments(
    x: Any, axes: Any, shift: Any = None, keepdims: bool = False, name: Any = None
) -> tuple[EagerTensor, EagerTensor]:
    """Return the mean and the variance over axes."""
    held = convert(x)
    where = plain_axis(axes)
    return (
        math.reduce_mean(held, where, keepdims),
        math.reduce_variance(held, where, keepdims),
    )


def batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: Any,
    name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return x less its mean over its deviation, scaled and moved."""
    by = math.rsqrt(convert(variance) + variance_epsilon)
    if scale is not None:
        by = by * scale
    moved = -convert(mean) * by if offset is None else offset - convert(mean) * by
    return convert(x) * by + moved  # type: ignore[no-any-return]


def dropout(
    x: Any, rate: float, noise_shape: Any = None, seed: Any = None, name: Any = None
) -> EagerTensor:
    """Return x with a share of its elements 0 and the others scaled up.

    Raises:
        ValueError: the share is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(
            f"`rate` must be a scalar tensor or a float in the range [0, 1). Received: "
            f"rate={rate}"
        )
    held = _need_float(convert(x), "Dropout")
    if rate == 0:
        return held
    shape = held.shape if noise_shape is None else noise_shape
    keep = cast_to(draws.uniform(shape, seed=seed) >= rate, held.dtype)
    return held * (1.0 / (1.0 - rate)) * keep  # type: ignore[no-any-return]


def zero_fraction(value: Any, name: Any = None) -> EagerTensor:
    """Return the share of elements that are 0."""
    held = convert(value)
    return math.reduce_mean(math.cast(math.equal(held, 0), np.float32))  # type: ignore[no-any-return]


__all__ = [*public_names(globals()), "l2_normalize", "sigmoid", "softplus", "tanh"]
