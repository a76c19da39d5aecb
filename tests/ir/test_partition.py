"""What is kept of programs, in bytes, and that the halves are the joint graph."""

import dataclasses
import subprocess
import sys
import time

import numpy as np
import pytest
from partition_programs import chain, run_halves, same_bits, split
from pullback.ir.adjoint import grad_graph, vjp_graph
from pullback.ir.builder import Builder
from pullback.ir.forms import View
from pullback.ir.interpreter import interpret
from pullback.ir.loc import user_loc
from pullback.ir.ops import OPS, new_builder
from pullback.ir.passes.partition import Fate, partition
from pullback.ir.passes.partition_problem import nominal_bytes
from pullback.ir.passes.partition_vjp import split_vjp
from pullback.ir.passes.pipeline import run
from pullback.ir.primitive import Cost
from pullback.ir.types import parse_type
from pullback.ir.verify import verify
from random_graph import random_arrays, random_graph

LONG = 30


def matmul(b, x, y):
    return b.contract(x, y, lhs="ik", rhs="kj", out="ij")


def ops(graph):
    return [node.primitive.name for node in graph.nodes]


def kept_ops(part):
    return [x.node.primitive.name for x in part.residuals]


# -- bytes of long chains, by kind -----------------------------------------------------


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid"])
def test_exp_tanh_keep_their_outputs_only(name):
    part = split(chain(lambda b, y, w: b.op(name, y), LONG))
    inputs = 1 if name == "sigmoid" else 0  # it reads its operand too: here the input
    assert kept_ops(part) == [name] * LONG
    assert part.bytes == LONG * 8000
    assert len(part.reads) == 1 + inputs


def test_sin_keeps_its_operand():
    part = split(chain(lambda b, y, w: b.sin(y), LONG))
    assert kept_ops(part) == ["sin"] * (LONG - 1)  # the first operand is the input
    assert part.bytes == (LONG - 1) * 8000
    assert 0 in part.reads


@pytest.mark.parametrize("recompute", [0, 4])
@pytest.mark.parametrize("kind", ["f64[1000]", "f32[1000]"])
def test_relu_keeps_a_mask(kind, recompute):
    part = split(chain(lambda b, y, w: b.maximum(y, 0.0), LONG, kind), recompute)
    assert kept_ops(part) == ["ge"] * (LONG - 1)  # of the input it is made later
    assert part.bytes == (LONG - 1) * 1000
    assert part.recomputed == ()


def test_sum_keeps_nothing():
    b = new_builder()
    x = b.input(parse_type("f64[2,3,4,5,6]"), "x")
    y = x
    for _ in range(5):
        y = b.sum(y, axes=(0,))
    part = split(b.finish("f", [y]))
    assert part.residuals == ()
    assert part.bytes == 0
    assert part.reads == (1,)


def test_mul_keeps_both_operands():
    def step(b, y, w):
        return b.mul(b.tanh(y), b.exp(b.cos(w)))

    # tanh and exp keep their outputs, cos its operand, an input: no more than mul reads
    part = split(chain(step, LONG))
    assert kept_ops(part) == ["tanh", "exp"] * LONG
    assert part.bytes == 2 * LONG * 8000


def test_a_product_of_products_keeps_each_factor():
    product = chain(lambda b, y, w: b.mul(y, w), LONG)
    part = split(product, recompute=0)
    assert kept_ops(part) == ["mul"] * (LONG - 1)
    assert part.bytes == (LONG - 1) * 8000


def test_cheap_ops_are_computed_again_four_in_a_row():
    part = split(chain(lambda b, y, w: b.mul(y, w), LONG))
    # of products 1 to 29 every fifth is kept
    assert part.bytes == 5 * 8000
    assert len(part.recomputed) == LONG - 1 - 5
    assert all(x.node.primitive.cost is Cost.CHEAP for x in part.recomputed)


def test_matmul_keeps_both_operands():
    part = split(chain(lambda b, y, w: matmul(b, y, w), LONG, "f64[10,10]"))
    assert kept_ops(part) == ["contract"] * (LONG - 1)
    assert part.bytes == (LONG - 1) * 800
    assert len(part.reads) == 1 + 1 + LONG  # seed, x, the other operands


def test_a_deep_network_keeps_no_pre_activation():
    def step(b, y, w):
        bias = b.broadcast(b.sum(w, axes=(0,)), y.type.shape)
        return b.maximum(b.add(matmul(b, y, w), bias), 0.0)

    for kind, size in (("f64[64,64]", 8), ("f32[64,64]", 4)):
        part = split(chain(step, LONG, kind))
        # what the next layer multiplies, and a mask
        assert sorted(kept_ops(part)) == ["ge"] * LONG + ["maximum"] * (LONG - 1)
        assert part.bytes == 64 * 64 * (LONG + size * (LONG - 1))


def test_sizes_by_name():
    part = split(chain(lambda b, y, w: b.exp(b.sin(y)), 3, "f64[n,2]"))
    assert str(part.bytes) == "48*n"  # each exp is also the operand of the next sin
    assert nominal_bytes(parse_type("f32[n,m,2]")) == 64 * 64 * 2 * 4


# -- what is computed again ------------------------------------------------------------


def test_the_operand_of_a_logarithm_is_computed_again():
    part = split(chain(lambda b, y, w: b.log(b.mul(y, y)), 1))
    assert part.residuals == ()
    assert [x.node.primitive.name for x in part.recomputed] == ["mul"]


def test_a_row_that_is_repeated_is_kept_as_a_row():
    b = new_builder()
    x = b.input(parse_type("f64[100,50]"), "x")
    row = b.exp(b.sum(x, axes=(0,)))
    y = b.sin(b.mul(x, b.broadcast(row, (100, 50))))
    part = split(b.finish("f", [y]))
    assert part.bytes == 50 * 8
    assert kept_ops(part) == ["exp"]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_dear_is_computed_twice(seed):
    part = split(random_graph(seed))
    dear = [n for n in part.forward.nodes if n.primitive.cost is not Cost.CHEAP]
    for x in part.recomputed:
        assert x.node not in dear
    for x in part.residuals:
        assert x not in part.recomputed


@pytest.mark.parametrize("seed", range(10))
def test_with_0_nothing_is_computed_again(seed):
    part = split(random_graph(seed, 40), 0)
    assert all(type(x.node.primitive.form) is View for x in part.recomputed)


def test_of_two_results_one_is_kept():
    def both(x):
        return np.square(x), np.sign(x)

    two = dataclasses.replace(
        OPS["square"], name="two", infer=lambda x: (x, x), evaluate=both
    )
    b = Builder({**OPS, "two": two})
    x = b.input(parse_type("f64[3]"), "x")
    seed = b.input(parse_type("f64[3]"), "seed")
    large, sign = b.two(b.exp(x))
    read = b.mul(b.mul(seed, large), b.mul(b.tanh(large), sign))
    joint = b.finish("f", [b.tanh(large), read])
    for recompute in (0, 4):
        part = partition(joint, 1, 1, recompute=recompute)
        verify(part.adjoint, "partition")
        arrays = [np.array([0.5, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])]
        want = interpret(joint, arrays)
        same_bits(want, run_halves(part, joint, arrays, {}, 1))


# -- bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("recompute", [0, 1, 4, 100])
@pytest.mark.parametrize("seed", range(12))
def test_the_halves_are_the_joint_graph(seed, recompute):
    graph = random_graph(seed, 40)
    arrays, sizes = random_arrays(graph, 3, seed), {"n": 3}
    for passes in (False, True):
        joint = grad_graph(graph, range(4))
        joint = run(joint) if passes else joint
        part = partition(joint, len(graph.outputs), recompute=recompute)
        verify(part.forward, "partition")
        verify(part.adjoint, "partition")
        want = interpret(joint, arrays, sizes)
        same_bits(want, run_halves(part, joint, arrays, sizes))


@pytest.mark.parametrize("n", [0, 3])
@pytest.mark.parametrize("seed", range(12))
def test_the_halves_are_the_pullback(seed, n):
    graph = random_graph(seed, 40)
    joint = run(vjp_graph(graph, range(4)))
    seeds = len(joint.inputs) - len(graph.inputs)
    part = partition(joint, len(graph.outputs), seeds)
    verify(part.forward, "partition")
    verify(part.adjoint, "partition")
    arrays, sizes = random_arrays(joint, n, seed), {"n": n}
    want = interpret(joint, arrays, sizes)
    same_bits(want, run_halves(part, joint, arrays, sizes, seeds))


@pytest.mark.parametrize("seed", range(8))
def test_the_pair_is_the_pullback(seed):
    graph = random_graph(seed)
    wrt = [2, 0]
    joint = run(vjp_graph(graph, wrt))
    pair = split_vjp(graph, wrt)
    forward, backward = pair
    verify(forward, "partition")
    verify(backward, "partition")
    assert (forward.name, backward.name) == ("random_forward", "random_backward")
    arrays, sizes = random_arrays(joint, 3, seed), {"n": 3}
    first, outputs = len(graph.inputs), len(graph.outputs)
    assert pair.num_seeds == len(joint.inputs) - first
    out = interpret(forward, arrays[:first], sizes)
    assert len(out) == outputs + pair.num_residuals
    given = [*arrays[first:], *[arrays[k] for k in pair.reads], *out[outputs:]]
    cts = interpret(backward, given, sizes)
    same_bits(interpret(joint, arrays, sizes), [*out[:outputs], *cts])


def test_the_order_of_a_pair():
    b = new_builder()
    x = b.input(parse_type("f64[3]"), "x")
    i = b.input(parse_type("i64[3]"), "i")
    c = b.input(parse_type("f64[3]"), "c")
    b.captures.append(np.ones(3))
    y = b.mul(b.exp(x), c)
    unused = b.neg(x)
    graph = b.finish("f", [y, b.add(i, i), unused], ["y", "j", "z"])
    forward, backward = split_vjp(graph, [0])
    assert forward.names == ["x", "i", "c"]
    assert forward.output_names == ["y", "j", "z", "residual 0"]
    assert backward.names == ["seed of y", "seed of z", "residual 0", "c"]
    assert backward.output_names == ["gradient of x"]
    assert len(backward.captures) == 1


def test_a_seed_that_no_cotangent_needs_is_an_input_all_the_same():
    b = new_builder()
    x = b.input(parse_type("f64[3]"), "x")
    w = b.input(parse_type("f64[3]"), "w")
    graph = b.finish("f", [b.sin(w), b.exp(x)], ["v", "y"])
    pair = split_vjp(graph, [0])
    assert pair.backward.names == ["seed of v", "seed of y", "residual 0"]
    assert pair.reads == ()
    seeds = [np.full(3, np.nan), np.ones(3)]
    (ct,) = interpret(pair.backward, [*seeds, np.array([1.0, 2.0, 3.0])])
    np.testing.assert_array_equal(ct, [1.0, 2.0, 3.0])


# -- what explain prints ---------------------------------------------------------------


def test_every_forward_value_has_its_fate():
    b = new_builder()
    b.sizes.append("n")
    x = b.input(parse_type("f64[n]"), "x")
    b.loc = user_loc()
    y = b.log(b.mul(x, x))
    y = b.neg(b.exp(y))
    part = split(b.finish("f", [y]))
    told = [(d.fate, d.op, str(d.bytes)) for d in part.decisions()]
    assert told == [
        (Fate.RECOMPUTED, "mul", "8*n"),
        (Fate.PRUNED, "log", "8*n"),
        (Fate.KEPT, "exp", "8*n"),
        (Fate.PRUNED, "neg", "8*n"),
    ]
    assert all("test_partition.py" in str(d.loc) for d in part.decisions())
    assert str(part.bytes) == "8*n"


# -- cost ------------------------------------------------------------------------------


def test_a_hundred_thousand_nodes():
    graph = chain(lambda b, y, w: b.add(b.mul(b.sin(y), w), y), 17_000)
    joint = vjp_graph(graph, range(len(graph.inputs)))
    assert len(joint.nodes) > 85_000
    start = time.process_time()
    part = partition(joint, 1, 1)
    assert time.process_time() - start < 4.0  # 0.8 on a quiet machine
    assert part.bytes < 17_000 * 9_700


def test_networkx_is_not_loaded_where_nothing_is_cut():
    code = """if True:
        import sys
        from pullback.ir.adjoint import grad_graph
        from pullback.ir.ops import new_builder
        from pullback.ir.passes.partition import partition
        from pullback.ir.passes.pipeline import run
        from pullback.ir.types import parse_type
        b = new_builder()
        x = b.input(parse_type("f64[3]"), "x")
        graph = b.finish("f", [b.sum(b.tanh(b.sin(x)), axes=(0,))])
        partition(run(grad_graph(graph, [0])), 1)
        print("networkx" in sys.modules)
    """
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False"
