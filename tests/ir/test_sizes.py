import random

import pytest
from pullback.ir.errors import SizeError
from pullback.ir.size_text import parse_size
from pullback.ir.sizes import (
    SizeExpr,
    evaluate_size,
    floordiv,
    lower_bound,
    named,
    names_in,
    product,
    smax,
    smin,
    substitute,
    upper_bound,
)

n, m = named("n"), named("m")


def random_size(rng, depth=3):
    if depth == 0 or rng.random() < 0.2:
        return rng.choice([n, m, 0, 1, 2, 3])
    a, b = random_size(rng, depth - 1), random_size(rng, depth - 1)
    op = rng.randrange(6)
    if op == 0:
        return a + b
    if op == 1:
        return a - b
    if op == 2:
        return a * b
    if op == 3:
        return smax(a, b)
    if op == 4:
        return smin(a, b)
    return floordiv(a, rng.choice([2, 3, n]))


@pytest.mark.parametrize("seed", range(200))
def test_text_is_read_back_as_the_same_size(seed):
    size = random_size(random.Random(seed))
    assert parse_size(str(size)) == size


@pytest.mark.parametrize("seed", range(200))
def test_rewriting_keeps_the_value(seed):
    rng = random.Random(seed)
    for _ in range(5):
        a, b = random_size(rng), random_size(rng)
        env = {"n": rng.choice([0, 2, 3, 7]), "m": rng.choice([0, 2, 5])}
        x, y = evaluate_size(a, env), evaluate_size(b, env)
        assert evaluate_size(a + b, env) == x + y
        assert evaluate_size(a - b, env) == x - y
        assert evaluate_size(a * b, env) == x * y
        assert evaluate_size(smax(a, b), env) == max(x, y)
        assert evaluate_size(smin(a, b), env) == min(x, y)
        assert evaluate_size(floordiv(a, 3), env) == x // 3
        assert substitute(a, env) == x


@pytest.mark.parametrize("seed", range(100))
def test_bounds_hold(seed):
    rng = random.Random(seed)
    size = random_size(rng)
    low, high = lower_bound(size), upper_bound(size)
    for env in ({"n": 0, "m": 2}, {"n": 7, "m": 0}, {"n": 2, "m": 3}):
        value = evaluate_size(size, env)
        assert low is None or low <= value
        assert high is None or value <= high


def test_equal_sizes_are_equal_objects():
    assert smax(n - 1, 0) == smax(0, n - 1)
    assert (n + m) * 2 == 2 * m + 2 * n
    assert hash(n * m) == hash(m * n)
    assert n - n == 0
    assert floordiv(6 * n, 3) == 2 * n
    assert floordiv(n * m, n) == m
    assert (2 * n) % 2 == 0
    assert product([n, 3, m]) == 3 * n * m
    assert product([]) == 1
    assert names_in(smax(n - m, 0)) == {"n", "m"}


def test_texts():
    assert str(2 * n + m - 1) == "m+2*n-1"
    assert str(smax(n - 1, 0)) == "max(n-1, 0)"
    assert str(floordiv(n, 2)) == "(n)//(2)"
    assert isinstance(parse_size("n*m"), SizeExpr)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n+", "size 'n\\+': size ends too early at 3"),
        ("n$", "unexpected '\\$' at 2"),
        ("(n", "'\\)' expected at 3"),
        ("n n", "unexpected 'n' at 3"),
        ("n//0", "size n divided by zero"),
        ("(" * 60 + "n" + ")" * 60, "nested too deeply"),
        ("", "size ends too early at 1"),
    ],
)
def test_malformed_text(text, message):
    with pytest.raises(SizeError, match=message):
        parse_size(text)
