"""Merge loop axes of a kernel plan that run through memory as one.

An element of a matrix and one of the vector of its elements are at the same place, so
an elementwise kernel over [n,3] loops over 3n elements. Axes of size 1 disappear.
"""

from ..ir.types import Shape
from .index import Atom, Index, Opaque, Size, Split
from .plan import Divides, Inside, KernelPlan, Load, Position, Step


def _indices(step: Step) -> list[Index]:
    if isinstance(step, Load):
        return [step.offset]
    if isinstance(step, Inside):
        return [i for i, _ in step.conditions]
    if isinstance(step, Divides | Position):
        return [step.at]
    return []


def _blocks(step: Step, a: int, extent: Size) -> bool:
    """Return whether a step keeps axes a and a + 1 apart."""
    if isinstance(step, Inside | Divides | Position):
        return any({a, a + 1} & i.axes for i in _indices(step))
    for index in _indices(step):
        if any({a, a + 1} & atom.axes for atom, _ in index.atoms):
            return True
        if index.coefficient(a) != index.coefficient(a + 1) * extent:
            return True
    return False


def _apart(plan: KernelPlan, a: int, extent: Size) -> bool:
    """Return whether a result keeps axes a and a + 1 apart."""
    for out in plan.outputs:
        if out.strides is not None:
            held = dict(zip(plan.axes_of(out), out.strides, strict=True))
            if a in held and held[a] != held[a + 1] * extent:
                return True
    return False


def _map_axes(axes: frozenset[int], where: dict[int, int]) -> frozenset[int]:
    return frozenset(where[a] for a in axes if a in where)


def _map_atom(atom: Atom, where: dict[int, int]) -> Atom:
    if isinstance(atom, Opaque):
        return Opaque(atom.key, _map_axes(atom.axes, where))
    return Split(_map_index(atom.linear, where), atom.shape, atom.k)


def _map_index(index: Index, where: dict[int, int]) -> Index:
    terms: dict[int, Size] = {}
    for a, c in index.terms:
        if a in where:
            # of merged axes the last one carries the merged variable's factor
            terms[where[a]] = c
    return Index(
        tuple(sorted(terms.items())),
        tuple((_map_atom(atom, where), c) for atom, c in index.atoms),
        index.constant,
    )


def _map_step(step: Step, where: dict[int, int]) -> Step:
    if isinstance(step, Load):
        return step._replace(offset=_map_index(step.offset, where))
    if isinstance(step, Inside):
        return step._replace(
            conditions=tuple((_map_index(i, where), e) for i, e in step.conditions)
        )
    if isinstance(step, Divides | Position):
        return step._replace(at=_map_index(step.at, where))
    return step


def _rewrite(plan: KernelPlan, groups: list[list[int]], space: Shape) -> KernelPlan:
    where = {a: k for k, group in enumerate(groups) for a in group}
    outputs = []
    for out in plan.outputs:
        if out.strides is not None:
            held = dict(zip(plan.axes_of(out), out.strides, strict=True))
            strides = [held[group[-1]] for group in groups if group[-1] in held]
            out = out._replace(strides=tuple(strides))
        outputs.append(out)
    return plan._replace(
        space=space,
        reduced=tuple(k for k, group in enumerate(groups) if group[0] in plan.reduced),
        steps=tuple(_map_step(s, where) for s in plan.steps),
        axes=tuple(_map_axes(a, where) for a in plan.axes),
        outputs=tuple(outputs),
    )


def collapse(plan: KernelPlan) -> KernelPlan:
    """Return the plan over fewer, longer axes."""
    rank = len(plan.space)
    kept = [k for k in range(rank) if plan.space[k] != 1]
    if plan.reduced and not set(kept) & set(plan.reduced):
        kept = sorted([*kept, plan.reduced[0]])
    if len(kept) < rank:
        plan = _rewrite(plan, [[k] for k in kept], tuple(plan.space[k] for k in kept))
    groups: list[list[int]] = []
    space: list[Size] = []
    for a, extent in enumerate(plan.space):
        if groups:
            before = groups[-1][-1]
            alike = (before in plan.reduced) == (a in plan.reduced)
            apart = not alike or _apart(plan, before, extent)
            if not apart and not any(_blocks(s, before, extent) for s in plan.steps):
                groups[-1].append(a)
                space[-1] = space[-1] * extent
                continue
        groups.append([a])
        space.append(extent)
    if len(groups) == len(plan.space):
        return plan
    return _rewrite(plan, groups, tuple(space))
