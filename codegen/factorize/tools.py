"""What the kernels of this folder share: the dtype's types, loops over lanes."""

from collections.abc import Callable

from ..contract import emit_accumulate, gemm_work_bytes
from ..contract.blocking import Blocking, blocking
from ..contract.flow import for_range, i64
from ..contract.panels import Kernels
from ..llvm import I64, PTR, VOID, Function, Module, Reg, const, vec
from ..target import Target

BLOCK = 64  # rows eliminated before what is left is updated by a multiplication


class Tools:
    """One dtype of one module: its types, and the functions others are made of."""

    def __init__(self, module: Module, target: Target, dtype: str) -> None:
        self.module, self.target, self.dtype = module, target, dtype
        self.cut: Blocking = blocking(target, dtype)
        self.elem, self.width = self.cut.elem, self.cut.width
        self.kernels = Kernels(module, self.cut, dtype)

    @property
    def gemm_bytes(self) -> int:
        """Bytes of scratch of an update, a multiple of 64."""
        return -(-gemm_work_bytes(self.target, self.dtype) // 64) * 64

    @property
    def square_bytes(self) -> int:
        """Bytes of a square block."""
        return BLOCK * BLOCK * self.cut.size

    def at(self, fn: Function, base: Reg, *pairs: tuple[Reg, Reg | None]) -> Reg:
        """Return an address moved by index * stride for each pair; None is 1."""
        for index, stride in pairs:
            offset = index if stride is None else fn.mul(index, stride)
            base = fn.gep(base, offset, self.elem)
        return base

    def update(
        self,
        fn: Function,
        arrays: tuple[Reg, Reg, Reg],
        sizes: tuple[Reg, Reg, Reg],
        strides: tuple[Reg, Reg, Reg, Reg, Reg],
        work: Reg,
    ) -> None:
        """Emit c += a b; sizes are m, n, k, strides sam, sak, sbk, sbn, scm."""
        name = emit_accumulate(self.module, self.target, self.dtype)
        fn.call(name, VOID, (*arrays, *sizes, *strides, i64(1), work))

    def pack(
        self, fn: Function, source: Reg, strides: tuple[Reg, Reg], goal: Reg,
        line: Reg, sizes: tuple[Reg, Reg],
    ) -> None:  # fmt: skip
        """Emit goal[i*line + j] = source[i*s0 + j*s1] for i, j below sizes."""
        args = (source, *strides, goal, line, *sizes)
        fn.call(self.kernels.pack(), VOID, args)

    def lanes(
        self,
        fn: Function,
        start: Reg,
        stop: Reg,
        body: Callable[[Reg, str], None],
    ) -> None:
        """Emit `body(index, type)` for whole vectors from start, then for elements."""
        count = fn.smax(fn.sub(stop, start), i64(0))
        whole = fn.add(start, fn.and_(count, i64(-self.width)))

        def some(j: Reg, _: list[Reg]) -> list[Reg]:
            body(j, vec(self.elem, self.width))
            return []

        def one(j: Reg, _: list[Reg]) -> list[Reg]:
            body(j, self.elem)
            return []

        for_range(fn, whole, i64(self.width), some, start=start)
        if self.width > 1:
            for_range(fn, stop, i64(1), one, start=whole)

    def negated(self) -> str:
        """Return `void name(ptr from, ptr to, i64 count)`: to = -from, or in place."""
        name = f"pb_negated_{self.dtype}"
        if name not in self.module.functions:
            params = [(PTR, ""), (PTR, ""), (I64, "")]
            fn = self.module.function(name, VOID, params, attrs="noinline")
            source, goal, count = fn.args

            def body(j: Reg, ty: str) -> None:
                held = fn.load(fn.gep(source, j, self.elem), ty)
                fn.store(fn.fneg(held), fn.gep(goal, j, self.elem))

            self.lanes(fn, i64(0), count, body)
            fn.ret()
        return name

    def zero(self) -> Reg:
        """Return 0 of the element type."""
        return const(self.elem, 0.0)
