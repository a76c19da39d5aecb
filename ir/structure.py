"""Find where matrices are zero, and which part of them anybody reads.

Forward from masks, factors and constants; backward from what reads a triangle. A value
counts as a batch of matrices of its last two axes.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .band import EMPTY, FULL, Band
from .forms import Contract, Factorize, Iota, Map
from .graph import Graph, Node, Value

Bands = dict[Value, Band]


class Structure(NamedTuple):
    """What is known of the values of a program.

    Attributes:
        zeros: the band outside of which a value is zero; FULL is left out.
        needed: the band outside of which nobody reads a value; FULL is left out.
        symmetric: contractions of a matrix with its own transpose.
    """

    zeros: Mapping[Value, Band]
    needed: Mapping[Value, Band]
    symmetric: frozenset[Node]


NOTHING = Structure({}, {}, frozenset())


def find_structure(graph: Graph) -> Structure:
    """Return what is known of the matrices of a program.

    Cost: O(nodes + edges); nothing is looked at where there is no contraction and no
    factorisation.
    """
    if not any(isinstance(n.primitive.form, Contract | Factorize) for n in graph.nodes):
        return NOTHING
    masks: Bands = {}
    zeros = _zeros(graph, masks)
    products = [n for n in graph.nodes if isinstance(n.primitive.form, Contract)]
    symmetric = frozenset([n for n in products if _is_symmetric(n)])
    return Structure(zeros, _needed(graph, masks), symmetric)


def find_masks(graph: Graph) -> dict[Value, Band]:
    """Return the bools that hold in a band of the last two axes and nowhere else.

    Cost: O(nodes + edges).
    """
    masks: Bands = {}
    _zeros(graph, masks)
    return masks


# -- zeros -----------------------------------------------------------------------------

_Ramp = tuple[int, int, int]  # a row + b column + c
_KEEPS_ZERO = frozenset({"neg", "abs", "sign", "cast", "hold", "stop_gradient", "sqrt"})


def _splat(x: Value) -> int | float | None:
    node = x.node
    if node is None or node.primitive.name != "constant":
        return None
    value = node.params["value"]
    return value if isinstance(value, (bool, int, float)) else None


class _Forward:
    """One walk over the nodes: ramps make masks, masks make zeros."""

    def __init__(self, masks: Bands) -> None:
        self.zeros: Bands = {}
        self.masks = masks  # bools that hold in a band and nowhere else
        self.ramps: dict[Value, _Ramp] = {}

    def of(self, x: Value) -> Band:
        """Return where a value may differ from 0."""
        known = self.zeros.get(x)
        if known is not None:
            return known
        return EMPTY if _splat(x) == 0 else FULL

    def ramp(self, x: Value) -> _Ramp | None:
        """Return an integer that grows along rows and columns, if that is known."""
        known = self.ramps.get(x)
        if known is None:
            value = _splat(x)
            return (0, 0, value) if type(value) is int else None
        return known

    def visit(self, node: Node) -> None:
        """Record what is known of the results of a node."""
        out = node.results[0]
        rank = out.type.rank
        if rank < 2:
            return
        name = node.primitive.name
        form = node.primitive.form
        if isinstance(form, Iota):
            axis = node.params["axis"]
            if out.type.dtype.kind == "i" and axis >= rank - 2:
                self.ramps[out] = (1, 0, 0) if axis == rank - 2 else (0, 1, 0)
            return
        if out.type.dtype.kind in "iu" and name in _RAMPS:
            ramps = [self.ramp(x) for x in node.operands]
            made = None if None in ramps else _RAMPS[name](*ramps)
            if made is not None:
                self.ramps[out] = made
        rule = _RULES.get(name)
        band: Band | None = None
        if rule is not None:
            band = rule(self, node)
        elif isinstance(form, Contract):
            band = _product(self, node)
        if band is not None and band.bounded:
            self.zeros[out] = band


def _added(x: _Ramp, y: _Ramp) -> _Ramp:
    return x[0] + y[0], x[1] + y[1], x[2] + y[2]


def _negative(x: _Ramp) -> _Ramp:
    return -x[0], -x[1], -x[2]


_RAMPS: Mapping[str, Callable[..., _Ramp]] = {
    "add": _added,
    "sub": lambda x, y: _added(x, _negative(y)),
    "neg": _negative,
}


def _compared(known: _Forward, node: Node) -> None:
    """Record the band of a comparison of two ramps."""
    x, y = (known.ramp(v) for v in node.operands)
    if x is None or y is None:
        return
    a, b, c = _added(x, _negative(y))
    name = node.primitive.name
    if a + b != 0 or abs(a) != 1:
        return
    if b < 0:  # -(column - row) + c
        name = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}.get(name, name)
        c = -c
    at = -c  # column - row compared to this
    bands = {
        "eq": Band(at, at),
        "le": Band(None, at),
        "lt": Band(None, at - 1),
        "ge": Band(at, None),
        "gt": Band(at + 1, None),
    }
    if name in bands:
        known.masks[node.results[0]] = bands[name]


def _selected(known: _Forward, node: Node) -> Band:
    cond, x, y = node.operands
    mask = known.masks.get(cond)
    if mask is None:
        return known.of(x).either(known.of(y))
    return mask.both(known.of(x)).either(mask.outside().both(known.of(y)))


def _kept(known: _Forward, node: Node) -> Band | None:
    x, *others = node.operands
    if others:
        return None
    if node.primitive.name == "cast" and x in known.masks:
        return known.masks[x]
    return known.of(x)


def _sum(known: _Forward, node: Node) -> Band:
    x, y = node.operands
    return known.of(x).either(known.of(y))


def _times(known: _Forward, x: Value, y: Value) -> Band:
    """Return the band of an elementwise product: 0 times infinity is no zero."""
    for value, other in ((x, y), (y, x)):
        number = _splat(value)
        if number is not None and math.isfinite(number):
            return known.of(other)
    one, two = known.of(x), known.of(y)
    inside = one.both(two)
    around = one.either(two)
    return inside if inside[:2] == around[:2] else inside.doubtful()


def _fma(known: _Forward, node: Node) -> Band:
    x, y, z = node.operands
    return _times(known, x, y).either(known.of(z))


def _divided(known: _Forward, node: Node) -> Band:
    x, y = node.operands
    number = _splat(y)
    return known.of(x) if number else known.of(x).doubtful()


def _masked(known: _Forward, node: Node) -> Band:
    ct, local = node.operands
    one = known.of(ct)
    return one if one.bounded else known.of(local).doubtful()


def _viewed(band: Band, node: Node) -> Band:
    """Return the band of a view, or of what it views: FULL where it is unclear."""
    (x,) = node.operands
    out = node.results[0]
    if not band.bounded or x.type.rank < 2:
        return FULL
    if node.primitive.name == "transpose":
        axes = node.params["axes"]
        last = (len(axes) - 2, len(axes) - 1)
        if axes[-2:] == last:
            return band
        return band.turned() if axes[-2:] == last[::-1] else FULL
    if x.type.shape[-2:] != out.type.shape[-2:]:
        return FULL
    axes = node.params.get("axes", ())
    wide = max(x.type.rank, out.type.rank)
    if node.primitive.name != "broadcast_to" and any(k >= wide - 2 for k in axes):
        return FULL
    return band


def _view(known: _Forward, node: Node) -> Band:
    return _viewed(known.of(node.operands[0]), node)


def _cholesky(known: _Forward, node: Node) -> Band:
    return Band(None, 0)


def _solved(known: _Forward, node: Node) -> Band:
    right = known.of(node.operands[1])
    if node.params["lower"] != node.params["transpose"]:
        return Band(None, right.hi, False)
    return Band(right.lo, None, False)


_RULES: Mapping[str, Callable[[_Forward, Node], Band | None]] = {
    **dict.fromkeys(("eq", "le", "lt", "ge", "gt"), _compared),
    **dict.fromkeys(_KEEPS_ZERO, _kept),
    **dict.fromkeys(("add", "sub"), _sum),
    **dict.fromkeys(("transpose", "broadcast_to", "expand_dims", "squeeze"), _view),
    "select": _selected,
    "mul": lambda known, node: _times(known, *node.operands),
    "fma": _fma,
    "div": _divided,
    "mask_mul": _masked,
    "cholesky": _cholesky,
    "triangular_solve": _solved,
}


class Matrices(NamedTuple):
    """The labels of a contraction that is a matrix product: row, column, summed.

    `turned` says for lhs and rhs whether the operand is the transposed matrix, and for
    the result; None where the two labels are not its last two axes.
    """

    row: str
    column: str
    summed: str
    turned: tuple[bool | None, bool | None, bool | None]


def matrices(node: Node) -> Matrices | None:
    """Return a contraction as a product of matrices, innermost labels; None if none."""
    lhs, rhs, out = (node.params[side] for side in ("lhs", "rhs", "out"))
    rows = [c for c in out if c not in rhs]
    columns = [c for c in out if c not in lhs]
    summed = [c for c in lhs if c not in out]
    if not rows or not columns or len(summed) != 1:
        return None
    row, column, inner = rows[-1], columns[-1], summed[0]

    def order(labels: str, first: str, second: str) -> bool | None:
        last = labels[-2:]
        if last == first + second:
            return False
        return True if last == second + first else None

    turned = order(lhs, row, inner), order(rhs, inner, column), order(out, row, column)
    return Matrices(row, column, inner, turned)


def oriented(band: Band, turned: bool | None) -> Band:
    """Return a band of an operand's last two axes as one of its matrix."""
    if turned is None:
        return FULL
    return band.turned() if turned else band


def _product(known: _Forward, node: Node) -> Band:
    held = matrices(node)
    if held is None:
        return FULL
    x, y = (
        oriented(known.of(v), turned)
        for v, turned in zip(node.operands, held.turned, strict=False)
    )
    return oriented(x.times(y), held.turned[2])


def _zeros(graph: Graph, masks: Bands) -> Bands:
    walk = _Forward(masks)
    for node in graph.nodes:
        if len(node.results) == 1:
            walk.visit(node)
    return walk.zeros


# -- symmetric products ----------------------------------------------------------------


def _bare(x: Value, labels: str) -> tuple[Value, str]:
    """Return a value without the transposes it was made by, and its labels."""
    while x.node is not None and x.node.primitive.name == "transpose":
        axes = x.node.params["axes"]
        moved = [""] * len(axes)
        for label, axis in zip(labels, axes, strict=True):
            moved[axis] = label
        (x,) = x.node.operands
        labels = "".join(moved)
    return x, labels


def _is_symmetric(node: Node) -> bool:
    """Return whether exchanging row and column exchanges the operands."""
    held = matrices(node)
    if held is None:
        return False
    x, left = _bare(node.operands[0], node.params["lhs"])
    y, right = _bare(node.operands[1], node.params["rhs"])
    return x is y and left.replace(held.row, held.column) == right


# -- what is read ----------------------------------------------------------------------


def _needed(graph: Graph, masks: Bands) -> Bands:
    """Return the band of each value that somebody reads, where it is not all."""
    read: dict[Value, Band] = dict.fromkeys(graph.outputs, FULL)

    def reads(x: Value, band: Band) -> None:
        before = read.get(x)
        read[x] = band if before is None else before.either(band)

    for node in reversed(graph.nodes):
        for x, band in zip(node.operands, _reads(node, read, masks), strict=True):
            reads(x, band)
    return {x: band for x, band in read.items() if band.bounded and not band.empty}


def _reads(node: Node, read: Bands, masks: Bands) -> list[Band]:
    """Return which part of each operand a node reads."""
    whole = [FULL] * len(node.operands)
    name = node.primitive.name
    if name == "cholesky":
        return [Band(None, 0)]
    if name == "triangular_solve":
        lower = node.params["lower"]
        return [Band(None, 0) if lower else Band(0, None), FULL]
    if name == "diagonal":
        axes = node.params["axis1"], node.params["axis2"]
        at, rank = node.params["offset"], node.operands[0].type.rank
        if axes == (rank - 2, rank - 1):
            return [Band(at, at)]
        return [Band(-at, -at) if axes == (rank - 1, rank - 2) else FULL]
    out = read.get(node.results[0], FULL) if len(node.results) == 1 else FULL
    if name in ("transpose", "broadcast_to", "expand_dims", "squeeze"):
        return [_viewed(out, node)]
    if not isinstance(node.primitive.form, Map) or len(node.results) != 1:
        return whole
    mask = masks.get(node.operands[0]) if name == "select" else None
    if mask is not None:
        return [out, mask.both(out), mask.outside().both(out)]
    return [out] * len(node.operands)
