"""Rules of the user, and values that are computed again."""

from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.ir.passes.partition import Fate

X = np.array([0.3, -0.7, 1.1])
ROWS = np.stack([X, 2 * X])
BIG = np.linspace(0.0, 1.0, 100)  # more than a constant: captured


@pb.custom_vjp
def logsumexp(x: Any) -> Any:
    return np.log(np.sum(np.exp(x)))


def _fwd(x: Any) -> Any:
    y = logsumexp(x)
    return y, {"x": x, "y": y, "how": "exactly"}


def _bwd(residuals: Any, ct: Any) -> Any:
    assert residuals["how"] == "exactly"
    return (ct * np.exp(residuals["x"] - residuals["y"]),)


logsumexp.defvjp(_fwd, _bwd)


@pb.custom_jvp
def tenfold(x: Any) -> Any:
    return np.sin(x)


@tenfold.defjvp
def _tenfold(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return tenfold(x), 10.0 * np.cos(x) * t


def softmax(x: Any) -> Any:
    return np.exp(x) / np.exp(x).sum()


def test_the_rule_gives_cotangents() -> None:
    np.testing.assert_allclose(logsumexp(X), np.log(np.exp(X).sum()), rtol=1e-15)
    np.testing.assert_allclose(pb.grad(logsumexp)(X), softmax(X), rtol=1e-14)
    _, back = pb.vjp(logsumexp, X)
    np.testing.assert_allclose(back(2.0)[0], 2 * softmax(X), rtol=1e-14)


def test_tangents_pass_by_the_transpose_of_the_rule() -> None:
    _, t = pb.jvp(logsumexp, (X,), (X,))
    np.testing.assert_allclose(t, softmax(X) @ X, rtol=1e-14)
    s = softmax(X)
    wanted = np.diag(s) - np.outer(s, s)
    np.testing.assert_allclose(pb.hessian(logsumexp)(X), wanted, rtol=1e-13, atol=1e-15)
    reverse = pb.jacobian(pb.grad(logsumexp), mode="reverse")(X)
    np.testing.assert_allclose(reverse, wanted, rtol=1e-13, atol=1e-15)


def test_rules_are_batched() -> None:
    wanted = np.stack([softmax(x) for x in ROWS])
    np.testing.assert_allclose(pb.vmap(pb.grad(logsumexp))(ROWS), wanted, rtol=1e-14)
    outer = pb.grad(lambda z: np.sum(pb.vmap(logsumexp)(z)))
    np.testing.assert_allclose(outer(ROWS), wanted, rtol=1e-14)
    twice = pb.vmap(pb.vmap(pb.grad(logsumexp)))(np.stack([ROWS, ROWS]))
    np.testing.assert_allclose(twice, np.stack([wanted, wanted]), rtol=1e-14)
    pushed = pb.vmap(lambda x: pb.jvp(tenfold, (x,), (x,))[1])(ROWS)
    np.testing.assert_allclose(pushed, 10 * np.cos(ROWS) * ROWS, rtol=1e-14)

    shared = pb.grad(lambda w: np.sum(pb.vmap(scaled, (0, None))(ROWS, w)))
    np.testing.assert_allclose(shared(2.0), 3 * ROWS.sum(), rtol=1e-14)


@pb.custom_vjp
def scaled(x: Any, w: Any) -> Any:
    return x * w


scaled.defvjp(lambda x, w: (x * w, x), lambda x, ct: (None, 3 * np.sum(ct * x)))


def test_the_rule_need_not_be_the_derivative() -> None:
    clip = pb.custom_vjp(lambda x: x)
    clip.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -0.5, 0.5),))
    got = pb.grad(lambda x: np.sum(clip(x * x) * 3.0))(X)
    np.testing.assert_allclose(got, 0.5 * 2 * X, rtol=1e-15)
    # None is zero, and a rule may read what it captures
    wide = pb.custom_vjp(lambda x: np.sum(x * BIG))
    wide.defvjp(lambda x: (np.sum(x * BIG), None), lambda _, ct: (ct * BIG * 7.0,))
    np.testing.assert_array_equal(pb.grad(wide)(BIG), BIG * 7.0)
    np.testing.assert_array_equal(pb.vmap(pb.grad(wide))(BIG[None] * 2), [BIG * 7.0])


def test_trees_settings_and_integers() -> None:
    @pb.custom_vjp
    def model(p: Any, k: Any, how: Any) -> Any:
        assert how == "twice"
        return {"y": p["a"] * 2 + k, "n": k}

    def fwd(p: Any, k: Any, how: Any) -> Any:
        return model(p, k, how), (p["a"],)

    def bwd(residuals: Any, ct: Any) -> Any:
        assert ct["n"] is None
        return {"a": ct["y"] * 5.0, "b": None}, None, None

    model.defvjp(fwd, bwd)
    p = {"a": X, "b": X}
    grads = pb.grad(lambda p: np.sum(model(p, 3, "twice")["y"]))(p)
    np.testing.assert_array_equal(grads["a"], np.full(3, 5.0))
    np.testing.assert_array_equal(grads["b"], np.zeros(3))
    assert model(p, 3, "twice")["n"] == 3


def test_a_jvp_rule_serves_both_ways() -> None:
    np.testing.assert_allclose(tenfold(X), np.sin(X), rtol=1e-15)
    _, t = pb.jvp(tenfold, (X,), (np.ones(3),))
    np.testing.assert_allclose(t, 10 * np.cos(X), rtol=1e-15)
    made = pb.grad(lambda x: np.sum(tenfold(x)))(X)
    np.testing.assert_allclose(made, 10 * np.cos(X), rtol=1e-15)
    full = pb.hessian(lambda x: np.sum(tenfold(x)))(X)
    np.testing.assert_allclose(full, np.diag(-10 * np.sin(X)), rtol=1e-15, atol=1e-15)


def test_rules_hold_on_tapes(compiler: Any) -> None:
    x = pb.Variable(X)
    for _ in range(2):
        with pb.GradientTape() as outer:
            with pb.GradientTape() as tape:
                y = logsumexp(x) + pb.sum(tenfold(x))
            first = tape.gradient(y, x)
            total = pb.sum(first)
        wanted = softmax(X) + 10 * np.cos(X)
        np.testing.assert_allclose(first.numpy(), wanted, rtol=1e-14)
        s = softmax(X)
        second = s - s * s.sum() - 10 * np.sin(X)
        got = outer.gradient(total, x).numpy()
        np.testing.assert_allclose(got, second, rtol=1e-12, atol=1e-14)
    made = compiler.made
    with pb.GradientTape() as tape:
        y = logsumexp(x)
    tape.gradient(y, x).numpy()
    before = compiler.made
    with pb.GradientTape() as tape:
        y = logsumexp(x)
    tape.gradient(y, x).numpy()
    assert compiler.made == before > made


def block(x: Any, w: Any) -> Any:
    for _ in range(3):
        x = np.tanh(w @ x)
    return x


W = np.array([[0.5, -1.0, 0.2], [1.5, 0.3, -0.4], [0.1, 0.7, -0.9]])


def test_a_checkpoint_keeps_arguments_alone() -> None:
    kept = pb.checkpoint(block)

    def twice(fun: Any) -> Any:
        return lambda x, w: np.sum(fun(fun(x, w), w) ** 2)

    got = pb.grad(twice(kept), argnums=(0, 1))(X, W)
    wanted = pb.grad(twice(block), argnums=(0, 1))(X, W)
    for g, e in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-13)
    np.testing.assert_array_equal(kept(X, W), pb.function(block)(X, W))
    hessians = [pb.hessian(twice(fun))(X, W) for fun in (kept, block)]
    np.testing.assert_allclose(*hessians, rtol=1e-12, atol=1e-14)
    mapped = [pb.vmap(pb.grad(twice(fun)), (0, None))(ROWS, W) for fun in (kept, block)]
    np.testing.assert_allclose(*mapped, rtol=1e-12)
    made = pb.grad(twice(kept)).explain(X, W)
    plain = pb.grad(twice(block)).explain(X, W)
    # the result of each block, and nothing from inside
    counts = [
        sum(d.op == "tanh" and d.fate is Fate.KEPT for d in each.decisions)
        for each in (made, plain)
    ]
    assert counts[0] <= 2 < counts[1]


def test_what_is_wrong_with_a_rule_is_said() -> None:
    bare = pb.custom_vjp(lambda x: x)
    with pytest.raises(
        pb.ArgumentError, match=r"no rule yet: give it with defvjp\(fwd,"
    ):
        pb.grad(lambda x: np.sum(bare(x)))(X)
    with pytest.raises(
        pb.ArgumentError, match=r"rule yet: give it with defjvp\(rule\)"
    ):
        pb.custom_jvp(lambda x: x)(X)

    def given(fwd: Any, bwd: Any) -> Any:
        made = pb.custom_vjp(lambda x: x * 2)
        made.defvjp(fwd, bwd)
        return pb.grad(lambda x: np.sum(made(x)))

    with pytest.raises(
        pb.ArgumentError, match=r"fwd returns \(result, residuals\), got"
    ):
        given(lambda x: x, lambda r, ct: ct)(X)
    with pytest.raises(pb.ArgumentError, match=r"fwd returns f64\[\], the function f"):
        given(lambda x: (np.sum(x), None), lambda r, ct: (ct,))(X)
    with pytest.raises(
        pb.ArgumentError, match="bwd returns a tuple with one cotangent"
    ):
        given(lambda x: (x * 2, None), lambda r, ct: ct)(X)
    with pytest.raises(
        pb.ArgumentError, match=r"bwd returns f64\[\] for args\[0\], which"
    ):
        given(lambda x: (x * 2, None), lambda r, ct: (np.sum(ct),))(X)
    made = pb.custom_jvp(lambda x: x)
    made.defjvp(lambda p, t: (p[0], np.sum(t[0])))
    with pytest.raises(
        pb.ArgumentError, match=r"the tangent is f64\[\], the result f64"
    ):
        pb.jvp(made, (X,), (X,))
    made.defjvp(lambda p, t: t[0])
    with pytest.raises(
        pb.ArgumentError, match=r"a jvp rule returns \(result, tangent\)"
    ):
        pb.jvp(made, (X,), (X,))
    made.defjvp(lambda p, t: (p[0], {"t": t[0]}))
    with pytest.raises(
        pb.ArgumentError, match="the tangent does not have the structure"
    ):
        pb.jvp(made, (X,), (X,))
    with pytest.raises(
        pb.ArgumentError, match="positional where a rule is the user's, g"
    ):
        logsumexp(x=X)


def test_a_rule_reads_nothing_traced_outside() -> None:
    def outer(x: Any) -> Any:
        made = pb.custom_vjp(lambda y: y * 2)
        made.defvjp(lambda y: (y * 2, None), lambda r, ct: (ct * x,))
        return np.sum(made(x))

    with pytest.raises(pb.EscapedValue, match="was used in another trace"):
        pb.grad(outer)(X)
