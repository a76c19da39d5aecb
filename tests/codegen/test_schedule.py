"""What becomes a kernel, what lies in memory: the decisions, as text and as numbers."""

from typing import Any

import numpy as np
from native import natives
from programs import program
from pullback.codegen.lower import Lowered, lower
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.ir.adjoint import grad_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.ops import new_builder
from pullback.ir.passes import pipeline
from pullback.ir.sizes import evaluate_size
from pullback.ir.types import parse_type


def lowered(graph: Graph, fuse: bool = True, rows: bool = True) -> tuple[str, Lowered]:
    text, (made,) = lower([(pipeline.run(graph), "p")], host(), fuse=fuse, rows=rows)
    return text, made


def inputs(*texts: str) -> tuple[Builder, list[Value]]:
    b = new_builder()
    types = [parse_type(text) for text in texts]
    for kind in types:
        for d in kind.shape:
            if not isinstance(d, int) and str(d) not in b.sizes:
                b.sizes.append(str(d))
    return b, [b.input(kind, f"x{k}") for k, kind in enumerate(types)]


def test_value_and_gradient_of_a_sum_are_one_kernel() -> None:
    b, (x,) = inputs("f64[n]")
    loss = b.sum(b.mul(b.sin(x), x), axes=(0,))
    graph = grad_graph(b.finish("loss", [loss]), [0])
    _, made = lowered(graph)
    assert (
        show_schedule(made)
        == """\
loss: 1 launches of 1 kernels, workspace 0 bytes
  k0(input0, output0!, output1!)

k0: loop [n], reduced (0,)
  %0: f64 = load s0[a0]
  %1: f64 = sin %0
  %2: f64 = mul %1, %0
  %3: f64 = cos %0
  %4: f64 = mul %0, %3
  %5: f64 = add %1, %4
  s1 <- sum of %2
  s2 <- %5
"""
    )


def test_pairwise_energy_has_no_square_in_memory() -> None:
    _, made = lowered(program("energy", "n", 1).graph)
    assert evaluate_size(made.workspace, {"n": 100_000}) <= 2 * (100_000 * 8 + 64)


def test_a_kernel_that_masks_and_a_contraction_and_an_index() -> None:
    b, (x, w, ids) = inputs("f64[n,3]", "f64[3,2]", "i64[4]")
    y = b.contract(x, w, lhs="ik", rhs="kj", out="ij")
    wide = b.place(
        b.square(y), start=(1, 0), step=(1, 2), shape=(y.type.shape[0] + 2, 4)
    )
    rows = b.take(w, ids, axis=0)
    _, made = lowered(b.finish("three", [wide, b.neg(rows)]))
    assert (
        show_schedule(made)
        == """\
three: 4 launches of 4 kernels, workspace 64*((16*n+63)//(64))+753664 bytes
  k0(input2)
  k1(input2, input1, output1!)
  k2(input0, input1, work0.0!, scratch)
  k3(work0.0, output0!)
  bucket 0: 1 of 64*((16*n+63)//(64)) bytes
  scratch: 753664 bytes

k0: check 4 integers, axis 0 of 3

k1: loop [4, 2]
  %0: i64 = load s0[a0]
  %1: i64 = %0 from the end of 3 if negative
  %2: f64 = load s1[a1 + 2*%1]
  %3: f64 = neg %2
  s2 <- %3

k2: contract f64, batch 0
  m: n, strides lhs 3, rhs 0, out 2
  n: 2, strides lhs 0, rhs 1, out 1
  k: 3, strides lhs 1, rhs 2, out 0

k3: loop [n+2, 4]
  %0: i64 = a1 rem 2
  %1: i64 = a1 div 2
  %2: bool = 0 <= a0 - 1 < n and 0 <= %0 < 1 and 0 <= %1 < 2
  %3: f64 = load s0[2*a0 + %1 - 2] where %2 else 0
  %4: f64 = square %3
  %5: f64 = %4 where %2 else 0
  s1 <- %5
"""
    )


def test_a_fold_and_what_needs_it() -> None:
    b, (x,) = inputs("f64[n,5]")
    total = b.sum(x, axes=(1,))
    back = b.broadcast(b.expand_dims(total, axes=(1,)), x.type.shape)
    _, made = lowered(b.finish("shares", [b.div(x, back)]), rows=False)
    assert (
        show_schedule(made)
        == """\
shares: 2 launches of 2 kernels, workspace 64*((8*n+63)//(64)) bytes
  k0(input0, work0.0!)
  k1(work0.0, input0, output0!)
  bucket 0: 1 of 64*((8*n+63)//(64)) bytes

k0: loop [n, 5], reduced (1,)
  %0: f64 = load s0[5*a0 + a1]
  s1 <- sum of %0

k1: loop [n, 5]
  %0: f64 = load s0[a0]
  %1: f64 = load s1[5*a0 + a1]
  %2: f64 = div %1, %0
  s2 <- %2
"""
    )


def chain(steps: int, *kinds: str) -> Graph:
    b, (x,) = inputs("f64[n]")
    y: Any = x
    for k in range(steps):
        name = kinds[k % len(kinds)]
        y = b.mul(y, 0.5) if name == "mul" else b.op(name, y)
    return b.finish("chain", [b.sum(y, axes=(0,))])


def test_steps_of_a_long_chain_are_few_kernels() -> None:
    for kinds in (
        ("sin",),
        ("tanh", "mul"),
        ("sin", "mul", "tanh", "neg", "exp", "sin"),
    ):
        _, made = lowered(grad_graph(chain(3000, *kinds), [0]))
        assert made.kernels <= 10, (kinds, made.kernels)


def test_many_launches_are_a_table() -> None:
    few, made = lowered(chain(100, "sin", "mul"))
    assert len(made.launches) <= 256
    assert "_launches" not in few
    many, made = lowered(chain(9000, "sin", "mul"))
    assert len(made.launches) > 256
    assert "@pb_p_launches" in many


def test_unfused_every_op_is_a_launch() -> None:
    _, made = lowered(chain(5, "sin"), fuse=False)
    assert len(made.launches) == 6


def test_equal_kernels_are_emitted_once() -> None:
    text, (one, two) = lower([(chain(2, "sin"), s) for s in "pq"], host())
    assert one.launches[0].kernel == two.launches[0].kernel
    assert text.count("define internal i32 @pb_k") == 1


def test_a_program_of_no_launch() -> None:
    b, _ = inputs("f64[n]")
    _, made = lowered(b.finish("nothing", []))
    assert (
        show_schedule(made) == "nothing: 0 launches of 0 kernels, workspace 0 bytes\n"
    )
    (code,) = natives([b.finish("nothing", [])])
    assert code.guarded([np.ones(3)]) == []
