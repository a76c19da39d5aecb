"""LU factors of a triangle, which need no elimination."""

from ..contract.flow import for_range, i64
from ..contract.scans import NOT_FINITE, NOT_ZERO, emit_any
from ..llvm import I1, I64, PTR, Function, Reg, bits_of, const, int_of, vec
from .tools import Tools

_FAR = 1 << 40  # a diagonal beyond all matrices


def emit_triangle(tools: Tools) -> str:
    """Emit factoring a triangle once a module; return its name.

        i1 name(ptr x, i64 n, ptr line)

    x (n, n) holds a matrix negated. Where that is a triangle of finite numbers it
    becomes its packed factors: an upper one is u, a lower one is l u with u its
    diagonal, if no quotient by that overflows. Else it stays as it is, and the result
    is 0. `line` is scratch for n elements.

    Two elements tell of most matrices that they are no triangles.
    """
    name = f"pb_lu_triangle_{tools.dtype}"
    if name in tools.module.functions:
        return name
    params = [(PTR, ""), (I64, ""), (PTR, "")]
    fn = tools.module.function(name, I1, params, attrs="noinline")
    x, n, line = fn.args
    one, zero = i64(1), i64(0)

    def leave_if(bad: Reg) -> None:
        no, go = fn.new_label("no"), fn.new_label("go")
        fn.cond_br(bad, no, go)
        fn.start(no)
        fn.ret(const(I1, 0))
        fn.start(go)

    def any_of(kind: str, lo: int, hi: int) -> Reg:
        scan = emit_any(tools.module, tools.cut, tools.dtype, kind)
        return fn.call(scan, I1, (x, n, n, n, one, i64(lo), i64(hi)))

    leave_if(fn.icmp("slt", n, i64(2)))
    last = fn.sub(n, one)
    corners = [
        fn.fcmp("une", fn.load(tools.at(fn, x, pair), tools.elem), tools.zero())
        for pair in ((last, None), (last, n))
    ]
    leave_if(fn.and_(*corners))
    leave_if(any_of(NOT_FINITE, -_FAR, _FAR))

    def positive() -> None:
        """Emit x = -x, without negative zeros."""

        def body(j: Reg, ty: str) -> None:
            at = tools.at(fn, x, (j, None))
            fn.store(fn.fsub(const(ty, 0.0), fn.load(at, ty)), at)

        tools.lanes(fn, zero, fn.mul(n, n), body)
        fn.ret(const(I1, 1))

    upper = fn.new_label("upper")
    other = fn.new_label("other")
    fn.cond_br(any_of(NOT_ZERO, -_FAR, -1), other, upper)
    fn.start(upper)
    positive()
    fn.start(other)
    leave_if(any_of(NOT_ZERO, 1, _FAR))

    def keep(i: Reg, _: list[Reg]) -> list[Reg]:
        pivot = fn.load(tools.at(fn, x, (i, n), (i, None)), tools.elem)
        # what is below is divided by a pivot and negated once more at the end
        fn.store(fn.fneg(pivot), tools.at(fn, line, (i, None)))
        return []

    for_range(fn, n, one, keep)
    leave_if(_overflows(tools, fn, x, n, line))

    def divide(i: Reg, _: list[Reg]) -> list[Reg]:
        row = tools.at(fn, x, (i, n))

        def body(j: Reg, ty: str) -> None:
            at = tools.at(fn, row, (j, None))
            down = fn.load(tools.at(fn, line, (j, None)), ty)
            fn.store(fn.fdiv(fn.load(at, ty), down), at)

        tools.lanes(fn, zero, i, body)
        return []

    for_range(fn, n, one, divide)
    positive()
    return name


def _overflows(tools: Tools, fn: Function, x: Reg, n: Reg, line: Reg) -> Reg:
    """Return whether a quotient by a pivot is no finite number."""
    wide = vec(tools.elem, tools.width)
    one = i64(1)

    def row(i: Reg, held: list[Reg]) -> list[Reg]:
        base = tools.at(fn, x, (i, n))

        def look(j: Reg, ty: str) -> Reg:
            held = fn.load(tools.at(fn, base, (j, None)), ty)
            quotient = fn.fdiv(held, fn.load(tools.at(fn, line, (j, None)), ty))
            bits = fn.bitcast(fn.fmul(quotient, const(ty, 0.0)), int_of(ty))
            sign = 1 << (bits_of(ty) - 1)
            return fn.and_(bits, const(bits.ty, sign - 1))

        whole = fn.and_(i, i64(-tools.width))

        def many(j: Reg, held: list[Reg]) -> list[Reg]:
            return [fn.or_(held[0], look(j, wide)), held[1]]

        def single(j: Reg, held: list[Reg]) -> list[Reg]:
            return [held[0], fn.or_(held[1], look(j, tools.elem))]

        held = for_range(fn, whole, i64(tools.width), many, held)
        return for_range(fn, i, one, single, held, start=whole)

    none = [const(int_of(wide), 0), const(int_of(tools.elem), 0)]
    many, single = for_range(fn, n, one, row, none)
    some = fn.any_lane(fn.icmp("ne", many, const(many.ty, 0)))
    return fn.or_(some, fn.icmp("ne", single, const(single.ty, 0)))
