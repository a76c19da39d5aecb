"""Write LLVM IR as text: a module, its functions, and typed registers.

These files (`llvm_types`, `writer`, `instructions`) know LLVM's syntax and nothing of
graphs, kernels or ops; everybody imports them from here.
"""

from collections.abc import Sequence

from .instructions import Function
from .llvm_types import (
    F32,
    F64,
    I1,
    I8,
    I16,
    I32,
    I64,
    PTR,
    VOID,
    Reg,
    bits_of,
    const,
    const_lanes,
    elem_of,
    int_of,
    mask_of,
    suffix_of,
    undef,
    vec,
    width_of,
)

__all__ = [
    "F32",
    "F64",
    "I1",
    "I8",
    "I16",
    "I32",
    "I64",
    "PTR",
    "VOID",
    "Function",
    "Module",
    "Reg",
    "bits_of",
    "const",
    "const_lanes",
    "elem_of",
    "int_of",
    "mask_of",
    "suffix_of",
    "undef",
    "vec",
    "width_of",
]


class Module:
    """An LLVM module being written: globals, declarations and functions."""

    def __init__(self, triple: str, layout: str, attributes: str) -> None:
        self.triple = triple
        self.layout = layout
        self.attributes = attributes
        self.functions: dict[str, Function] = {}
        self.globals: list[str] = []
        self.uses_profile = False
        self.calls: dict[str, int] = {}  # by function: how often the text calls it
        self._declares: dict[str, str] = {}

    def declare(self, name: str, text: str) -> None:
        """Declare an intrinsic or external function once."""
        self._declares[name] = text

    def function(
        self,
        name: str,
        ret_ty: str,
        params: Sequence[tuple[str, str]],
        linkage: str = "internal",
        attrs: str = "",
    ) -> Function:
        """Begin a function; names are unique in the module."""
        assert name not in self.functions, f"function {name} written twice"
        fn = Function(self, name, ret_ty, params, linkage, attrs)
        self.functions[name] = fn
        return fn

    def _inlined(self, fn: Function) -> str:
        """Return the attribute of a function that has one caller, at one place.

        LLVM would inline it in any case, but simplify both before it does.
        """
        once = fn.linkage == "internal" and self.calls.get(fn.name) == 1
        return "alwaysinline" if once else ""

    def text(self) -> str:
        """Return the whole module as LLVM IR."""
        parts = [
            f'target datalayout = "{self.layout}"' if self.layout else "",
            f'target triple = "{self.triple}"',
            "",
            *self.globals,
            *(fn.text(self._inlined(fn)) for fn in self.functions.values()),
            *self._declares.values(),
            f"attributes #0 = {{ {self.attributes} }}",
        ]
        if self.uses_profile:
            parts += [
                '!0 = !{!"branch_weights", i32 2000, i32 1}',
                '!1 = !{!"branch_weights", i32 1, i32 2000}',
            ]
        return "\n".join(parts) + "\n"
