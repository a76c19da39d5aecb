"""Emit what a tape does for an op that it met before: find its step, make its result.

What is emitted follows `tracer/walk.py`, which has the same steps in Python and takes
every call that is not of the plain kind. All that can send a call there comes before
the first change, so a call is done here or there, never by halves.
"""

from collections.abc import Sequence

from ...codegen.llvm import I1, I32, I64, PTR, Reg, const
from ..fastcall import capi
from ..fastcall.emit import NULL, at, call_api
from ..pool import address_reg
from .emit import (
    ACTIVE,
    FALLBACK,
    FLOAT,
    FRESH,
    HANDLE,
    IMPL,
    LOCALS,
    MISSED,
    NONE,
    OWNER,
    Emitter,
    of_object,
)
from .layout import SIZE, Kind

_NAMES = (
    "x code", "y code", "key", "after", "x value", "y value", "x leaf", "y leaf",
    "number", "made",
)  # fmt: skip

_NBYTES = "nbytes"  # interned: it lives as long as this name


class Calls(Emitter):
    """Writes what is called from Python."""

    def emit(self) -> None:
        """Write all functions."""
        super().emit()
        self._walked()
        self._operator()
        self._function()
        self._claim()
        self._finalize()

    def operator(
        self, name: str, ops: Sequence[tuple[Kind, int]], reflected: bool, unary: bool
    ) -> None:
        """Write the method of an operator.

        `ops` has the addresses of its records, by the class of `self`; of others it is
        the last.
        """
        self.begin(name, PTR, [PTR, PTR, I64], True)
        fn = self.fn
        kind = self.kind(fn.args[0])
        op = address_reg(ops[-1][1])
        for owner, record in ops:
            mine = self.same(kind, of_object(owner))
            op = fn.select(mine, address_reg(record), op)
        args = [op, *fn.args, const(I1, reflected), const(I1, unary)]
        fn.ret(fn.call("operator", PTR, args))

    # -- one op ------------------------------------------------------------------------

    def _walked(self) -> None:
        """walked(op, x, y) -> a tensor; None where Python has to look.

        `y` is NULL where there is one operand. None is not owned; NULL comes with an
        exception.
        """
        self.begin("walked", PTR, [PTR, PTR, PTR], False)
        fn, walk_at, step_at = self.fn, self.places.walk, self.places.step
        op, x, y = fn.args
        cells = {name: fn.alloca(PTR, align=8) for name in _NAMES}
        result = fn.alloca(PTR, align=8)
        values = [cells["x value"], cells["y value"]]
        for cell in cells.values():
            fn.store(NULL, cell)
        fn.store(NONE, result)
        walk = fn.call("ready", PTR, [])
        self.demand(fn.icmp("ne", walk, NULL), "done")
        step = self.slot(walk, walk_at["step"])
        self.demand(fn.icmp("ne", step, NONE), "done")
        is_x, is_y = self._operands(walk, op, x, y, cells, values)
        key = self._key(op, y, cells)
        after = self.got(self.slot(step, step_at["after"]), key)
        self.demand(fn.icmp("ne", after, NULL), "done")
        fn.store(self.keep(after), cells["after"])
        width = self.number(self.slot(after, step_at["width"]))
        ahead = fn.add(self.number(self.slot(walk, walk_at["ahead"])), width)
        count = fn.add(self.number(self.slot(walk, walk_at["end"])), ahead)
        bound = self.number(self.slot(walk, walk_at["bound"]))
        self.demand(fn.icmp("sle", count, bound), "done")
        self._leaves(x, is_x, cells["x code"], cells["x leaf"], values[0])
        self._leaves(y, is_y, cells["y code"], cells["y leaf"], values[1])
        self._number(after, x, y, is_x, cells["number"])
        bad = fn.call("located", I32, [after])
        self.demand(fn.icmp("eq", bad, const(I32, 0)), "failed")
        tensor = fn.call("made", PTR, [after, self.slot(op, HANDLE)])
        self.demand(fn.icmp("ne", tensor, NULL), "failed")
        fn.store(tensor, cells["made"])
        # what was collected meanwhile may have moved the walk, or made its nodes
        still = self.same(self.slot(walk, walk_at["step"]), step)
        self.demand(still, "done")
        for name, cell, given in zip("xy", values, (x, y), strict=True):
            self._take(walk, cell, cells[f"{name} leaf"], given)
        self._append(walk, after, cells)
        ahead = fn.add(self.number(self.slot(walk, walk_at["ahead"])), width)
        self.put(walk, walk_at["ahead"], self.integer(ahead))
        self.put(walk, walk_at["step"], self.keep(after))
        fn.store(tensor, result)
        fn.store(NULL, cells["made"])
        fn.br("done")
        fn.start("failed")
        fn.store(NULL, result)
        fn.br("done")
        fn.start("done")
        for cell in cells.values():
            self.drop(fn.load(cell, PTR))
        fn.ret(fn.load(result, PTR))

    def _operands(
        self,
        walk: Reg,
        op: Reg,
        x: Reg,
        y: Reg,
        cells: dict[str, Reg],
        values: list[Reg],
    ) -> tuple[Reg, Reg]:
        fn = self.fn
        missed, fresh = const(I32, MISSED), const(I32, FRESH)
        is_float = const(I32, FLOAT)
        is_x = fn.call("operand", I32, [walk, x, op, cells["x code"], values[0]])
        self.demand(fn.icmp("ne", is_x, missed), "done")
        before = fn.block
        fn.cond_br(fn.icmp("ne", y, NULL), "two", "one")
        fn.start("two")
        second = fn.call("operand", I32, [walk, y, op, cells["y code"], values[1]])
        self.demand(fn.icmp("ne", second, missed), "done")
        # one value from outside, which keys tell from two
        twice = fn.and_(fn.icmp("eq", x, y), fn.icmp("eq", is_x, fresh))
        self.demand(fn.not_(twice), "done")
        after = fn.block
        fn.br("one")
        fn.start("one")
        is_y = fn.merge(I32, [(is_float, before), (second, after)])
        floats = fn.and_(fn.icmp("eq", is_x, is_float), fn.icmp("eq", is_y, is_float))
        self.demand(fn.not_(floats), "done")
        return is_x, is_y

    def _key(self, op: Reg, y: Reg, cells: dict[str, Reg]) -> Reg:
        fn = self.fn
        alone = fn.icmp("eq", y, NULL)
        count = fn.select(alone, const(I64, 2), const(I64, 3))
        key = call_api(fn, "PyTuple_New", PTR, count)
        fn.store(key, cells["key"])
        self.demand(fn.icmp("ne", key, NULL), "failed")
        fn.store(self.keep(self.slot(op, IMPL)), at(fn, key, capi.TUPLE_ITEMS))
        code = fn.load(cells["x code"], PTR)
        fn.store(self.keep(code), at(fn, key, capi.TUPLE_ITEMS + 8))
        fn.cond_br(alone, "keyed", "third")
        fn.start("third")
        code = fn.load(cells["y code"], PTR)
        fn.store(self.keep(code), at(fn, key, capi.TUPLE_ITEMS + 16))
        fn.br("keyed")
        fn.start("keyed")
        return key

    def _leaves(self, x: Reg, is_x: Reg, code: Reg, leaf: Reg, value: Reg) -> None:
        """Make the value of an operand that is an array from outside."""
        fn = self.fn
        make, made = fn.new_label("array"), fn.new_label("valued")
        fresh = fn.icmp("eq", is_x, const(I32, FRESH))
        bare = fn.icmp("eq", fn.load(value, PTR), NULL)
        fn.cond_br(fn.and_(fresh, bare), make, made)
        fn.start(make)
        new = fn.call("leaf", PTR, [x, fn.load(code, PTR)])
        fn.store(new, leaf)
        fn.store(self.keep(new), value)
        lost = fn.new_label("lost")
        fn.cond_br(fn.icmp("ne", new, NULL), made, lost, likely=True)
        fn.start(lost)
        error = call_api(fn, "PyErr_Occurred", PTR)
        fn.cond_br(fn.icmp("ne", error, NULL), "failed", "done")
        fn.start(made)

    def _number(self, after: Reg, x: Reg, y: Reg, is_x: Reg, cell: Reg) -> None:
        """Make the value of a float that came along, where the step has one."""
        fn = self.fn
        dtype = self.slot(after, self.places.step["dtype"])
        fn.cond_br(fn.icmp("eq", dtype, NONE), "numberless", "numbered")
        fn.start("numbered")
        first = fn.icmp("eq", is_x, const(I32, FLOAT))
        args = fn.alloca(PTR, 2, align=8)
        fn.store(fn.select(first, x, y), args)
        fn.store(dtype, at(fn, args, 8))
        make = of_object(self.spec.number)
        two = const(I64, 2)
        held = call_api(fn, "PyObject_Vectorcall", PTR, make, args, two, NULL)
        fn.store(held, cell)
        self.demand(fn.icmp("ne", held, NULL), "failed")
        fn.br("numberless")
        fn.start("numberless")

    def _take(self, walk: Reg, value: Reg, leaf: Reg, x: Reg) -> None:
        """Number an operand that is a value from outside."""
        fn, walk_at = self.fn, self.places.walk
        take, taken = fn.new_label("take"), fn.new_label("taken")
        held = fn.load(value, PTR)
        fn.cond_br(fn.icmp("ne", held, NULL), take, taken)
        fn.start(take)
        bad = fn.call("register", I32, [walk, held])
        self.demand(fn.icmp("eq", bad, const(I32, 0)), "failed")
        count = fn.new_label("count")
        fn.cond_br(fn.icmp("ne", fn.load(leaf, PTR), NULL), count, taken)
        fn.start(count)
        size = call_api(fn, "PyObject_GetAttr", PTR, x, of_object(_NBYTES))
        self.demand(fn.icmp("ne", size, NULL), "failed")
        nbytes = self.number(size)
        self.drop(size)
        total = fn.add(self.number(self.slot(walk, walk_at["bytes"])), nbytes)
        self.put(walk, walk_at["bytes"], self.integer(total))
        fn.br(taken)
        fn.start(taken)

    def _append(self, walk: Reg, after: Reg, cells: dict[str, Reg]) -> None:
        """Append what the step gives to the walk."""
        fn, walk_at, step_at = self.fn, self.places.walk, self.places.step
        zero = const(I32, 0)
        held = fn.load(cells["number"], PTR)
        fn.cond_br(fn.icmp("ne", held, NULL), "along", "whole")
        fn.start("along")
        bad = fn.call("register", I32, [walk, held])
        self.demand(fn.icmp("eq", bad, zero), "failed")
        fn.br("whole")
        fn.start("whole")
        value = self.slot(fn.load(cells["made"], PTR), self.places.tensor["_value"])
        values = self.slot(walk, walk_at["values"])
        out = self.slot(after, step_at["out"])
        blank = self.slot(after, step_at["blank"])
        several = fn.load(at(fn, blank, SIZE), I64)
        fn.cond_br(fn.icmp("eq", several, const(I64, 0)), "single", "several")
        fn.start("single")
        bad = call_api(fn, "PyList_Append", I32, values, value)
        self.demand(fn.icmp("eq", bad, zero), "failed")
        fn.br("valued")
        fn.start("several")
        size = fn.load(at(fn, values, SIZE), I64)
        bad = call_api(fn, "PyList_SetSlice", I32, values, size, size, blank)
        self.demand(fn.icmp("eq", bad, zero), "failed")
        where = self.number(out)
        bad = call_api(fn, "PyList_SetItem", I32, values, where, self.keep(value))
        self.demand(fn.icmp("eq", bad, zero), "failed")
        fn.br("valued")
        fn.start("valued")
        numbers = self.slot(walk, walk_at["numbers"])
        bad = call_api(fn, "PyDict_SetItem", I32, numbers, value, out)
        self.demand(fn.icmp("eq", bad, zero), "failed")
        taken = self.slot(walk, walk_at["taken"])
        bad = call_api(fn, "PyList_Append", I32, taken, after)
        self.demand(fn.icmp("eq", bad, zero), "failed")

    # -- what Python calls -------------------------------------------------------------

    def _operator(self) -> None:
        """operator(op, self, args, count, reflected, unary) -> what it gives."""
        self.begin("operator", PTR, [PTR, PTR, PTR, I64, I1, I1], False)
        fn = self.fn
        op, this, args, count, reflected, unary = fn.args
        stack = fn.alloca(PTR, 3, align=8)
        fn.store(this, stack)
        fn.store(NULL, at(fn, stack, 8))
        fn.cond_br(fn.icmp("sgt", count, const(I64, 1)), "many", "few")
        fn.start("many")  # which the Python form refuses
        for k in range(2):
            fn.store(fn.load(at(fn, args, 8 * k), PTR), at(fn, stack, 8 * (k + 1)))
        fn.br("python")
        fn.start("few")
        fn.cond_br(unary, "unary", "binary")
        fn.start("unary")
        fn.cond_br(fn.icmp("eq", count, const(I64, 0)), "call", "more")
        fn.start("more")
        fn.store(fn.load(args, PTR), at(fn, stack, 8))
        fn.br("python")
        fn.start("binary")
        self.demand(fn.icmp("eq", count, const(I64, 1)), "python")
        other = fn.load(args, PTR)
        fn.store(other, at(fn, stack, 8))
        fn.cond_br(reflected, "swapped", "call")
        fn.start("swapped")
        swapped = fn.call("walked", PTR, [op, other, this])
        fn.br("called")
        fn.start("call")
        second = fn.load(at(fn, stack, 8), PTR)
        straight = fn.call("walked", PTR, [op, this, second])
        fn.br("called")
        fn.start("called")
        made = fn.merge(PTR, [(swapped, "swapped"), (straight, "call")])
        fn.cond_br(fn.icmp("eq", made, NONE), "python", "met")
        fn.start("met")
        fn.ret(made)
        fn.start("python")
        form = self.slot(op, FALLBACK)
        given = fn.add(count, const(I64, 1))
        most = fn.smin(given, const(I64, 3))
        fn.ret(call_api(fn, "PyObject_Vectorcall", PTR, form, stack, most, NULL))

    def _function(self) -> None:
        """function(capsule of an op, args, count) -> a tensor, or None."""
        self.begin("function", PTR, [PTR, PTR, I64], True)
        fn = self.fn
        capsule, args, count = fn.args
        op = self.slot(capsule, capi.CAPSULE_POINTER)
        fn.cond_br(fn.icmp("eq", count, const(I64, 1)), "one", "more")
        fn.start("one")
        alone = fn.call("walked", PTR, [op, fn.load(args, PTR), NULL])
        fn.br("called")
        fn.start("more")
        self.demand(fn.icmp("eq", count, const(I64, 2)), "none")
        two = [fn.load(args, PTR), fn.load(at(fn, args, 8), PTR)]
        pair = fn.call("walked", PTR, [op, *two])
        last = fn.block
        fn.br("called")
        fn.start("called")
        made = fn.merge(PTR, [(alone, "one"), (pair, last)])
        fn.cond_br(fn.icmp("eq", made, NONE), "none", "met")
        fn.start("met")
        fn.ret(made)
        fn.start("none")
        fn.ret(self.keep(NONE))

    def _claim(self) -> None:
        """claim(None, (walk, what is of the thread), 2): this thread walks."""
        self.begin("claim", PTR, [PTR, PTR, I64], True)
        fn = self.fn
        args = fn.args[1]
        thread = call_api(fn, "PyThreadState_Get", PTR)
        number = call_api(fn, "PyThreadState_GetID", I64, thread)
        fn.store(number, self.word(OWNER))
        for k, offset in enumerate((ACTIVE, LOCALS)):
            new = self.keep(fn.load(at(fn, args, 8 * k), PTR))
            old = fn.load(self.word(offset), PTR)
            fn.store(new, self.word(offset))
            self.drop(old)
        fn.ret(self.keep(NONE))

    def _finalize(self) -> None:
        """finalize(tensor, NULL): `Tensor.__del__`."""
        self.begin("finalize", PTR, [PTR, PTR], True)
        fn, value_at, cell_at = self.fn, self.places.value, self.places.cell
        value = self.slot(fn.args[0], self.places.tensor["_value"])
        self.demand(fn.icmp("ne", value, NULL), "done")
        valued = self.same(self.kind(value), of_object(self.spec.value))
        self.demand(valued, "done")
        cell = self.slot(value, value_at["cell"])
        self.demand(fn.icmp("ne", cell, NONE), "done")
        handles = self.number(self.slot(cell, cell_at["handles"]))
        left = fn.sub(handles, const(I64, 1))
        self.put(cell, cell_at["handles"], self.integer(left))
        self.demand(fn.icmp("eq", left, const(I64, 0)), "done")
        array = self.slot(cell, cell_at["array"])
        fn.cond_br(fn.icmp("ne", array, NONE), "looked", "pending")
        fn.start("looked")
        self.put(value, value_at["node"], self.keep(NONE))
        fn.br("done")
        fn.start("pending")
        plain = self.same(self.kind(cell), of_object(self.spec.cell))
        idle = self.same(self.slot(cell, cell_at["plan"]), NONE)
        fn.cond_br(fn.and_(plain, idle), "forget", "done")
        fn.start("forget")
        self.put(value, value_at["cell"], self.keep(NONE))
        fn.br("done")
        fn.start("done")
        fn.ret(self.keep(NONE))
