"""Run kernels over the same outer axis slice by slice, in the cache.

A batch of matrices that is made, multiplied and folded goes through memory at every
kernel. Kernels that all treat each outer index alone run instead for one index after
the other, in a loop of the entry: a buffer that only they use is one slice. A sliced
kernel computes the elements and the folds it would compute anyhow, so no bit changes.
Sizes must be known. Cost: O(launches).
"""

from collections.abc import Sequence

from ..ir.types import TensorType
from .again import make_again
from .memory import Buffer
from .sliced import Made, Run, Sliced, reads_of, shortened, sliced

LEAST_SAVED = 64 * 1024  # bytes that are read again while they are in the cache
LEAST_A_TURN = 16 * 1024  # the same of one slice
LARGEST = 1024 * 1024  # bytes of a slice
MOST_SLICES = 4096
AHEAD = 24  # launches looked at for one that may join


def in_slices(made: Sequence[Made]) -> list[Made]:
    """Return the launches, those that gain by it in loops over slices."""
    forms = [sliced(plan) for plan, _ in made]
    places: list[int | Run] = []
    waiting = list(range(len(made)))
    while waiting:
        first, rest = waiting[0], waiting[1:]
        run = _collect(made, forms, first, rest[:AHEAD])
        if run is None:
            places.append(first)
            waiting = rest
            continue
        places += [*run.before, run]
        left = set(run.after)
        waiting = [k for k in rest[:AHEAD] if k in left] + rest[AHEAD:]
    places = make_again(made, forms, places)
    readers = _readers(made, places)
    out: list[Made] = []
    runs = 0
    for place in places:
        if isinstance(place, Run):
            runs += 1
            out += _loop(place, _shared(place, readers), runs)
        else:
            out.append(made[place])
    return out


def _readers(made: Sequence[Made], places: Sequence[int | Run]) -> dict[Buffer, int]:
    """Return how many launches use each buffer."""
    readers: dict[Buffer, int] = {}
    for place in places:
        run = place.items if isinstance(place, Run) else []
        alone = [] if isinstance(place, Run) else [made[place][1]]
        for launch in (*alone, *[x for _, x in run]):
            for buffer in dict.fromkeys(launch.buffers):
                readers[buffer] = readers.get(buffer, 0) + 1
    return readers


def _collect(
    made: Sequence[Made], forms: Sequence[list[Sliced]], first: int, ahead: list[int]
) -> Run | None:
    """Return the best loop that begins with a launch, if one saves enough."""
    best: Run | None = None
    most = 0
    for start in forms[first]:
        if start.extent > MOST_SLICES:
            continue
        run = Run(start.extent)
        run.takes(start, made[first][1])
        for k in ahead:
            if not run.takes_one(forms[k], made[k][1]):
                run.skip(k, *made[k])
        if start is not forms[first][0] and not run.multiplies:
            continue  # slices that lie scattered in memory are for products
        saved = _saved(run)
        if saved >= max(LEAST_SAVED, LEAST_A_TURN * run.extent) and saved > most:
            best, most = run, saved
    return best


def _bytes(buffer: Buffer, elements: int) -> int:
    return elements * buffer.type.dtype.bits // 8


def _shared(run: Run, readers: dict[Buffer, int]) -> dict[Buffer, int]:
    """Return the buffers that no launch outside the loop uses, and a slice's elements.

    They are pieces of the workspace.
    """
    inside: dict[Buffer, int] = {}
    for _, launch in run.items:
        for buffer in dict.fromkeys(launch.buffers):
            inside[buffer] = inside.get(buffer, 0) + 1
    return {
        launch.buffers[k]: found.elements(launch.buffers[k], k)
        for found, launch in run.items
        for k in launch.writes
        if launch.buffers[k].kind == "work"
        and inside[launch.buffers[k]] == readers[launch.buffers[k]]
    }


def _saved(run: Run) -> int:
    """Return how many bytes are read again while they are in the cache."""
    total = 0
    for found, launch in run.items:
        for k in reads_of(launch):
            buffer = launch.buffers[k]
            if buffer in run.written:
                nbytes = _bytes(buffer, found.elements(buffer, k))
                total += nbytes * run.extent if nbytes <= LARGEST else 0
    return total


def _loop(run: Run, shared: dict[Buffer, int], number: int) -> list[Made]:
    """Return the launches of a loop; what they alone use is one slice long."""
    short = {
        buffer: Buffer("work", TensorType(buffer.type.dtype, (count,)))
        for buffer, count in shared.items()
    }
    out: list[Made] = []
    for found, launch in run.items:
        slots = [k for k, buffer in enumerate(launch.buffers) if buffer in short]
        advance = [0 if k in slots else by for k, by in enumerate(found.advance)]
        buffers = tuple([short.get(buffer, buffer) for buffer in launch.buffers])
        moved = launch._replace(
            buffers=buffers, advance=tuple(advance), turns=run.extent, loop=number
        )
        out.append((shortened(found, slots), moved))
    return out
