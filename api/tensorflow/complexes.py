"""Complex tensors and variables with TensorFlow's rules."""

from typing import Any

from ..tracer.complex_variable import ComplexVariable
from ..tracer.complexes import ComplexTensor
from ..tracer.tensor import _text
from .tensors import EagerTensor, Face, convert


class EagerComplex(Face, ComplexTensor):  # type: ignore[misc]  # its dtype is TensorFlow's
    """A complex tensor; immutable, computed when it is looked at."""

    __slots__ = ()
    __hash__ = Face.__hash__

    def __str__(self) -> str:
        shown = _text(self.numpy())
        return f"tf.Tensor({shown}, shape={self.shape}, dtype={self.dtype.name})"

    def __repr__(self) -> str:
        return (
            f"<tf.Tensor: shape={self.shape}, dtype={self.dtype.name}, "
            f"numpy={_text(self.numpy(), True)}>"
        )


class ComplexResource(Face, ComplexVariable):  # type: ignore[misc]  # as above
    """A complex tensor whose value can be replaced; arguments are a variable's."""

    __slots__ = ()
    __hash__ = Face.__hash__
    _word = "Variable"

    def __init__(
        self,
        kind: Any,
        initial_value: Any,
        trainable: bool = True,
        validate_shape: bool = True,
        caching_device: Any = None,
        name: "str | None" = None,
        variable_def: Any = None,
        dtype: Any = None,
    ) -> None:
        given = convert(initial_value, dtype).numpy()
        ComplexVariable.__init__(self, kind, given, trainable, name)
        self.name = f"{self.name}:0"

    def _kind(self) -> Any:
        return self._value.type

    def value(self) -> EagerComplex:
        """Return the present value as a tensor."""
        return held(self)

    def assign(self, value: Any, *args: Any, **options: Any) -> "ComplexResource":
        """Replace the value; shape and dtype stay."""
        ComplexVariable.assign(self, convert(value, self.dtype))
        return self

    def assign_add(self, value: Any, *args: Any, **options: Any) -> "ComplexResource":
        """Add to the value."""
        return self.assign(self.value() + convert(value, self.dtype))

    def assign_sub(self, value: Any, *args: Any, **options: Any) -> "ComplexResource":
        """Subtract from the value."""
        return self.assign(self.value() - convert(value, self.dtype))

    def __str__(self) -> str:
        return (
            f"<tf.Variable {self.name!r} shape={self.shape} dtype={self.dtype.name}, "
            f"numpy={_text(self.numpy(), True)}>"
        )

    __repr__ = __str__


def held(x: Any) -> EagerComplex:
    """Return a complex tensor of this face for one of any face."""
    if type(x) is EagerComplex:
        return x
    return EagerComplex(*[EagerTensor(part._value) for part in (x.real, x.imag)])


__all__ = ["ComplexResource", "EagerComplex", "held"]
