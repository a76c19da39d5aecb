"""Choose which values are kept: contract the problem, then cut what is left.

Contracting is exact and linear. It decides what the neighbours of a value show: one
that is read and never computed again is kept; one read through something that is no
cheaper to keep is read itself; one that costs less to keep than what it needs is kept;
one that a single other needs, and that is no smaller, is never kept; a tree of values
that nothing else needs has one cheapest cut. The rest falls into pieces, see
`partition_pieces`.
"""

from .partition_pieces import decide
from .partition_problem import NEVER, Problem

_ROUNDS = 4  # of contraction; each opens what the next can see
_WIDEST = 64  # values that one value may need once others are merged into it


class Contraction:
    """A problem that shrinks as values are decided.

    Invariants between rounds: `active` are the undecided values in order of
    definition; a decided value is `there`, or nobody needs it. `parts[k]` are values
    that k alone needs and that hang on nothing undecided: `price[k]` has their costs.
    """

    def __init__(self, problem: Problem) -> None:
        count = len(problem.keep)
        self.keep = problem.keep
        self.price = list(problem.price)
        self.needs = [list(needs) for needs in problem.needs]
        self.read = list(problem.read)
        self.active = list(range(count))
        self.there = bytearray(count)
        self.users = [0] * count
        self.last_user = [0] * count
        self.cost = [0] * count  # of having the value, once that is known
        self.parts: list[list[int]] = [[] for _ in range(count)]
        self.kept: list[int] = []

    def take(self, k: int) -> None:
        """Have a value be there the cheaper way; nothing undecided hangs on it."""
        stack = [k]
        while stack:
            k = stack.pop()
            if not self.there[k]:
                self.there[k] = 1
                if self.price[k] == NEVER:
                    self.kept.append(k)
                else:
                    stack += self.parts[k]

    def shrink(self) -> None:
        """Decide what can be decided without a cut."""
        for _ in range(_ROUNDS):
            before = len(self.active)
            self._pass_reads_up()
            self._fold()
            self._merge()
            if not self.active or len(self.active) == before:
                break
        self._pass_reads_up()

    def _pass_reads_up(self) -> None:
        """Read what is read through values not worth keeping; count users."""
        keep, price, read, needs = self.keep, self.price, self.read, self.needs
        users, last_user, there = self.users, self.last_user, self.there
        for k in self.active:
            users[k] = 0
        left: list[int] = []
        for k in reversed(self.active):
            if not read[k] and not users[k]:
                continue  # nobody needs it any more
            left.append(k)
            if price[k] == NEVER:
                needs[k] = []
                continue
            needs[k] = [u for u in needs[k] if not there[u]]
            for u in needs[k]:
                users[u] += 1
                last_user[u] = k
            if read[k] and price[k] + sum([keep[u] for u in needs[k]]) <= keep[k]:
                for u in needs[k]:
                    read[u] = True
        left.reverse()
        self.active = left

    def _fold(self) -> None:
        """Decide trees, from the leaves on."""
        keep, price, read, needs = self.keep, self.price, self.read, self.needs
        users, cost, there, parts = self.users, self.cost, self.there, self.parts
        folded: set[int] = set()
        for k in self.active:
            if not read[k] and not users[k]:
                continue
            again, least = price[k], 0  # least: what else it takes
            if again != NEVER and needs[k]:
                shared: list[int] = []
                for u in needs[k]:
                    if there[u]:
                        continue
                    if users[u] > 1 or read[u]:
                        shared.append(u)
                    elif cost[u]:
                        again += cost[u]
                        parts[k].append(u)
                        folded.add(u)
                    else:
                        shared.append(u)
                        least += min(keep[u], price[u])
                needs[k] = shared
                price[k] = again
            if again == NEVER or again + least >= keep[k]:
                self._never(k)
                cost[k] = keep[k]
                if read[k]:
                    self.take(k)
            elif not needs[k]:
                cost[k] = again
                if read[k] or not again:
                    self.take(k)
        self.active = [
            k
            for k in self.active
            if (read[k] or users[k]) and not there[k] and k not in folded
        ]

    def _never(self, k: int) -> None:
        """Rule out that a value is computed again; what only it needed is dropped."""
        self.price[k] = NEVER
        stack = self.needs[k]
        self.needs[k] = []
        while stack:
            u = stack.pop()
            self.users[u] -= 1
            if not self.users[u] and not self.read[u]:
                stack += self.needs[u]
                self.needs[u] = []

    def _merge(self) -> None:
        """Make one of a value and its only user if the user is no dearer to keep."""
        keep, price, needs = self.keep, self.price, self.needs
        left: list[int] = []
        for k in reversed(self.active):
            user = self.last_user[k]
            if (
                self.read[k]
                or self.users[k] != 1
                or price[k] == NEVER
                or price[user] == NEVER
                or keep[k] < keep[user]
                or len(needs[k]) + len(needs[user]) > _WIDEST
                or k not in needs[user]
            ):
                left.append(k)
                continue
            price[user] += price[k]
            self.parts[user] += self.parts[k]
            rest = [u for u in needs[user] if u != k]
            needs[user] = list(dict.fromkeys(rest + needs[k]))
            for u in needs[k]:
                self.last_user[u] = user
            needs[k] = []
        left.reverse()
        self.active = left


def choose(problem: Problem) -> list[int]:
    """Return which values are kept.

    Cost: O(values + needs), and the cuts, see `partition_pieces`.
    """
    state = Contraction(problem)
    state.shrink()
    if state.active:
        rest = Problem(state.keep, state.price, state.needs, state.read)
        kept, again = decide(rest, state.active)
        state.kept += kept
        for k in again:
            for part in state.parts[k]:
                state.take(part)
    return state.kept
