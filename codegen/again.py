"""Make what several loops over slices read again in each of them, slice by slice.

A value between two loops lies in memory as a whole, and goes there and back. Where it
is cheaply made of what is small, as a difference of what is broadcast, each loop makes
the slice it is at; so is a product over few elements that is too large for any cache.
The kernel is the same one, and so are the bits. Cost: O(launches).
"""

from collections.abc import Sequence

from ..ir.types import TensorType
from .cost import plan_cost
from .driver import Launch
from .memory import Buffer
from .plan import KernelPlan
from .sliced import Made, Run, Sliced, reads_of, stays_inside
from .whole import ContractPlan

LEAST_MADE = 64 * 1024  # bytes of a map that is made again: less stays in the cache
CHEAP = 8  # its instructions an element
LEAST_PRODUCT = 64 * 1024  # bytes of a product that is made again
SHORT = 32  # its multiplications an element

Place = int | Run
Item = tuple[Place, list[Sliced], Launch]  # the ways a launch can be sliced


def make_again(
    made: Sequence[Made], forms: Sequence[list[Sliced]], places: Sequence[Place]
) -> list[Place]:
    """Return the launches and loops, cheap values made again where they are read.

    Loops take launches in, and what nobody reads then is left out.
    """
    runs = [place for place in places if isinstance(place, Run)]
    if not runs:
        return list(places)
    again = _Again(made, forms, places)
    again.choose()
    if not again.makers:
        return list(places)
    for run in runs:
        again.take_in(run)
    return again.without_unread()


class _Again:
    """The values that are made again, by buffer."""

    def __init__(
        self,
        made: Sequence[Made],
        forms: Sequence[list[Sliced]],
        places: Sequence[Place],
    ) -> None:
        self.places = places
        self.made = made
        self.items: list[Item] = []
        for place in places:
            if isinstance(place, Run):
                self.items += [(place, [x], launch) for x, launch in place.items]
            else:
                self.items.append((place, forms[place], made[place][1]))
        self.makers: dict[Buffer, tuple[Sliced, Launch]] = {}

    def choose(self) -> None:
        """Find the values that every reader can make: all of them are in loops."""
        readers: dict[Buffer, list[Item]] = {}
        for item in self.items:
            for k in reads_of(item[2]):
                readers.setdefault(item[2].buffers[k], []).append(item)
        for place, forms, launch in self.items:
            if len(launch.writes) != 1:
                continue
            (slot,) = launch.writes
            buffer = launch.buffers[slot]
            others = [x for x in readers.get(buffer, ()) if x[0] is not place]
            if not others or buffer.kind != "work":
                continue
            for form in forms:
                if all(_reads_slice(x, buffer, form, slot) for x in others):
                    if self._pays(form, launch, slot):
                        self.makers[buffer] = (form, launch)
                    break

    def _pays(self, form: Sliced, launch: Launch, slot: int) -> bool:
        """Return whether making a slice costs less than its way through memory."""

        def moved(k: int) -> int:
            buffer = launch.buffers[k]
            kept = buffer in self.makers
            elements = 0 if kept else form.elements(buffer, k)
            return elements * buffer.type.dtype.bits // 8

        plan = form.plan
        if isinstance(plan, ContractPlan):
            extent = plan.k.extent
            cheap = isinstance(extent, int) and extent <= SHORT
            least = LEAST_PRODUCT
        else:
            assert isinstance(plan, KernelPlan)
            stores = all(out.monoid is None for out in plan.outputs)
            cheap = stores and plan_cost(plan) <= CHEAP
            least = LEAST_MADE
        size = moved(slot)
        read = sum(moved(k) for k in reads_of(launch))
        return cheap and size * form.extent >= least and read < size

    def take_in(self, run: Run) -> None:
        """Let a loop make what it reads and does not make itself."""
        own: dict[Buffer, Buffer] = {}
        items: list[tuple[Sliced, Launch]] = []

        def missing(launch: Launch) -> list[Buffer]:
            read = [launch.buffers[k] for k in reads_of(launch)]
            return [
                x
                for x in read
                if x in self.makers and x not in own and x not in run.written
            ]

        for item in run.items:
            stack = missing(item[1])
            while stack:
                buffer = stack[-1]
                form, launch = self.makers[buffer]
                first = [] if buffer in own else missing(launch)
                if first:
                    stack += first
                    continue
                stack.pop()
                if buffer in own:
                    continue
                (slot,) = launch.writes
                kind = TensorType(buffer.type.dtype, buffer.type.shape)
                own[buffer] = Buffer("work", kind)
                run.written[own[buffer]] = form.advance[slot]
                items.append((form, _renamed(launch, own)))
            items.append((item[0], _renamed(item[1], own)))
        run.items = items

    def without_unread(self) -> list[Place]:
        """Return the places without launches that only made what others make now."""
        read: set[Buffer] = set()

        def stays(launch: Launch) -> bool:
            written = [launch.buffers[k] for k in launch.writes]
            if written and all(x in self.makers and x not in read for x in written):
                return False
            read.update(launch.buffers[k] for k in reads_of(launch))
            return True

        out: list[Place] = []
        for place in reversed(self.places):
            if isinstance(place, Run):
                place.items = [x for x in reversed(place.items) if stays(x[1])][::-1]
            elif not stays(self.made[place][1]):
                continue
            out.append(place)
        return out[::-1]


def _reads_slice(item: Item, buffer: Buffer, maker: Sliced, slot: int) -> bool:
    """Return whether a launch reads of a buffer the slice it is at and nothing else."""
    place, forms, launch = item
    if not isinstance(place, Run):
        return False
    (form,) = forms
    if form.extent != maker.extent:
        return False
    return all(
        form.advance[k] == maker.advance[slot] and stays_inside(form, launch, k)
        for k in reads_of(launch)
        if launch.buffers[k] is buffer
    )


def _renamed(launch: Launch, own: dict[Buffer, Buffer]) -> Launch:
    return launch._replace(buffers=tuple([own.get(x, x) for x in launch.buffers]))
