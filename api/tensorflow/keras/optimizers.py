"""Optimizers: updates of variables, compositions of ordinary ops.

Their state is variables that are not trained; all updates of a step are one program.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import math
from ..module import Module
from ..tape import GradientTape
from ..tensors import EagerTensor, ResourceVariable, convert


class Optimizer(Module):
    """Updates variables by their gradients."""

    def __init__(self, learning_rate: Any, name: "str | None" = None) -> None:
        super().__init__(name)
        self._rate = ResourceVariable(
            learning_rate, trainable=False, name="learning_rate", dtype=np.float32
        )
        self._count = ResourceVariable(
            0, trainable=False, name="iteration", dtype=np.int64
        )
        self._slots: dict[str, dict[int, ResourceVariable]] = {}

    @property
    def learning_rate(self) -> ResourceVariable:
        """The step's size; assign a number to change it."""
        return self._rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        self._rate.assign(rate)

    @property
    def iterations(self) -> ResourceVariable:
        """How many steps have been made."""
        return self._count

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Any, ResourceVariable]]
    ) -> ResourceVariable:
        """Make a step; variables whose gradient is None stay as they are.

        Raises:
            ValueError: no variable has a gradient.
        """
        pairs = list(grads_and_vars)
        used = [(g, v) for g, v in pairs if g is not None]
        if not used:
            names = [v.name for _, v in pairs]
            raise ValueError(f"No gradients provided for any variable: {names}.")
        self._count.assign_add(1)
        for gradient, variable in used:
            self._update(convert(gradient, variable.dtype), variable)
        return self._count

    def apply(self, grads: Any, trainable_variables: Any) -> ResourceVariable:
        """Make a step with gradients in the order of variables."""
        return self.apply_gradients(zip(grads, trainable_variables, strict=True))

    def minimize(self, loss: Any, var_list: Any, tape: Any = None) -> ResourceVariable:
        """Make a step down a loss: a function, or a tensor and the tape that saw it.

        Raises:
            ValueError: a tensor comes without its tape.
        """
        if tape is None:
            if not callable(loss):
                raise ValueError("`tape` is required when a `Tensor` loss is passed.")
            tape = GradientTape()
            with tape:
                loss = loss()
        held = list(var_list() if callable(var_list) else var_list)
        return self.apply(tape.gradient(loss, held), held)

    def _slot(self, name: str, variable: ResourceVariable) -> ResourceVariable:
        by_variable = self._slots.setdefault(name, {})
        found = by_variable.get(id(variable))
        if found is None:
            zeros = np.zeros(variable.shape, variable.dtype.dtype)
            found = ResourceVariable(zeros, trainable=False, name=name)
            by_variable[id(variable)] = found
        return found

    def _rate_for(self, variable: ResourceVariable) -> EagerTensor:
        return math.cast(self._rate, variable.dtype)

    def _update(self, gradient: EagerTensor, variable: ResourceVariable) -> None:
        raise NotImplementedError


class SGD(Optimizer):
    """Steps down the gradient, with a momentum or without."""

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        name: str = "SGD",
    ) -> None:
        super().__init__(learning_rate, name)
        if not 0 <= momentum <= 1:
            raise ValueError("`momentum` must be a float between [0, 1].")
        self.momentum, self.nesterov = momentum, nesterov

    def _update(self, gradient: EagerTensor, variable: ResourceVariable) -> None:
        step = gradient * self._rate_for(variable)
        if not self.momentum:
            variable.assign_sub(step)
            return
        held = self._slot("momentum", variable)
        speed = held.value() * self.momentum - step
        held.assign(speed)
        variable.assign_add(speed * self.momentum - step if self.nesterov else speed)


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient (Kingma and Ba 2015)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "Adam",
    ) -> None:
        super().__init__(learning_rate, name)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def _update(self, gradient: EagerTensor, variable: ResourceVariable) -> None:
        first, second = self._slot("m", variable), self._slot("v", variable)
        made = math.cast(self._count, variable.dtype)
        correction = math.sqrt(1 - self.beta_2**made) / (1 - self.beta_1**made)
        rate = self._rate_for(variable) * correction
        m = first.value() + (gradient - first.value()) * (1 - self.beta_1)
        v = second.value() + (math.square(gradient) - second.value()) * (
            1 - self.beta_2
        )
        first.assign(m)
        second.assign(v)
        variable.assign_sub(m * rate / (math.sqrt(v) + self.epsilon))


__all__ = ["SGD", "Adam", "Optimizer"]
