"""Public functions: NumPy's names, for tensors, traced and plain arrays."""

from collections.abc import Callable, Mapping
from typing import Any

from .functions.table import LINALG, NN, PUBLIC, Impl
from .quick import Native
from .state import STATE
from .tensor import apply


def public(name: str, impl: Impl, module: str) -> Callable[..., Any]:
    """Return the public function of a name in a table."""

    def function(*args: Any, **options: Any) -> Any:
        if not options:
            made = native.form(*args)
            if made is not None:
                return made
        recorder = STATE.recorder
        if (
            len(args) == 1
            and recorder is not None
            and recorder.trail.walks
            and STATE.trace is None
            and not options
        ):
            trail = recorder.trail
            made = trail.alone(impl, args[0], recorder.handle, 2)
            if made is not None:
                if trail.end + trail.ahead > trail.bound:
                    recorder.flush()
                return made
        return apply(impl, args, options)

    native = Native(impl, function)
    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = impl.__doc__
    return function


def _namespace(table: Mapping[str, Impl], module: str) -> dict[str, Callable[..., Any]]:
    return {name: public(name, impl, module) for name, impl in table.items()}


FUNCTIONS = _namespace(PUBLIC, "pullback")
LINALG_FUNCTIONS = _namespace(LINALG, "pullback.linalg")
NN_FUNCTIONS = _namespace(NN, "pullback.nn")
