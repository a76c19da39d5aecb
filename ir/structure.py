"""Find where matrices are zero, and which part of them anybody reads.

Forward from masks, factors and constants; backward from what reads a triangle. A value
counts as a batch of matrices of its last two axes.
"""

from collections.abc import Mapping
from typing import NamedTuple

from .band import EMPTY, FULL, Band
from .forms import Contract, Factorize, Iota, Map
from .graph import Graph, Node, Value
from .matrix_rules import MatrixRules, Ramp, number_of

Bands = dict[Value, Band]

NO_RULES = MatrixRules()


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


class _Forward:
    """One walk over the nodes: ramps make masks, masks make zeros."""

    def __init__(self, masks: Bands) -> None:
        self.zeros: Bands = {}
        self.masks = masks  # bools that hold in a band and nowhere else
        self.ramps: dict[Value, Ramp] = {}

    def of(self, x: Value) -> Band:
        """Return where a value may differ from 0."""
        known = self.zeros.get(x)
        if known is not None:
            return known
        return EMPTY if number_of(x) == 0 else FULL

    def ramp(self, x: Value) -> Ramp | None:
        """Return an integer that grows along rows and columns, if that is known."""
        known = self.ramps.get(x)
        if known is None:
            value = number_of(x)
            return (0, 0, value) if type(value) is int else None
        return known

    def visit(self, node: Node) -> None:
        """Record what is known of the results of a node."""
        out = node.results[0]
        rank = out.type.rank
        if rank < 2:
            return
        form, rules = node.primitive.form, node.primitive.matrix or NO_RULES
        if isinstance(form, Iota):
            axis = node.params["axis"]
            if out.type.dtype.kind == "i" and axis >= rank - 2:
                self.ramps[out] = (1, 0, 0) if axis == rank - 2 else (0, 1, 0)
            return
        if out.type.dtype.kind in "iu" and rules.ramp is not None:
            ramps = [self.ramp(x) for x in node.operands]
            if None not in ramps:
                self.ramps[out] = rules.ramp(*ramps)
        band: Band | None = None
        if rules.zeros is not None:
            band = rules.zeros(self, node)
        elif isinstance(form, Contract):
            band = _product(self, node)
        if band is not None and band.bounded:
            self.zeros[out] = band


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
    while x.node is not None and (x.node.primitive.matrix or NO_RULES).permutes:
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
    rules = node.primitive.matrix or NO_RULES
    out = read.get(node.results[0], FULL) if len(node.results) == 1 else FULL
    if rules.reads is not None:
        return rules.reads(out, node, masks)
    if not isinstance(node.primitive.form, Map) or len(node.results) != 1:
        return [FULL] * len(node.operands)
    return [out] * len(node.operands)
