"""Public functions: NumPy's names, for tensors, traced and plain arrays."""

from collections.abc import Callable
from typing import Any

from .functions.table import PUBLIC, Impl
from .tensor import apply


def public(name: str) -> Callable[..., Any]:
    """Return the public function of a name in the table."""
    impl: Impl = PUBLIC[name]

    def function(*args: Any, **options: Any) -> Any:
        return apply(impl, args, options)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "pullback"
    function.__doc__ = impl.__doc__
    return function


FUNCTIONS = {name: public(name) for name in PUBLIC}
