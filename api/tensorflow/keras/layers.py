"""Layers: they make their variables at the first call, when sizes are known."""

from collections.abc import Iterable
from typing import Any

from .. import arrays, linalg, nn
from ..dtypes import as_dtype, float32
from ..module import Module, snake
from ..tensors import EagerTensor, ResourceVariable, convert
from . import activations, initializers


class Layer(Module):
    """Something to call on tensors, with variables of its own.

    A subclass makes variables in `build`, or in `__init__`, and computes in `call`.
    """

    def __init__(
        self, name: "str | None" = None, trainable: bool = True, dtype: Any = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if kwargs:
            raise ValueError(
                f"Unrecognized keyword arguments passed to {type(self).__name__}: "
                f"{kwargs}"
            )
        super().__init__(name or snake(type(self).__name__))
        self.trainable = trainable
        self._dtype = as_dtype(dtype or float32)
        self.built = False

    def add_weight(
        self, shape: Any = None, initializer: Any = None, dtype: Any = None,
        trainable: bool = True, name: "str | None" = None, **options: Any,
    ) -> ResourceVariable:  # fmt: skip
        """Return a variable of the layer; glorot_uniform is its first value."""
        make = initializers.get(initializer or "glorot_uniform")
        first = make(tuple(shape or ()), dtype=dtype or self._dtype)
        made = ResourceVariable(first, trainable=trainable)
        made.name = (
            name or "variable"
        )  # a layer's variables have names without a number
        return made

    def build(self, input_shape: Any) -> None:
        """Make the variables for inputs of a shape."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the layer computes."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `call()` method implemented."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the layer computes; the first call makes its variables."""
        given = [convert(x) if _is_data(x) else x for x in args]
        if not self.built:
            if given:
                self.build(getattr(given[0], "shape", None))
            self.built = True
        return self.call(*given, **kwargs)

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables that are trained, kernels before biases."""
        return list(super().trainable_variables) if self.trainable else []

    @property
    def variables(self) -> list[Any]:
        """All variables."""
        return list(super().variables)

    weights = variables
    trainable_weights = trainable_variables

    @property
    def non_trainable_variables(self) -> list[Any]:
        """The variables that are not trained."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    def get_weights(self) -> list[Any]:
        """Return the values of all variables as arrays."""
        return [v.numpy() for v in self.variables]

    def set_weights(self, weights: Any) -> None:
        """Assign all variables.

        Raises:
            ValueError: there are more arrays than variables, or fewer.
        """
        held = self.variables
        if len(held) != len(weights):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a "
                f"weight list of length {len(weights)}, but the layer was expecting "
                f"{len(held)} weights."
            )
        for variable, value in zip(held, weights, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Return how many numbers the variables hold."""
        return sum(int(v.size) for v in self.variables)


def _is_data(x: Any) -> bool:
    return isinstance(x, (list, tuple, int, float)) or hasattr(x, "__array__")


class Dense(Layer):
    """activation(x @ kernel + bias)."""

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(units, int) or units <= 0:
            raise ValueError(
                "Received an invalid value for `units`, expected a positive integer. "
                f"Received: units={units}"
            )
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self._kernel_initializer = initializers.get(kernel_initializer)
        self._bias_initializer = initializers.get(bias_initializer)
        self._weights: list[ResourceVariable] = []

    def build(self, input_shape: Any) -> None:
        """Make the kernel, and the bias where there is one."""
        if not input_shape:
            raise ValueError(
                f'Input 0 of layer "{self.name}" is incompatible with the layer: '
                f"expected min_ndim=1, found ndim=0. Full shape received: {input_shape}"
            )
        shape = (int(input_shape[-1]), self.units)
        kernel = self.add_weight(shape, self._kernel_initializer, name="kernel")
        self._weights = [kernel]
        if self.use_bias:
            first = self._bias_initializer
            self._weights.append(self.add_weight((self.units,), first, name="bias"))
        self.built = True

    @property
    def kernel(self) -> ResourceVariable:
        """The matrix of weights."""
        return self._weights[0]

    @property
    def bias(self) -> "ResourceVariable | None":
        """The vector that is added."""
        return self._weights[1] if self.use_bias else None

    def call(self, inputs: Any) -> EagerTensor:
        """Return the layer's value."""
        made = (
            linalg.matmul(inputs, self.kernel)
            if len(inputs.shape) > 1
            else arrays.squeeze(
                linalg.matmul(arrays.expand_dims(inputs, 0), self.kernel), 0
            )
        )
        if self.bias is not None:
            made = nn.bias_add(made, self.bias)
        out: EagerTensor = self.activation(made)
        return out


class Activation(Layer):
    """An activation as a layer."""

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        """Return the activation."""
        return self.activation(inputs)


class Flatten(Layer):
    """Every example as one row."""

    def call(self, inputs: Any) -> EagerTensor:
        """Return the rows."""
        return arrays.reshape(inputs, (inputs.shape[0], -1))


class Dropout(Layer):
    """A share of elements 0 while training, the others scaled up."""

    def __init__(self, rate: float, seed: "int | None" = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed

    def call(self, inputs: Any, training: bool = False) -> EagerTensor:
        """Return the elements that are left."""
        return nn.dropout(inputs, self.rate, seed=self.seed) if training else inputs


class Embedding(Layer):
    """A table whose rows integers name."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "random_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._first = initializers.get(embeddings_initializer)
        self._size = (int(input_dim), int(output_dim))

    def build(self, input_shape: Any) -> None:
        """Make the table."""
        self.embeddings = self.add_weight(self._size, self._first, name="embeddings")

    def call(self, inputs: Any) -> EagerTensor:
        """Return the rows."""
        return nn.embedding_lookup(self.embeddings, inputs)


class Model(Layer):
    """A layer of layers."""


class Sequential(Model):
    """Layers one behind the other."""

    def __init__(self, layers: "Iterable[Layer] | None" = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers: list[Layer] = list(layers or ())

    def add(self, layer: Layer) -> None:
        """Put a layer behind the others."""
        self.layers.append(layer)

    def call(self, inputs: Any) -> Any:
        """Return what the last layer gives."""
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs


__all__ = [
    "Activation", "Dense", "Dropout", "Embedding", "Flatten", "Layer", "Model",
    "Sequential",
]  # fmt: skip
