"""Lower graphs to one LLVM module: schedule, plan, emit.

A module may hold several programs; kernels with equal plans are emitted once for all of
them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..ir.constant import ArrayConstant
from ..ir.errors import GraphError
from ..ir.forms import Contract, Control, Factorize, Print, Rows, Scan, Scatter
from ..ir.graph import Graph, Node, Value
from ..ir.loc import Loc
from ..ir.passes.adjoin import adjoin
from ..ir.sizes import SizeExpr
from ..ir.structure import NOTHING, Structure, find_structure
from ..ir.subgraph import SubGraph, late_sizes
from ..ir.types import I8, TensorType
from .apart import apart
from .cells import with_cells
from .control import ControlPlan, Region, RegionCall
from .cut import LoopLaunch, cut
from .driver import STRAIGHT, Driver, Launch, constant_text
from .factorize import FactorizePlan, plan_factorize
from .join import Item, Joint, join, plan_loop
from .late import is_late
from .launches import Schedule, Whole
from .llvm import Module
from .loops import emit_kernel
from .memory import Arena, Buffer
from .order import Made, best_order, placed
from .plan import FARTHEST, KernelPlan
from .printing import Prints, plan_print
from .regions import lower_control
from .register_loops import RegisterPlan
from .repeat import Repeats
from .residual import with_fewer_residuals
from .revolve import RevolvePlan
from .row_sets import with_rows
from .scan import plan_scan
from .scatter import plan_scatter
from .schedule import build_schedule
from .slices import in_slices
from .small import failing, regions_run
from .split import BLOCKS, find_split
from .structured import structured_contract, structured_factorize
from .target import Target
from .turned import turned
from .views import strip_views
from .whole import (
    ContractPlan,
    WholePlan,
    emit_whole,
    plan_check,
    plan_contract,
)

AnyPlan = KernelPlan | WholePlan

LESS = 1.25  # how much less memory it takes to change what runs in slices


@dataclass(slots=True)
class Lowered:
    """One program of a module: what a caller needs to know of it."""

    graph: Graph
    symbol: str
    workspace: int | SizeExpr
    launches: list[Launch]
    plans: list[AnyPlan]  # by kernel number
    arena: Arena
    checks: list[Node]  # by number: what a status code's `node` means
    late: tuple[str, ...] = ()  # the sizes its loops bind
    cells: int = 0  # of memory whose size is late
    regions: dict[str, "Lowered"] = field(default_factory=dict)  # by function
    splits: Mapping[int, str] = field(default_factory=dict)  # how, by kernel number
    prints: list[Node] = field(default_factory=list)  # by number, of the whole module

    @property
    def kernels(self) -> int:
        """How many distinct kernels the program has."""
        return len({x.kernel for x in self.launches})

    @property
    def parts(self) -> bool:
        """Whether a kernel may run in parts."""
        own = any(x.kernel in self.splits for x in self.launches)
        return own or any(x.parts for x in self.regions.values())

    @property
    def loops(self) -> bool:
        """Whether there is a loop whose steps are regions."""
        if any(x.loops for x in self.regions.values()):
            return True
        plans = [self.plans[x.kernel] for x in self.launches]
        if any(isinstance(x, RevolvePlan) for x in plans):
            return True
        held = [x.control if isinstance(x, RegisterPlan) else x for x in plans]
        return any(isinstance(x, ControlPlan) and x.kind != "switch" for x in held)

    @property
    def grows(self) -> bool:
        """Whether it asks the caller for memory while it runs."""
        return self.cells > 0 or any(x.grows for x in self.regions.values())


@dataclass(slots=True)
class ModuleBuilder:
    """A module being lowered into."""

    target: Target
    fuse: bool = True
    registers: bool = True  # small loops run in registers
    rows: bool = True  # so do rows of few elements, of a whole part of a program
    structure: bool = True  # zeros of matrices are left out
    embed: bool = True  # captured arrays become data of the object, else addresses
    above: int | None = None  # the cost from which kernels may run in parts
    module: Module = field(init=False)
    _numbers: dict[AnyPlan, int] = field(default_factory=dict)
    _plans: list[AnyPlan] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _sizes: list[tuple[str, ...]] = field(default_factory=list)
    _scratch: list[int] = field(default_factory=list)
    _constants: dict[ArrayConstant, str] = field(default_factory=dict)
    _regions: dict[tuple[str, int], Lowered] = field(default_factory=dict)
    _kept: list[SubGraph] = field(default_factory=list)
    _splits: dict[int, str] = field(default_factory=dict)
    _prints: Prints = field(default_factory=Prints)

    def __post_init__(self) -> None:
        self.module = self.target.module()

    def add(self, graph: Graph, symbol: str) -> Lowered:
        """Lower one program as `pb_SYMBOL` and `pb_SYMBOL_workspace`.

        Raises:
            GraphError: a result has a size that is known only once a loop has run.
        """
        return self._add(graph, symbol, [], entry=True)

    def _add(
        self, graph: Graph, symbol: str, checks: list[Node], entry: bool
    ) -> Lowered:
        graph = adjoin(graph)
        late = tuple(late_sizes(graph.nodes))
        unknown = frozenset(late)
        _demand_known(graph, unknown)
        schedule = build_schedule(graph, self.fuse)
        if self.fuse and self.rows:
            schedule = with_rows(graph, schedule)
        structure = find_structure(schedule.graph) if self.structure else NOTHING
        _bind_captures(graph, schedule)
        ordered: Sequence[Item] = _ordered(schedule, self.fuse)
        if self.fuse and self.target.has_masks:
            ordered = join(ordered, schedule)
        regions: dict[str, Lowered] = {}
        repeats = Repeats()
        made: list[tuple[AnyPlan, Launch]] = []
        scratch = Buffer("scratch", TensorType(I8, ()))
        for item in ordered:
            if isinstance(item, LoopLaunch | Joint):
                bound = plan_loop(item, schedule, repeats)
                writes = tuple(o.slot for o in bound.plan.outputs)
                launch = Launch(0, bound.buffers, writes, bound.offsets, _locs(item))
                made.append((bound.plan, launch))
                continue
            if isinstance(item.node.primitive.form, Control):
                control, buffers, writes = lower_control(
                    item.node, schedule, checks, self.registers,
                    partial(self._functions, item.node, symbol, checks, regions),
                )  # fmt: skip
                zeros = (0,) * len(buffers)
                launch = Launch(0, buffers, writes, zeros, _locs(item))
                made.append((control, launch))
                continue
            if isinstance(item.node.primitive.form, Print):
                told = plan_print(item.node, self._prints.number(item.node))
                slots = tuple([schedule.memory(x) for x in item.node.operands])
                launch = Launch(0, slots, (), (0,) * len(slots), _locs(item))
                made.append((told, launch))
                continue
            plan, buffers, writes = _plan_whole(item, schedule, checks, structure)
            plan, offsets = _rebased(plan, len(buffers))
            if isinstance(plan, ContractPlan | FactorizePlan):
                buffers, offsets = (*buffers, scratch), (*offsets, 0)
            launch = Launch(0, buffers, writes, offsets, _locs(item))
            made.append((plan, launch))
        cells = 0
        if late:
            made, cells = with_cells(made, unknown)
        elif self.fuse:
            made = _with_less(ordered, made, schedule, self.target)
        made = [(plan, self._with_room(plan, launch, scratch)) for plan, launch in made]
        made, arena = placed(made, moves=not late, lend=entry and not late)
        names = (*graph.sizes, *late)
        launches = [
            launch._replace(kernel=self._number(plan, names, symbol))
            for plan, launch in made
        ]
        used = {x.kernel for x in launches}
        shared = used & self._splits.keys()
        arena.scratch = max((self._scratch[k] for k in used - shared), default=0)
        arena.shared = max((self._scratch[k] for k in shared), default=0)
        lowered = Lowered(
            graph, symbol, arena.nbytes(), launches, self._plans, arena, checks, late,
            cells, regions, self._splits, self._prints.nodes,
        )  # fmt: skip
        self._drive(lowered, schedule, entry)
        return lowered

    def _with_room(self, plan: AnyPlan, launch: Launch, scratch: Buffer) -> Launch:
        """Give a kernel that is split by blocks the memory its parts share."""
        if not isinstance(plan, KernelPlan):
            return launch
        split = find_split(plan, self.target, self.above)
        if split is None or split.how != BLOCKS:
            return launch
        return launch._replace(
            buffers=(*launch.buffers, scratch),
            offsets=(*launch.offsets, 0),
            advance=(*launch.advance, 0) if launch.advance else (),
        )

    def _functions(
        self, node: Node, symbol: str, checks: list[Node], known: dict[str, Lowered]
    ) -> list[Region]:
        """Return the regions of a control op as functions; equal ones are one.

        A region that may fail is lowered for each op that holds it: its status names
        operations of its own. `known` receives what the functions were lowered to.
        """
        out: list[Region] = []
        for held in regions_run(node):
            key = (held.key, id(held) if failing([held]) else 0)
            found = self._regions.get(key)
            if found is None:
                name = f"r{len(self._regions)}_{symbol}"
                self._kept.append(held)  # so that no other has its id
                found = self._add(held.graph, name, checks, entry=False)
                self._regions[key] = found
            known[found.symbol] = found
            call = RegionCall(f"pb_{found.symbol}", tuple(found.graph.sizes))
            out.append(Region(call, found.workspace))
        return out

    def text(self) -> str:
        """Return the module as LLVM IR."""
        return self.module.text()

    def _number(self, plan: AnyPlan, names: tuple[str, ...], symbol: str) -> int:
        found = self._numbers.get(plan)
        if found is not None and self._sizes[found] == names:
            return found
        number = self._numbers[plan] = len(self._plans)
        name = f"pb_k{number}_{symbol}"
        self._plans.append(plan)
        self._names.append(name)
        self._sizes.append(names)
        if isinstance(plan, KernelPlan):
            split = find_split(plan, self.target, self.above)
            if split is not None:
                self._splits[number] = split.how
            scratch = emit_kernel(
                self.module, self.target, name, plan, names, self.above or 0, split
            )
            self._scratch.append(scratch)
        else:
            scratch = emit_whole(self.module, self.target, name, plan, names)
            self._scratch.append(scratch)
        return number

    def _drive(self, lowered: Lowered, schedule: Schedule, entry: bool) -> None:
        graph, symbol = lowered.graph, lowered.symbol
        constants = []
        captured = len(schedule.constants) - len(graph.captures)
        for k, held in enumerate(schedule.constants):
            if k >= captured and not self.embed:
                address = graph.captures[k - captured].ctypes.data
                constants.append(f"inttoptr (i64 {address} to ptr)")
                continue
            name = self._constants.get(held)
            if name is None:
                name = self._constants[held] = f"pb_c{len(self._constants)}_{symbol}"
                self.module.globals.append(constant_text(name, held))
            constants.append(f"@{name}")
        used: dict[int, int] = {}
        local = [
            x._replace(kernel=used.setdefault(x.kernel, len(used)))
            for x in lowered.launches
        ]
        names = [self._names[k] for k in used]
        Driver(
            self.module, graph, symbol, local, names, lowered.arena, constants,
            len(lowered.late), lowered.cells,
        ).emit(entry)  # fmt: skip


def _with_less(
    ordered: Sequence[Item], made: list[Made], schedule: Schedule, target: Target
) -> list[Made]:
    """Return the launches, some of them in loops over slices, in less memory."""
    plain = _sliced(made, target)
    fewer = with_fewer_residuals(ordered, made, schedule)
    if fewer is made:
        return plain
    other = _sliced(fewer, target)
    sliced = any(x.loop for _, x in plain)
    # loops are there for speed: they stay as they are if memory does not gain by a lot
    share = LESS if sliced else 1
    return other if best_order(other)[1] * share < best_order(plain)[1] else plain


def _sliced(made: list[Made], target: Target) -> list[Made]:
    if len(made) > STRAIGHT:
        return made  # a table has no loops
    made = turned(made, target)
    loops = in_slices(made)  # which may be more
    return loops if len(loops) <= STRAIGHT else made


def _demand_known(graph: Graph, late: frozenset[str]) -> None:
    for x, name in zip(graph.outputs, graph.output_names, strict=False):
        for d in x.type.shape:
            if is_late(d, late):
                raise GraphError(
                    f"{graph.name}: result {name} is {x.type}: {d} is known only once "
                    "a loop has run"
                )


def _bind_captures(graph: Graph, schedule: Schedule) -> None:
    """Make constants of captured arrays: they are no inputs of the native program."""
    first = len(graph.inputs) - len(graph.captures)
    for value, array in zip(graph.inputs[first:], graph.captures, strict=True):
        held = ArrayConstant(array)
        schedule.buffers[value] = Buffer(
            "constant", value.type, len(schedule.constants), constant=held
        )
        schedule.constants.append(held)


def _ordered(schedule: Schedule, fuse: bool) -> list[LoopLaunch | Whole]:
    loops = [x for group in schedule.groups for x in cut(group, schedule)]
    if fuse:
        loops = apart(loops, schedule)
    everything: list[LoopLaunch | Whole] = [*loops, *schedule.wholes]
    return sorted(everything, key=lambda x: x.key)


def _locs(item: Item) -> tuple[Loc, ...]:
    """Return where the user called what a launch makes."""
    if isinstance(item, Joint):
        return tuple([loc for part in item.parts for loc in _locs(part)])
    if isinstance(item, Whole):
        if isinstance(item.node.primitive.form, Rows):
            return tuple(item.node.params["locs"])
        nodes: list[Node | None] = [item.node]
    else:
        values = [*item.stores, *[x for x, _ in item.copies]]
        nodes = [*item.reduces, *[x.node for x in values]]
    return tuple([n.loc for n in nodes if n is not None and n.loc is not None])


def _plan_whole(
    item: Whole, schedule: Schedule, checks: list[Node], structure: Structure
) -> tuple[WholePlan, tuple[Buffer, ...], tuple[int, ...]]:
    node = item.node
    form = node.primitive.form
    memory = schedule.memory
    if item.kind == "check":
        number = len(checks)
        checks.append(node)
        scatter = isinstance(form, Scatter)
        source = node.results[0] if scatter else node.operands[0]
        return (
            plan_check(node, source.type.shape, number),
            (memory(node.operands[1]),),
            (),
        )
    if isinstance(form, Rows):
        operands = [memory(x) for x in node.operands]
        results = [schedule.buffers[x] for x in node.results]
        slots = (*operands, *results)
        return node.params["plan"], slots, tuple(range(len(operands), len(slots)))
    result = schedule.buffers[node.results[0]]
    if isinstance(form, Contract):

        def held(value: Value) -> bool:
            return value in schedule.buffers or value in schedule.alias

        lhs, rhs = (strip_views(x, held) for x in node.operands)
        buffers = (memory(lhs[0]), memory(rhs[0]), result)
        made = plan_contract(node, lhs, rhs)
        return *structured_contract(node, made, buffers, structure), (2,)
    if isinstance(form, Factorize):
        checks.append(node)
        operands = [memory(x) for x in node.operands]
        results = [schedule.buffers[x] for x in node.results]
        writes = tuple(range(len(operands), len(operands) + len(results)))
        factors = plan_factorize(node, len(checks) - 1)
        factors = structured_factorize(node, factors, structure)
        return factors, (*operands, *results), writes
    plan = plan_scan(node) if isinstance(form, Scan) else plan_scatter(node)
    read = tuple([memory(x) for x in node.operands])
    return plan, (*read, result), (len(read),)


def _rebased(plan: WholePlan, count: int) -> tuple[WholePlan, tuple[int, ...]]:
    """Return a plan that begins at its operands, and where those begin."""
    offsets = [0] * count
    if isinstance(plan, ContractPlan):
        if isinstance(plan.lhs_offset, int) and plan.lhs_offset < FARTHEST:
            offsets[0] = plan.lhs_offset
            plan = plan._replace(lhs_offset=0)
        if isinstance(plan.rhs_offset, int) and plan.rhs_offset < FARTHEST:
            offsets[1] = plan.rhs_offset
            plan = plan._replace(rhs_offset=0)
    return plan, tuple(offsets)


def lower(
    graphs: Sequence[tuple[Graph, str]],
    target: Target,
    fuse: bool = True,
    embed: bool = True,
    registers: bool = True,
    rows: bool = True,
    above: int | None = None,
    structure: bool = True,
) -> tuple[str, list[Lowered]]:
    """Return the LLVM IR of a module with these (graph, symbol) programs.

    Kernels that cost `above` or more run in parts where the caller has threads.
    """
    builder = ModuleBuilder(target, fuse, registers, rows, structure, embed, above)
    lowered = [builder.add(graph, symbol) for graph, symbol in graphs]
    return builder.text(), lowered
