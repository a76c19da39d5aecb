"""jvp, linearize, jacobian, hessian, hvp and vmap, alone and in one another."""

from typing import Any, NamedTuple

import numpy as np
import pullback as pb
import pytest

X = np.array([0.3, -0.7, 1.1])
A = np.array([[0.5, -1.0, 0.2], [1.5, 0.3, -0.4]])


def f(x: Any) -> Any:
    return np.sum(np.sin(x) * x**2)


def g(x: Any) -> Any:
    return np.tanh(A @ x) * x[0]


def differences(fun: Any, x: Any, step: float = 1e-6) -> Any:
    """The Jacobian of a NumPy function, its last axes those of x."""
    columns = []
    for k in range(x.size):
        e = np.zeros(x.size)
        e[k] = step
        e = e.reshape(x.shape)
        columns.append((fun(x + e) - fun(x - e)) / (2 * step))
    made = np.stack(columns, axis=-1)
    return made.reshape(*made.shape[:-1], *x.shape)


def close(x: Any, y: Any, rtol: float = 1e-7) -> None:
    np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-8)


# --- jvp ------------------------------------------------------------------------------


def test_jvp_is_the_jacobian_times_the_tangent() -> None:
    t = np.array([1.0, -2.0, 0.5])
    value, tangent = pb.jvp(g, (X,), (t,))
    np.testing.assert_allclose(value, g(X), rtol=1e-15)
    close(tangent, differences(g, X) @ t)


def model(p: Any, k: int = 2) -> Any:
    return {"h": np.tanh(p["w"]) * p["s"], "n": 3, "sum": (np.sum(p["w"] ** k),)}


def test_jvp_has_the_structures_of_arguments_and_results() -> None:
    p = {"w": X, "s": 2.0, "name": "x"}
    t = {"w": np.ones(3), "s": None, "name": None}
    value, tangent = pb.jvp(model, (p, 2), (t, None))
    assert value["n"] == 3
    assert tangent["n"] is None
    close(tangent["h"], 2 * (1 - np.tanh(X) ** 2))
    close(tangent["sum"][0], 2 * X.sum())


def test_a_decorated_function_is_compiled_once_for_jvp(compiler: Any) -> None:
    made = pb.function(g)
    for k in range(3):
        pb.jvp(made, (X + k,), (X,))
    assert compiler.made == 1


def test_poles_behind_tangents_of_0_are_masked() -> None:
    at = np.array([0.0, 4.0])
    _, t = pb.jvp(np.sqrt, (at,), (np.array([0.0, 1.0]),))
    np.testing.assert_array_equal(t, [0, 0.25])
    # the branch that is not taken has a pole at 0, at both orders
    h = pb.function(lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), 0.0))
    one = np.ones(2)
    _, t = pb.jvp(h, (at,), (one,))
    np.testing.assert_array_equal(t, [0, 0.25])
    _, (_, t) = pb.jvp(lambda x: pb.jvp(h, (x,), (one,)), (at,), (one,))
    np.testing.assert_array_equal(t, [0, -1 / 16])
    bare = pb.function(lambda x: np.where(x > 0, np.sqrt(x), 0.0))
    np.testing.assert_array_equal(pb.jvp(bare, (at,), (one,))[1], [0, 0.25])


def test_jvp_is_linear_in_its_tangent_and_takes_numbers() -> None:
    value, t = pb.jvp(lambda x: x**3, (2.0,), (1,))
    assert (value, t) == (8, 12)
    x32 = np.float32(2.0)
    value, t = pb.jvp(lambda x: x**3, (x32,), (np.float32(1),))
    assert t.dtype == np.float32


def test_static_arguments_are_passed_on() -> None:
    made = pb.function(lambda x, powers: sum(x**k for k in powers), static_argnums=1)
    value, t = pb.jvp(made, (X, (1, 2)), (np.ones(3), None))
    close(value, X + X**2)
    close(t, 1 + 2 * X)
    inside = pb.function(lambda x: pb.jvp(made, (x, (1, 3)), (x, None))[1])
    close(inside(X), X + 3 * X**3)
    _, push = pb.linearize(made, X, (1, 2))
    close(push(np.ones(3), None), 1 + 2 * X)
    mapped = pb.vmap(made, in_axes=(0, None))(np.stack([X, X]), (1, 2))
    close(mapped, np.stack([X + X**2] * 2))
    close(pb.jacobian(made)(X, (1, 2)), np.diag(1 + 2 * X))


def test_derivatives_mix() -> None:
    one = np.ones(3)

    def pushed(fun: Any) -> Any:
        return lambda x: pb.jvp(fun, (x,), (one,))[1]

    second = np.cos(X) * 4 * X + 2 * np.sin(X) - np.sin(X) * X**2
    close(pb.function(pushed(pb.grad(f)))(X), second)
    close(pb.grad(pushed(f))(X), second)
    close(pb.function(pushed(pushed(f)))(X), second.sum())
    close(pb.grad(lambda x: np.sum(pb.grad(f)(x)))(X), second)


def test_jvp_of_tensors_is_recorded() -> None:
    x = pb.Variable(X)
    with pb.GradientTape() as tape:
        value, t = pb.jvp(np.sin, (x,), (np.ones(3),))
        total = pb.sum(t)
    close(value.numpy(), np.sin(X))
    close(tape.gradient(total, x).numpy(), -np.sin(X))


def test_what_does_not_fit_jvp() -> None:
    with pytest.raises(pb.ArgumentError, match="primals is a tuple with one entry an"):
        pb.jvp(f, X, X)
    with pytest.raises(pb.ArgumentError, match="jvp of f: 2 tangents for 1 arguments"):
        pb.jvp(f, (X,), (X, X))
    said = r"jvp of f: tangents\[0\] is f64\[2\], what it belongs to f64\[3\]"
    with pytest.raises(pb.ArgumentError, match=said):
        pb.jvp(f, (X,), (X[:2],))
    with pytest.raises(pb.ArgumentError, match="does not have the structure of what"):
        pb.jvp(f, (X,), ({"x": X},))
    said = r"tangents\[0\] is f64\[3\], i64\[3\] does not move: pass None"
    with pytest.raises(pb.ArgumentError, match=said):
        pb.jvp(f, (np.arange(3),), (X,))


# --- linearize ------------------------------------------------------------------------


def test_linearize_gives_jvp_again_and_again(compiler: Any) -> None:
    made = pb.function(g)
    value, push = pb.linearize(made, X)
    np.testing.assert_allclose(value, g(X), rtol=1e-15)
    full = differences(g, X)
    for k in range(3):
        close(push(np.eye(3)[k]), full[:, k])
    assert compiler.made == 2
    pb.linearize(made, X + 1)
    assert compiler.made == 2
    assert repr(push) == "<derivative of g>"


def test_linearize_has_structures_and_keeps_its_point() -> None:
    x = X.copy()
    _, push = pb.linearize(model, {"w": x, "s": 2.0, "name": "x"}, 2)
    x[:] = 9
    t = push({"w": np.ones(3), "s": 1, "name": None}, None)
    assert t["n"] is None
    close(t["h"], 2 * (1 - np.tanh(X) ** 2) + np.tanh(X))
    close(push({"w": None, "s": 1.0, "name": None}, None)["h"], np.tanh(X))
    with pytest.raises(pb.ArgumentError, match="do not have the structure of the arg"):
        push(X, None)
    with pytest.raises(pb.ArgumentError, match=r"tangent of p\['w'\] is float64\[2\]"):
        push({"w": X[:2], "s": 1.0, "name": None}, None)
    with pytest.raises(pb.ArgumentError, match="linearize of model: k does not move"):
        push(None, 1.0)


def test_linearize_in_a_decorated_function() -> None:
    kept: list[Any] = []

    @pb.grad
    def h(x: Any) -> Any:
        value, push = pb.linearize(f, x)
        kept.append(push)
        return push(np.ones(3)) + value

    second = np.cos(X) * 4 * X + 2 * np.sin(X) - np.sin(X) * X**2
    close(h(X), second + pb.grad(f)(X))
    with pytest.raises(pb.EscapedValue, match="the tangent of f was asked for after"):
        kept[0](X)


def test_linearize_takes_floats_and_no_tensors() -> None:
    with pytest.raises(pb.ArgumentError, match="linearize of f: no argument holds flo"):
        pb.linearize(f, np.arange(3))
    with pytest.raises(pb.ArgumentError, match="on tensors use jvp, which is recorded"):
        pb.linearize(f, pb.constant(X))


# --- jacobian -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_jacobians_are_differences(mode: str) -> None:
    close(pb.jacobian(g, mode=mode)(X), differences(g, X))
    wide = pb.jacobian(lambda x: np.outer(x, x) @ A.T, mode=mode)
    close(wide(X), differences(lambda x: np.outer(x, x) @ A.T, X))
    matrix = pb.jacobian(lambda w: np.sin(w) @ X, mode=mode)
    close(matrix(A), differences(lambda w: np.sin(w) @ X, A))
    close(pb.jacobian(np.sin, mode=mode)(0.5), np.cos(0.5))
    close(pb.jacobian(f, mode=mode)(X), pb.grad(f)(X))
    scalar = pb.jacobian(lambda s: np.sin(s * X), mode=mode)
    close(scalar(2.0), np.cos(2 * X) * X)
    np.testing.assert_array_equal(
        pb.jacobian(np.sqrt, mode=mode)(np.array([0.0, 4.0])), [[np.inf, 0], [0, 0.25]]
    )


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobians_have_result_trees_of_argument_trees(mode: str) -> None:
    class Pair(NamedTuple):
        first: Any
        second: Any

    def h(p: Any, x: Any) -> Any:
        return Pair(np.tanh(p["w"] @ x + p["b"]), {"n": np.sum(p["w"])})

    p = {"w": A, "b": np.array([0.1, -0.2])}
    made = pb.jacobian(h, argnums=(0, 1), mode=mode)(p, X)
    assert isinstance(made, Pair)
    by_p, by_x = made.first
    assert by_p["w"].shape == (2, 2, 3)
    assert by_p["b"].shape == (2, 2)
    close(by_x, differences(lambda x: np.tanh(A @ x + p["b"]), X))
    by_p, by_x = made.second["n"]
    np.testing.assert_array_equal(by_p["w"], np.ones((2, 3)))
    np.testing.assert_array_equal(by_p["b"], np.zeros(2))
    np.testing.assert_array_equal(by_x, np.zeros(3))


def test_auto_takes_the_shorter_side() -> None:
    tall = pb.jacobian(lambda x: np.concatenate([x, x, x])).graph(X)
    flat = pb.jacobian(lambda x: np.sum(np.reshape(x, (2, 3)), 1)).graph(np.ones(6))
    assert any(x.type.shape == (3, 9) for n in tall.nodes for x in n.results)
    assert any(x.type.shape == (2, 6) for n in flat.nodes for x in n.results)


def test_jacobians_have_no_loop_and_serve_all_sizes(compiler: Any) -> None:
    made = pb.jacobian(lambda x: np.sin(x) * x[0])
    for n in (3, 4, 5, 6, 0 + 7):
        x = np.linspace(0.1, 1, n)
        close(made(x), differences(lambda x: np.sin(x) * x[0], x))
    assert made.compilations == 2


def test_jacobians_with_more_results_beside() -> None:
    made, beside = pb.jacobian(lambda x: (np.sin(x), {"n": 3}), has_aux=True)(X)
    close(made, np.diag(np.cos(X)))
    assert beside == {"n": 3}
    decorated = pb.jacobian(argnums=1, mode="forward")(lambda a, b: a * b)
    np.testing.assert_array_equal(decorated(X, X), np.diag(X))


def test_what_has_no_jacobian() -> None:
    def h(x: Any) -> Any:
        return x, np.argmax(x)

    with pytest.raises(
        pb.OpTypeError, match=r"jacobian of h: out\[1\] is i64.* only fl"
    ):
        pb.jacobian(h)(X)
    with pytest.raises(pb.ArgumentError, match="'auto', 'forward', 'reverse', got 'x'"):
        pb.jacobian(f, mode="x")
    with pytest.raises(pb.ArgumentError, match="the function returns no array"):
        pb.jacobian(lambda x: None)(X)


def test_jacobians_of_tensors_are_recorded() -> None:
    # sigmoid by a scalar, a layer by its kernel, and the sums they have
    x = np.linspace(-10.0, 10.0, 201)
    delta = pb.Variable(0.0)
    with pb.GradientTape() as tape:
        made = pb.jacobian(lambda d: pb.nn.sigmoid(x + d))(delta)
        total = pb.sum(made)
    assert made.shape == (201,)
    assert tape.gradient(total, delta) is not None
    rng = np.random.default_rng(0)
    rows, kernel = rng.normal(size=(7, 5)), rng.normal(size=(5, 10))
    layer = pb.jacobian(lambda k: np.maximum(rows @ k, 0.0))
    j = layer(kernel)
    assert j.shape == (7, 10, 5, 10)
    summed = pb.grad(lambda k: np.sum(np.maximum(rows @ k, 0.0)))(kernel)
    close(j.sum((0, 1)), summed)


# --- hessian and hvp ------------------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize("n", [1, 2, 3, 17])
def test_the_hessian_is_the_jacobian_of_the_gradient(n: int) -> None:
    x = np.linspace(-1, 1.5, n)
    made = pb.hessian(rosenbrock)(x)
    np.testing.assert_array_equal(made, made.T)
    wanted = differences(pb.grad(rosenbrock), x)
    np.testing.assert_allclose(made, wanted, rtol=1e-6, atol=1e-5)
    other = pb.jacobian(pb.grad(rosenbrock), mode="reverse")(x)
    np.testing.assert_allclose(made, other, rtol=1e-13, atol=1e-13)
    v = np.cos(x)
    np.testing.assert_allclose(pb.hvp(rosenbrock)(x, v), made @ v, rtol=1e-11)


def network(p: Any, x: Any) -> Any:
    hidden = np.tanh(p["w"] @ x + p["b"])
    return np.sum(hidden**2) * p["s"]


def test_hessians_of_trees() -> None:
    p = {"w": A, "b": np.array([0.1, -0.2]), "s": 1.5}
    made = pb.hessian(network)(p, X)
    assert made["w"]["b"].shape == (2, 3, 2)
    assert made["b"]["w"].shape == (2, 2, 3)
    assert made["s"]["w"].shape == (2, 3)
    for one, shape in (("w", (2, 3)), ("b", (2,)), ("s", ())):
        for two in ("w", "b", "s"):
            block = made[one][two]
            back = np.moveaxis(
                made[two][one], range(np.ndim(p[two])), range(-np.ndim(p[two]), 0)
            )
            np.testing.assert_allclose(block, back, rtol=1e-12, atol=1e-13)
            assert block.shape[: len(shape)] == shape
    close(
        made["b"]["b"],
        differences(lambda b: pb.grad(network)({**p, "b": b}, X)["b"], p["b"]),
    )
    v = {"w": A * 2, "b": X[:2], "s": 0.25}
    along = pb.hvp(network)(p, X, v)
    for one in p:
        parts = [
            np.tensordot(made[one][two], v[two], np.ndim(p[two]))
            for two in ("w", "b", "s")
        ]
        np.testing.assert_allclose(along[one], sum(parts), rtol=1e-12)


def test_hvp_is_one_program(compiler: Any) -> None:
    made = pb.hvp(rosenbrock)
    x = np.linspace(-1, 1, 9)
    for _ in range(3):
        made(x, x)
    assert compiler.made == 1
    both = pb.hvp(
        lambda a, b: (np.sum(a * a * b), {"n": 1}), argnums=(0, 1), has_aux=True
    )
    (by_a, by_b), beside = both(X, X, (np.ones(3), None))
    close(by_a, 2 * X)
    close(by_b, 2 * X)
    assert beside == {"n": 1}
    both_again = pb.hvp(argnums=1)(lambda a, b: np.sum(a * b**3))
    close(both_again(X, X, np.ones(3)), 6 * X * X)


def test_what_has_no_product() -> None:
    with pytest.raises(pb.ArgumentError, match="then a vector to multiply by: 1 given"):
        pb.hvp(f)(X)
    said = r"hvp of f: the vector is f64\[2\], what it belongs to f64\[3\]"
    with pytest.raises(pb.ArgumentError, match=said):
        pb.hvp(f)(X, X[:2])


# --- vmap -----------------------------------------------------------------------------

ROWS = np.arange(12.0).reshape(4, 3) / 7


def test_vmap_stacks_rows() -> None:
    np.testing.assert_array_equal(pb.vmap(f)(ROWS), [pb.function(f)(x) for x in ROWS])
    close(pb.vmap(g)(ROWS), np.stack([g(x) for x in ROWS]))
    assert pb.vmap(f)(ROWS[:0]).shape == (0,)
    assert pb.vmap(f)(ROWS[:1]).shape == (1,)


def test_axes_of_arguments_and_results() -> None:
    made = pb.vmap(lambda a, b: a @ b, in_axes=(1, None), out_axes=1)
    b = np.arange(6.0).reshape(3, 2)
    close(made(ROWS.T, b), np.stack([x @ b for x in ROWS], 1))
    made = pb.vmap(lambda p, x: p["w"] * x + p["b"], in_axes=({"w": -1, "b": None}, 0))
    np.testing.assert_array_equal(
        made({"w": ROWS.T, "b": 2.0}, np.arange(4.0)),
        ROWS * np.arange(4.0)[:, None] + 2,
    )
    shared = pb.vmap(lambda x, y: (x + 1, np.sum(y)), (0, None), (0, None))
    one, two = shared(ROWS, X)
    np.testing.assert_array_equal(one, ROWS + 1)
    assert np.ndim(two) == 0
    repeated = pb.vmap(lambda x, y: np.sum(y), (0, None))(ROWS, X)
    assert repeated.shape == (4,)
    by_name = pb.vmap(lambda x, k: x * k, in_axes=0)(ROWS, k=np.arange(4.0))
    np.testing.assert_array_equal(by_name, ROWS * np.arange(4.0)[:, None])


def test_vmap_nests_with_itself_and_with_derivatives() -> None:
    outer = pb.vmap(pb.vmap(lambda a, b: a * b, (None, 0)), (0, None))
    np.testing.assert_array_equal(outer(X, X), np.outer(X, X))
    close(pb.vmap(pb.grad(f))(ROWS), np.stack([pb.grad(f)(x) for x in ROWS]))
    close(pb.vmap(pb.hessian(f))(ROWS), np.stack([pb.hessian(f)(x) for x in ROWS]))
    total = pb.grad(lambda z: np.sum(pb.vmap(lambda r: pb.jvp(f, (r,), (r,))[1])(z)))
    one = pb.grad(lambda r: pb.jvp(f, (r,), (r,))[1])
    close(total(ROWS), np.stack([one(x) for x in ROWS]))
    close(
        pb.jacobian(pb.vmap(g))(ROWS),
        differences(lambda z: np.tanh(z @ A.T) * z[:, :1], ROWS),
        1e-6,
    )

    @pb.function
    def rows_of_jacobian(x: Any) -> Any:
        _, back = pb.vjp(g, x)
        return pb.vmap(lambda ct: back(ct)[0])(np.eye(2))

    close(rows_of_jacobian(X), differences(g, X))


def test_vmap_gathers_scatters_and_solves() -> None:
    at = np.array([[0, 2], [1, 1], [2, 0], [-1, 0]])
    got = pb.vmap(lambda x, i: x[i])(ROWS, at)
    np.testing.assert_array_equal(got, np.take_along_axis(ROWS, at, 1))
    got = pb.vmap(lambda i: pb.take(X, i), in_axes=0)(at)
    np.testing.assert_array_equal(got, X[at])
    with pytest.raises(pb.IndexOutOfRange):
        pb.vmap(lambda x, i: x[i])(ROWS, at + 2)
    made = pb.vmap(pb.grad(lambda x, i: np.sum(x[i] ** 2)))(ROWS, at)
    wanted = np.zeros_like(ROWS)
    for k in range(4):
        np.add.at(wanted[k], at[k], 2 * ROWS[k][at[k]])
    close(made, wanted)
    m = np.eye(3) * 3 + ROWS[1:] @ ROWS[1:].T / 9
    close(pb.vmap(np.linalg.solve, (None, 0))(m, ROWS), np.linalg.solve(m, ROWS.T).T)
    many = np.stack([m, m + 0.5 * np.eye(3)])
    close(pb.vmap(np.linalg.inv)(many), np.linalg.inv(many))
    close(pb.vmap(np.cumsum)(ROWS), np.cumsum(ROWS, 1))
    close(pb.vmap(np.prod)(ROWS + 1), np.prod(ROWS + 1, 1))


def test_checks_inside_vmap_still_check() -> None:
    made = pb.vmap(lambda x: pb.check_numerics(np.log(x), "rows"))
    close(made(ROWS + 1), np.log(ROWS + 1))
    with pytest.raises(pb.NonFiniteError, match="rows"):
        made(ROWS)


def test_vmap_of_tensors_is_recorded() -> None:
    x = pb.Variable(ROWS)
    with pb.GradientTape() as tape:
        total = pb.sum(pb.vmap(f)(x))
    close(tape.gradient(total, x).numpy(), pb.vmap(pb.grad(f))(ROWS))


def test_what_cannot_be_mapped() -> None:
    with pytest.raises(
        pb.ArgumentError, match="no argument is mapped: in_axes is None"
    ):
        pb.vmap(f, in_axes=None)(X)
    with pytest.raises(pb.ArgumentError, match="differ in size: 'a' has 4, 'b' has 3"):
        pb.vmap(lambda a, b: a * b)(ROWS, X)
    with pytest.raises(
        pb.ArgumentError, match="argument 'x' has 0 axes, and no axis 0"
    ):
        pb.vmap(f)(1.0)
    with pytest.raises(pb.ArgumentError, match="an axis is an integer or None, got 0"):
        pb.vmap(f, in_axes=0.5)(ROWS)
    with pytest.raises(
        pb.ArgumentError, match=r"in_axes is \(0, 0\), which does not h"
    ):
        pb.vmap(f, in_axes=(0, 0))(ROWS)
    with pytest.raises(pb.ArgumentError, match=r"out_axes is \(0, 0\), which does not"):
        pb.vmap(f, out_axes=(0, 0))(ROWS)
    with pytest.raises(
        pb.ArgumentError, match="out depends on mapped arguments, so its"
    ):
        pb.vmap(f, out_axes=None)(ROWS)
    kept: list[Any] = []

    def keep(x: Any) -> Any:
        kept.append(x)
        return x

    with pytest.raises(pb.EscapedValue, match="used after the function it stands for"):
        pb.function(lambda z: pb.vmap(keep)(z) * kept[0])(ROWS)
    with pytest.raises(pb.EscapedValue, match="used after the function it stands for"):
        pb.function(lambda z: (pb.vmap(keep)(z), kept[-1]))(ROWS)


# --- products with an identity --------------------------------------------------------

T = np.arange(24.0).reshape(2, 3, 4) / 11 - 1
M = np.arange(12.0).reshape(4, 3) / 7 - 0.8
V = np.array([0.3, -0.7, 1.1])

PRODUCTS: list[tuple[Any, Any]] = [
    (lambda x: M @ x, V),
    (lambda x: x @ M.T, V),
    (lambda x: np.outer(x, V), V),
    (lambda a: a @ V, M),
    (lambda a: a.T @ a, M),
    (lambda a: np.matmul(T, a), M),
    (lambda a: np.einsum("ij,ij->i", a, M), M),
    (lambda a: np.einsum("ij,kjl->ikl", a.T @ a, T), M),
    (lambda t: np.einsum("ajk,aj->ak", t, M[:2]), T),
]


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize(("fun", "x"), PRODUCTS)
def test_jacobians_of_products(fun: Any, x: Any, mode: str) -> None:
    close(pb.jacobian(fun, mode=mode)(x), differences(fun, x))


def test_an_identity_is_not_multiplied() -> None:
    made = pb.jacobian(lambda x: M @ x).graph(V)
    assert [n.primitive.name for n in made.nodes].count("contract") == 1
    poles = np.array([[np.inf, 1.0], [2.0, 3.0]])
    got = pb.jacobian(lambda x: poles @ x)(np.ones(2))
    np.testing.assert_array_equal(got, poles)
