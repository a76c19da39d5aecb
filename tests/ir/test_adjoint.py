import dataclasses

import numpy as np
import pytest
from pullback.ir.adjoint import grad_graph, pullback, vjp_graph
from pullback.ir.builder import Builder
from pullback.ir.errors import GradientLookupError, OpTypeError
from pullback.ir.forms import Place, Scatter
from pullback.ir.interpreter import interpret
from pullback.ir.loc import user_loc
from pullback.ir.masking import MASKS, WILD
from pullback.ir.ops import OPS, new_builder
from pullback.ir.parse import parse_graph
from pullback.ir.passes.pipeline import run
from pullback.ir.primitive import UNREGISTERED
from pullback.ir.text import print_graph
from pullback.ir.types import parse_type
from pullback.ir.verify import verify
from random_graph import random_arrays, random_graph, read


def inputs(b, *types):
    return [b.input(parse_type(t), "xyzuvw"[k]) for k, t in enumerate(types)]


def names(graph):
    return [node.primitive.name for node in graph.nodes]


def test_text():
    graph = parse_graph(
        read("""
        graph f
        in %0: f64[3] "x"
        %1: f64[3] = sin %0
        %2: f64[3] = mul %1, %1
        %3: f64[] = sum %2 {axes=(0,)}
        out %3 "out0"
        end
        """),
        OPS,
    )
    joint = run(grad_graph(graph, [0]))
    assert print_graph(joint) == read("""
        graph f
        in %0: f64[3] "x"
        %1: f64[3] = sin %0
        %2: f64[3] = mul %1, %1
        %3: f64[] = sum %2 {axes=(0,)}
        %4: f64[3] = add %1, %1
        %5: f64[3] = cos %0
        %6: f64[3] = mul %4, %5
        out %3 "out0"
        out %6 "gradient of x"
        end
        """)
    assert joint.nodes[0] is graph.nodes[0]


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_against_differences(seed):
    graph = random_graph(seed)
    wrt = [0, 1, 2, 3]
    joint = grad_graph(graph, wrt)
    verify(joint, "adjoint")
    arrays = random_arrays(graph, 4, seed)
    out = interpret(joint, arrays, {"n": 4})
    value, grads = out[0], out[len(graph.outputs) :]
    rng = np.random.default_rng(seed)
    along = [rng.normal(size=a.shape) for a in arrays]
    step = 1e-6

    def at(h):
        moved = [a + h * d for a, d in zip(arrays, along, strict=True)]
        return interpret(graph, moved, {"n": 4})[0]

    np.testing.assert_array_equal(value, at(0.0))
    ahead, behind = (at(step) - at(0)) / step, (at(0) - at(-step)) / step
    if abs(ahead - behind) > 1e-2 * (1 + abs(ahead)) or not np.isfinite(ahead):
        pytest.skip("a kink or a pole lies here")
    found = sum(np.sum(g * d) for g, d in zip(grads, along, strict=True))
    np.testing.assert_allclose(found, (ahead + behind) / 2, rtol=2e-4, atol=2e-4)


def test_second_order():
    b = new_builder()
    (x,) = inputs(b, "f64[]")
    first = grad_graph(b.finish("f", [b.mul(b.sin(x), x)]), [0], keep_value=False)
    second = grad_graph(first, [0], keep_value=False)
    third = grad_graph(second, [0])
    x0 = np.array(0.7)
    d2, d3 = interpret(third, [x0])
    np.testing.assert_allclose(d2, 2 * np.cos(x0) - x0 * np.sin(x0), rtol=1e-14)
    np.testing.assert_allclose(d3, -3 * np.sin(x0) - x0 * np.cos(x0), rtol=1e-14)


def test_only_active_nodes_are_visited():
    b = new_builder()
    x, y = inputs(b, "f64[3]", "f64[3]")
    dead = b.exp(x)
    other = b.sin(y)
    stopped = b.stop_gradient(b.cos(x))
    chosen = b.select(b.gt(x, 0.0), b.mul(x, other), stopped)
    graph = b.finish("f", [b.sum(chosen, axes=(0,)), dead])
    adjoint = names(grad_graph(graph, [0]))[len(graph.nodes) :]
    assert set(adjoint) == {"constant", "broadcast_to", "expand_dims", "select", "mul"}
    assert len(adjoint) < 10


def test_unconnected_inputs():
    b = new_builder()
    x, y, idx = inputs(b, "f64[]", "f64[3]", "i64[]")
    graph = b.finish("f", [b.sin(x)])
    joint = grad_graph(graph, [1, 0])
    assert print_graph(joint).splitlines()[-3:-1] == [
        'out %7 "gradient of y"',
        'out %6 "gradient of x"',
    ]
    np.testing.assert_array_equal(
        interpret(joint, [np.array(1.0), np.ones(3), np.array(2)])[1], np.zeros(3)
    )
    b = Builder(OPS)
    b.inputs, b.nodes = list(graph.inputs), list(graph.nodes)
    cts = {graph.outputs[0]: b.constant(1.0)}
    found = pullback(b, graph.nodes, cts, [y, idx, x])
    assert found[:2] == [None, None]
    assert found[2] is not None
    with pytest.raises(OpTypeError, match="f: no gradient with respect to z, i64"):
        grad_graph(graph, [2])


def test_intermediate_values():
    b = new_builder()
    (x,) = inputs(b, "f64[]")
    y = b.sin(x)
    z = b.exp(y)
    count = len(b.nodes)
    dx, dy, dz = pullback(b, b.nodes[:count], {z: b.constant(1.0)}, [x, y, z])
    graph = b.finish("f", [dx, dy, dz])
    x0 = np.array(0.4)
    want = [np.exp(np.sin(x0)) * np.cos(x0), np.exp(np.sin(x0)), 1.0]
    np.testing.assert_allclose(interpret(graph, [x0]), want, rtol=1e-15)


def test_cotangents_of_a_value_add_up_later_reader_first():
    b = new_builder()
    (x,) = inputs(b, "f64[]")
    out = b.sub(b.tanh(x), b.neg(b.exp(x)))
    graph = b.finish("f", [out])
    text = print_graph(run(grad_graph(graph, [0], strict=True)))
    assert text.splitlines()[2:] == [
        'in %0: f64[] "x"',
        "%1: f64[] = tanh %0",
        "%2: f64[] = exp %0",
        "%3: f64[] = neg %2",
        "%4: f64[] = sub %1, %3",
        "%5: f64[] = constant {type=f64[], value=1.0}",
        "%6: f64[] = neg %1",
        "%7: f64[] = fma %6, %1, %5",
        "%8: f64[] = add %2, %7",
        'out %4 "out0"',
        'out %8 "gradient of x"',
        "end",
    ]


def test_the_sum_of_products_contracts():
    b = new_builder()
    x, y, z = inputs(b, "f64[]", "f64[]", "f64[]")
    graph = b.finish("f", [b.mul(b.mul(x, y), b.mul(x, z))])
    assert "fma" in names(grad_graph(graph, [0]))
    assert "fma" not in names(grad_graph(graph, [0], strict=True))


# -- masks -----------------------------------------------------------------------------


def test_masks_are_ops_that_place_zeros():
    assert set(OPS) >= MASKS | WILD
    for name, op in OPS.items():
        zeros = isinstance(op.form, Place) or op.form == Scatter("add")
        if zeros and name != "concatenate":
            assert name in MASKS


def masked(program, *types):
    b = new_builder()
    graph = b.finish("f", [program(b, *inputs(b, *types))])
    return names(grad_graph(graph, [0])).count("mask_mul")


def total(b, x):
    return b.sum(x, axes=tuple(range(x.type.rank)))


def test_singular_ops_are_masked_only_behind_masks():
    assert masked(lambda b, x: total(b, b.sqrt(x)), "f64[3]") == 0
    assert masked(lambda b, x: total(b, b.log(b.sqrt(x))), "f64[3]") == 0
    assert masked(lambda b, x: total(b, b.div(b.sin(x), x)), "f64[3]") == 0
    cases = [
        lambda b, x: b.select(b.gt(x, 0.0), b.sqrt(x), 0.0),
        lambda b, x: b.maximum(b.sqrt(x), 1.0),
        lambda b, x: b.exp(b.select(b.gt(x, 0.0), b.sin(b.sqrt(x)), 0.0)),
        lambda b, x: b.slice(b.sqrt(x), start=(1,), step=(1,), size=(2,)),
        lambda b, x: b.max(b.sqrt(x), axes=(0,)),
        lambda b, x: b.take(b.sqrt(x), b.constant(np.array([1])), axis=0),
        lambda b, x: b.mul(b.sqrt(x), b.cast(b.gt(x, 1.0), dtype=x.type.dtype)),
    ]
    for case in cases:
        assert masked(lambda b, x, case=case: total(b, case(b, x)), "f64[3]") > 0


def test_masks_belong_to_one_path():
    def program(b, x):
        kept = b.select(b.gt(x, 0.0), b.sqrt(x), 0.0)
        return b.add(total(b, kept), total(b, b.log(x)))

    assert masked(program, "f64[3]") == 1


@pytest.mark.parametrize(
    ("branch", "slope"),
    [
        (lambda b, x: b.mul(x, b.log(x)), lambda x: np.log(x) + 1),
        (lambda b, x: b.sin(b.log(x)), lambda x: np.cos(np.log(x)) / x),
        (lambda b, x: b.exp(b.div(1.0, x)), lambda x: -np.exp(1 / x) / x**2),
        (lambda b, x: b.div(b.sqrt(x), x), lambda x: -0.5 * x**-1.5),
        (lambda b, x: b.fma(x, b.log(x), x), lambda x: np.log(x) + 2),
    ],
)
def test_no_nan_leaks_from_a_branch_not_taken(branch, slope):
    b = new_builder()
    (x,) = inputs(b, "f64[4]")
    safe = b.select(b.gt(x, 0.0), branch(b, x), 0.0)
    graph = b.finish("f", [total(b, safe)])
    x0 = np.array([0.0, 1.0, -2.0, 4.0])
    (grad,) = interpret(grad_graph(graph, [0], keep_value=False), [x0])
    want = np.where(x0 > 0, slope(np.abs(x0) + (x0 == 0)), 0.0)
    np.testing.assert_allclose(grad, want, rtol=1e-14)


def test_the_power_rule_keeps_its_own_masks():
    b = new_builder()
    (x,) = inputs(b, "f64[2]")
    zero = b.constant(0.0, shape=(2,), dtype=x.type.dtype)
    graph = b.finish("f", [total(b, b.pow(x, zero))])
    np.testing.assert_array_equal(
        interpret(grad_graph(graph, [0]), [np.array([0.0, 2.0])])[1], [0.0, 0.0]
    )


def test_the_builder_is_as_before():
    b = new_builder()
    (x,) = inputs(b, "f64[]")
    y = b.sqrt(x)
    where = user_loc()
    b.loc = where
    before = b.mask_mul
    pullback(b, list(b.nodes), {y: b.constant(1.0)}, [x])
    assert b.mask_mul is before
    assert b.loc is where


# -- seeds -----------------------------------------------------------------------------


def test_seeds_are_inputs_before_the_captures():
    b = new_builder()
    x, c = inputs(b, "f64[3]", "f64[3]")
    b.captures.append(np.array([1.0, 2.0, 3.0]))
    graph = b.finish("f", [b.mul(b.sin(x), c), b.gt(x, c), b.sum(c, axes=(0,))])
    joint = vjp_graph(graph, [0, 1])
    verify(joint, "adjoint")
    assert joint.names == ["x", "seed of out0", "seed of out2", "y"]
    x0, seed = np.array([0.1, 0.2, 0.3]), np.array([1.0, -1.0, 2.0])
    out = interpret(joint, [x0, seed, np.array(10.0)])
    np.testing.assert_allclose(out[3], seed * np.cos(x0) * [1, 2, 3], rtol=1e-15)
    np.testing.assert_allclose(out[4], seed * np.sin(x0) + 10.0, rtol=1e-15)


# -- errors ----------------------------------------------------------------------------


def without_rule(name, vjp):
    table = dict(OPS)
    table[name] = dataclasses.replace(OPS[name], vjp=vjp)
    return table


def test_an_op_without_a_rule_is_named_with_the_path_to_it():
    b = Builder(without_rule("tanh", UNREGISTERED))
    x, y = inputs(b, "f64[3]", "f64[3]")
    b.loc = user_loc()
    t = b.tanh(b.sin(x))
    b.loc = None
    graph = b.finish("loss", [b.sum(b.mul(t, y), axes=(0,))])
    with pytest.raises(
        GradientLookupError, match=r"^gradient registry has no entry for: tanh"
    ) as caught:
        grad_graph(graph, [0])
    assert str(caught.value) == "gradient registry has no entry for: tanh"
    where, advice = caught.value.__notes__
    assert where.startswith(
        "  a cotangent reaches it: loss <- sum %5 <- mul %4 <- tanh %3   ("
    )
    assert "test_adjoint.py:" in where
    assert advice == (
        "  register one with RegisterGradient, or pass stop_gradient(...) there if none"
        " is meant"
    )
    # no cotangent reaches it: no error
    grad_graph(graph, [1])
    rules = {"tanh": OPS["tanh"].vjp}
    assert "tanh" in names(grad_graph(graph, [0], rules=rules))


def test_a_long_path_is_cut():
    b = Builder(without_rule("tanh", UNREGISTERED))
    (x,) = inputs(b, "f64[]")
    y = b.tanh(x)
    for _ in range(1000):
        y = b.sin(y)
    with pytest.raises(GradientLookupError) as caught:
        grad_graph(b.finish("loss", [y]), [0])
    assert "sin %996 <- ... 989 more ... <- sin %6" in caught.value.__notes__[0]


def test_rules_that_do_not_fit():
    b = new_builder()
    x, y = inputs(b, "f64[3]", "f64[3]")
    graph = b.finish("f", [total(b, b.mul(x, y))])

    def with_rule(rule):
        return grad_graph(graph, [0, 1], rules={"mul": rule})

    with pytest.raises(
        OpTypeError, match=r"^vjp rule of mul: 1 cotangents for 2 operands"
    ):
        with_rule(lambda b, ct, out, x, y: [ct])
    with pytest.raises(
        OpTypeError,
        match=r"^vjp rule of mul: cotangent of operand 1 is f64\[\], the operand f64",
    ):
        with_rule(lambda b, ct, out, x, y: [ct, b.sum(ct, axes=(0,))])
    with pytest.raises(OpTypeError, match=r"operand 0 is 2\.0, the operand"):
        with_rule(lambda b, ct, out, x, y: [2.0, ct])
    planted = with_rule(lambda b, ct, out, x, y: [None, ct])
    np.testing.assert_array_equal(
        interpret(planted, [np.ones(3), np.ones(3)])[1:], [np.zeros(3), np.ones(3)]
    )


def test_the_output_must_be_a_float_scalar():
    b = new_builder()
    (x,) = inputs(b, "f64[3]")
    graph = b.finish("f", [b.sin(x), b.gt(x, 0.0)])
    with pytest.raises(
        OpTypeError, match=r"^f: a gradient needs a float scalar, out0 is f64\[3\]$"
    ):
        grad_graph(graph, [0])
    with pytest.raises(OpTypeError, match=r"out1 is bool\[3\]$"):
        grad_graph(graph, [0], 1)


def test_locations_are_those_of_the_forward_nodes():
    b = new_builder()
    (x,) = inputs(b, "f64[]")
    where = user_loc()
    b.loc = where
    y = b.sin(x)
    joint = grad_graph(b.finish("f", [y]), [0])
    assert {n.loc for n in joint.nodes if n.primitive.name in ("cos", "mul")} == {where}
