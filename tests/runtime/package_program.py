"""A small program for the packaging tests: data, a table of functions, a loop."""

from functools import cache

from pullback.codegen.llvm import F64, I32, I64, PTR, Function, Reg, const
from pullback.codegen.signature import ArraySpec, Signature
from pullback.codegen.target import Target, emit_object, host

TABLE = (1.0, -2.5, 3.25, 0.1)
ENTRY = [(PTR, "")] * 5

SCALE = Signature(
    "scale",
    (ArraySpec("x", "f64", ("n",)), ArraySpec("k", "i64", ())),
    (ArraySpec("total", "f64", ()), ArraySpec("y", "f64", ("n+1",))),
    ("n",),
    "Scale x by entry k of a table; add 1 where k is odd.",
)
AGAIN = Signature("scale_again", SCALE.inputs, SCALE.outputs, SCALE.sizes, "")


def scaled(x, k):
    """Return what the program computes, in the same order of operations."""
    y = [v * TABLE[k] + (k % 2) for v in x]
    total = 0.0
    for v in y:
        total += v
    return total, [*y, total]


def _at(fn: Function, base: Reg, index: int) -> Reg:
    return fn.load(fn.gep(base, const(I64, index), PTR), PTR)


def _workspace(module, name):
    fn = module.function(f"pb_{name}_workspace", I64, [(PTR, ""), (I32, "")], "")
    fn.ret(fn.mul(fn.load(fn.args[0], I64), const(I64, 8)))


def program_text(target: Target) -> str:
    module = target.module()
    values = ", ".join(f"double {const(F64, v).ref}" for v in TABLE)
    module.globals += [
        f"@table = internal constant [4 x double] [{values}], align 64",
        "@steps = internal constant [2 x ptr] [ptr @keep, ptr @increase]",
    ]
    keep = module.function("keep", F64, [(F64, "")], attrs="noinline")
    keep.ret(keep.args[0])
    increase = module.function("increase", F64, [(F64, "")], attrs="noinline")
    increase.ret(increase.fadd(increase.args[0], const(F64, 1.0)))
    _workspace(module, "scale")
    _workspace(module, "scale_again")
    again = module.function("pb_scale_again", I32, ENTRY, "")
    again.call("pb_scale", I32, again.args)
    again.ret(again.call("pb_scale", I32, again.args))

    fn = module.function("pb_scale", I32, ENTRY, "")
    ctx, inputs, sizes, outputs, work = fn.args
    x, n = _at(fn, inputs, 0), fn.load(sizes, I64)
    k = fn.load(_at(fn, inputs, 1), I64)
    fn.cond_br(fn.icmp("ult", k, const(I64, 4)), "good", "bad")
    fn.start("bad")
    fn.cond_br(fn.icmp("eq", ctx, Reg("null", PTR)), "fail", "told")
    fn.start("told")
    status = _at(fn, ctx, 1)
    fn.cond_br(fn.icmp("eq", status, Reg("null", PTR)), "fail", "fill")
    fn.start("fill")
    for offset, value in ((0, const(I32, 1)), (4, const(I32, 7)), (8, k)):
        fn.store(value, fn.gep(status, const(I64, offset)))
    fn.store(const(I64, 0), fn.gep(status, const(I64, 16)))
    fn.store(const(I64, 4), fn.gep(status, const(I64, 24)))
    fn.br("fail")
    fn.start("fail")
    fn.ret(const(I32, 1))
    fn.start("good")
    factor = fn.load(fn.gep(Reg("@table", PTR), k, F64), F64)
    odd = fn.and_(k, const(I64, 1))
    step = fn.load(fn.gep(Reg("@steps", PTR), odd, PTR), PTR)
    y = _at(fn, outputs, 1)
    fn.br("test")
    fn.start("test")
    i = fn.phi(I64, const(I64, 0), "good")
    total = fn.phi(F64, const(F64, 0.0), "good")
    fn.cond_br(fn.icmp("slt", i, n), "body", "done")
    fn.start("body")
    product = fn.fmul(fn.load(fn.gep(x, i, F64), F64), factor)
    fn.store(product, fn.gep(work, i, F64))
    value = fn.call_ptr(step, F64, [fn.load(fn.gep(work, i, F64), F64)])
    fn.store(value, fn.gep(y, i, F64))
    fn.phi_edge(total, fn.fadd(total, value), "body")
    fn.phi_edge(i, fn.add(i, const(I64, 1)), "body")
    fn.br("test")
    fn.start("done")
    fn.store(total, _at(fn, outputs, 0))
    fn.store(total, fn.gep(y, n, F64))
    fn.ret(const(I32, 0))
    return module.text()


@cache
def program_object() -> bytes:
    return emit_object(program_text(host()), host())


def arm() -> Target:
    return Target("aarch64-unknown-linux-gnu", "generic", "+neon", "", 128, False)


def object_of(definitions: str, target: Target | None = None) -> bytes:
    """Compile LLVM IR written out."""
    target = target or host()
    return emit_object(f'target triple = "{target.triple}"\n{definitions}', target)
