"""Write one LLVM function as text: its blocks, its control flow, its calls.

Text is written directly because building and printing an object per instruction costs
several times more than LLVM needs to parse the result.
"""

from collections.abc import Sequence
from typing import Protocol

from .llvm_types import PTR, VOID, Reg, suffix_of


class Owner(Protocol):
    """What a function needs of its module."""

    uses_profile: bool
    calls: dict[str, int]

    def declare(self, name: str, text: str) -> None:
        """Declare an intrinsic or external function once."""


class Writer:
    """A function being written: blocks, calls and the text of it.

    Instructions go to the current block.

    `params` are (type, attributes) pairs; `args` are the registers of the parameters.
    """

    __slots__ = (
        "_labels", "_next", "args", "attrs", "block", "head", "lines", "linkage",
        "module", "name", "params", "ret_ty",
    )  # fmt: skip

    def __init__(
        self,
        module: Owner,
        name: str,
        ret_ty: str,
        params: Sequence[tuple[str, str]],
        linkage: str = "internal",
        attrs: str = "",
    ) -> None:
        self.module = module
        self.name = name
        self.ret_ty = ret_ty
        self.params = list(params)
        self.linkage = linkage
        self.attrs = attrs
        self.args = [Reg(f"%a{k}", ty) for k, (ty, _) in enumerate(params)]
        self.head: list[str] = []
        self.lines: list[str] = []
        self._next = 0
        self._labels = 0
        self.block = "entry"

    # -- plumbing ---------------------------------------------------------------------

    def emit(self, ty: str, text: str) -> Reg:
        """Append `%n = text` and return the register."""
        ref = f"%t{self._next}"
        self._next += 1
        self.lines.append(f"  {ref} = {text}")
        return Reg(ref, ty)

    def raw(self, text: str) -> None:
        """Append an instruction without a result."""
        self.lines.append("  " + text)

    def new_label(self, hint: str = "b") -> str:
        """Return a block label not used yet in this function."""
        self._labels += 1
        return f"{hint}{self._labels}"

    def start(self, label: str) -> None:
        """Begin the block `label`; it becomes the current one."""
        self.lines.append(f"{label}:")
        self.block = label

    def alloca(self, ty: str, count: int = 1, align: int = 64) -> Reg:
        """Reserve stack memory in the entry block; returns its address."""
        ref = f"%t{self._next}"
        self._next += 1
        self.head.append(f"  {ref} = alloca {ty}, i64 {count}, align {align}")
        return Reg(ref, PTR)

    def text(self, attrs: str = "") -> str:
        """Return the definition as LLVM IR; `attrs` where it has none of its own."""
        params = ", ".join(
            f"{ty} {attr} %a{k}" if attr else f"{ty} %a{k}"
            for k, (ty, attr) in enumerate(self.params)
        )
        head = f"define {self.linkage} {self.ret_ty} @{self.name}({params}) "
        head += f"{self.attrs or attrs} #0 {{"
        return "\n".join([head, "entry:", *self.head, *self.lines, "}", ""])

    # -- control ----------------------------------------------------------------------

    def br(self, label: str) -> None:
        """Jump to `label`."""
        self.raw(f"br label %{label}")

    def cond_br(
        self, cond: Reg, then: str, other: str, likely: bool | None = None
    ) -> None:
        """Jump to `then` where `cond` (i1) holds, else to `other`."""
        tail = ""
        if likely is not None:
            tail = f", !prof !{0 if likely else 1}"
            self.module.uses_profile = True
        self.raw(f"br i1 {cond.ref}, label %{then}, label %{other}{tail}")

    def ret(self, value: Reg | None = None) -> None:
        """Return from the function."""
        self.raw("ret void" if value is None else f"ret {value.ty} {value.ref}")

    def phi(self, ty: str, first: Reg, first_block: str) -> Reg:
        """Begin a phi with one incoming edge; close it with `phi_edge`."""
        reg = self.emit(ty, f"phi {ty} [ {first.ref}, %{first_block} ], ")
        return reg

    def phi_edge(self, phi: Reg, value: Reg, block: str) -> None:
        """Add the second incoming edge of a phi of this function."""
        head = f"  {phi.ref} = phi "
        for k in range(len(self.lines) - 1, -1, -1):
            if self.lines[k].startswith(head):
                self.lines[k] += f"[ {value.ref}, %{block} ]"
                return
        raise AssertionError(f"no phi {phi.ref} in {self.name}")

    def merge(self, ty: str, edges: Sequence[tuple[Reg, str]]) -> Reg:
        """Return a complete phi of (value, block) edges."""
        text = ", ".join(f"[ {v.ref}, %{blk} ]" for v, blk in edges)
        return self.emit(ty, f"phi {ty} {text}")

    def call(self, name: str, ret_ty: str, args: Sequence[Reg]) -> Reg:
        """Call a function of this module (or a declared one) by name."""
        calls = self.module.calls
        calls[name] = calls.get(name, 0) + 1
        text = f"call {ret_ty} @{name}(" + ", ".join(f"{a.ty} {a.ref}" for a in args)
        if ret_ty == VOID:
            self.raw(text + ")")
            return Reg("", VOID)
        return self.emit(ret_ty, text + ")")

    def call_ptr(self, target: Reg, ret_ty: str, args: Sequence[Reg]) -> Reg:
        """Call through a function pointer."""
        text = f"call {ret_ty} {target.ref}("
        text += ", ".join(f"{a.ty} {a.ref}" for a in args) + ")"
        if ret_ty == VOID:
            self.raw(text)
            return Reg("", VOID)
        return self.emit(ret_ty, text)

    def intrinsic(self, name: str, ty: str, args: Sequence[Reg]) -> Reg:
        """Call `llvm.NAME` overloaded on `ty` alone, which is also its result type."""
        full = f"llvm.{name}.{suffix_of(ty)}"
        sig = ", ".join(a.ty for a in args)
        self.module.declare(full, f"declare {ty} @{full}({sig})")
        return self.call(full, ty, args)
