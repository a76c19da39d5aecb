import dataclasses
import math

import numpy as np
import pytest
from pullback.ir.adjoint import grad_graph, vjp_graph
from pullback.ir.errors import GraphError
from pullback.ir.graph import Graph, Node
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, new_builder
from pullback.ir.parse import parse_graph
from pullback.ir.passes import pipeline
from pullback.ir.passes.cse import cse
from pullback.ir.passes.dce import dce
from pullback.ir.passes.fold import fold
from pullback.ir.passes.partition import partition
from pullback.ir.passes.pipeline import BY_NAME, PASSES, run
from pullback.ir.passes.simplify import RULES, simplify
from pullback.ir.primitive import Effect
from pullback.ir.text import print_graph
from pullback.ir.types import F64, TensorType, parse_type
from pullback.ir.verify import verify
from random_graph import random_arrays, random_graph, read

PRINTING = dict(OPS)
PRINTING["sin"] = dataclasses.replace(OPS["sin"], effects=frozenset({Effect.PRINTS}))


def check(one_pass, before, after, table=OPS):
    """Demand that a pass makes `after` of the body `before`, over inputs x, y, c."""
    head = """
        graph f
        sizes n
        in %0: f64[n,3] "x"
        in %1: f64[n,3] "y"
        in %2: bool[n,3] "c"
    """
    graph = parse_graph(read(head + before + "\nend"), table)
    verify(graph, "parse")
    text = print_graph(graph)
    made = one_pass(graph)
    verify(made, one_pass.__name__)
    assert print_graph(made) == read(head + after + "\nend")
    assert print_graph(graph) == text


# -- every pass ------------------------------------------------------------------------


def same_bits(left, right):
    for a, b in zip(left, right, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        keep = ~np.isnan(a)
        assert a[keep].tobytes() == b[keep].tobytes()


def special(array):
    """Return the array with zeros, infinities and NaN in it."""
    out = array.copy()
    for k, value in enumerate([0.0, -0.0, np.inf, -np.inf, np.nan]):
        if k < out.size:
            out.flat[k] = value
    return out


@pytest.mark.parametrize("name", [*BY_NAME, "run"])
@pytest.mark.parametrize("seed", range(25))
def test_a_pass_keeps_every_bit(name, seed):
    graph = random_graph(seed)
    joint = grad_graph(graph, [0, 1, 2, 3])
    made = run(joint) if name == "run" else BY_NAME[name](joint)
    verify(made, name)
    for arrays in (
        random_arrays(graph, 4, seed),
        random_arrays(graph, 0, seed),
        [special(a) for a in random_arrays(graph, 3, seed)],
    ):
        sizes = {"n": 4 if arrays[3].size == 4 else arrays[3].size}
        same_bits(interpret(joint, arrays, sizes), interpret(made, arrays, sizes))


@pytest.mark.parametrize("name", BY_NAME)
def test_a_pass_with_nothing_to_do_returns_the_graph(name):
    b = new_builder()
    x = b.input(parse_type("f64[3]"), "x")
    graph = b.finish("f", [b.sin(b.exp(x))])
    assert BY_NAME[name](graph) is graph


@pytest.mark.parametrize("seed", range(10))
def test_passes_are_done_after_one_run(seed):
    graph = run(grad_graph(random_graph(seed), [0, 1, 2, 3]))
    assert len(run(graph).nodes) >= len(graph.nodes) - 3


# -- dce -------------------------------------------------------------------------------


def test_dce():
    check(
        dce,
        """
        %3: f64[n,3] = exp %0
        %4: f64[n,3] = mul %3, %1
        %5: f64[n,3] = add %3, %1
        out %5 "out0"
        """,
        """
        %3: f64[n,3] = exp %0
        %4: f64[n,3] = add %3, %1
        out %4 "out0"
        """,
    )


def test_dce_keeps_what_prints():
    kept = """
        %3: f64[n,3] = exp %0
        %4: f64[n,3] = sin %3
        out %1 "out0"
    """
    check(dce, kept, kept, PRINTING)


# -- cse -------------------------------------------------------------------------------


def test_cse():
    check(
        cse,
        """
        %3: f64[n,3] = exp %0
        %4: f64[n,3] = exp %0
        %5: f64[3] = sum %3 {axes=(0,)}
        %6: f64[3] = sum %4 {axes=(0,)}
        %7: f64[n] = sum %4 {axes=(1,)}
        %8: f64[3] = mul %5, %6
        out %8 "out0"
        out %7 "out1"
        """,
        """
        %3: f64[n,3] = exp %0
        %4: f64[3] = sum %3 {axes=(0,)}
        %5: f64[n] = sum %3 {axes=(1,)}
        %6: f64[3] = mul %4, %4
        out %6 "out0"
        out %5 "out1"
        """,
    )


def test_cse_tells_constants_apart_by_bits():
    kept = """
        %3: f64[] = constant {type=f64[], value=0.0}
        %4: f64[] = constant {type=f64[], value=-0.0}
        %5: f64[] = constant {type=f64[], value=nan}
        %6: i64[] = constant {type=i64[], value=1}
        %7: bool[] = constant {type=bool[], value=true}
        %8: i64[1] = constant {type=i64[1], value=1}
    """
    outs = "".join(f'\nout %{k} "o{k}"' for k in range(3, 9))
    again = "%9: f64[] = constant {type=f64[], value=nan}\n%10: f64[] = neg %9"
    check(
        cse,
        kept + again + outs + '\nout %10 "p"',
        kept + "%9: f64[] = neg %5" + outs + '\nout %9 "p"',
    )


def test_cse_keeps_what_prints():
    kept = """
        %3: f64[n,3] = sin %0
        %4: f64[n,3] = sin %0
        %5: f64[n,3] = add %3, %4
        out %5 "out0"
    """
    check(cse, kept, kept, PRINTING)


# -- fold ------------------------------------------------------------------------------


def test_fold_numbers():
    check(
        fold,
        """
        %3: f64[n,3] = constant {type=f64[n,3], value=0.1}
        %4: f64[n,3] = constant {type=f64[n,3], value=0.2}
        %5: f64[n,3] = add %3, %4
        %6: f64[n,3] = mul %5, %0
        %7: f64[3,n] = transpose %5 {axes=(1, 0)}
        out %6 "out0"
        out %7 "out1"
        """,
        """
        %3: f64[n,3] = constant {type=f64[n,3], value=0.1}
        %4: f64[n,3] = constant {type=f64[n,3], value=0.2}
        %5: f64[n,3] = constant {type=f64[n,3], value=0.30000000000000004}
        %6: f64[n,3] = mul %5, %0
        %7: f64[3,n] = constant {type=f64[3,n], value=0.30000000000000004}
        out %6 "out0"
        out %7 "out1"
        """,
    )


def test_fold_arrays():
    check(
        fold,
        """
        %3: f32[3] = constant {type=f32[3], value=[1.0, 2.0, 4.0] f32[3]}
        %4: f32[3] = constant {type=f32[3], value=3.0}
        %5: f32[3] = div %3, %4
        %6: bool[3] = lt %3, %4
        %7: f32[] = max %3 {axes=(0,)}
        %8: f32[3] = sub %3, %3
        out %5 "out0"
        out %6 "out1"
        out %7 "out2"
        out %8 "out3"
        """,
        """
        %3: f32[3] = constant {type=f32[3], value=[1.0, 2.0, 4.0] f32[3]}
        %4: f32[3] = constant {type=f32[3], value=3.0}
        %5: f32[3] = constant {type=f32[3], value=[0.3333333432674408, \
0.6666666865348816, 1.3333333730697632] f32[3]}
        %6: bool[3] = constant {type=bool[3], value=[true, true, false] bool[3]}
        %7: f32[] = constant {type=f32[], value=4.0}
        %8: f32[3] = constant {type=f32[3], value=0.0}
        out %5 "out0"
        out %6 "out1"
        out %7 "out2"
        out %8 "out3"
        """,
    )


def test_fold_leaves_what_is_not_exact_or_big():
    kept = """
        %3: f64[] = constant {type=f64[], value=1.0}
        %4: f64[] = exp %3
        %5: f64[65] = constant {type=f64[65], value=1.0}
        %6: f64[] = max %5 {axes=(0,)}
        %7: i64[] = constant {type=i64[], value=n}
        %8: i64[] = mul %7, %7
        %9: f64[n] = constant {type=f64[n], value=1.0}
        %10: f64[] = min %9 {axes=(0,)}
        out %4 "out0"
        out %6 "out1"
        out %8 "out2"
        out %10 "out3"
    """
    check(fold, kept, kept)


def test_fold_honours_special_values():
    check(
        fold,
        """
        %3: f64[] = constant {type=f64[], value=1.0}
        %4: f64[] = constant {type=f64[], value=-0.0}
        %5: f64[] = div %3, %4
        %6: f64[] = mul %5, %4
        %7: i32[] = constant {type=i32[], value=2147483647}
        %8: i32[] = add %7, %7
        out %5 "out0"
        out %6 "out1"
        out %8 "out2"
        """,
        """
        %3: f64[] = constant {type=f64[], value=1.0}
        %4: f64[] = constant {type=f64[], value=-0.0}
        %5: f64[] = constant {type=f64[], value=-inf}
        %6: f64[] = constant {type=f64[], value=nan}
        %7: i32[] = constant {type=i32[], value=2147483647}
        %8: i32[] = constant {type=i32[], value=-2}
        out %5 "out0"
        out %6 "out1"
        out %8 "out2"
        """,
    )


# -- simplify --------------------------------------------------------------------------

ONE, ZERO, MINUS = (
    f"%3: f64[n,3] = constant {{type=f64[n,3], value={v}}}"
    for v in ("1.0", "0.0", "-0.0")
)
YES = "%3: bool[n,3] = constant {type=bool[n,3], value=true}"

TO_X = [
    (ONE, "mul %0, %3"),
    (ONE, "mul %3, %0"),
    (ONE, "div %0, %3"),
    (ZERO, "sub %0, %3"),
    (MINUS, "add %0, %3"),
    (MINUS, "add %3, %0"),
    (YES, "select %3, %0, %1"),
    (YES.replace("true", "false"), "select %3, %1, %0"),
    ("%3: f64[n,3] = neg %0", "neg %3"),
    ("%3: f64[n,3,1] = expand_dims %0 {axes=(2,)}", "squeeze %3 {axes=(2,)}"),
    ("%3: f64[3*n] = reshape %0 {shape=(3*n,)}", "reshape %3 {shape=(n, 3)}"),
    ("%3: f64[3,n] = transpose %0 {axes=(1, 0)}", "transpose %3 {axes=(1, 0)}"),
]
TO_X_ALONE = [
    "select %2, %0, %0",
    "integer_pow %0 {n=1}",
    "cast %0 {dtype=f64}",
    "broadcast_to %0 {shape=(n, 3)}",
    "reshape %0 {shape=(n, 3)}",
    "transpose %0 {axes=(0, 1)}",
    "expand_dims %0 {axes=()}",
    "squeeze %0 {axes=()}",
    "slice %0 {size=(n, 3), start=(0, 0), step=(1, 1)}",
    "place %0 {shape=(n, 3), start=(0, 0), step=(1, 1)}",
    "concatenate %0 {axis=0}",
]


@pytest.mark.parametrize(("first", "second"), TO_X)
def test_simplify_to_an_operand(first, second):
    check(
        simplify,
        f'{first}\n%4: f64[n,3] = {second}\nout %4 "out0"',
        f'{first}\nout %0 "out0"',
    )


@pytest.mark.parametrize("op", TO_X_ALONE)
def test_simplify_identities(op):
    check(simplify, f'%3: f64[n,3] = {op}\nout %3 "out0"', 'out %0 "out0"')


TO_ONE = [
    (ONE.replace("1.0", "-1.0"), "mul %0, %3", "neg %0"),
    (ONE.replace("1.0", "-1.0"), "mul %3, %0", "neg %0"),
    (ONE, "fma %3, %0, %1", "add %0, %1"),
    (ONE, "fma %0, %3, %1", "add %0, %1"),
    (MINUS, "fma %0, %1, %3", "mul %0, %1"),
]


@pytest.mark.parametrize(("first", "second", "made"), TO_ONE)
def test_simplify_to_another_op(first, second, made):
    check(
        simplify,
        f'{first}\n%4: f64[n,3] = {second}\nout %4 "out0"',
        f'{first}\n%4: f64[n,3] = {made}\nout %4 "out0"',
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ZERO, "add %0, %3"),  # -0 + 0 is 0
        (MINUS, "sub %0, %3"),
        (ZERO, "mul %0, %3"),  # inf * 0 is NaN
        (ZERO, "fma %0, %1, %3"),
        (ONE, "div %3, %0"),
        ("%3: f64[n,3] = exp %0", "neg %3"),
    ],
)
def test_simplify_leaves_what_changes_bits(first, second):
    kept = f'{first}\n%4: f64[n,3] = {second}\nout %4 "out0"'
    check(simplify, kept, kept)


VIEWS = [
    ("f64[2,n,3] = broadcast_to %0 {shape=(2, n, 3)}",
     "f64[4,2,n,3] = broadcast_to %3 {shape=(4, 2, n, 3)}",
     "broadcast_to %0 {shape=(4, 2, n, 3)}"),
    ("f64[3*n] = reshape %0 {shape=(3*n,)}",
     "f64[3,n] = reshape %3 {shape=(3, n)}",
     "reshape %0 {shape=(3, n)}"),
    ("f64[1,n,3] = expand_dims %0 {axes=(0,)}",
     "f64[3*n] = reshape %3 {shape=(3*n,)}",
     "reshape %0 {shape=(3*n,)}"),
    ("f64[3*n] = reshape %0 {shape=(3*n,)}",
     "f64[1,3*n] = expand_dims %3 {axes=(0,)}",
     "reshape %0 {shape=(1, 3*n)}"),
    ("f64[n,3,1] = reshape %0 {shape=(n, 3, 1)}",
     "f64[n,3] = squeeze %3 {axes=(2,)}",
     None),
    ("f64[1,n,3] = expand_dims %0 {axes=(0,)}",
     "f64[1,n,1,3] = expand_dims %3 {axes=(2,)}",
     "expand_dims %0 {axes=(0, 2)}"),
    ("f64[1,n,3,1] = expand_dims %0 {axes=(0, 3)}",
     "f64[n,3,1] = squeeze %3 {axes=(0,)}",
     "expand_dims %0 {axes=(2,)}"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "made"), VIEWS)
def test_simplify_joins_views(first, second, made):
    after = (
        'out %0 "out0"'
        if made is None
        else f'%4: {second.split(" = ")[0]} = {made}\nout %4 "out0"'
    )
    check(
        simplify,
        f'%3: {first}\n%4: {second}\nout %4 "out0"',
        f"%3: {first}\n{after}",
    )


def test_three_transposes_and_squeezes_join():
    b = new_builder()
    x = b.input(parse_type("f64[2,3,4]"), "x")
    y = x
    for axes in ((1, 2, 0), (2, 0, 1), (0, 2, 1)):
        y = b.transpose(y, axes=axes)
    z = b.input(parse_type("f64[1,2,1,1]"), "z")
    w = b.squeeze(b.squeeze(z, axes=(2,)), axes=(0, 2))
    v = b.squeeze(b.expand_dims(z, axes=(0,)), axes=(0, 1, 3))
    graph = run(b.finish("f", [y, w, v]))
    assert [(n.primitive.name, dict(n.params)) for n in graph.nodes] == [
        ("transpose", {"axes": (0, 2, 1)}),
        ("squeeze", {"axes": (0, 2, 3)}),
        ("squeeze", {"axes": (0, 2)}),
    ]


def test_a_chain_is_simplified_in_one_pass():
    check(
        simplify,
        f"""
        {ONE}
        %4: f64[n,3] = mul %0, %3
        %5: f64[n,3] = neg %4
        %6: f64[n,3] = neg %5
        %7: f64[n,3] = div %6, %3
        %8: f64[n,3] = exp %7
        out %8 "out0"
        """,
        f"""
        {ONE}
        %4: f64[n,3] = neg %0
        %5: f64[n,3] = exp %0
        out %5 "out0"
        """,
    )


def test_rules_are_of_known_ops():
    assert set(RULES) <= set(OPS)


# -- pipeline --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(PASSES)))
@pytest.mark.parametrize("seed", range(5))
def test_each_pass_off_gives_the_same_bits(name, seed):
    graph = random_graph(seed)
    joint = grad_graph(graph, [0, 1, 2, 3])
    arrays = random_arrays(graph, 3, seed)
    sizes = {"n": 3}
    same_bits(
        interpret(run(joint), arrays, sizes),
        interpret(run(joint, disable={name}), arrays, sizes),
    )


def test_unknown_passes_are_refused():
    with pytest.raises(
        ValueError,
        match=r"^there is no pass 'inline': use one of merge, dce, fold, simplify",
    ):
        run(random_graph(0), disable={"inline"})


def test_the_pass_that_broke_the_graph_is_named(monkeypatch):
    def broken(graph: Graph) -> Graph:
        return graph.replace(graph.nodes[1:])

    monkeypatch.setattr(pipeline, "BY_NAME", {**BY_NAME, "fold": broken})
    with pytest.raises(GraphError, match=r"^random after fold: operand 1 is used bef"):
        run(random_graph(0))


def test_fold_refuses_a_reference_that_contradicts_the_type_rule():
    table = dict(OPS)
    table["neg"] = dataclasses.replace(OPS["neg"], evaluate=lambda x: np.float32(-x))
    constant = Node(
        OPS["constant"], (), {"value": 1.0, "type": TensorType(F64, ())},
        [TensorType(F64, ())], None,
    )  # fmt: skip
    wrong = Node(table["neg"], constant.results, {}, [TensorType(F64, ())], None)
    graph = Graph("f", [], [constant, wrong], list(wrong.results), [])
    with pytest.raises(
        GraphError, match="the reference of neg gave float32, its type rule f64"
    ):
        fold(graph)


# -- partition -------------------------------------------------------------------------


def halves(part, joint, arrays, sizes, num_seeds=0):
    first = len(joint.inputs) - len(joint.captures) - num_seeds
    outputs = len(part.forward.outputs) - len(part.residuals)
    forward = interpret(part.forward, arrays[:first], sizes)
    given = [arrays[k] for k in part.reads] + forward[outputs:]
    return forward[:outputs] + interpret(part.adjoint, given, sizes)


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_the_halves_are_the_joint_graph(seed, optimised):
    graph = random_graph(seed)
    joint = grad_graph(graph, [0, 1, 2, 3])
    if optimised:
        joint = run(joint)
    part = partition(joint, len(graph.outputs))
    verify(part.forward, "partition")
    verify(part.adjoint, "partition")
    arrays, sizes = random_arrays(graph, 3, seed), {"n": 3}
    same_bits(interpret(joint, arrays, sizes), halves(part, joint, arrays, sizes))


def test_partition_text():
    b = new_builder()
    b.sizes.append("n")
    x = b.input(parse_type("f64[n]"), "x")
    c = b.input(parse_type("f64[]"), "c")
    held = np.array(3.0)
    b.captures.append(held)
    y = b.mul(b.exp(x), b.broadcast(c, x.type.shape))
    joint = run(vjp_graph(b.finish("f", [y]), [0]))
    part = partition(joint, 1, num_seeds=1)
    verify(part.forward, "partition")
    verify(part.adjoint, "partition")
    assert part.reads == (1,)
    assert str(part.bytes) == "8*n"
    assert print_graph(part.forward).splitlines()[3:-1] == [
        'in %0: f64[n] "x"',
        print_graph(part.forward).splitlines()[4],
        "%2: f64[n] = exp %0",
        "%3: f64[n] = broadcast_to %1 {shape=(n,)}",
        "%4: f64[n] = mul %2, %3",
        'out %4 "out0"',
        'out %2 "residual 0"',
    ]
    assert print_graph(part.adjoint).splitlines()[1:-1] == [
        "graph f_adjoint",
        "sizes n",
        'in %0: f64[n] "seed of out0"',
        'in %1: f64[n] "residual 0"',
        print_graph(part.adjoint).splitlines()[5],  # the capture
        "%3: f64[n] = broadcast_to %2 {shape=(n,)}",
        "%4: f64[n] = mul %0, %3",
        "%5: f64[n] = mul %4, %1",
        'out %5 "gradient of x"',
    ]
    arrays = [np.array([0.5, 1.0]), np.array([1.0, 2.0])]
    same_bits(
        interpret(joint, arrays), halves(part, joint, arrays, {"n": 2}, num_seeds=1)
    )


def test_constants_and_inputs_are_no_residuals():
    b = new_builder()
    x = b.input(parse_type("f64[3]"), "x")
    graph = b.finish("f", [b.sum(b.mul(b.mul(x, x), 0.1), axes=(0,))])
    part = partition(run(grad_graph(graph, [0])), 1)
    assert part.residuals == ()
    assert part.bytes == 0
    assert part.reads == (0,)
    (grad,) = interpret(part.adjoint, [np.array([1.0, 2.0, math.pi])])
    np.testing.assert_allclose(grad, [0.2, 0.4, 0.2 * math.pi], rtol=1e-15)
