"""The way to complex tensors, taken when the first is made: few programs have any."""

from typing import Any


def paired(re: Any, im: Any) -> Any:
    """Return the complex tensor of two."""
    from .complexes import EagerComplex  # lazy: the first complex tensor

    return EagerComplex(re, im)


def held(x: Any) -> Any:
    """Return a complex tensor of TensorFlow's face for one of any face."""
    from .complexes import held as as_held  # lazy: the first complex tensor

    return as_held(x)


def variable(kind: Any, *args: Any, **options: Any) -> Any:
    """Return a variable of complex numbers; its parts are of a class."""
    from .complexes import ComplexResource  # lazy: the first complex tensor

    return ComplexResource(kind, *args, **options)
