"""Load emitted objects into the process and look their symbols up.

Knows llvmlite's execution engine and nothing of graphs. A library keeps its machine
code mapped for as long as it is referenced.
"""

from typing import Any

import llvmlite.binding as llvm

from ..codegen.target import Target, host, machine, optimize


class Library:
    """Machine code mapped into this process."""

    __slots__ = ("_engine", "object_bytes")

    def __init__(self, object_bytes: bytes) -> None:
        self.object_bytes = object_bytes
        target = host()
        empty = llvm.parse_assembly(f'target triple = "{target.triple}"')
        # Any: llvmlite has no type information. The engine owns its target machine,
        # so it gets one of its own.
        self._engine: Any = llvm.create_mcjit_compiler(empty, _own_machine(target))
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(object_bytes))
        self._engine.finalize_object()

    def address(self, symbol: str) -> int:
        """Return the address of a function.

        Raises:
            KeyError: the object has no such symbol.
        """
        found = int(self._engine.get_function_address(symbol))
        if not found:
            raise KeyError(symbol)
        return found


def _own_machine(target: Target) -> Any:
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small"
    )


def load(text: str, target: Target | None = None, level: int = 1) -> Library:
    """Compile LLVM IR for this machine and load it."""
    target = target or host()
    return Library(bytes(machine(target).emit_object(optimize(text, target, level))))
