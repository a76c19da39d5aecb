"""Measure what a call of a compiled program costs beyond its work.

Every program here does next to nothing. Rows are medians of interleaved rounds, in ns
a call; the last rows compare result memory: 64 MB written once, pooled and freshly
mapped.

    python benchmarks/call_overhead.py
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from pullback.codegen.llvm import F64, I32, I64, PTR, Function, const
from pullback.codegen.target import host
from pullback.runtime.fastcall import InSpec, OutSpec, call_path, make_entry
from pullback.runtime.loading import Library, load
from pullback.runtime.pool import pool

ROUNDS = 21
BIG = 1 << 23


def write_square(fn: Function) -> None:
    """Write x*x and 2*x of a scalar."""
    x = fn.load(fn.load(fn.args[1], PTR), F64)
    fn.store(fn.fmul(x, x), fn.load(fn.args[3], PTR))
    fn.store(fn.fadd(x, x), fn.load(fn.gep(fn.args[3], const(I64, 8)), PTR))


def write_ten(fn: Function) -> None:
    """Add two arrays of ten."""
    x, y = (fn.load(fn.gep(fn.args[1], const(I64, 8 * k)), PTR) for k in (0, 1))
    out = fn.load(fn.args[3], PTR)
    for k in range(10):
        at = const(I64, 8 * k)
        total = fn.fadd(fn.load(fn.gep(x, at), F64), fn.load(fn.gep(y, at), F64))
        fn.store(total, fn.gep(out, at))


def write_fill(fn: Function) -> None:
    """Fill a 64 MB array with a scalar."""
    value = fn.load(fn.load(fn.args[1], PTR), F64)
    out = fn.load(fn.args[3], PTR)
    fn.br("head")
    fn.start("head")
    k = fn.phi(I64, const(I64, 0), "entry")
    wide = fn.splat(value, 8)
    fn.store(wide, fn.gep(out, k, F64), align=8)
    following = fn.add(k, const(I64, 8))
    fn.phi_edge(k, following, "head")
    fn.cond_br(fn.icmp("ult", following, const(I64, BIG)), "head", "done")
    fn.start("done")


def program(write: Callable[[Function], None]) -> Library:
    """Compile pb_bench."""
    fn = (module := host().module()).function(
        "pb_bench", I32, [(PTR, "")] * 5, linkage=""
    )
    write(fn)
    fn.ret(const(I32, 0))
    return load(module.text())


def refuse(*args: object, **keywords: object) -> object:
    """Stand in for the slow path."""
    raise TypeError(args, keywords)


def failed(*status: int) -> BaseException:
    """Stand in for the maker of exceptions."""
    return RuntimeError(status)


def entries(path: str) -> dict[str, Callable[..., object]]:
    """Return the entries to measure."""
    scalar = OutSpec("f64", ())
    x0, named = InSpec("x", "f64", ()), ("n",)
    pair = (InSpec("x", "f64", named), InSpec("y", "f64", named))
    like = OutSpec("f64", (lambda fn, sizes: sizes["n"],))
    rows = {
        "scalar": (write_square, (x0,), (scalar, scalar), (), (0, 1)),
        "arrays": (write_ten, pair, (like,), named, 0),
        "big": (write_fill, (x0,), (OutSpec("f64", (BIG,)),), (), 0),
    }
    made = {}
    for name, (write, inputs, outputs, sizes, tree) in rows.items():
        library = program(write)
        made[name] = make_entry(
            library.address("pb_bench"), inputs, outputs, sizes, 0, tree, refuse,
            failed, keep=library, path=path,
        )  # fmt: skip
    return made


def as_object(call: Callable[..., object]) -> Callable[..., object]:
    """Return an instance whose class has the entry as its `__call__`."""
    return type("Compiled", (), {"__call__": call})()


def seconds(call: Callable[[], object], count: int) -> float:
    """Return the time of one call, in seconds."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def seconds_with(call: Callable[..., object], args: tuple[object, ...]) -> float:
    """Return the time of one call with arguments, without the loop's own."""
    steps = range(20_000)
    start = time.perf_counter()
    if len(args) == 1:
        (x,) = args
        for _ in steps:
            call(x)
    else:
        x, y = args
        for _ in steps:
            call(x, y)
    middle = time.perf_counter()
    for _ in steps:
        pass
    return (2 * middle - start - time.perf_counter()) / len(steps)


def main() -> None:
    """Print the table."""
    print(f"call path: {call_path()}")
    a, b = np.arange(10.0), np.ones(10)
    native, portable = entries("native"), entries("ctypes")
    rows: dict[str, tuple[Callable[..., object], tuple[object, ...]]] = {
        "len(x)": (len, (a,)),
        "x, y -> x + y, f64[10], NumPy": (np.add, (a, b)),
        "x, y -> dot, f64[10], NumPy": (np.dot, (a, b)),
    }
    for name, made in (("native", native), ("ctypes", portable)):
        rows[f"scalar -> value, gradient; {name}"] = (made["scalar"], (1.5,))
        rows[f"x, y -> f64[10]; {name}"] = (made["arrays"], (a, b))
        rows[f"scalar, through an object; {name}"] = (as_object(made["scalar"]), (1.5,))
        rows[f"x, y, through an object; {name}"] = (as_object(made["arrays"]), (a, b))
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, (call, args) in rows.items():
            found[name].append(seconds_with(call, args))
    for name, times in found.items():
        print(f"{statistics.median(times) * 1e9:9.0f} ns  {name}")
    memory: dict[str, list[float]] = {"pooled": [], "freshly mapped": []}
    limit = pool().stats().limit
    for _ in range(ROUNDS):
        for name, bound in (("pooled", limit), ("freshly mapped", 0)):
            pool().set_limit(bound)
            native["big"](1.0)
            memory[name].append(seconds(lambda: native["big"](1.0), 3))
    for name, times in memory.items():
        print(f"{statistics.median(times) * 1e6:9.0f} us  64 MB result, {name}")


if __name__ == "__main__":
    main()
