"""Put launches into an order that holds less memory at once.

Rounds of kernels run whatever is ready, so a chain and the adjoint of another, which do
not wait for each other, go abreast and the buffers of both live. Here one is run to its
end before the next begins: of the launches that are ready, one that frees what it takes
runs first, else one that became ready last. The same from the end backwards gives
another order; who asks takes the best. What a launch computes does not change. What
may fail, prints or loops keeps its order, and an index is checked before it is used.
Cost: O(launches log launches).
"""

from collections.abc import Sequence
from heapq import heappop, heappush

from ..ir.sizes import SizeExpr, evaluate_size, names_in
from .driver import Launch
from .index import Size
from .memory import Arena, Buffer, Placement, plan_arena
from .plan import KernelPlan
from .rows import RowPlan
from .scan import ScanPlan
from .scatter import ScatterPlan
from .whole import ContractPlan, WholePlan

AnyPlan = KernelPlan | WholePlan
Made = tuple[AnyPlan, Launch]
Uses = tuple[list[list[Buffer]], list[list[Buffer]]]

WORTH = 256  # another order takes less by at least this part of the workspace
LONG = 4096  # more launches than that stay in rounds: to compare orders takes a fifth
NAMED = 64  # what a named size counts as where bytes are compared


def _guessed(size: Size) -> int:
    """Return a size, one with names as if each was `NAMED`."""
    if not isinstance(size, SizeExpr):
        return size
    return evaluate_size(size, dict.fromkeys(names_in(size), NAMED))


def _units(made: Sequence[Made]) -> list[list[Made]]:
    """Return the launches, those of one loop together."""
    out: list[list[Made]] = []
    loop = 0
    for item in made:
        if not item[1].loop or item[1].loop != loop:
            out.append([])
        loop = item[1].loop
        out[-1].append(item)
    return out


def _uses(found: Sequence[Sequence[Made]]) -> Uses:
    """Return what each unit writes and what it reads."""
    writes: list[list[Buffer]] = []
    reads: list[list[Buffer]] = []
    for unit in found:
        writes.append([x.buffers[k] for _, x in unit for k in x.writes])
        reads.append(
            [b for _, x in unit for k, b in enumerate(x.buffers) if k not in x.writes]
        )
    return writes, reads


def _is_free(plan: AnyPlan) -> bool:
    """Return whether a launch can neither fail nor be seen."""
    return isinstance(
        plan, KernelPlan | ContractPlan | ScanPlan | ScatterPlan | RowPlan
    )


class _Order:
    """Which unit waits for which, and which buffers each touches."""

    def __init__(self, found: Sequence[Sequence[Made]], used: Uses) -> None:
        writes, reads = used
        self.touched = [
            [b for b in dict.fromkeys((*w, *r)) if b.kind == "work"]
            for w, r in zip(writes, reads, strict=True)
        ]
        self.users: dict[Buffer, list[int]] = {}
        for k, buffers in enumerate(self.touched):
            for b in buffers:
                self.users.setdefault(b, []).append(k)
        self.nbytes = {b: _guessed(b.nbytes) for b in self.users}
        self.before: list[list[int]] = []
        self.after: list[list[int]] = [[] for _ in found]
        self._edges(found, writes, reads)

    def _edges(
        self,
        found: Sequence[Sequence[Made]],
        writes: list[list[Buffer]],
        reads: list[list[Buffer]],
    ) -> None:
        wrote: dict[Buffer, int] = {}
        read: dict[Buffer, list[int]] = {}
        last = -1
        for k, (written, seen) in enumerate(zip(writes, reads, strict=True)):
            before: set[int] = set()
            known = [b for b in seen if b.kind != "scratch"]
            for b in known:
                if b in wrote:
                    before.add(wrote[b])
            for b in written:
                if b in wrote:
                    before.add(wrote[b])
                before.update(read.pop(b, ()))
                wrote[b] = k
            if not written:  # a check: who reads what it has checked waits for it
                wrote.update(dict.fromkeys(known, k))
            for b in known:
                read.setdefault(b, []).append(k)
            if not all(_is_free(plan) for plan, _ in found[k]):
                before.add(last)
                last = k
            before -= {k, -1}
            self.before.append(sorted(before))
            for j in before:
                self.after[j].append(k)

    def run(self, backwards: bool) -> list[int]:
        """Return the numbers of the units in their new order.

        Backwards the last is chosen first: what nobody waits for long comes late.
        """
        after = self.before if backwards else self.after
        waits = [len(x) for x in (self.after if backwards else self.before)]
        sign = -1 if backwards else 1
        nbytes, users = self.nbytes, self.users
        left = {b: len(some) for b, some in users.items()}
        sums = {b: sum(some) for b, some in users.items()}  # of those left
        born: set[Buffer] = set()
        order: list[int] = []
        grows: dict[int, int] = {}  # by unit that is ready: the bytes it adds
        since: dict[int, int] = {}
        heap: list[tuple[bool, int, int, int]] = []

        def push(k: int) -> None:
            heappush(heap, (grows[k] > 0, since[k], grows[k], sign * k))

        def ready(k: int) -> None:
            grows[k] = sum(
                nbytes[b] * ((b not in born) - (left[b] == 1)) for b in self.touched[k]
            )
            since[k] = -len(order)
            push(k)

        def fewer(k: int, by: int) -> None:
            if k in grows:
                grows[k] -= by
                push(k)

        for k in range(len(waits)):
            if not waits[k]:
                ready(k)
        while heap:
            k = sign * heappop(heap)[3]
            if k not in grows:
                continue
            del grows[k]
            order.append(k)
            for b in self.touched[k]:
                if b not in born:
                    born.add(b)
                    for j in users[b]:
                        fewer(j, nbytes[b])
                left[b] -= 1
                sums[b] -= k
                if left[b] == 1:
                    fewer(sums[b], nbytes[b])
            for j in after[k]:
                waits[j] -= 1
                if not waits[j]:
                    ready(j)
        return order[::-1] if backwards else order


def _best(found: list[list[Made]], lend: bool) -> tuple[list[int], Placement, int]:
    """Return the order of units that takes least, its places and guessed bytes."""
    used = _uses(found)
    order, best = list(range(len(found))), plan_arena(*used, lend)
    plain = _guessed(best.arena.nbytes())
    if not best.place or len(found) > LONG:
        return order, best, plain
    least, most = plain, plain - plain // WORTH
    writes, reads = used
    ways = _Order(found, used)
    for backwards in (False, True):
        tried = ways.run(backwards)
        other = plan_arena([writes[k] for k in tried], [reads[k] for k in tried], lend)
        nbytes = _guessed(other.arena.nbytes())
        if nbytes < least and nbytes <= most:
            order, best, least = tried, other, nbytes
    return order, best, least


def best_order(made: Sequence[Made]) -> tuple[list[int], int]:
    """Return the order of units that takes least memory, and its guessed bytes."""
    order, _, nbytes = _best(_units(made), lend=False)
    return order, nbytes


def placed(made: list[Made], moves: bool, lend: bool) -> tuple[list[Made], Arena]:
    """Return the launches in the order that takes less memory, and their workspace.

    Without `moves` they stay as they are; with `lend` results are workspace until they
    are written.
    """
    found = _units(made)
    if not moves:
        return made, plan_arena(*_uses(found), lend).settle()
    order, best, _ = _best(found, lend)
    return [item for k in order for item in found[k]], best.settle()
