"""Steps of a random program: what moves elements, running folds, bits, matrices.

A mixin of `programs_at_random.Generator`, which holds the builder, the values made so
far and the random numbers.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from pullback.ir.builder import Builder
from pullback.ir.graph import Value
from pullback.ir.ops.factorization import part
from pullback.ir.sizes import SizeExpr, named, smax
from pullback.ir.types import DTYPES, I64, TensorType

Size = int | SizeExpr

SIDES = (1, 2, 3, 5)  # of matrices that are factored


class Steps:
    """More kinds of steps."""

    rng: random.Random
    b: Builder
    values: list[Value]
    pick: Callable[..., Value | None]
    real: Callable[[], Value]
    fitted: Callable[[Value], Value]
    length: Callable[[], Size]
    count: Callable[[tuple[Size, ...]], int]
    env: dict[str, int]
    indexable: Callable[[Value], bool]
    wide_axes: Callable[[Value], list[int]]
    indices: Callable[[Size], Value]

    def multiplied(self) -> Value | None:
        """A product over axes."""
        x = self.pick(lambda v: v.type.dtype.kind in "fiu" and v.type.rank > 0)
        if x is None:
            return None
        rank = x.type.rank
        axes = tuple(sorted(self.rng.sample(range(rank), self.rng.choice((1, rank)))))
        return self.b.prod(self.b.sin(x) if x.type.dtype.is_float else x, axes=axes)

    def shifted(self) -> Value | None:
        """Bits moved by less than the width of any integer, and by more than it."""
        x = self.pick(lambda v: v.type.dtype.kind in "iu")
        if x is None:
            return None
        by = self.rng.choice((0, 1, 3, 7, 63 if x.type.dtype.bits == 64 else 9))
        name = self.rng.choice(("left_shift", "right_shift"))
        if self.rng.random() < 0.3:
            return self.b.op(name, x, self.b.minimum(self.b.bitwise_and(x, 7), 7))
        return self.b.op(name, x, by)

    def diagonal(self) -> Value | None:
        x = self.pick(lambda v: v.type.rank in (2, 3))
        if x is None:
            return None
        one, two = self.rng.sample(range(x.type.rank), 2)
        offset = self.rng.choice((0, 0, 1, -1))
        return self.b.diagonal(x, offset=offset, axis1=one, axis2=two)

    def counted(self) -> Value | None:
        """The positions along an axis, as floats or integers."""
        x = self.pick(lambda v: v.type.rank > 0)
        if x is None:
            return None
        dtype = self.rng.choice((I64, DTYPES["i32"], self.real().type.dtype))
        return self.b.iota(
            axis=self.rng.randrange(x.type.rank), type=TensorType(dtype, x.type.shape)
        )

    def asked(self) -> Value:
        name = self.rng.choice(("isnan", "isfinite"))
        out: Value = self.b.op(name, self.real())
        return out

    def held(self) -> Value:
        return self.b.stop_gradient(self.real())

    def derived(self) -> Value:
        """A derivative of digamma, and the masked product of adjoints."""
        x = self.real()
        if self.rng.random() < 0.5:
            return self.b.mask_mul(self.fitted(x), x)
        return self.b.polygamma(x, n=self.rng.choice((1, 1, 2, 3)))

    def overwritten(self) -> Value | None:
        """Fold values into an array at integers."""
        x = self.pick(lambda v: self.indexable(v) and v.type.dtype.is_float)
        if x is None:
            return None
        axis = self.rng.choice(self.wide_axes(x))
        ids = self.indices(x.type.shape[axis])
        picked = self.b.sin(self.b.take(x, ids, axis=axis))
        name = self.rng.choice([f"scatter_{k}" for k in ("set", "max", "min", "mul")])
        out: Value = self.b.op(name, picked, ids, x, axis=axis)
        return out

    def scanned(self) -> Value | None:
        """A running sum, product or recurrence."""
        x = self.pick(lambda v: v.type.dtype.is_float and v.type.rank > 0)
        if x is None:
            return None
        params = {
            "axis": self.rng.randrange(x.type.rank),
            "reverse": self.rng.random() < 0.5,
        }
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.b.recurrence(self.b.sin(x), self.fitted(x), **params)
        if kind == 1:
            return self.b.shift(
                x, axis=params["axis"], by=self.rng.choice((-2, -1, 1, 3))
            )
        out: Value = self.b.op(self.rng.choice(("cumsum", "cumprod")), x, **params)
        return out

    def bits(self) -> Value | None:
        x = self.pick(lambda v: v.type.dtype.kind in "iu")
        if x is None:
            return None
        if self.rng.random() < 0.2:
            return self.b.invert(x)
        name = self.rng.choice(("and", "or", "xor"))
        return self.b.op(f"bitwise_{name}", x, self.fitted(x))

    def centred(self) -> Value | None:
        """A fold broadcast back: what normalisations do."""
        x = self.pick(lambda v: v.type.dtype.is_float and v.type.rank > 0)
        if x is None:
            return None
        axis = self.rng.randrange(x.type.rank)
        mean = self.b.sum(x, axes=(axis,))
        back = self.b.broadcast(self.b.expand_dims(mean, axes=(axis,)), x.type.shape)
        return self.b.op(self.rng.choice(("sub", "mul", "add")), x, back)

    def sized(self) -> Value | None:
        """A size as a number of the program."""
        if not self.env:
            return None
        x = self.real()
        size = named(self.rng.choice(list(self.env))) + self.rng.randrange(3)
        return self.b.mul(x, self.b.constant(size, x.type.dtype, x.type.shape))

    def scattered(self) -> Value | None:
        x = self.pick(lambda v: self.indexable(v) and v.type.dtype.kind in "fiu")
        if x is None:
            return None
        axis = self.rng.choice(self.wide_axes(x))
        picked = self.b.take(x, self.indices(x.type.shape[axis]), axis=axis)
        ids = picked.node.operands[1]
        return self.b.scatter_add(picked, ids, axis=axis, shape=x.type.shape)

    def joined(self) -> Value | None:
        x = self.pick(lambda v: v.type.rank > 0)
        if x is None:
            return None
        axis = self.rng.randrange(x.type.rank)
        rest = (x.type.shape[:axis], x.type.shape[axis + 1 :])
        parts = [
            y
            for y in self.values
            if y.type.dtype is x.type.dtype
            and y.type.rank == x.type.rank
            and (y.type.shape[:axis], y.type.shape[axis + 1 :]) == rest
        ]
        chosen = self.rng.choices(parts, k=self.rng.randrange(1, 4))
        return self.b.concatenate(x, *chosen, axis=axis)

    def placed(self) -> Value:
        x = self.rng.choice(self.values)
        start, step, shape = [], [], []
        for d in x.type.shape:
            by = self.rng.choice((1, 1, 2, -1, 3))
            first = self.rng.choice((0, 1, 2))
            span = (d if by in (1, -1) else d * abs(by)) + first + self.rng.randrange(2)
            start.append(first if by > 0 else first + d - 1)
            step.append(by)
            shape.append(span)
        return self.b.place(x, start=tuple(start), step=tuple(step), shape=tuple(shape))

    def sliced(self) -> Value:
        x = self.rng.choice(self.values)
        start: list[Size] = []
        step: list[int] = []
        size: list[Size] = []
        for d in x.type.shape:
            kind = self.rng.randrange(5)
            if kind == 0:
                spec: tuple[Size, int, Size] = (0, 1, d)
            elif kind == 1:
                spec = (d - 1, -1, d)
            elif kind == 2:
                spec = (1, 1, smax(d - 1, 0)) if d != 1 else (0, 1, 1)
            elif kind == 3:
                spec = (0, 2, (d + 1) // 2)
            else:
                spec = (d - 1, -2, (d + 1) // 2)
            for held, piece in zip((start, step, size), spec, strict=True):
                held.append(piece)  # type: ignore[attr-defined]
        return self.b.slice(x, start=tuple(start), step=tuple(step), size=tuple(size))

    # -- matrices ----------------------------------------------------------------------

    def bounded(self) -> Value:
        """A value of rank 0 or 1 in [-1, 1], whatever came before it."""
        x = self.pick(lambda v: v.type.dtype.is_float and v.type.rank < 2)
        if x is None or self.count(x.type.shape) > 20:
            real = self.real()
            x = self.b.sum(real, axes=tuple(range(real.type.rank)))
        return self.b.sin(self.b.select(self.b.isfinite(x), x, 0.5))

    def matrices(self, symmetric: bool) -> Value:
        """Matrices that are far from singular, one for each element of a value.

        A constant with a dominant diagonal, plus the value times a small constant.
        Rows change places where they need not be symmetric.
        """
        t = self.bounded()
        n = self.rng.choice(SIDES)
        draw = np.random.default_rng(self.rng.getrandbits(32))
        small = draw.integers(-4, 5, (n, n)) / 8
        around = draw.integers(-4, 5, (n, n)) / 8
        if symmetric:
            small, around = (small + small.T) / 2, (around + around.T) / 2
        base = around + np.eye(n) * (2 * n + 1)
        if not symmetric:
            base = base[draw.permutation(n)]
        batch = t.type.shape
        axes = tuple(range(len(batch), len(batch) + 2))
        wide = self.b.broadcast(self.b.expand_dims(t, axes=axes), (*batch, n, n))
        return self.b.add(
            self.b.mul(wide, self._repeated(small, wide)), self._repeated(base, wide)
        )

    def _repeated(self, array: Any, like: Value) -> Value:
        held = self.b.constant(array, like.type.dtype)
        axes = tuple(range(like.type.rank - 2))
        if axes:
            held = self.b.expand_dims(held, axes=axes)
        return self.b.broadcast(held, like.type.shape)

    def factored(self) -> list[Value]:
        """A factorisation, and often a solution by it."""
        kind = self.rng.randrange(3)
        x = self.matrices(symmetric=kind == 0)
        columns = self.rng.choice((1, 2, 3))
        draw = np.random.default_rng(self.rng.getrandbits(32))
        right = draw.integers(-16, 17, (x.type.shape[-1], columns)) / 4
        shape = (*x.type.shape[:-1], columns)
        y = self._repeated(right, Value(TensorType(x.type.dtype, shape), None, 0))
        turned = self.rng.random() < 0.5
        if kind == 0:
            low = self.b.cholesky(x)
            return [low, self._solved(low, y, True, turned)]
        if kind == 1:
            packed, pivots, order, _ = self.b.lu(x)
            solved = self.b.lu_solve(x, packed, pivots, y, transpose=turned)
            return [packed, order, solved]
        packed, *_ = self.b.lu(x)
        lower = self.rng.random() < 0.5
        return [self._solved(part(self.b, packed, lower, False), y, lower, turned)]

    def _solved(self, x: Value, y: Value, lower: bool, turned: bool) -> Value:
        # the lower factor of lu has ones on its diagonal, which are not written
        unit = lower and x.node is not None and x.node.primitive.name != "cholesky"
        return self.b.triangular_solve(x, y, lower=lower, transpose=turned, unit=unit)
