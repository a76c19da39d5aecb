"""Write docs/coverage.md: what of NumPy has a traced form, what is refused, and why.

Run it after adding a function; a test compares the file with what it would write.
"""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pullback.tracer.functions.table import BY_NUMPY, LINALG, PUBLIC
from pullback.tracer.refused import REFUSED

TARGET = Path(__file__).parents[1] / "docs" / "coverage.md"

HEAD = """\
# Coverage of NumPy

Written by `tests/numpy_coverage.py` from the tables that dispatch NumPy's calls. A
function is *traced* if NumPy's own works on traced arrays and `pullback.NAME` works on
tensors as well; *named* if only the latter, because NumPy does not dispatch it.
*Refused* functions have none on purpose; *missing* ones have not been written.
Classes, constants and submodules are left out.
"""


def functions(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Name and callable of each function of a namespace."""
    for name in sorted(module.__all__):
        found = getattr(module, name, None)
        if callable(found) and not isinstance(found, type):
            yield name, found


def status(name: str, function: Any, public: Any) -> tuple[str, str]:
    """Return what is known of a function, and a note."""
    if function in BY_NUMPY:
        return "traced", ""
    if name in public:
        return "named", ""
    if name in REFUSED:
        return "refused", REFUSED[name]
    return "missing", ""


def table(title: str, module: ModuleType, public: Any) -> list[str]:
    """The section of one namespace."""
    rows = [(name, *status(name, f, public)) for name, f in functions(module)]
    count = {s: sum(1 for r in rows if r[1] == s) for s in KINDS}
    told = ", ".join(f"{count[kind]} {kind}" for kind in KINDS)
    lines = ["", f"## {title}", "", f"{told}.", ""]
    for kind in ("traced", "named", "missing"):
        names = [f"`{name}`" for name, found, _ in rows if found == kind]
        if names:
            lines += [f"{kind.capitalize()}: {', '.join(names)}.", ""]
    reasons: dict[str, list[str]] = {}
    for name, found, why in rows:
        if found == "refused":
            reasons.setdefault(why, []).append(f"`{name}`")
    if reasons:
        lines += ["| refused | why |", "|---|---|"]
        lines += [f"| {', '.join(names)} | {why} |" for why, names in reasons.items()]
    return lines


KINDS = ("traced", "named", "refused", "missing")


def text() -> str:
    """The whole file."""
    version = ".".join(np.__version__.split(".")[:2])
    lines = [HEAD.rstrip(), "", f"NumPy {version}."]
    lines += table("numpy", np, PUBLIC)
    lines += table("numpy.linalg", np.linalg, LINALG)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
