"""First values of weights, by name or as objects."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from .. import arrays, random
from ..dtypes import float32
from ..tensors import EagerTensor, convert

Make = Callable[..., EagerTensor]


def fans(shape: Sequence[int]) -> tuple[float, float]:
    """Return how many numbers a weight of this shape takes in and gives out."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    field = float(math.prod(shape[:-2]))
    return shape[-2] * field, shape[-1] * field


class Initializer:
    """Makes first values of a shape."""

    def __call__(self, shape: Any, dtype: Any = None) -> EagerTensor:
        """Return first values."""
        raise NotImplementedError


class Zeros(Initializer):
    """Zeros."""

    def __call__(self, shape: Any, dtype: Any = None) -> EagerTensor:
        """Return zeros."""
        return arrays.zeros(shape, dtype or float32)


class Ones(Initializer):
    """Ones."""

    def __call__(self, shape: Any, dtype: Any = None) -> EagerTensor:
        """Return ones."""
        return arrays.ones(shape, dtype or float32)


class Constant(Initializer):
    """One number."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> EagerTensor:
        """Return the number in every element."""
        return arrays.fill(shape, convert(self.value, dtype or float32))


class RandomNormal(Initializer):
    """Draws from a normal distribution."""

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: "int | None" = None
    ) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def __call__(self, shape: Any, dtype: Any = None) -> EagerTensor:
        """Return draws."""
        return random.normal(shape, self.mean, self.stddev, dtype or float32, self.seed)


class TruncatedNormal(RandomNormal):
    """Draws from a normal distribution, none farther than two deviations."""

    def __call__(self, shape: Any, dtype: Any = None) -> EagerTensor:
        """Return draws."""
        return random.truncated_normal(
            shape, self.mean, self.stddev, dtype or float32, self.seed
        )


class RandomUniform(Initializer):
    """Draws from an interval."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: "int | None" = None
    ) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def __call__(self, shape: Any, dtype: Any = None) -> EagerTensor:
        """Return draws."""
        return random.uniform(
            shape, self.minval, self.maxval, dtype or float32, self.seed
        )


class VarianceScaling(Initializer):
    """Draws whose variance is a scale over the numbers taken in, given out, or both."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: "int | None" = None,
    ) -> None:
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.seed = seed

    def __call__(self, shape: Any, dtype: Any = None) -> EagerTensor:
        """Return draws."""
        taken, given = fans(shape)
        count = {"fan_in": taken, "fan_out": given}.get(self.mode, (taken + given) / 2)
        variance = self.scale / max(1.0, count)
        kind = dtype or float32
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return random.uniform(shape, -limit, limit, kind, self.seed)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, math.sqrt(variance), kind, self.seed)
        # the deviation of a normal distribution cut off at two deviations
        deviation = math.sqrt(variance) / 0.87962566103423978
        return random.truncated_normal(shape, 0.0, deviation, kind, self.seed)


def _scaling(name: str, scale: float, mode: str, distribution: str) -> Any:
    def __init__(self: Any, seed: "int | None" = None) -> None:
        VarianceScaling.__init__(self, scale, mode, distribution, seed)

    doc = f"Variance {scale:g} over {mode}, {distribution}."
    return type(name, (VarianceScaling,), {"__init__": __init__, "__doc__": doc})


GlorotUniform = _scaling("GlorotUniform", 1.0, "fan_avg", "uniform")
GlorotNormal = _scaling("GlorotNormal", 1.0, "fan_avg", "truncated_normal")
HeUniform = _scaling("HeUniform", 2.0, "fan_in", "uniform")
HeNormal = _scaling("HeNormal", 2.0, "fan_in", "truncated_normal")
LecunUniform = _scaling("LecunUniform", 1.0, "fan_in", "uniform")
LecunNormal = _scaling("LecunNormal", 1.0, "fan_in", "truncated_normal")

_BY_NAME: dict[str, Callable[[], Make]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
}


def get(identifier: Any) -> Make:
    """Return the initializer of a name; a function of shape and dtype is itself.

    Raises:
        ValueError: there is no such initializer.
    """
    if isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier):
        return identifier  # type: ignore[no-any-return]
    raise ValueError(f"Could not interpret initializer identifier: {identifier}")
