"""`tf.Module`: objects that find the variables in their attributes."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import nest
from .tensors import ResourceVariable, Variable

_WORDS = re.compile(r"([a-z0-9])([A-Z])")


def snake(name: str) -> str:
    """Return a class's name as words: `MyLayer` is `my_layer`."""
    return _WORDS.sub(r"\1_\2", name).lower()


class Module:
    """An object whose variables, and those of the modules in it, can be asked for."""

    def __init__(self, name: "str | None" = None) -> None:
        given = name or snake(type(self).__name__)
        if not given.isidentifier():
            raise ValueError(
                f"{given!r} is not a valid module name. Module names must be valid "
                "Python identifiers (e.g. a valid class name)."
            )
        self._name = given

    @property
    def name(self) -> str:
        """The module's name."""
        return self._name

    @property
    def name_scope(self) -> Any:
        """A context in which names belong to this module; it changes nothing."""
        return contextlib.nullcontext(self._name)

    @property
    def variables(self) -> Any:
        """All variables, in the sorted order of attributes."""
        return tuple(self._flatten(_is_variable))

    @property
    def trainable_variables(self) -> Any:
        """The variables that are trained."""
        return tuple(self._flatten(lambda x: _is_variable(x) and x.trainable))

    @property
    def non_trainable_variables(self) -> Any:
        """The variables that are not trained."""
        return tuple(self._flatten(lambda x: _is_variable(x) and not x.trainable))

    @property
    def submodules(self) -> tuple["Module", ...]:
        """All modules inside this one."""
        return tuple(self._flatten(lambda x: isinstance(x, Module)))

    def _flatten(self, wanted: Callable[[Any], bool]) -> Iterator[Any]:
        seen = {id(self)}
        for _, leaf in _leaves(self, "", seen):
            if wanted(leaf):
                yield leaf

    @classmethod
    def with_name_scope(cls, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method: names have no scopes here."""
        return method

    # -- files ---------------------------------------------------------------------

    def save(self, path: Any) -> None:
        """Write all variables to an .npz file, by their attribute paths."""
        np.savez(path, **{p: v.numpy() for p, v in self._by_path().items()})

    def load(self, path: Any) -> None:
        """Assign all variables from an .npz file.

        Raises:
            ValueError: the file lacks a variable, or has one more, or another shape.
        """
        variables = self._by_path()
        with np.load(path) as held:
            given = {name: held[name] for name in held.files}
        missing = sorted(variables.keys() - given.keys())
        extra = sorted(given.keys() - variables.keys())
        if missing or extra:
            raise ValueError(
                f"{self._name}: the file does not fit: it lacks {missing}, and has "
                f"{extra} beside"
            )
        for path_, variable in variables.items():
            variable.assign(given[path_])

    def _by_path(self) -> dict[str, ResourceVariable]:
        return {
            path: leaf
            for path, leaf in _leaves(self, "", {id(self)})
            if _is_variable(leaf)
        }


def _is_variable(x: Any) -> bool:
    return isinstance(x, Variable)


def _leaves(module: Module, at: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield attributes' leaves with their paths, a module's own before its modules'."""
    inner: list[tuple[str, Module]] = []
    held = vars(module)
    for key in sorted(held):
        for k, leaf in enumerate(nest.flatten(held[key])):
            if id(leaf) in seen:
                continue
            path = f"{at}{key}" if leaf is held[key] else f"{at}{key}.{k}"
            if isinstance(leaf, (Variable, Module)):
                seen.add(id(leaf))
            yield path, leaf
            if isinstance(leaf, Module):
                inner.append((f"{path}.", leaf))
    for path, leaf in inner:
        yield from _leaves(leaf, path, seen)


__all__ = ["Module"]
