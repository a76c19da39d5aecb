"""Small native programs and their entries, for the tests of the fast call."""

from functools import cache

import numpy as np
from pullback.codegen.llvm import F64, I32, I64, PTR, Function, Reg, const
from pullback.codegen.target import host
from pullback.runtime.fastcall import InSpec, OutSpec, call_path, make_entry
from pullback.runtime.loading import load

PATHS = ["ctypes"] + (["native"] if call_path() == "native" else [])
LLVM_TYPES = {
    "f64": "double", "f32": "float", "i64": "i64", "i32": "i32", "i16": "i16",
    "i8": "i8", "u64": "i64", "u32": "i32", "u16": "i16", "u8": "i8", "bool": "i8",
}  # fmt: skip


class Missed(Exception):
    """What the slow path of these tests raises."""


def missed(*args, **keywords):
    raise Missed(args, keywords)


def failed(code, node, index, axis, extent):
    return IndexError(code, node, index, axis, extent)


# -- small programs --------------------------------------------------------------------


def element(fn: Function, array: Reg, index: Reg, ty: str) -> Reg:
    return fn.gep(array, index, ty)


def item(fn: Function, arrays: Reg, k: int) -> Reg:
    return fn.load(fn.gep(arrays, const(I64, k), PTR), PTR)


def move(fn: Function, source: Reg, target: Reg) -> None:
    fn.store(fn.load(source, F64), target)


def loop(fn: Function, count: Reg, body) -> None:
    before, head, inside, done = (
        fn.new_label(x) for x in ("pre", "head", "in", "done")
    )
    fn.br(before)
    fn.start(before)
    fn.br(head)
    fn.start(head)
    k = fn.phi(I64, const(I64, 0), before)
    fn.cond_br(fn.icmp("slt", k, count), inside, done)
    fn.start(inside)
    body(k)
    fn.phi_edge(k, fn.add(k, const(I64, 1)), fn.block)
    fn.br(head)
    fn.start(done)


@cache
def program(write, *args):
    """Compile a program; `write` fills pb_test(ctx, inputs, sizes, outputs, work)."""
    module = host().module()
    size = module.function("pb_test_workspace", I64, [(PTR, ""), (I32, "")], linkage="")
    size.ret(size.mul(size.load(size.args[0], I64), const(I64, 8)))
    fn = module.function("pb_test", I32, [(PTR, "")] * 5, linkage="")
    write(fn, *args)
    fn.ret(const(I32, 0))
    return load(module.text())


def write_square(fn):
    x = fn.load(item(fn, fn.args[1], 0), F64)
    fn.store(fn.fmul(x, x), item(fn, fn.args[3], 0))
    fn.store(fn.fadd(x, x), item(fn, fn.args[3], 1))


def write_add(fn):
    x, y = item(fn, fn.args[1], 0), item(fn, fn.args[1], 1)
    out = item(fn, fn.args[3], 0)

    def body(k):
        total = fn.fadd(
            fn.load(element(fn, x, k, F64), F64), fn.load(element(fn, y, k, F64), F64)
        )
        fn.store(total, element(fn, out, k, F64))

    loop(fn, fn.load(fn.args[2], I64), body)


def write_copy(fn, ty):
    value = fn.load(item(fn, fn.args[1], 0), ty)
    fn.store(value, item(fn, fn.args[3], 0))


def write_fill(fn, count):
    """Fill output 0 with input 0."""
    value = fn.load(item(fn, fn.args[1], 0), F64)
    out = item(fn, fn.args[3], 0)
    loop(fn, const(I64, count), lambda k: fn.store(value, element(fn, out, k, F64)))


def write_fail(fn):
    """Fail with code 1 and a status where input 0 is negative."""
    index = fn.load(item(fn, fn.args[1], 0), I64)
    fn.store(index, item(fn, fn.args[3], 0))
    fn.cond_br(fn.icmp("slt", index, const(I64, 0)), "bad", "good")
    fn.start("bad")
    status = fn.load(fn.gep(fn.args[0], const(I64, 8)), PTR)
    fn.store(const(I32, 1), status)
    fn.store(const(I32, 7), fn.gep(status, const(I64, 4)))
    for offset, value in ((8, index), (16, const(I64, 2)), (24, const(I64, 5))):
        fn.store(value, fn.gep(status, const(I64, offset)))
    fn.ret(const(I32, 1))
    fn.start("good")


def write_through_workspace(fn, rounds):
    """Reverse x by way of the workspace, several times over."""
    x, out, work = item(fn, fn.args[1], 0), item(fn, fn.args[3], 0), fn.args[4]
    n = fn.load(fn.args[2], I64)

    def once(_):
        loop(
            fn, n, lambda k: move(fn, element(fn, x, k, F64), element(fn, work, k, F64))
        )

        def back(k):
            mirror = fn.sub(fn.sub(n, const(I64, 1)), k)
            move(fn, element(fn, work, mirror, F64), element(fn, out, k, F64))

        loop(fn, n, back)

    loop(fn, const(I64, rounds), once)
    low = fn.and_(fn.emit(I64, f"ptrtoint ptr {work.ref} to i64"), const(I64, 63))
    status = fn.load(fn.gep(fn.args[0], const(I64, 8)), PTR)
    fn.store(low, fn.gep(status, const(I64, 8)))
    fn.cond_br(fn.icmp("ne", low, const(I64, 0)), "crooked", "straight")
    fn.start("crooked")
    fn.ret(const(I32, 9))
    fn.start("straight")


def entry(library, inputs, outputs, sizes=(), tree=0, miss=missed, **options):
    workspace = options.pop("workspace", 0)
    if options.pop("sized", False):
        options["workspace_address"] = library.address("pb_test_workspace")
    return make_entry(
        library.address("pb_test"), inputs, outputs, sizes, workspace, tree, miss,
        failed, keep=library, **options,
    )  # fmt: skip


def square_entry(**options):
    tree = options.pop("tree", (0, 1))
    scalar = OutSpec("f64", ())
    return entry(
        program(write_square), (InSpec("x", "f64", ()),), (scalar, scalar),
        tree=tree, **options,
    )  # fmt: skip


def n_of(fn, sizes):
    return sizes["n"]


def add_entry(**options):
    inputs = (InSpec("x", "f64", ("n",)), InSpec("y", "f64", ("n",)))
    return entry(
        program(write_add), inputs, (OutSpec("f64", (n_of,)),), ("n",), **options
    )


def fill_entry(shape, **options):
    count = int(np.prod(shape))
    library = program(write_fill, count)
    return entry(
        library, (InSpec("x", "f64", ()),), (OutSpec("f64", shape),), **options
    )


def reverse_entry(rounds=1, **options):
    return entry(
        program(write_through_workspace, rounds), (InSpec("x", "f64", ("n",)),),
        (OutSpec("f64", (n_of,)),), ("n",), sized=True, **options,
    )  # fmt: skip


# -- arguments that fit no program of arrays -------------------------------------------


class Marked(np.ndarray):
    pass


class Broken:
    def __getattr__(self, name):
        raise AssertionError(name)


def _misaligned(n):
    return np.zeros(8 * n + 1, np.uint8)[1:].view(np.float64)


STRANGE = {
    "object": np.array([1.0] * 10, object),
    "subclass": np.ones(10).view(Marked),
    "masked": np.ma.masked_array(np.ones(10)),
    "strided": np.ones(20)[::2],
    "negative stride": np.ones(10)[::-1],
    "broadcast": np.broadcast_to(1.0, (10,)),
    "huge broadcast": np.broadcast_to(1.0, (2**59,)),
    "misaligned": _misaligned(10),
    "swapped": np.ones(10, ">f8"),
    "single": np.ones(10, np.float32),
    "complex": np.ones(10, complex),
    "datetime": np.zeros(10, "M8[s]"),
    "structured": np.zeros(10, [("a", "f8")]),
    "text": np.array(["a"] * 10),
    "matrix": np.ones((10, 1)),
    "scalar": np.array(1.0),
    "longer": np.ones(11),
    "one": np.ones(1),
    "list": [1.0] * 10,
    "float": 1.0,
    "none": None,
    "type": np.ndarray,
    "broken": Broken(),
    "memory": memoryview(np.ones(10)),
}
