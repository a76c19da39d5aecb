"""Tell people which kernels a program has, and which user's lines they are for."""

from ..codegen.control import ControlPlan
from ..codegen.lower import AnyPlan, Lowered
from ..codegen.plan_text import plan_text
from ..codegen.revolve import RevolvePlan
from ..ir.report import Kernel


def kernels_of(lowered: Lowered) -> tuple[Kernel, ...]:
    """Return the kernels in the order of their first launch, those of loops within."""
    counts: dict[int, int] = {}
    lines: dict[int, dict[str, None]] = {}
    slices: dict[int, str] = {}
    texts: dict[tuple[int, int], str] = {}  # by code and instruction: slow to tell
    for launch in lowered.launches:
        counts[launch.kernel] = counts.get(launch.kernel, 0) + 1
        if launch.loop:
            slices[launch.kernel] = f", in {launch.turns} slices"
        own = lines.setdefault(launch.kernel, {})
        for loc in launch.locs:
            key = id(loc.code), loc.lasti
            if key not in texts:
                texts[key] = str(loc)
            own[texts[key]] = None
    return tuple(
        [
            Kernel(
                plan_text(lowered.plans[k]) + slices.get(k, ""),
                count,
                tuple(lines[k]),
                _inner(lowered, lowered.plans[k]),
                lowered.splits.get(k, ""),
            )
            for k, count in counts.items()
        ]
    )


def passed_bytes(lowered: Lowered) -> int | None:
    """Return the bytes of all arrays that kernels read or write, each for each kernel.

    What several kernels of a loop over slices touch is in the cache, and counts once.
    None where sizes are named, or steps of loops have kernels of their own.
    """
    if lowered.regions:
        return None
    total = 0
    seen: set[tuple[int, int]] = set()
    for number, launch in enumerate(lowered.launches):
        place = launch.loop or -1 - number
        for buffer in launch.buffers:
            key = place, id(buffer)
            if buffer.kind in ("scratch", "cell") or key in seen:
                continue
            seen.add(key)
            size = buffer.nbytes
            if not isinstance(size, int):
                return None
            total += size
    return total


def _inner(lowered: Lowered, plan: AnyPlan) -> tuple[Kernel, ...]:
    if not isinstance(plan, ControlPlan | RevolvePlan):
        return ()
    symbols = dict.fromkeys(call.symbol.removeprefix("pb_") for call in plan.regions)
    return tuple([k for name in symbols for k in kernels_of(lowered.regions[name])])


def largest_piece(lowered: Lowered) -> int | None:
    """Return the bytes of the largest piece of a workspace; None where not known."""
    known = [x for x in lowered.arena.piece if isinstance(x, int)]
    if len(known) < len(lowered.arena.piece) or lowered.regions or lowered.cells:
        return None
    return max(known, default=0)
