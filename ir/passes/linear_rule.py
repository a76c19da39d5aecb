"""Decide a problem of residuals in one sweep, not always in the cheapest way.

What a value costs is estimated in order of definition: the cheaper of keeping it and of
computing it again, where what it needs counts by its own cost over the number of values
that need it. Then, in order of definition again, every value that is read, and what it
turns out to need, takes the cheaper way. On trees the answer is the best.
"""

from .partition_problem import NEVER, Problem


def linear_rule(problem: Problem) -> tuple[int, list[int], list[int]]:
    """Return the cost, the values kept and those computed again.

    Cost: O(values + needs).
    """
    keep, price, needs = problem.keep, problem.price, problem.needs
    users = [0] * len(keep)
    for row in needs:
        for u in row:
            users[u] += 1
    cost = [0.0] * len(keep)
    worth = [False] * len(keep)  # computing again
    for k, row in enumerate(needs):
        cost[k] = keep[k]
        if price[k] != NEVER:
            again = price[k] + sum([cost[u] / users[u] for u in row])
            if again < keep[k]:
                cost[k] = again
                worth[k] = True
    there = [False] * len(keep)
    total = 0
    kept: list[int] = []
    again_: list[int] = []
    for k, read in enumerate(problem.read):
        stack = [k] if read else []
        while stack:
            at = stack.pop()
            if there[at]:
                continue
            there[at] = True
            if worth[at]:
                total += price[at]
                again_.append(at)
                stack += needs[at]
            else:
                total += keep[at]
                kept.append(at)
    return total, kept, again_
