"""The adjoint of a scan from few of its carries, by binomial checkpoints.

States, the carries before a step, are held in up to `checkpoints` places; the first has
the initial ones. To go back over a step its state is needed: it is held, or the steps
from the last one held are run again, and on the way states are left where later steps
back need them. Where, is what makes the number of steps run least.

Source: A. Griewank and A. Walther, Algorithm 799: revolve, ACM Transactions on
Mathematical Software 26, 2000. With s places and every step run at most r times more,
C(s + r, s) steps can be gone back over.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.graph import Node
from ..ir.ops.control import AUTO, revolve_groups
from ..ir.sizes import SizeExpr, smax
from ..ir.types import TensorType
from .cancel import cancel_flag, leave_if_cancelled
from .control import Region, RegionCall, RegionEmitter, nbytes_of
from .frame import OK, Frame
from .index import Size
from .llvm import I64, PTR, Module, Reg, const
from .memory import rounded

AGAIN = 2  # times a step is run more, where the number of places is ours to choose
UNKNOWN = 64  # places, where it is and the number of steps has a name
ZERO, ONE = const(I64, 0), const(I64, 1)


class RevolvePlan(NamedTuple):
    """An adjoint scan with checkpoints.

    Slots: carries, cotangents and sums, sequences, cotangents of stacks, invariants;
    cotangents and sums, cotangents of elements; working memory. `work` is its bytes: a
    second place for each cotangent and sum, states, two of these for steps between,
    their step numbers, then what the regions need.
    """

    forward: RegionCall
    back: RegionCall
    carries: tuple[TensorType, ...]
    moving: tuple[TensorType, ...]  # cotangents of carries, sums
    xs: tuple[TensorType, ...]  # one element of each
    ys: tuple[TensorType, ...]
    fixed: int
    gives: tuple[TensorType, ...]
    length: Size
    reverse: bool
    places: int
    work: Size

    @property
    def regions(self) -> tuple[RegionCall, ...]:
        """The step and its adjoint."""
        return (self.forward, self.back)


def places_for(checkpoints: int, length: Size) -> int:
    """Return how many states are held."""
    if checkpoints != AUTO:
        return checkpoints
    if isinstance(length, SizeExpr):
        return UNKNOWN
    places = 1
    while (places + 1) * (places + AGAIN) < AGAIN * length:
        places += 1
    return places


def state_bytes(carries: Sequence[TensorType]) -> Size:
    """Return the bytes of one state."""
    total: Size = 0
    for kind in carries:
        total = total + rounded(nbytes_of(kind))
    return total


def plan_revolve(node: Node, regions: Sequence[Region]) -> RevolvePlan:
    """Return the plan of a revolve; its regions are the step and its adjoint."""
    params = node.params
    counts = [params[k] for k in ("carries", "floats", "sums", "xs", "ys")]
    groups = revolve_groups([x.type for x in node.operands], *counts)
    carries, cts, sums, through, stacks, fixed = groups
    moving = (*cts, *sums)
    places = places_for(params["checkpoints"], params["length"])
    forward, back = regions
    work: Size = smax(forward.workspace, back.workspace) + rounded(8 * places)
    for kind in moving:
        work = work + rounded(nbytes_of(kind))
    work = work + state_bytes(carries) * (places + 2)
    return RevolvePlan(
        forward.call,
        back.call,
        tuple(carries),
        moving,
        tuple([x.with_shape(x.shape[1:]) for x in through]),
        tuple([x.with_shape(x.shape[1:]) for x in stacks]),
        len(fixed),
        tuple(
            [x.type.with_shape(x.type.shape[1:]) for x in node.results[len(moving) :]]
        ),
        params["length"],
        params["reverse"],
        places,
        work,
    )


class _Emitter(RegionEmitter):
    """The kernel of a revolve being written."""

    plan: RevolvePlan

    def __init__(
        self, module: Module, name: str, plan: RevolvePlan, names: Sequence[str]
    ) -> None:
        self.plan, self.module, self.names = plan, module, list(names)
        groups = [plan.carries, plan.moving, plan.xs, plan.ys]
        operands = sum(map(len, groups)) + plan.fixed
        results = len(plan.moving) + len(plan.gives)
        self.frame = Frame(module, name, names, operands + results + 1)
        self.fn = self.frame.fn
        given = self.frame.slots[:operands]
        self.results = self.frame.slots[operands : operands + results]
        self.given: list[list[Reg]] = []
        for group in groups:
            self.given.append(given[: len(group)])
            given = given[len(group) :]
        self.given.append(given)
        self.work = self._aligned(self.frame.slots[-1])
        self.sizes = [self._sizes(region) for region in plan.regions]

    def _take(self, nbytes: Size) -> Reg:
        """Return the next piece of the working memory."""
        at = self.work
        self.work = self.fn.gep(at, self.frame.size(nbytes))
        return at

    def _var(self) -> Reg:
        return self.fn.alloca(I64, 1, 8)

    def _state(self, base: Reg, lists: Sequence[Reg]) -> None:
        """Have a list of pointers show the carries of a state."""
        fn = self.fn
        for k, place in enumerate(lists):
            fn.store(fn.gep(base, self.offsets[k]), place)

    def _elements(self, step: Reg, kinds: Sequence[TensorType], bases: Sequence[Reg],
                  places: Sequence[Reg]) -> None:  # fmt: skip
        """Have a list of pointers show the elements of a step."""
        fn = self.fn
        at = fn.sub(self.last, step) if self.plan.reverse else step
        for kind, base, place in zip(kinds, bases, places, strict=False):
            stride = self.frame.size(nbytes_of(kind))
            fn.store(fn.gep(base, fn.mul(at, stride)), place)

    def run(self) -> None:
        """Write the kernel."""
        fn, plan, frame = self.fn, self.plan, self.frame
        carries, moving, through, stacks, fixed = self.given
        length = frame.size(plan.length)
        self.last = fn.sub(length, ONE)
        none, some = fn.new_label("none"), fn.new_label("some")
        fn.cond_br(fn.icmp("slt", self.last, ZERO), none, some)
        fn.start(none)
        for result, value, kind in zip(self.results, moving, plan.moving, strict=False):
            self._copy(result, value, kind)
        fn.ret(OK)
        fn.start(some)
        flag = cancel_flag(fn, frame.ctx)
        others = [self._take(rounded(nbytes_of(kind))) for kind in plan.moving]
        self.offsets: list[Reg] = []
        at: Size = 0
        for kind in plan.carries:
            self.offsets.append(frame.size(at))
            at = at + rounded(nbytes_of(kind))
        self.state_size = frame.size(at)
        self.states = self._take(at * plan.places)
        self.between = self._take(at * 2)
        self.steps = self._take(rounded(8 * plan.places))
        c, m, x, y = (len(g) for g in (plan.carries, plan.moving, plan.xs, plan.ys))
        self.ahead = self._list(c + x + plan.fixed)
        self.made = self._list(c)
        inputs = self._list(m + c + x + y + plan.fixed)
        outputs = self._list(m + len(plan.gives))
        for k, value in enumerate(fixed):
            fn.store(value, self.ahead[c + x + k])
            fn.store(value, inputs[m + c + x + y + k])
        for k, value in enumerate(moving):
            fn.store(value, inputs[k])
        for k, kind in enumerate(plan.carries):
            self._copy(fn.gep(self.states, self.offsets[k]), carries[k], kind)
        fn.store(ZERO, self.steps)
        self.top = self._var()  # number of the last state held
        fn.store(ZERO, self.top)
        self.here = fn.alloca(PTR, 1, 8)  # the state of the step gone back over

        def step(k: Reg) -> None:
            leave_if_cancelled(fn, flag)
            number = fn.sub(self.last, k)
            self._reach(number, flag)
            self._state(fn.load(self.here, PTR), inputs[m : m + c])
            self._elements(number, plan.xs, through, inputs[m + c :])
            self._elements(number, plan.ys, stacks, inputs[m + c + x :])
            # the last step writes the result: whoever is an even way before it does
            odd = fn.icmp("ne", fn.and_(number, ONE), ZERO)
            for result, other, place in zip(
                self.results, others, outputs, strict=False
            ):
                fn.store(fn.select(odd, other, result), place)
            self._elements(number, plan.gives, self.results[m:], outputs[m:])
            self._call(1, inputs[0], outputs[0])
            for n in range(m):
                fn.store(fn.load(outputs[n], PTR), inputs[n])
            self._drop(number)

        frame.loop(length, step)
        fn.ret(OK)

    def _held(self, number: Reg) -> Reg:
        """Return the step of a state that is held."""
        return self.fn.load(self.fn.gep(self.steps, number, I64), I64)

    def _place(self, number: Reg) -> Reg:
        """Return where a state is held."""
        return self.fn.gep(self.states, self.fn.mul(number, self.state_size))

    def _drop(self, number: Reg) -> None:
        """Free the last state if its step was gone back over; the first one stays."""
        fn = self.fn
        top = fn.load(self.top, I64)
        over = fn.and_(fn.icmp("eq", self._held(top), number), fn.icmp("ne", top, ZERO))
        fn.store(fn.select(over, fn.sub(top, ONE), top), self.top)

    def _reach(self, number: Reg, flag: Reg) -> None:
        """Have `here` be the state of a step, leaving states on the way."""
        fn = self.fn
        head, on, done = (fn.new_label(n) for n in ("reach", "onward", "reached"))
        fn.br(head)
        fn.start(head)
        top = fn.load(self.top, I64)
        first = self._held(top)
        fn.store(self._place(top), self.here)
        fn.cond_br(fn.icmp("slt", first, number), on, done)
        fn.start(on)
        free = fn.sub(const(I64, self.plan.places - 1), top)
        hold, pass_ = fn.new_label("hold"), fn.new_label("pass")
        fn.cond_br(fn.icmp("sgt", free, ZERO), hold, pass_)
        fn.start(hold)
        left = fn.add(fn.sub(number, first), ONE)
        to = fn.add(first, self._split(left, fn.add(free, ONE)))
        following = fn.add(top, ONE)
        self._advance(first, to, self._place(following), flag)
        fn.store(to, fn.gep(self.steps, following, I64))
        fn.store(following, self.top)
        fn.br(head)
        fn.start(pass_)
        # the last step to come ends in one of the places between
        goal = self.between
        self._advance(first, number, goal, flag)
        fn.store(goal, self.here)
        fn.br(done)
        fn.start(done)

    def _advance(self, first: Reg, to: Reg, goal: Reg, flag: Reg) -> None:
        """Run the steps from one to another; the state of the latter is in `goal`."""
        fn, plan = self.fn, self.plan
        through = self.given[2]
        count = fn.sub(to, first)

        def step(k: Reg) -> None:
            leave_if_cancelled(fn, flag)
            self._state(fn.load(self.here, PTR), self.ahead[: len(plan.carries)])
            number = fn.add(first, k)
            self._elements(number, plan.xs, through, self.ahead[len(plan.carries) :])
            # two places in turn, so that the last step but one is not in `goal`
            left = fn.sub(fn.sub(count, ONE), k)
            other = fn.gep(self.between, self.state_size)
            odd = fn.icmp("ne", fn.and_(left, ONE), ZERO)
            place = fn.select(odd, other, goal)
            self._state(place, self.made)
            self._call(0, self.ahead[0], self.made[0])
            fn.store(place, self.here)

        self.frame.loop(count, step)

    def _split(self, left: Reg, places: Reg) -> Reg:
        """Return how many steps to run before the next state is left.

        With `places` states, one of them there, and `left` steps to go back over.
        """
        fn = self.fn
        before = fn.block
        loop, done = fn.new_label("binomial"), fn.new_label("split")
        fn.br(loop)
        fn.start(loop)
        r = fn.phi(I64, ONE, before)
        old = fn.phi(I64, ONE, before)  # C(places + r - 1, places)
        new = fn.sdiv(fn.mul(old, fn.add(places, r)), r)
        following = fn.add(r, ONE)
        fn.phi_edge(r, following, fn.block)
        fn.phi_edge(old, new, fn.block)
        fn.cond_br(fn.icmp("slt", new, left), loop, done)
        fn.start(done)
        # C(places + r - 2, places - 1)
        right = fn.sdiv(fn.mul(old, places), fn.sub(fn.add(places, r), ONE))
        most = fn.sub(left, right)
        ahead = fn.select(fn.icmp("slt", old, most), old, most)
        ahead = fn.smax(ahead, ONE)
        bound = fn.sub(left, ONE)
        return fn.select(fn.icmp("slt", ahead, bound), ahead, bound)


def emit_revolve(
    module: Module, name: str, plan: RevolvePlan, names: Sequence[str]
) -> None:
    """Write the kernel of a revolve."""
    _Emitter(module, name, plan, names).run()
