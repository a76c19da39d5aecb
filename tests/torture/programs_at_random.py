"""Random programs over all ops: mixed dtypes, named sizes, views, folds and indices."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from pullback.ir.forms import Map
from pullback.ir.graph import Value
from pullback.ir.ops import OPS, new_builder
from pullback.ir.sizes import SizeExpr, evaluate_size, named
from pullback.ir.types import BOOL, DTYPES, F32, F64, I64, DType, TensorType
from steps_at_random import Steps
from styles_at_random import SMALL, WIDE, Made, Style

__all__ = ["SMALL", "WIDE", "Generator", "Made", "Style", "random_program"]

Size = int | SizeExpr

LARGEST = 3000  # elements of one value
LENGTHS = (2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 40)
INTEGERS = ("i64", "i64", "i32", "i16", "i8", "u8", "u16", "u32", "u64")


def _maps(arity: int) -> list[str]:
    """Elementwise ops of so many floats, without params."""
    return [
        op.name
        for op in OPS.values()
        if isinstance(op.form, Map)
        and any(
            len(s.shapes) == arity
            and not s.params
            and set(s.dtypes) <= {"f"}
            and all(shape == (None,) for shape in s.shapes)
            for s in op.samples
        )
    ]


UNARY, BINARY, TERNARY = _maps(1), _maps(2), _maps(3)
TESTS = ("eq", "ne", "lt", "le", "gt", "ge")
TAME = ("sin", "cos", "tanh", "sigmoid", "add", "sub", "mul", "maximum", "minimum")


class Generator(Steps):
    """A program being made."""

    def __init__(self, rng: random.Random, style: Style) -> None:
        self.rng = rng
        self.style = style
        self.b = new_builder(strict=rng.random() < 0.2)
        self.env: dict[str, int] = {}
        for name in rng.choice(style.names):
            self.b.sizes.append(name)
            self.env[name] = rng.choice(LENGTHS)
        if self.env and rng.random() < 0.05:
            self.env["n"] = 0
        self.values: list[Value] = []
        self.main = rng.choice((F64, F64, F32))

    def count(self, shape: tuple[Size, ...]) -> int:
        out = 1
        for d in shape:
            out *= evaluate_size(d, self.env)
        return out

    def length(self) -> Size:
        if self.env and self.rng.random() < 0.6:
            return named(self.rng.choice(list(self.env)))
        return self.rng.choice(self.style.lengths)

    def input(self, dtype: DType, shape: tuple[Size, ...]) -> Value:
        x = self.b.input(TensorType(dtype, shape), f"x{len(self.b.inputs)}")
        self.values.append(x)
        return x

    def start(self) -> None:
        """Make the inputs; every named size is an axis of one."""
        for name in self.env:
            self.input(self.main, (named(name),))
        for k in range(self.rng.randrange(1, 4)):
            rank = self.rng.choice(self.style.ranks)
            shape = tuple(self.length() for _ in range(rank))
            if self.count(shape) > LARGEST // 4:
                shape = shape[:1]
            kind = self.rng.random() if k else 1.0
            dtype = self.main
            if kind < 0.15:
                dtype = F32 if self.main is F64 else F64
            elif kind < 0.4:
                dtype = DTYPES[self.rng.choice(INTEGERS)]
            elif kind < 0.47:
                dtype = BOOL
            self.input(dtype, shape)

    def pick(self, want: Callable[[Value], bool] = lambda x: True) -> Value | None:
        fits = [x for x in self.values[-12:] if want(x)] or [
            x for x in self.values if want(x)
        ]
        return self.rng.choice(fits) if fits else None

    def real(self) -> Value:
        found = self.pick(lambda x: x.type.dtype.is_float)
        assert found is not None
        return found

    def partner(self, x: Value) -> Any:
        """Return something to combine with x: a value of its type, or a number."""
        same = [y for y in self.values if y.type == x.type]
        kind = self.rng.random()
        if kind < 0.2 and x.type.dtype.is_float:
            return self.rng.choice((0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.25))
        if kind < 0.6 and len(same) > 1:
            return self.rng.choice(same)
        return self.fitted(x)

    def fitted(self, x: Value) -> Value:
        """Return another value brought to the type of x by a cast and a broadcast."""
        rank, shape = x.type.rank, x.type.shape
        for y in self.rng.sample(self.values, len(self.values)):
            if y.type.dtype.kind != x.type.dtype.kind or y.type.rank > rank:
                continue
            places = sorted(self.rng.sample(range(rank), y.type.rank))
            if any(
                d not in (1, shape[k])
                for d, k in zip(y.type.shape, places, strict=True)
            ):
                continue
            new = tuple(k for k in range(rank) if k not in places)
            if new:
                y = self.b.expand_dims(y, axes=new)
            y = self.b.broadcast(y, shape)
            if y.type.dtype is not x.type.dtype:
                y = self.b.cast(y, dtype=x.type.dtype)
            return y
        return x

    # -- steps -------------------------------------------------------------------------

    def step(self) -> None:
        """Append one or a few nodes."""
        kinds = (
            (self.unary, 4), (self.binary, 6), (self.ternary, 1), (self.chosen, 2),
            (self.integer, 2), (self.logic, 1), (self.cast, 1), (self.view, 5),
            (self.sliced, 3), (self.placed, 2), (self.joined, 2), (self.reduced, 4),
            (self.contracted, 3), (self.gathered, 2), (self.scattered, 1),
            (self.constant, 1), (self.centred, 1), (self.sized, 1),
            (self.scanned, 1), (self.overwritten, 1), (self.bits, 1),
            (self.multiplied, 0.5), (self.shifted, 0.5), (self.diagonal, 0.7),
            (self.counted, 0.4), (self.asked, 0.3), (self.held, 0.2),
            (self.derived, 0.3), (self.factored, 0.4),
        )  # fmt: skip
        names, weights = zip(*kinds, strict=True)
        made = self.rng.choices(names, weights)[0]()
        for x in made if isinstance(made, list) else [made]:
            if x is not None and self.count(x.type.shape) <= LARGEST:
                self.values.append(x)

    def unary(self) -> Value:
        tame = self.rng.random() < 0.7
        name = self.rng.choice([n for n in UNARY if not tame or n in TAME])
        if self.rng.random() < 0.1:
            return self.b.integer_pow(
                self.real(), n=self.rng.choice((-2, 0, 1, 2, 3, 7))
            )
        out: Value = self.b.op(name, self.real())
        return out

    def binary(self) -> Value:
        x = self.real()
        if self.rng.random() < 0.05:
            name = self.rng.choice(("floor_divide", "mod"))
            return self.b.op(name, x, self.partner(x), real=True)
        tame = self.rng.random() < 0.85
        name = self.rng.choice([n for n in BINARY if not tame or n in TAME])
        pair = [x, self.partner(x)]
        if self.rng.random() < 0.3:
            pair.reverse()
        out: Value = self.b.op(name, *pair)
        return out

    def ternary(self) -> Value:
        x = self.real()
        out: Value = self.b.op(
            self.rng.choice(TERNARY), x, self.partner(x), self.partner(x)
        )
        return out

    def chosen(self) -> Value:
        x = self.real()
        mask = self.b.op(self.rng.choice(TESTS), x, self.partner(x))
        return self.b.select(mask, self.partner(x), x)

    def integer(self) -> Value | None:
        x = self.pick(lambda v: v.type.dtype.kind in "iu")
        if x is None:
            return None
        y = self.partner(x)
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.b.op(self.rng.choice(("floor_divide", "mod")), x, y, real=False)
        if kind == 1:
            return self.b.op(self.rng.choice(TESTS), x, y)
        if kind == 2:
            return self.b.op(self.rng.choice(("abs", "sign", "square")), x)
        name = self.rng.choice(("add", "sub", "mul", "maximum", "minimum"))
        return self.b.op(name, x, y)

    def logic(self) -> Value | None:
        x = self.pick(lambda v: v.type.dtype is BOOL)
        if x is None:
            return self.b.isfinite(self.real())
        if self.rng.random() < 0.3:
            return self.b.logical_not(x)
        name = self.rng.choice(("logical_and", "logical_or", "logical_xor"))
        return self.b.op(name, x, self.fitted(x))

    def cast(self) -> Value:
        x = self.rng.choice(self.values)
        if self.rng.random() < 0.5:
            return self.b.cast(x, dtype=self.rng.choice((F64, F32)))
        name = self.rng.choice((*INTEGERS, "bool"))
        if x.type.dtype.is_float and name != "bool":
            # a float out of range becomes an integer no one promises
            x = self.b.select(self.b.isnan(x), 0.0, x)
            low = 0.0 if name.startswith("u") else -100.0
            x = self.b.minimum(self.b.maximum(x, low), 100.0)
        return self.b.cast(x, dtype=DTYPES[name])

    def view(self) -> Value:
        x = self.rng.choice(self.values)
        rank, kind = x.type.rank, self.rng.randrange(6)
        if kind == 0:
            return self.b.transpose(x, axes=tuple(self.rng.sample(range(rank), rank)))
        if kind == 1 and rank < 4:
            return self.b.expand_dims(x, axes=(self.rng.randrange(rank + 1),))
        if kind == 2:
            axes = tuple(k for k, d in enumerate(x.type.shape) if d == 1)
            return self.b.squeeze(x, axes=axes)
        if kind == 3 and rank < 4:
            return self.b.broadcast(x, (self.length(), *x.type.shape))
        if kind == 4:
            return self.b.reshape(x, shape=self.reshaped(x.type.shape))
        return self.b.broadcast(
            x, tuple(self.length() if d == 1 else d for d in x.type.shape)
        )

    def reshaped(self, shape: tuple[Size, ...]) -> tuple[Size, ...]:
        """Return a shape of as many elements: axes joined, split or swapped."""
        dims = list(shape)
        for _ in range(self.rng.randrange(1, 4)):
            kind = self.rng.randrange(3)
            if kind == 0 and len(dims) > 1:
                k = self.rng.randrange(len(dims) - 1)
                dims[k : k + 2] = [dims[k] * dims[k + 1]]
            elif kind == 1 and dims and len(dims) < 4:
                k = self.rng.randrange(len(dims))
                d = dims[k]
                for by in (2, 3, 5):
                    if isinstance(d, int) and d and d % by == 0:
                        pair = [by, d // by]
                        self.rng.shuffle(pair)
                        dims[k : k + 1] = pair
                        break
            else:
                self.rng.shuffle(dims)
        return tuple(dims)

    def reduced(self) -> Value | None:
        x = self.pick(lambda v: v.type.dtype.kind in "fiu" and v.type.rank > 0)
        if x is None:
            return None
        rank = x.type.rank
        axes = tuple(
            sorted(self.rng.sample(range(rank), self.rng.randrange(1, rank + 1)))
        )
        name = self.rng.choice(("sum", "sum", "max", "min"))
        empty = any(evaluate_size(x.type.shape[k], self.env) == 0 for k in axes)
        out: Value = self.b.op("sum" if empty else name, x, axes=axes)
        return out

    def contracted(self) -> Value | None:
        x = self.pick(lambda v: v.type.dtype.kind in "fiu" and 0 < v.type.rank < 4)
        y = self.rng.choice(self.values)
        if x is None:
            return None
        if y.type.dtype is not x.type.dtype or y.type.rank > 3:
            y = x
        labels = iter("mnopqrst")
        left = "abcd"[: x.type.rank]
        sizes = dict(zip(left, x.type.shape, strict=True))
        right, used = "", set()
        for d in y.type.shape:
            same = [c for c in left if sizes[c] == d and c not in used]
            if same and self.rng.random() < 0.8:
                label = self.rng.choice(same)
                used.add(label)
            else:
                label = next(labels)
            right += label
        out = [c for c in left if c not in used or self.rng.random() < 0.3]
        out += [c for c in right if c not in left]
        self.rng.shuffle(out)
        sizes.update(zip(right, y.type.shape, strict=True))
        if self.count(tuple(sizes[c] for c in out)) > LARGEST or len(out) > 4:
            return None
        return self.b.contract(x, y, lhs=left, rhs=right, out="".join(out))

    def indices(self, extent: Size) -> Value:
        """Return integers in range of an axis of at least two elements."""
        raw = [x for x in self.b.inputs if x.type.dtype is I64]
        if raw and self.rng.random() < 0.7:
            return self.rng.choice(raw)
        shape = self.rng.choice(((), (3,), (2, 2), (5,)))
        return self.b.constant(
            np.array(self.rng.choices((-2, -1, 0, 1), k=30))
            .reshape(-1)[: int(np.prod(shape, dtype=int))]
            .reshape(shape),
            I64,
        )

    def gathered(self) -> Value | None:
        x = self.pick(self.indexable)
        if x is None:
            return None
        axis = self.rng.choice(self.wide_axes(x))
        return self.b.take(x, self.indices(x.type.shape[axis]), axis=axis)

    def indexable(self, x: Value) -> bool:
        return bool(self.wide_axes(x)) and x.type.rank < 4

    def wide_axes(self, x: Value) -> list[int]:
        return [
            k for k, d in enumerate(x.type.shape) if evaluate_size(d, self.env) >= 2
        ]

    def constant(self) -> Value:
        shape = self.rng.choice(((2,), (3,), (2, 3)))
        count = int(np.prod(shape))
        made = np.array([self.rng.randrange(-16, 17) / 4 for _ in range(count)])
        return self.b.constant(made.reshape(shape), self.main)


def random_program(rng: random.Random, style: Style = WIDE) -> Made:
    """Return a program whose first output is a float scalar."""
    g = Generator(rng, style)
    g.start()
    (low, high, _), *_ = rng.choices(
        style.nodes, [weight for *_, weight in style.nodes]
    )
    wanted = rng.randrange(low, high) - 5 * style.sums
    g.step()
    while len(g.b.nodes) < wanted:
        g.step()
    b = g.b
    loss = b.constant(0.0, g.main)
    floats = [x for x in g.values if x.type.dtype.is_float]
    for x in floats[-style.sums :]:
        total = b.sum(b.sin(x), axes=tuple(range(x.type.rank)))
        loss = b.add(loss, b.cast(total, dtype=g.main))
    others = rng.sample(g.values, min(len(g.values), 4))
    graph = b.finish("random", [loss, *others])
    wrt = [
        k
        for k, x in enumerate(graph.inputs)
        if x.type.dtype.is_float and rng.random() < 0.8
    ]
    return Made(graph, wrt, g.env)
