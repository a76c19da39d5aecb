"""Copy memory, without the C library."""

from collections.abc import Callable

from .llvm import I8, I64, PTR, VOID, Module, Reg, const, vec

BLOCK = 64  # bytes copied at a time


def copy_function(module: Module) -> str:
    """Return the function that copies bytes between places that do not overlap.

    void pb_copy(ptr goal, ptr source, i64 bytes)
    """
    name = "pb_copy"
    if name in module.functions:
        return name
    fn = module.function(name, VOID, [(PTR, ""), (PTR, ""), (I64, "")])
    goal, source, nbytes = fn.args

    def walk(begin: Reg, stop: Reg, by: int, move: Callable[[Reg], None]) -> None:
        loop, done = fn.new_label("copy"), fn.new_label("copied")
        before = fn.block
        fn.cond_br(fn.icmp("slt", begin, stop), loop, done)
        fn.start(loop)
        at = fn.phi(I64, begin, before)
        move(at)
        following = fn.add(at, const(I64, by))
        fn.phi_edge(at, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, stop), loop, done)
        fn.start(done)

    def mover(ty: str) -> Callable[[Reg], None]:
        def move(at: Reg) -> None:
            fn.store(fn.load(fn.gep(source, at), ty, 1), fn.gep(goal, at), 1)

        return move

    whole = fn.and_(nbytes, const(I64, -BLOCK))
    words = fn.and_(nbytes, const(I64, -8))
    walk(const(I64, 0), whole, BLOCK, mover(vec(I64, BLOCK // 8)))
    walk(whole, words, 8, mover(I64))
    walk(words, nbytes, 1, mover(I8))
    fn.ret()
    return name
