"""The rewrites of views: identities go, chains of one kind become one."""

from ..graph import Node, Value
from ..ops import OPS
from .rebuild import made_in_place

Made = Value | Node | None


def _inner(node: Node, *names: str) -> Node | None:
    """Return the node that made the operand, if it is one of these ops."""
    inner = node.operands[0].node
    return inner if inner is not None and inner.primitive.name in names else None


def _same(node: Node) -> Value | None:
    """Return the operand if it already has the shape of the result."""
    x = node.operands[0]
    return x if x.type == node.results[0].type else None


def _over(node: Node, name: str, inner: Node, **params: object) -> Node:
    """Return view `name` of what `inner` views, in place of `node`."""
    return made_in_place(node, OPS[name], inner.operands, params)


def broadcast_to(node: Node) -> Made:
    """Drop one that changes nothing; join two."""
    inner = _inner(node, "broadcast_to")
    if _same(node) is not None or inner is None:
        return _same(node)
    return _over(node, "broadcast_to", inner, shape=node.params["shape"])


def reshape(node: Node) -> Made:
    """Drop one that changes nothing; join it with one, and with axes of size 1."""
    inner = _inner(node, "reshape", "expand_dims", "squeeze")
    if _same(node) is not None or inner is None:
        return _same(node)
    return _over(node, "reshape", inner, shape=node.params["shape"])


def transpose(node: Node) -> Made:
    """Drop the identity; join two."""
    axes: tuple[int, ...] = node.params["axes"]
    if axes == tuple(range(len(axes))):
        return node.operands[0]
    inner = _inner(node, "transpose")
    if inner is None:
        return None
    first: tuple[int, ...] = inner.params["axes"]
    return _over(node, "transpose", inner, axes=tuple([first[k] for k in axes]))


def _others(rank: int, axes: tuple[int, ...]) -> list[int]:
    return [k for k in range(rank) if k not in axes]


def _renumbered(axes: set[int], gone: tuple[int, ...]) -> tuple[int, ...]:
    """Return axes as they are numbered after `gone` have gone."""
    return tuple(sorted(k - sum(g < k for g in gone) for k in axes))


def expand_dims(node: Node) -> Made:
    """Undo a squeeze; join two, or one with a reshape."""
    axes: tuple[int, ...] = node.params["axes"]
    if not axes:
        return node.operands[0]
    inner = _inner(node, "expand_dims", "squeeze", "reshape")
    if inner is None:
        return None
    kind = inner.primitive.name
    if kind == "reshape":
        return _over(node, "reshape", inner, shape=node.results[0].type.shape)
    first: tuple[int, ...] = inner.params["axes"]
    if kind == "squeeze":
        return inner.operands[0] if axes == first else None
    kept = _others(node.results[0].type.rank, axes)
    joined = tuple(sorted([*axes, *[kept[k] for k in first]]))
    return _over(node, "expand_dims", inner, axes=joined)


def squeeze(node: Node) -> Made:
    """Undo an expand_dims, in part where it must; join two, or one with a reshape."""
    axes: tuple[int, ...] = node.params["axes"]
    if not axes:
        return node.operands[0]
    inner = _inner(node, "expand_dims", "squeeze", "reshape")
    if inner is None:
        return None
    kind = inner.primitive.name
    if kind == "reshape":
        return _over(node, "reshape", inner, shape=node.results[0].type.shape)
    first: tuple[int, ...] = inner.params["axes"]
    if kind == "squeeze":
        kept = _others(inner.operands[0].type.rank, first)
        joined = tuple(sorted([*first, *[kept[k] for k in axes]]))
        return _over(node, "squeeze", inner, axes=joined)
    gone, new = set(axes), set(first)
    if gone == new:
        return inner.operands[0]
    if gone < new:
        left = _renumbered(new - gone, axes)
        return _over(node, "expand_dims", inner, axes=left)
    if new < gone:
        left = _renumbered(gone - new, first)
        return _over(node, "squeeze", inner, axes=left)
    return None


def _is_whole(node: Node) -> bool:
    """Return whether start and step say: all elements, in order."""
    return all(k == 0 for k in node.params["start"]) and all(
        k == 1 for k in node.params["step"]
    )


def slice_(node: Node) -> Made:
    """Drop a slice of everything."""
    return _same(node) if _is_whole(node) else None


def place(node: Node) -> Made:
    """Drop one that fills its result."""
    return _same(node) if _is_whole(node) else None


def concatenate(node: Node) -> Made:
    """Drop one of a single operand."""
    return node.operands[0] if len(node.operands) == 1 else None
