"""Write LLVM IR as text: a module, its functions, and typed registers.

This file knows LLVM's syntax and nothing of graphs, kernels or ops. Text is written
directly because building and printing an object per instruction costs several times
more than LLVM needs to parse the result. A register is a name and an LLVM type; every
arithmetic method works on scalars and on fixed vectors alike, so code written once is
parametric in the vector width. No fast-math flag is ever written.
"""

import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

F64 = "double"
F32 = "float"
I64 = "i64"
I32 = "i32"
I16 = "i16"
I8 = "i8"
I1 = "i1"
PTR = "ptr"
VOID = "void"

_SUFFIX = {F64: "f64", F32: "f32", PTR: "p0"}


class Reg(NamedTuple):
    """An LLVM value: its text (`%12`, or a constant) and its LLVM type."""

    ref: str
    ty: str


@cache
def vec(elem: str, width: int) -> str:
    """Return the type of `width` lanes of `elem`; the scalar type for width 1."""
    return elem if width == 1 else f"<{width} x {elem}>"


@cache
def elem_of(ty: str) -> str:
    """Return the lane type of a vector type, or the type itself."""
    return ty[1:-1].split(" x ")[1] if ty[0] == "<" else ty


@cache
def width_of(ty: str) -> int:
    """Return the number of lanes: 1 for a scalar type."""
    return int(ty[1:].split(" x ")[0]) if ty[0] == "<" else 1


@cache
def bits_of(ty: str) -> int:
    """Return the size in bits of one lane."""
    elem = elem_of(ty)
    return {F64: 64, F32: 32, PTR: 64}.get(elem) or int(elem[1:])


@cache
def int_of(ty: str) -> str:
    """Return the integer type with the lanes and lane size of `ty`."""
    return vec(f"i{bits_of(ty)}", width_of(ty))


@cache
def mask_of(ty: str) -> str:
    """Return the type of a comparison of two `ty`."""
    return vec(I1, width_of(ty))


@cache
def suffix_of(ty: str) -> str:
    """Return the mangling of a type in an intrinsic's name: `v8f64`, `i32`."""
    elem, width = elem_of(ty), width_of(ty)
    text = _SUFFIX.get(elem, elem)
    return text if width == 1 else f"v{width}{text}"


def _float_text(elem: str, value: float) -> str:
    if elem == F32:
        # LLVM spells a float constant by the bits of the equal double.
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


@lru_cache(maxsize=8192)
def _const(ty: str, key: str) -> Reg:
    elem = elem_of(ty)
    if elem in (F64, F32):
        text = _float_text(elem, float.fromhex(key))
    elif elem == I1:
        text = "true" if int(key) else "false"
    else:
        bits = bits_of(ty)
        value = int(key) & ((1 << bits) - 1)
        text = str(value - (1 << bits) if value >> (bits - 1) else value)
    return Reg(text if ty == elem else f"splat ({elem} {text})", ty)


def const(ty: str, value: float) -> Reg:
    """Return a constant, the same in every lane of `ty`.

    Floats are exact to the bit (a NaN becomes the quiet NaN); integers wrap.
    """
    if elem_of(ty) in (F64, F32):
        return _const(ty, float(value).hex())
    return _const(ty, str(int(value)))


def const_lanes(ty: str, values: Sequence[float]) -> Reg:
    """Return a vector constant with one value a lane."""
    elem = elem_of(ty)
    if len(values) == 1 and ty == elem:
        return const(ty, values[0])
    inner = ", ".join(f"{elem} {const(elem, v).ref}" for v in values)
    return Reg(f"<{inner}>", ty)


def undef(ty: str) -> Reg:
    """Return the poison value of `ty`."""
    return Reg("poison", ty)


class Function:
    """A function being written. Instructions go to the current block.

    `params` are (type, attributes) pairs; `args` are the registers of the parameters.
    """

    __slots__ = (
        "_labels", "_next", "args", "attrs", "block", "head", "lines", "linkage",
        "module", "name", "params", "ret_ty",
    )  # fmt: skip

    def __init__(
        self,
        module: "Module",
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

    def text(self) -> str:
        """Return the definition as LLVM IR."""
        params = ", ".join(
            f"{ty} {attr} %a{k}" if attr else f"{ty} %a{k}"
            for k, (ty, attr) in enumerate(self.params)
        )
        head = f"define {self.linkage} {self.ret_ty} @{self.name}({params}) "
        head += f"{self.attrs} #0 {{"
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

    # -- floating point -----------------------------------------------------------------

    def _bin(self, op: str, x: Reg, y: Reg) -> Reg:
        return self.emit(x.ty, f"{op} {x.ty} {x.ref}, {y.ref}")

    def fadd(self, x: Reg, y: Reg) -> Reg:
        """Return x + y."""
        return self._bin("fadd", x, y)

    def fsub(self, x: Reg, y: Reg) -> Reg:
        """Return x - y."""
        return self._bin("fsub", x, y)

    def fmul(self, x: Reg, y: Reg) -> Reg:
        """Return x * y."""
        return self._bin("fmul", x, y)

    def fdiv(self, x: Reg, y: Reg) -> Reg:
        """Return x / y."""
        return self._bin("fdiv", x, y)

    def fneg(self, x: Reg) -> Reg:
        """Return -x."""
        return self.emit(x.ty, f"fneg {x.ty} {x.ref}")

    def fma(self, x: Reg, y: Reg, z: Reg) -> Reg:
        """Return x * y + z with one rounding."""
        return self.intrinsic("fma", x.ty, (x, y, z))

    def fabs(self, x: Reg) -> Reg:
        """Return |x|."""
        return self.intrinsic("fabs", x.ty, (x,))

    def sqrt(self, x: Reg) -> Reg:
        """Return the correctly rounded square root."""
        return self.intrinsic("sqrt", x.ty, (x,))

    def copysign(self, x: Reg, sign: Reg) -> Reg:
        """Return |x| with the sign of `sign`."""
        return self.intrinsic("copysign", x.ty, (x, sign))

    def rint(self, x: Reg) -> Reg:
        """Round to the nearest integer, ties to even."""
        return self.intrinsic("roundeven", x.ty, (x,))

    def floor(self, x: Reg) -> Reg:
        """Round towards minus infinity."""
        return self.intrinsic("floor", x.ty, (x,))

    def ceil(self, x: Reg) -> Reg:
        """Round towards plus infinity."""
        return self.intrinsic("ceil", x.ty, (x,))

    def trunc_f(self, x: Reg) -> Reg:
        """Round towards zero."""
        return self.intrinsic("trunc", x.ty, (x,))

    def fcmp(self, pred: str, x: Reg, y: Reg) -> Reg:
        """Compare floats; `pred` is LLVM's: oeq ogt oge olt ole one une uno ord."""
        return self.emit(mask_of(x.ty), f"fcmp {pred} {x.ty} {x.ref}, {y.ref}")

    # -- integers -------------------------------------------------------------------------

    def add(self, x: Reg, y: Reg) -> Reg:
        """Return x + y, wrapping."""
        return self._bin("add", x, y)

    def sub(self, x: Reg, y: Reg) -> Reg:
        """Return x - y, wrapping."""
        return self._bin("sub", x, y)

    def mul(self, x: Reg, y: Reg) -> Reg:
        """Return x * y, wrapping."""
        return self._bin("mul", x, y)

    def sdiv(self, x: Reg, y: Reg) -> Reg:
        """Return the quotient rounded towards zero; y must not be 0."""
        return self._bin("sdiv", x, y)

    def srem(self, x: Reg, y: Reg) -> Reg:
        """Return the remainder with the sign of x; y must not be 0."""
        return self._bin("srem", x, y)

    def udiv(self, x: Reg, y: Reg) -> Reg:
        """Return the unsigned quotient; y must not be 0."""
        return self._bin("udiv", x, y)

    def urem(self, x: Reg, y: Reg) -> Reg:
        """Return the unsigned remainder; y must not be 0."""
        return self._bin("urem", x, y)

    def and_(self, x: Reg, y: Reg) -> Reg:
        """Return the bitwise and."""
        return self._bin("and", x, y)

    def or_(self, x: Reg, y: Reg) -> Reg:
        """Return the bitwise or."""
        return self._bin("or", x, y)

    def xor(self, x: Reg, y: Reg) -> Reg:
        """Return the bitwise exclusive or."""
        return self._bin("xor", x, y)

    def not_(self, x: Reg) -> Reg:
        """Return the bitwise complement (logical not of an i1)."""
        return self._bin("xor", x, const(x.ty, 1 if elem_of(x.ty) == I1 else -1))

    def shl(self, x: Reg, y: Reg) -> Reg:
        """Shift left."""
        return self._bin("shl", x, y)

    def lshr(self, x: Reg, y: Reg) -> Reg:
        """Shift right, filling with zeros."""
        return self._bin("lshr", x, y)

    def ashr(self, x: Reg, y: Reg) -> Reg:
        """Shift right, keeping the sign."""
        return self._bin("ashr", x, y)

    def icmp(self, pred: str, x: Reg, y: Reg) -> Reg:
        """Compare integers; `pred` is LLVM's: eq ne slt sle sgt sge ult ule ugt uge."""
        return self.emit(mask_of(x.ty), f"icmp {pred} {x.ty} {x.ref}, {y.ref}")

    def smin(self, x: Reg, y: Reg) -> Reg:
        """Return the smaller signed integer."""
        return self.intrinsic("smin", x.ty, (x, y))

    def smax(self, x: Reg, y: Reg) -> Reg:
        """Return the larger signed integer."""
        return self.intrinsic("smax", x.ty, (x, y))

    # -- conversions, lanes -----------------------------------------------------------------

    def convert(self, op: str, x: Reg, ty: str) -> Reg:
        """Apply a conversion: sitofp fptosi uitofp zext sext trunc fpext fptrunc."""
        return self.emit(ty, f"{op} {x.ty} {x.ref} to {ty}")

    def bitcast(self, x: Reg, ty: str) -> Reg:
        """Reinterpret the bits."""
        return self.emit(ty, f"bitcast {x.ty} {x.ref} to {ty}")

    def select(self, cond: Reg, x: Reg, y: Reg) -> Reg:
        """Return x where cond holds, else y, lane by lane."""
        return self.emit(
            x.ty, f"select {cond.ty} {cond.ref}, {x.ty} {x.ref}, {y.ty} {y.ref}"
        )

    def freeze(self, x: Reg) -> Reg:
        """Return x with poison made an arbitrary fixed value."""
        return self.emit(x.ty, f"freeze {x.ty} {x.ref}")

    def splat(self, x: Reg, width: int) -> Reg:
        """Return a vector with the scalar x in every lane."""
        if width == 1:
            return x
        ty = vec(x.ty, width)
        if x.ref[0] != "%":
            return Reg(f"splat ({x.ty} {x.ref})", ty)
        one = self.emit(ty, f"insertelement {ty} poison, {x.ty} {x.ref}, i64 0")
        return self.emit(
            ty,
            f"shufflevector {ty} {one.ref}, {ty} poison, <{width} x i32> zeroinitializer",
        )

    def extract(self, x: Reg, lane: int) -> Reg:
        """Return one lane of a vector (the scalar itself for width 1)."""
        if width_of(x.ty) == 1:
            return x
        return self.emit(elem_of(x.ty), f"extractelement {x.ty} {x.ref}, i64 {lane}")

    def insert(self, x: Reg, value: Reg, lane: int) -> Reg:
        """Return x with one lane replaced."""
        if width_of(x.ty) == 1:
            return value
        return self.emit(
            x.ty, f"insertelement {x.ty} {x.ref}, {value.ty} {value.ref}, i64 {lane}"
        )

    def shuffle(self, x: Reg, y: Reg, lanes: Sequence[int]) -> Reg:
        """Return the lanes of x followed by y, by index."""
        n = len(lanes)
        mask = ", ".join(f"i32 {k}" for k in lanes)
        return self.emit(
            vec(elem_of(x.ty), n),
            f"shufflevector {x.ty} {x.ref}, {y.ty} {y.ref}, <{n} x i32> <{mask}>",
        )

    def any_lane(self, mask: Reg) -> Reg:
        """Return an i1: does any lane of an i1 vector hold?"""
        width = width_of(mask.ty)
        if width == 1:
            return mask
        bits = self.bitcast(mask, f"i{width}")
        return self.icmp("ne", bits, const(f"i{width}", 0))

    # -- memory ---------------------------------------------------------------------------

    def gep(self, base: Reg, index: Reg, elem: str = I8) -> Reg:
        """Return the address `index` elements of type `elem` after base.

        With a vector of indices the result is a vector of addresses.
        """
        ty = vec(PTR, width_of(index.ty))
        return self.emit(
            ty, f"getelementptr {elem}, {base.ty} {base.ref}, {index.ty} {index.ref}"
        )

    def load(self, ptr: Reg, ty: str, align: int | None = None, meta: str = "") -> Reg:
        """Load a scalar or a vector of consecutive elements."""
        align = align or max(bits_of(ty) // 8, 1)
        return self.emit(ty, f"load {ty}, ptr {ptr.ref}, align {align}{meta}")

    def store(self, value: Reg, ptr: Reg, align: int | None = None) -> None:
        """Store a scalar or a vector of consecutive elements."""
        align = align or max(bits_of(value.ty) // 8, 1)
        self.raw(f"store {value.ty} {value.ref}, ptr {ptr.ref}, align {align}")

    def masked_load(self, ptr: Reg, mask: Reg, ty: str, other: Reg) -> Reg:
        """Load consecutive lanes where the mask holds; `other` elsewhere."""
        name = f"llvm.masked.load.{suffix_of(ty)}.p0"
        self.module.declare(name, f"declare {ty} @{name}(ptr, {mask.ty}, {ty})")
        align = max(bits_of(ty) // 8, 1)
        return self.emit(
            ty,
            f"call {ty} @{name}(ptr align {align} {ptr.ref}, {mask.ty} {mask.ref}, "
            f"{ty} {other.ref})",
        )

    def masked_store(self, value: Reg, ptr: Reg, mask: Reg) -> None:
        """Store consecutive lanes where the mask holds."""
        ty = value.ty
        name = f"llvm.masked.store.{suffix_of(ty)}.p0"
        self.module.declare(name, f"declare void @{name}({ty}, ptr, {mask.ty})")
        align = max(bits_of(ty) // 8, 1)
        self.raw(
            f"call void @{name}({ty} {value.ref}, ptr align {align} {ptr.ref}, "
            f"{mask.ty} {mask.ref})"
        )

    def masked_gather(self, ptrs: Reg, mask: Reg, ty: str, other: Reg) -> Reg:
        """Load each lane from its own address where the mask holds."""
        name = f"llvm.masked.gather.{suffix_of(ty)}.{suffix_of(ptrs.ty)}"
        self.module.declare(name, f"declare {ty} @{name}({ptrs.ty}, {mask.ty}, {ty})")
        align = max(bits_of(ty) // 8, 1)
        return self.emit(
            ty,
            f"call {ty} @{name}({ptrs.ty} align {align} {ptrs.ref}, "
            f"{mask.ty} {mask.ref}, {ty} {other.ref})",
        )


class Module:
    """An LLVM module being written: globals, declarations and functions."""

    def __init__(self, triple: str, layout: str, attributes: str) -> None:
        self.triple = triple
        self.layout = layout
        self.attributes = attributes
        self.functions: dict[str, Function] = {}
        self.globals: list[str] = []
        self.uses_profile = False
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

    def text(self) -> str:
        """Return the whole module as LLVM IR."""
        parts = [
            f'target datalayout = "{self.layout}"' if self.layout else "",
            f'target triple = "{self.triple}"',
            "",
            *self.globals,
            *(fn.text() for fn in self.functions.values()),
            *self._declares.values(),
            f"attributes #0 = {{ {self.attributes} }}",
        ]
        if self.uses_profile:
            parts += [
                '!0 = !{!"branch_weights", i32 2000, i32 1}',
                '!1 = !{!"branch_weights", i32 1, i32 2000}',
            ]
        return "\n".join(parts) + "\n"
