"""Ways of computing the workloads: one module for each library, and for C.

Each module has `load(threads)`, which returns its contenders. A module whose library is
not installed fails to import, and is left out with that reason.
"""

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from workloads import Workload

Call = Callable[[], Any]
Form = Callable[[Workload], Call]
MODULES = (
    "pullback", "c", "numpy", "jax", "autograd", "torch", "tensorflow", "numba",
    "casadi", "pytensor", "drjit",
)  # fmt: skip
BASE = "pullback"  # the contender whose time is compared with the others'


class NotBuilt(Exception):
    """There is a form, but not for these sizes; the text says why."""


@dataclass(frozen=True)
class Contender:
    """A name for the tables, a version, and a form for each kind of workload.

    A form compiles, and returns a call without arguments that returns the value and
    the gradients, or what the workload asks for instead, when they are there.
    """

    name: str
    version: str
    forms: Mapping[str, Form]
    exact: bool = False  # whether its results must have the base's bits
    asked: bool = False  # whether it runs only when named: it compiles for long

    def build(self, workload: Workload) -> Call | None:
        """Return the call of a workload; None where there is no form of it."""
        form = self.forms.get(workload.kind)
        return None if form is None else form(workload)


def gathered(
    names: Collection[str], threads: int
) -> tuple[list[Contender], dict[str, str]]:
    """Return the contenders of names, the base first, and why others are left out.

    A name is that of a module, for all it has but what runs only when named, or of a
    contender. A library may be installed and fail to load, in ways of its own: that is
    a reason too. Pullback itself must load; it is there whether named or not.
    """
    found: list[Contender] = []
    left_out: dict[str, str] = {}
    for module in MODULES:
        wanted = {n for n in names if n.split()[0].lower() == module}
        if not wanted and module != BASE:
            continue
        try:
            made = importlib.import_module(f"contenders.{module}").load(threads)
        except Exception as error:
            if module == BASE:
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            left_out[module] = lines[0]
            continue
        found += [
            c
            for c in made
            if c.name in (BASE, *wanted) or (module in wanted and not c.asked)
        ]
    known = {c.name for c in found} | set(MODULES)
    if unknown := sorted(
        n for n in names if n not in known and n.split()[0] not in left_out
    ):
        raise SystemExit(
            f"no contender {unknown[0]!r}: modules are {', '.join(MODULES)}; "
            f"contenders are {', '.join(sorted(c.name for c in found))}"
        )
    return found, left_out
