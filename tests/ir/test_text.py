import random

import numpy as np
import pytest
from pullback.ir.constant import ArrayConstant
from pullback.ir.errors import GraphError, ParseError
from pullback.ir.graph import Graph, Node
from pullback.ir.loc import user_loc
from pullback.ir.ops import OPS, new_builder
from pullback.ir.parse import parse_graph
from pullback.ir.text import graph_key, param_text, pretty, print_graph
from pullback.ir.types import DTYPES, F64, TensorType, parse_type
from pullback.ir.verify import verify
from random_graph import random_graph, read

LOSS = read("""
    graph loss
    sizes n m
    in %0: f64[n,3] "params['w']"
    in %1: i64[m] "idx"
    %2: f64[n,3] = mul %0, %0
    %3: f64[] = sum %2 {axes=(0, 1)}
    %4: f64[] = constant {type=f64[], value=0.1}
    %5: f64[] = mul %3, %4
    guard n = 2*m "matmul: inner dimensions"
    out %5 "out0"
    out %2 "squares"
    end
""")


def test_reads_back_what_it_writes():
    graph = parse_graph(LOSS, OPS)
    verify(graph, "parse")
    assert print_graph(graph) == LOSS


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_read_back(seed):
    text = print_graph(random_graph(seed))
    graph = parse_graph(text, OPS)
    verify(graph, "parse")
    assert print_graph(graph) == text
    assert graph_key(graph) == graph_key(random_graph(seed))


PARAMS = [
    (3, "3"),
    (-3, "-3"),
    (True, "true"),
    (False, "false"),
    (None, "none"),
    (0.1, "0.1"),
    (-0.0, "-0.0"),
    (1e-300, "1e-300"),
    (5e22, "5e+22"),
    (5e-324, "5e-324"),
    (float("inf"), "inf"),
    (float("-inf"), "-inf"),
    ('a "quoted" é\n', '"a \\"quoted\\" \\u00e9\\n"'),
    ((), "()"),
    ((1,), "(1,)"),
    ((1, (2.0, "x)"), None), '(1, (2.0, "x)"), none)'),
    (F64, "f64"),
    (parse_type("f64[n,max(n-1, 0)]"), "f64[n,max(n-1, 0)]"),
    (parse_type("f64[n]").shape[0], "n"),
    (parse_type("f64[2*n+1]").shape[0], "2*n+1"),
    (parse_type("f64[(n)//(2)]").shape[0], "(n)//(2)"),
    (parse_type("f64[max(n-1, 0),((n)//(2))*m]").shape, None),
    (ArrayConstant(np.array([[1.5, -0.0], [np.inf, 0.1]])), None),
    (ArrayConstant(np.array([1, -2], np.int8)), "[1, -2] i8[2]"),
    (ArrayConstant(np.array([True, False])), "[true, false] bool[2]"),
    (ArrayConstant(np.zeros((0, 3))), "[] f64[0,3]"),
]


@pytest.mark.parametrize(("value", "text"), PARAMS)
def test_params_read_back(value, text):
    if text is not None:
        assert param_text(value) == text
    graph = parse_graph(LOSS, OPS)
    node = Node(OPS["constant"], (), {"value": value}, [TensorType(F64, ())], None)
    held = Graph("p", [], [node], [], [], graph.sizes)
    again = parse_graph(print_graph(held), OPS).nodes[0].params["value"]
    assert type(again) is type(value)
    assert again == value
    assert param_text(again) == param_text(value)


def test_nan_reads_back():
    node = Node(
        OPS["constant"], (), {"value": float("nan")}, [TensorType(F64, ())], None
    )
    text = print_graph(Graph("p", [], [node], [], []))
    assert "value=nan" in text
    assert print_graph(parse_graph(text, OPS)) == text


def test_big_arrays_are_written_by_hash():
    b = new_builder()
    array = np.arange(20.0)
    graph = b.finish("big", [b.constant(array)])
    text = print_graph(graph)
    key = ArrayConstant(array).key
    assert f"value=@{key} f64[20]" in text
    again = parse_graph(text, OPS, {key: array})
    np.testing.assert_array_equal(again.nodes[0].params["value"].array, array)
    with pytest.raises(
        ParseError, match=f"^line 3, column 45: no array @{key} was given"
    ):
        parse_graph(text, OPS)
    with pytest.raises(ParseError, match="is float64\\[3\\], not f64\\[20\\]"):
        parse_graph(text, OPS, {key: np.zeros(3)})
    with pytest.raises(ParseError, match="has other contents"):
        parse_graph(text, OPS, {key: np.zeros(20)})


def test_captures_are_written_by_name_and_hash():
    b = new_builder()
    held = np.arange(3.0)
    x = b.input(parse_type("f64[3]"), "x")
    c = b.input(parse_type("f64[3]"), "c")
    b.captures.append(held)
    graph = b.finish("f", [b.mul(x, c)])
    key = ArrayConstant(held).key
    assert f'in %1: f64[3] "c" capture @{key}\n' in print_graph(graph)
    again = parse_graph(print_graph(graph), OPS, {key: held})
    assert print_graph(again) == print_graph(graph)
    assert len(again.captures) == 1
    other = Graph(**{k: getattr(graph, k) for k in Graph.__slots__})
    other.captures = [held + 1]
    assert graph_key(other) == graph_key(graph)
    assert print_graph(other) != print_graph(graph)


def test_the_key_sees_the_contents_of_arrays_and_bits_of_numbers():
    def key(value):
        b = new_builder()
        return graph_key(b.finish("f", [b.constant(value)]))

    assert key(np.arange(20.0)) != key(np.arange(20.0) + 1)
    assert key(0.0) != key(-0.0)
    assert key(1.0) != key(1)


def test_locations_are_comments():
    b = new_builder()
    x = b.input(parse_type("f64[]"), "x")
    b.loc = user_loc()
    graph = b.finish("f", [b.sin(x)])
    text = print_graph(graph, locs=True)
    line = next(line for line in text.splitlines() if "sin" in line)
    assert line.startswith("%1: f64[] = sin %0  # ")
    assert "test_text.py:" in line
    assert print_graph(parse_graph(text, OPS)) == print_graph(graph)


def test_pretty_shows_constants_in_place():
    assert pretty(parse_graph(LOSS, OPS)) == (
        "loss(%0 params['w']: f64[n,3], %1 idx: i64[m]):\n"
        "  %2: f64[n,3] = mul %0, %0\n"
        "  %3: f64[] = sum %2 {axes=(0, 1)}\n"
        "  %5: f64[] = mul %3, 0.1\n"
        "  guard n = 2*m  # matmul: inner dimensions\n"
        "  return %5, %2\n"
    )


def test_a_param_that_cannot_be_written():
    with pytest.raises(GraphError, match="a param of type list cannot be written"):
        param_text([1])


HEAD = 'graph f\nin %0: f64[3] "x"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: a program begins with 'pullback-ir 1'"),
        ("pullback-ir 2\n", "line 1, column 1: a program begins with"),
        ("in %0: f64[] 'x'", "line 2, column 1: 'graph' expected"),
        ("graph f\ngraph g", "line 3, column 1: 'graph' comes too late"),
        ("graph f\n", "line 3, column 1: 'end' expected"),
        ("graph f\nwhat", "line 3, column 1: unexpected 'what'"),
        ("graph f\nsizes nan", "line 3, column 7: a size cannot be called nan"),
        ('graph f\nin %1: f64[] "x"', "column 4: %1 is out of order: %0 comes next"),
        ('graph f\nin %0: g64[] "x"', "column 8: 'g64\\[\\]' is not a type"),
        ('graph f\nin %0: f64[n $] "x"', "column 8: size 'n \\$': unexpected"),
        ('graph f\nin %0: f64[ "x"', "column 11: '\\[' is never closed"),
        ("graph f\nin %0: f64[] x", "column 14: a string expected"),
        (HEAD + "%1: f64[3] = nothing %0", "column 14: there is no op nothing"),
        (HEAD + "%1: f64[3] = sin %1", "line 4, column 18: %1 is not defined"),
        (HEAD + "%1: f64[3] = sin %7", "line 4, column 18: %7 is not defined"),
        (HEAD + "%1: f64[3] = sin %0 %0", "column 21: unexpected '%0'"),
        (HEAD + "%1: f64[3] = sin %0 {a=1", "column 25: '}' expected"),
        (HEAD + "%1: f64[3] = sin %0 {a=1, a=2}", "param a is given twice"),
        (HEAD + "%1: f64[3] = sin %0 {a=__import__('os')}", 'unexpected "\'"'),
        (HEAD + "%1: f64[3] = sin %0 {a=(1, 2}", "column 29: '\\)' expected"),
        (HEAD + "%1: f64[3] = sin %0 {a=}", "column 24: a size expected"),
        (HEAD + '%1: f64[3] = sin %0 {a="\\q"}', "malformed string"),
        (HEAD + f"%1: f64[3] = sin %0 {{a={'9' * 5000}}}", "line 4, column 24: "),
        (HEAD + "%1: f64[3] = sin %0 {a=[1, 2] i8[3]}", "column 24: array i8\\[3\\]"),
        (HEAD + "%1: f64[3] = sin %0 {a=[999] i8[1]}", "column 24: array i8\\[1\\]"),
        (HEAD + "%1: f64[3] = sin %0 {a=[1] f64[n]}", "its shape is not constant"),
        (HEAD + '%1: f64[3] = sin %0 {a=["1"] f64[1]}', "an array holds numbers"),
        (HEAD + f"%1: f64[3] = sin %0 {{a={'(' * 60}{')' * 60}}}", "too deeply"),
        (HEAD + 'out %0 "y"\n%1: f64[3] = sin %0', "line 5, column 1: '%' comes too"),
        (HEAD + 'in %1: f64[] "y" capture 3', "column 26: a hash expected"),
        (HEAD + 'guard n 3 "x"', "line 4, column 7: size 'n 3 "),
        (HEAD + "end now", "line 4, column 5: unexpected 'now'"),
    ],
)
def test_malformed_text_has_line_and_column(text, message):
    given = (
        text if text.startswith("pullback") or not text else f"pullback-ir 1\n{text}"
    )
    with pytest.raises(ParseError, match=message):
        parse_graph(given, OPS)


def test_dtypes_are_reserved_words():
    for name in DTYPES:
        with pytest.raises(ParseError, match="cannot be called"):
            parse_graph(f"pullback-ir 1\ngraph f\nsizes {name}\nend", OPS)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_text_is_refused_or_read_never_worse(seed):
    rng = random.Random(seed)
    text = print_graph(random_graph(seed))
    for _ in range(50):
        at, length = rng.randrange(len(text)), rng.randrange(4)
        middle = "".join(rng.choice('%@[]{}(),:="n0-.e \n') for _ in range(length))
        damaged = text[:at] + middle + text[at + rng.randrange(4) :]
        try:
            graph = parse_graph(damaged, OPS)
        except ParseError:
            continue
        assert print_graph(parse_graph(print_graph(graph), OPS)) == print_graph(graph)
