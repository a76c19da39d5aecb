"""Put nodes after what they read: values, and sizes that loops bind when they run."""

from collections.abc import Mapping, Sequence

from ..graph import Node, Value
from ..subgraph import late_size, mentioned_sizes

NOTHING: Mapping[Value, Value] = {}


def ordered(nodes: Sequence[Node], same: Mapping[Value, Value] = NOTHING) -> list[Node]:
    """Return nodes so that each comes after what it reads, else in their order.

    Args:
        nodes: all that define what they read, but for inputs.
        same: what is read in place of which value.

    Cost: O(nodes + edges).
    """
    binders: dict[str, Node] = {}
    for node in nodes:
        name = late_size(node) if node.params else None
        if name is not None:
            binders.setdefault(name, node)
    own = set(nodes)
    done: set[Node] = set()
    out: list[Node] = []
    for root in nodes:
        stack = [root]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            makers = [same.get(x, x).node for x in node.operands]
            if binders and node.params:
                names = sorted(mentioned_sizes(node) & binders.keys())
                own_size = late_size(node)
                makers += [binders[name] for name in names if name != own_size]
            wanted = [n for n in makers if n in own and n not in done]
            if wanted:
                stack += wanted
                continue
            stack.pop()
            done.add(node)
            out.append(node)
    return out
