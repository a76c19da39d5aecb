"""Status codes of docs/abi.md, and the function that fills a status."""

from . import llvm
from .llvm import I64, PTR, Module, Reg, const

INDEX_OUT_OF_RANGE = 1
WORKSPACE_TOO_SMALL = 2
CANCELLED = 3
SIZE_MISMATCH = 4
NOT_POSITIVE_DEFINITE = 5
SINGULAR = 6
PRINT_STOPPED = 7


def fail_function(module: Module) -> str:
    """Return the function that fills the status, if there is one, and returns the code.

    i32 pb_fail(ptr ctx, i32 code, i32 node, i64 index, i64 axis, i64 extent)
    """
    name = "pb_fail"
    if name in module.functions:
        return name
    params = [(PTR, ""), *[(llvm.I32, "")] * 2, *[(I64, "")] * 3]
    fn = module.function(name, llvm.I32, params, attrs="noinline cold")
    ctx, code, node, *rest = fn.args
    null = Reg("null", PTR)
    has, get, fill, done = (fn.new_label(x) for x in ("has", "get", "fill", "done"))
    fn.cond_br(fn.icmp("eq", ctx, null), done, has)
    fn.start(has)
    fn.br(get)
    fn.start(get)
    status = fn.load(fn.gep(ctx, const(I64, 8)), PTR)
    fn.cond_br(fn.icmp("eq", status, null), done, fill)
    fn.start(fill)
    fn.store(code, status)
    fn.store(node, fn.gep(status, const(I64, 4)))
    for k, number in enumerate(rest):
        fn.store(number, fn.gep(status, const(I64, 8 + 8 * k)))
    fn.br(done)
    fn.start(done)
    fn.ret(code)
    return name
