"""Rules of zeros and of what is read, for several ops or longer than a line."""

import math
from collections.abc import Callable, Mapping

from ..band import FULL, Band
from ..graph import Node, Value
from ..matrix_rules import Known, MatrixRules, Ramp, ReadRule, ZeroRule, number_of

# -- elementwise -----------------------------------------------------------------------


def _kept(known: Known, node: Node) -> Band | None:
    x, *others = node.operands
    return None if others else known.of(x)


def _cast(known: Known, node: Node) -> Band | None:
    (x,) = node.operands
    return known.masks.get(x) or known.of(x)


def _either(known: Known, node: Node) -> Band:
    x, y = node.operands
    return known.of(x).either(known.of(y))


def _product(known: Known, x: Value, y: Value) -> Band:
    """Return the band of an elementwise product: 0 times infinity is no zero."""
    for value, other in ((x, y), (y, x)):
        number = number_of(value)
        if number is not None and math.isfinite(number):
            return known.of(other)
    one, two = known.of(x), known.of(y)
    inside = one.both(two)
    around = one.either(two)
    return inside if inside[:2] == around[:2] else inside.doubtful()


def _multiplied(known: Known, node: Node) -> Band:
    x, y = node.operands
    return _product(known, x, y)


def _fma(known: Known, node: Node) -> Band:
    x, y, z = node.operands
    return _product(known, x, y).either(known.of(z))


def _divided(known: Known, node: Node) -> Band:
    x, y = node.operands
    number = number_of(y)
    return known.of(x) if number else known.of(x).doubtful()


def _masked(known: Known, node: Node) -> Band:
    ct, local = node.operands
    one = known.of(ct)
    return one if one.bounded else known.of(local).doubtful()


def _selected(known: Known, node: Node) -> Band:
    cond, x, y = node.operands
    mask = known.masks.get(cond)
    if mask is None:
        return known.of(x).either(known.of(y))
    return mask.both(known.of(x)).either(mask.outside().both(known.of(y)))


def _selected_from(out: Band, node: Node, masks: Mapping[Value, Band]) -> list[Band]:
    mask = masks.get(node.operands[0])
    if mask is None:
        return [out] * 3
    return [out, mask.both(out), mask.outside().both(out)]


def _added(x: Ramp, y: Ramp) -> Ramp:
    return x[0] + y[0], x[1] + y[1], x[2] + y[2]


def _negative(x: Ramp) -> Ramp:
    return -x[0], -x[1], -x[2]


def _less(x: Ramp, y: Ramp) -> Ramp:
    return _added(x, _negative(y))


KEEPS = MatrixRules(zeros=_kept)  # 0 of 0
NEGATES = MatrixRules(zeros=_kept, ramp=_negative)
CASTS = MatrixRules(zeros=_cast)
ADDS = MatrixRules(zeros=_either, ramp=_added)
SUBTRACTS = MatrixRules(zeros=_either, ramp=_less)
MULTIPLIES = MatrixRules(zeros=_multiplied)
MULTIPLIES_AND_ADDS = MatrixRules(zeros=_fma)
DIVIDES = MatrixRules(zeros=_divided)
MULTIPLIES_MASKED = MatrixRules(zeros=_masked)
SELECTS = MatrixRules(zeros=_selected, reads=_selected_from)

# -- comparisons -----------------------------------------------------------------------


def compares(
    upward: Callable[[int], Band], downward: Callable[[int], Band]
) -> MatrixRules:
    """Return the rules of a comparison of two ramps, which is a mask.

    Args:
        upward: the band where column - row compares so to a number.
        downward: the band where a number compares so to column - row.
    """

    def compared(known: Known, node: Node) -> None:
        x, y = (known.ramp(v) for v in node.operands)
        if x is None or y is None:
            return
        a, b, c = _less(x, y)
        if a + b != 0 or abs(a) != 1:
            return
        known.masks[node.results[0]] = upward(-c) if b > 0 else downward(c)

    return MatrixRules(zeros=compared)


# -- views -----------------------------------------------------------------------------


def _of_view(turn: Callable[[Band, Node], Band]) -> tuple[ZeroRule, ReadRule]:
    """Return the rules of a view; its band is FULL where that is unclear."""

    def moved(band: Band, node: Node) -> Band:
        (x,) = node.operands
        return turn(band, node) if band.bounded and x.type.rank >= 2 else FULL

    def zeros(known: Known, node: Node) -> Band:
        return moved(known.of(node.operands[0]), node)

    def reads(out: Band, node: Node, masks: Mapping[Value, Band]) -> list[Band]:
        return [moved(out, node)]

    return zeros, reads


def _turned(band: Band, node: Node) -> Band:
    axes = node.params["axes"]
    last = (len(axes) - 2, len(axes) - 1)
    if axes[-2:] == last:
        return band
    return band.turned() if axes[-2:] == last[::-1] else FULL


def _in_place(band: Band, node: Node) -> Band:
    """Return the band of a view that changes axes before the last two alone."""
    (x,) = node.operands
    out = node.results[0]
    if x.type.shape[-2:] != out.type.shape[-2:]:
        return FULL
    wide = max(x.type.rank, out.type.rank)
    axes = node.params.get("axes", ())
    return FULL if any(k >= wide - 2 for k in axes) else band


def _view(turn: Callable[[Band, Node], Band], permutes: bool = False) -> MatrixRules:
    zeros, reads = _of_view(turn)
    return MatrixRules(zeros=zeros, reads=reads, permutes=permutes)


PERMUTES = _view(_turned, permutes=True)
KEEPS_MATRICES = _view(_in_place)


def _diagonal_of(out: Band, node: Node, masks: Mapping[Value, Band]) -> list[Band]:
    axes = node.params["axis1"], node.params["axis2"]
    at, rank = node.params["offset"], node.operands[0].type.rank
    if axes == (rank - 2, rank - 1):
        return [Band(at, at)]
    return [Band(-at, -at) if axes == (rank - 1, rank - 2) else FULL]


READS_DIAGONAL = MatrixRules(reads=_diagonal_of)

# -- factorisations --------------------------------------------------------------------

LOWER = Band(None, 0)


def _solved(known: Known, node: Node) -> Band:
    right = known.of(node.operands[1])
    if node.params["lower"] != node.params["transpose"]:
        return Band(None, right.hi, False)
    return Band(right.lo, None, False)


def _triangle_of(out: Band, node: Node, masks: Mapping[Value, Band]) -> list[Band]:
    return [LOWER if node.params["lower"] else LOWER.turned(), FULL]


FACTORS = MatrixRules(
    zeros=lambda known, node: LOWER, reads=lambda out, node, masks: [LOWER]
)
SOLVES = MatrixRules(zeros=_solved, reads=_triangle_of)
