"""How large random programs are, and what they are fed."""

import random
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pullback.ir.graph import Graph
from pullback.ir.sizes import evaluate_size
from pullback.ir.types import BOOL, I64

Array = np.ndarray[Any, Any]


class Style(NamedTuple):
    """How large programs are."""

    lengths: tuple[int, ...]  # of axes that are numbers; of named sizes: LENGTHS
    sums: int  # values that the first output, a scalar, sums
    nodes: tuple[tuple[int, int, float], ...]  # ranges of nodes, and their weights
    names: tuple[tuple[str, ...], ...]  # of sizes
    ranks: tuple[int, ...]


#: Much in one program, many shapes.
WIDE = Style(
    (1, 2, 3, 4, 5, 6, 8, 17, 33),
    4,
    ((10, 50, 0.7), (50, 150, 0.3)),
    ((), ("n",), ("n",), ("n", "m")),
    (0, 1, 2, 2, 3),
)
#: From 5 to 60 nodes, most up to 20; few shapes, so that kernels repeat.
SMALL = Style(
    (1, 2, 3),
    1,
    ((5, 12, 0.65), (12, 20, 0.25), (20, 45, 0.1)),
    (("n", "m"),),
    (0, 1, 2, 2, 3),
)

SPECIAL = (np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-310, 1e-40, 1e300)


@dataclass
class Made:
    """A program with a float scalar as first output, and what to feed it."""

    graph: Graph
    wrt: list[int]
    env: dict[str, int]

    def arrays(self, rng: random.Random) -> list[Array]:
        """Draw the inputs: small dyadic numbers, so comparisons meet ties."""
        draw = np.random.default_rng(rng.getrandbits(32))
        out = []
        for x in self.graph.inputs:
            shape = [evaluate_size(d, self.env) for d in x.type.shape]
            dtype = x.type.dtype
            if dtype.is_float:
                made = draw.integers(-24, 25, shape) / 8
                if draw.random() < 0.1:
                    info = np.finfo(dtype.numpy)
                    edges = (info.max, info.smallest_normal, info.smallest_subnormal)
                    odd = np.array([*SPECIAL, *(float(x) for x in edges)])
                    made = np.where(
                        draw.random(shape) < 0.1, draw.choice(odd, shape), made
                    )
                if draw.random() < 0.4:
                    made = made + draw.normal(size=shape)
            elif dtype is BOOL:
                made = draw.integers(0, 2, shape)
            elif dtype is I64:
                made = draw.integers(-2, 2, shape)  # in range of every axis
            else:
                low = 0 if dtype.kind == "u" else -100
                made = draw.integers(low, 100, shape)
            with np.errstate(all="ignore"):
                out.append(np.asarray(made).astype(dtype.numpy))
        return out
