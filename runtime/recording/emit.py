"""Emit the parts of native recording: what an operand is, leaves, results, lines.

`walk.py` beside puts them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...codegen.llvm import I1, I32, I64, PTR, VOID, Function, Module, Reg, const
from ..fastcall import capi
from ..fastcall.emit import NULL, at, call_api
from ..fastcall.spec import DTYPES
from ..pool import address_reg
from .layout import CELL, SIZE, STEP, TENSOR, VALUE, VARIABLE, WALK, Spec
from .layout import offsets as offsets_of

OWNER, ACTIVE, LOCALS = 0, 8, 16  # of the record: thread, walk, what is of the thread
RECORD_BYTES = 24
# of an op: the function, the Python form, the class of results, that of variables,
# whether numbers may stand beside tensors, and arrays
IMPL, FALLBACK, HANDLE, VARIABLES, NUMBERS, ARRAYS = 0, 8, 16, 24, 32, 40
OP_BYTES = 48

MISSED, KNOWN, FRESH, FLOAT = 0, 1, 2, 3  # what an operand is


@dataclass(frozen=True)
class Places:
    """Offsets of slots, by class."""

    walk: dict[str, int]
    step: dict[str, int]
    value: dict[str, int]
    cell: dict[str, int]
    tensor: dict[str, int]
    variable: dict[str, int]


def places_of(spec: Spec) -> Places:
    """Return where the objects keep what is read.

    Raises:
        TypeError: a class has no such slots.
    """
    return Places(
        offsets_of(spec.walk, WALK),
        offsets_of(spec.step, STEP),
        offsets_of(spec.value, VALUE),
        offsets_of(spec.cell, CELL),
        offsets_of(spec.tensor, TENSOR),
        offsets_of(spec.variable, VARIABLE),
    )


def of_object(item: object) -> Reg:
    """Return the address of an object that lives for ever."""
    return address_reg(id(item))


NONE = of_object(None)
# interned: they live as long as these names
_TRACE, _SHAPE = "trace", "shape"
_ZERO, _ONE = 0, 1


class Emitter:
    """Writes the functions of one process into a module."""

    def __init__(self, module: Module, spec: Spec, record: int) -> None:
        self.module = module
        self.spec = spec
        self.record = record
        self.places = places_of(spec)
        self.fn: Function

    # -- words -------------------------------------------------------------------------

    def begin(self, name: str, ret_ty: str, params: Sequence[str], out: bool) -> None:
        """Begin a function; those that `out` says are called from elsewhere."""
        linkage = "" if out else "internal"
        typed = [(ty, "") for ty in params]
        self.fn = self.module.function(name, ret_ty, typed, linkage=linkage)

    def slot(self, item: Reg, offset: int) -> Reg:
        """Return what a slot holds, not owned."""
        return self.fn.load(at(self.fn, item, offset), PTR)

    def put(self, item: Reg, offset: int, new: Reg) -> None:
        """Put an object into a slot; it owns the reference."""
        fn = self.fn
        where = at(fn, item, offset)
        old = fn.load(where, PTR)
        fn.store(new, where)
        self.drop(old)

    def keep(self, item: Reg) -> Reg:
        """Own a reference more."""
        call_api(self.fn, "Py_IncRef", VOID, item)
        return item

    def drop(self, item: Reg) -> None:
        """Own a reference less; of NULL nothing."""
        call_api(self.fn, "Py_DecRef", VOID, item)

    def number(self, item: Reg) -> Reg:
        """Return a Python int as a number."""
        return call_api(self.fn, "PyLong_AsLongLong", I64, item)

    def integer(self, number: Reg) -> Reg:
        """Return a number as a Python int, owned."""
        return call_api(self.fn, "PyLong_FromLongLong", PTR, number)

    def kind(self, item: Reg) -> Reg:
        """Return the class of an object."""
        return self.slot(item, capi.TYPE)

    def same(self, x: Reg, y: Reg) -> Reg:
        """Return whether two objects are one."""
        return self.fn.icmp("eq", x, y)

    def demand(self, condition: Reg, other: str) -> None:
        """Go on where a condition holds, else jump."""
        label = self.fn.new_label("on")
        self.fn.cond_br(condition, label, other, likely=True)
        self.fn.start(label)

    def word(self, offset: int) -> Reg:
        """Return the address of a word of the record."""
        return address_reg(self.record + offset)

    def got(self, table: Reg, key: Reg) -> Reg:
        """Return what a dict has, or NULL; not owned."""
        return call_api(self.fn, "PyDict_GetItem", PTR, table, key)

    # -- functions ---------------------------------------------------------------------

    def emit(self) -> None:
        """Write all of them."""
        self._ready()
        self._value()
        self._array_code()
        self._operand()
        self._leaf()
        self._register()
        self._located()
        self._made()

    def _ready(self) -> None:
        """ready() -> the walk of this thread where it walks, or NULL."""
        self.begin("ready", PTR, [], False)
        fn, walk_at = self.fn, self.places.walk
        walk = fn.load(self.word(ACTIVE), PTR)
        self.demand(fn.icmp("ne", walk, NULL), "no")
        thread = call_api(fn, "PyThreadState_Get", PTR)
        number = call_api(fn, "PyThreadState_GetID", I64, thread)
        self.demand(fn.icmp("eq", number, fn.load(self.word(OWNER), I64)), "no")
        walks = self.slot(walk, walk_at["walks"])
        self.demand(self.same(walks, of_object(True)), "no")
        trace = self.got(fn.load(self.word(LOCALS), PTR), of_object(_TRACE))
        idle = fn.or_(self.same(trace, NULL), self.same(trace, NONE))
        self.demand(idle, "no")
        nodes = fn.load(at(fn, self.slot(walk, walk_at["nodes"]), SIZE), I64)
        end = self.number(self.slot(walk, walk_at["end"]))
        self.demand(fn.icmp("eq", nodes, end), "no")
        fn.ret(walk)
        fn.start("no")
        fn.ret(NULL)

    def _value(self) -> None:
        """value(walk, x, op) -> the value of a tensor or a read, or NULL."""
        self.begin("value", PTR, [PTR, PTR, PTR], False)
        fn, variable = self.fn, self.places.variable
        walk, x, op = fn.args
        kind = self.kind(x)
        handle = self.slot(op, HANDLE)
        fn.cond_br(self.same(kind, handle), "tensor", "other", likely=True)
        fn.start("tensor")
        fn.ret(self.slot(x, self.places.tensor["_value"]))
        fn.start("other")
        self.demand(self.same(kind, self.slot(op, VARIABLES)), "no")
        read = self.slot(x, variable["_read"])
        made = fn.and_(fn.icmp("ne", read, NULL), fn.icmp("ne", read, NONE))
        self.demand(made, "no")
        epoch = self.slot(walk, self.places.walk["epoch"])
        self.demand(self.same(self.slot(x, variable["_epoch"]), epoch), "no")
        cell = fn.alloca(PTR, align=8)
        fn.store(NULL, cell)
        watchers = of_object(self.spec.watchers)
        failed = call_api(fn, "PyContextVar_Get", I32, watchers, NULL, cell)
        self.demand(fn.icmp("eq", failed, const(I32, 0)), "failed")
        now = fn.load(cell, PTR)
        held = self.slot(x, variable["_watchers"])
        self.drop(now)
        self.demand(self.same(held, now), "no")
        fn.ret(read)
        fn.start("failed")
        call_api(fn, "PyErr_Clear", VOID)
        fn.br("no")
        fn.start("no")
        fn.ret(NULL)

    def _array_code(self) -> None:
        """array_code(x) -> what keys call an array, owned, or NULL."""
        self.begin("array_code", PTR, [PTR], False)
        fn = self.fn
        (x,) = fn.args
        shape = call_api(fn, "PyObject_GetAttr", PTR, x, of_object(_SHAPE))
        self.demand(fn.icmp("ne", shape, NULL), "none")
        two = const(I64, 2)
        pair = call_api(fn, "PyTuple_New", PTR, two)
        self.demand(fn.icmp("ne", pair, NULL), "lost")
        dtype = self.keep(self.slot(x, capi.ARRAY_DESCR))
        fn.store(dtype, at(fn, pair, capi.TUPLE_ITEMS))
        fn.store(shape, at(fn, pair, capi.TUPLE_ITEMS + 8))
        code = self.got(of_object(self.spec.arrays), pair)
        self.keep(code)
        self.drop(pair)
        fn.ret(code)
        fn.start("lost")
        self.drop(shape)
        fn.br("none")
        fn.start("none")
        call_api(fn, "PyErr_Clear", VOID)
        fn.ret(NULL)

    def _operand(self) -> None:
        """operand(walk, x, op, cell of a code, cell of a value) -> what it is.

        The code is owned, and so is the value, which there is where it is no array:
        what runs meanwhile may assign a variable whose read it is.
        """
        self.begin("operand", I32, [PTR] * 5, False)
        fn = self.fn
        walk, x, op, code, value = fn.args
        kind = self.kind(x)
        held = fn.call("value", PTR, [walk, x, op])
        fn.cond_br(fn.icmp("ne", held, NULL), "held", "plain", likely=True)
        fn.start("held")
        found = self.got(self.slot(walk, self.places.walk["numbers"]), held)
        fn.cond_br(fn.icmp("ne", found, NULL), "known", "fresh", likely=True)
        fn.start("known")
        fn.store(self.keep(found), code)
        fn.ret(const(I32, KNOWN))
        fn.start("fresh")
        valued = self.same(self.kind(held), of_object(self.spec.value))
        self.demand(valued, "missed")
        outside = self.same(self.slot(held, self.places.value["node"]), NONE)
        self.demand(outside, "missed")
        cell = self.slot(held, self.places.value["cell"])
        self.demand(fn.icmp("ne", cell, NONE), "missed")
        array = self.slot(cell, self.places.cell["array"])
        free = self.slot(walk, self.places.walk["free"])
        plan = self.slot(cell, self.places.cell["plan"])
        planned = fn.icmp("ne", plan, NONE)
        planned = fn.and_(planned, self.same(free, of_object(True)))
        self.demand(fn.or_(planned, fn.icmp("ne", array, NONE)), "missed")
        types = of_object(self.spec.types)
        number = self.got(types, self.slot(held, self.places.value["type"]))
        self.demand(fn.icmp("ne", number, NULL), "missed")
        minus = fn.sub(const(I64, -1), self.number(number))
        fn.store(self.integer(minus), code)
        fn.store(self.keep(held), value)
        fn.ret(const(I32, FRESH))
        fn.start("plain")
        numbers = fn.icmp("ne", self.slot(op, NUMBERS), NULL)
        self.demand(numbers, "missed")
        is_array = self.same(kind, of_object(capi.ARRAY_TYPE))
        fn.cond_br(is_array, "array", "scalar")
        fn.start("array")
        arrays = fn.icmp("ne", self.slot(op, ARRAYS), NULL)
        self.demand(arrays, "missed")
        of_array = fn.call("array_code", PTR, [x])
        self.demand(fn.icmp("ne", of_array, NULL), "missed")
        fn.store(of_array, code)
        fn.ret(const(I32, FRESH))
        fn.start("scalar")
        is_float = self.same(kind, of_object(float))
        fn.cond_br(is_float, "float", "whole")
        fn.start("float")
        bits = fn.load(at(fn, x, capi.FLOAT_VALUE), I64)
        for k, (literal, key) in enumerate(self.spec.literals):
            wanted = const(I64, literal)
            fn.cond_br(fn.icmp("eq", bits, wanted), f"is{k}", f"isnt{k}")
            fn.start(f"is{k}")
            fn.store(self.keep(of_object(key)), code)
            fn.ret(const(I32, KNOWN))
            fn.start(f"isnt{k}")
        fn.store(self.keep(of_object(float)), code)
        fn.ret(const(I32, FLOAT))
        fn.start("whole")
        self.demand(self.same(kind, of_object(int)), "missed")
        pair = call_api(fn, "PyTuple_New", PTR, const(I64, 2))
        self.demand(fn.icmp("ne", pair, NULL), "cleared")
        fn.store(self.keep(of_object(int)), at(fn, pair, capi.TUPLE_ITEMS))
        fn.store(self.keep(x), at(fn, pair, capi.TUPLE_ITEMS + 8))
        fn.store(pair, code)
        fn.ret(const(I32, KNOWN))
        fn.start("cleared")
        call_api(fn, "PyErr_Clear", VOID)
        fn.br("missed")
        fn.start("missed")
        fn.ret(const(I32, MISSED))

    def _leaf(self) -> None:
        """leaf(x, code) -> a value that holds a copy of an array, owned, or NULL.

        NULL without an exception: the array's dtype is not the one of that name.
        """
        self.begin("leaf", PTR, [PTR, PTR], False)
        fn, value, cell = self.fn, self.places.value, self.places.cell
        x, code = fn.args
        index = fn.sub(const(I64, -1), self.number(code))
        kinds = of_object(self.spec.kinds)
        kind = call_api(fn, "PyList_GetItem", PTR, kinds, index)
        self.demand(fn.icmp("ne", kind, NULL), "failed")
        descr = self.slot(x, capi.ARRAY_DESCR)
        plain = const(I1, False)
        for dtype in DTYPES.values():
            plain = fn.or_(plain, self.same(descr, of_object(dtype)))
        self.demand(plain, "failed")
        copy = address_reg(capi.numpy_address("PyArray_NewCopy"))
        array = fn.call_ptr(copy, PTR, [x, const(I32, 0)])
        self.demand(fn.icmp("ne", array, NULL), "failed")
        where = at(fn, array, capi.ARRAY_FLAGS)
        frozen = const(I32, ~capi.WRITEABLE)
        fn.store(fn.and_(fn.load(where, I32), frozen), where)
        made = self._new(self.spec.value)
        self.demand(fn.icmp("ne", made, NULL), "lost")
        held = self._new(self.spec.cell)
        self.demand(fn.icmp("ne", held, NULL), "less")
        self._fill(made, value, {"type": kind, "node": NONE, "index": of_object(_ZERO)})
        self._fill(held, cell, {"handles": of_object(_ZERO), "plan": NONE})
        fn.store(array, at(fn, held, cell["array"]))
        fn.store(held, at(fn, made, value["cell"]))
        fn.ret(made)
        fn.start("less")
        self.drop(made)
        fn.br("lost")
        fn.start("lost")
        self.drop(array)
        fn.br("failed")
        fn.start("failed")
        fn.ret(NULL)

    def _new(self, kind: type[object]) -> Reg:
        zero = const(I64, 0)
        return call_api(self.fn, "PyType_GenericAlloc", PTR, of_object(kind), zero)

    def _fill(self, made: Reg, places: dict[str, int], items: dict[str, Reg]) -> None:
        """Put objects into the slots of a new object."""
        for name, item in items.items():
            self.fn.store(self.keep(item), at(self.fn, made, places[name]))

    def _register(self) -> None:
        """register(walk, value) -> 0: it has a number now; or -1 and an exception."""
        self.begin("register", I32, [PTR, PTR], False)
        fn, walk_at = self.fn, self.places.walk
        walk, value = fn.args
        values = self.slot(walk, walk_at["values"])
        number = self.integer(fn.load(at(fn, values, SIZE), I64))
        self.demand(fn.icmp("ne", number, NULL), "failed")
        numbers = self.slot(walk, walk_at["numbers"])
        bad = call_api(fn, "PyDict_SetItem", I32, numbers, value, number)
        self.drop(number)
        self.demand(fn.icmp("eq", bad, const(I32, 0)), "failed")
        fn.ret(call_api(fn, "PyList_Append", I32, values, value))
        fn.start("failed")
        fn.ret(const(I32, -1))

    def _located(self) -> None:
        """located(step) -> 0: it has the user's line; or -1 and an exception."""
        self.begin("located", I32, [PTR], False)
        fn = self.fn
        (step,) = fn.args
        frame = call_api(fn, "PyEval_GetFrame", PTR)
        self.demand(fn.icmp("ne", frame, NULL), "slow")
        code = call_api(fn, "PyFrame_GetCode", PTR, frame)
        self.drop(code)  # the frame has it
        for k, known in enumerate(self.spec.transparent):
            fn.cond_br(self.same(code, of_object(known)), "through", f"user{k}")
            fn.start(f"user{k}")
        here = call_api(fn, "PyFrame_GetLasti", I32, frame)
        direct = fn.block
        fn.br("compare")
        fn.start("through")
        back = call_api(fn, "PyFrame_GetBack", PTR, frame)
        self.demand(fn.icmp("ne", back, NULL), "slow")
        outer = call_api(fn, "PyFrame_GetCode", PTR, back)
        self.drop(outer)
        there = call_api(fn, "PyFrame_GetLasti", I32, back)
        self.drop(back)
        indirect = fn.block
        fn.br("compare")
        fn.start("compare")
        code = fn.merge(PTR, [(code, direct), (outer, indirect)])
        lasti = fn.merge(I32, [(here, direct), (there, indirect)])
        loc = self.slot(step, self.places.step["loc"])
        self.demand(fn.icmp("ne", loc, NONE), "slow")
        self.demand(self.same(self.slot(loc, capi.TUPLE_ITEMS), code), "slow")
        known_at = self.number(self.slot(loc, capi.TUPLE_ITEMS + 8))
        now = fn.convert("sext", lasti, I64)
        self.demand(fn.icmp("eq", known_at, now), "slow")
        fn.ret(const(I32, 0))
        fn.start("slow")
        locate = of_object(self.spec.locate)
        done = call_api(fn, "PyObject_CallOneArg", PTR, locate, step)
        self.demand(fn.icmp("ne", done, NULL), "failed")
        self.drop(done)
        fn.ret(const(I32, 0))
        fn.start("failed")
        fn.ret(const(I32, -1))

    def _made(self) -> None:
        """made(step, class) -> a tensor of the result of a step, owned, or NULL."""
        self.begin("made", PTR, [PTR, PTR], False)
        fn, value, cell = self.fn, self.places.value, self.places.cell
        step, handle = fn.args
        zero = const(I64, 0)
        tensor = call_api(fn, "PyType_GenericAlloc", PTR, handle, zero)
        self.demand(fn.icmp("ne", tensor, NULL), "failed")
        made = self._new(self.spec.value)
        self.demand(fn.icmp("ne", made, NULL), "lost")
        held = self._new(self.spec.cell)
        self.demand(fn.icmp("ne", held, NULL), "less")
        kind = self.slot(step, self.places.step["kind"])
        self._fill(made, value, {"type": kind, "node": NONE, "index": of_object(_ZERO)})
        one = {"array": NONE, "plan": NONE, "handles": of_object(_ONE)}
        self._fill(held, cell, one)
        fn.store(held, at(fn, made, value["cell"]))
        fn.store(made, at(fn, tensor, self.places.tensor["_value"]))
        fn.ret(tensor)
        fn.start("less")
        self.drop(made)
        fn.br("lost")
        fn.start("lost")
        self.drop(tensor)
        fn.br("failed")
        fn.start("failed")
        fn.ret(NULL)
