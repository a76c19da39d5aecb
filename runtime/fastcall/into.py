"""Emit the entry of calls with `out=`: results are written into arrays of the caller.

An entry that takes `out=` is two functions. The first takes positional arguments alone,
exactly as other entries do, and hands a call with a keyword on to the second, so that
`out=` costs nothing where it is not given. The second checks what is given for each
result: None, and then the result is made, or an array that the program may write. None
stands for a nested tuple, too. What overlaps an input or another result goes to `miss`.
"""

import sys
from collections.abc import Callable

from ...codegen.llvm import I8, I32, I64, PTR, VOID, Module, Reg, const
from ...codegen.target import host
from ..pool import address_reg
from . import capi
from .emit import NULL, Entry, Support, at, call_api, new_entry
from .spec import OutSpec, Signature, Tree

OUT = sys.intern("out")
"""The keyword, as the name in every call's code is."""

_FLAGS = capi.C_CONTIGUOUS | capi.ALIGNED | capi.WRITEABLE


def emit_entry_into(signature: Signature, support: Support) -> str:
    """Return the module text of an entry that takes `out=`."""
    module = host().module()
    _Positional(new_entry(module), signature, support).emit()
    into = new_entry(module, "pb_entry_into", "internal")
    _Into(into, signature, support).emit()
    return module.text()


class _Positional(Entry):
    """The entry of calls without keywords; others go to the second function."""

    def _check_call(self, count: Reg, keywords: Reg) -> None:
        fn = self.fn
        fn.cond_br(fn.icmp("eq", keywords, NULL), "plain", "named", likely=True)
        fn.start("named")
        fn.ret(fn.call("pb_entry_into", PTR, fn.args))
        fn.start("plain")
        self._or_miss(fn.icmp("eq", count, const(I64, len(self.signature.inputs))))


class _Into(Entry):
    """The entry of calls with `out=` and no other keyword."""

    given: list[Reg]  # a cell a result: the array of the caller, or NULL

    def _check_call(self, count: Reg, keywords: Reg) -> None:
        fn = self.fn
        self._or_miss(fn.icmp("eq", count, const(I64, len(self.signature.inputs))))
        number = fn.load(at(fn, keywords, capi.TUPLE_SIZE), I64)
        self._or_miss(fn.icmp("eq", number, const(I64, 1)))
        name = fn.load(at(fn, keywords, capi.TUPLE_ITEMS), PTR)
        self._or_miss(fn.icmp("eq", name, address_reg(id(OUT))))

    def _check_given(self, args: Reg, extents: list[tuple[list[Reg], Reg]]) -> None:
        fn, signature = self.fn, self.signature
        self.given = [self._empty_cell() for _ in signature.outputs]
        out = fn.load(at(fn, args, 8 * len(signature.inputs)), PTR)
        self._match(signature.tree, out, extents)
        count = len(self.spans) + len(signature.outputs)
        spans = fn.alloca(I64, max(2 * count, 1), align=8)
        for k, (data, nbytes) in enumerate(self.spans):
            fn.store(data, at(fn, spans, 16 * k))
            fn.store(nbytes, at(fn, spans, 16 * k + 8))
        for k, (_, nbytes) in enumerate(extents, len(self.spans)):
            data = self._given_data(self.given[k - len(self.spans)])
            fn.store(data, at(fn, spans, 16 * k))
            none = fn.icmp("eq", data, NULL)
            size = fn.select(none, const(I64, 0), nbytes)
            fn.store(size, at(fn, spans, 16 * k + 8))
        apart = fn.call_ptr(
            address_reg(self.support.apart),
            I32,
            [spans, const(I64, len(self.spans)), const(I64, count)],
        )
        self._or_miss(fn.icmp("ne", apart, const(I32, 0)))

    def _empty_cell(self) -> Reg:
        cell = self.fn.alloca(PTR, align=8)
        self.fn.head.append(f"  store ptr null, ptr {cell.ref}, align 8")
        return cell

    def _match(
        self, tree: Tree, item: Reg, extents: list[tuple[list[Reg], Reg]]
    ) -> None:
        """Fill the cells of a part of the results from what is given for it."""
        fn = self.fn
        some, done = fn.new_label("some"), fn.new_label("matched")
        fn.cond_br(fn.icmp("eq", item, address_reg(id(None))), done, some)
        fn.start(some)
        kind = fn.load(at(fn, item, capi.TYPE), I64)
        if isinstance(tree, tuple):
            self._or_miss(fn.icmp("eq", kind, const(I64, id(tuple))))
            number = fn.load(at(fn, item, capi.TUPLE_SIZE), I64)
            self._or_miss(fn.icmp("eq", number, const(I64, len(tree))))
            for k, child in enumerate(tree):
                part = fn.load(at(fn, item, capi.TUPLE_ITEMS + 8 * k), PTR)
                self._match(child, part, extents)
        else:
            out = self.signature.outputs[tree]
            self._or_miss(self._fits(out, item, kind, _FLAGS))
            dims = fn.load(at(fn, item, capi.ARRAY_DIMS), PTR)
            for axis, extent in enumerate(extents[tree][0]):
                held = fn.load(at(fn, dims, 8 * axis), I64)
                self._or_miss(fn.icmp("eq", held, extent))
            fn.store(item, self.given[tree])
        fn.br(done)
        fn.start(done)

    def _given_data(self, cell: Reg) -> Reg:
        """Return the address of an array's elements; NULL where none is given."""
        fn = self.fn
        item, before = fn.load(cell, PTR), fn.block
        held, done = fn.new_label("held"), fn.new_label("data")
        fn.cond_br(fn.icmp("eq", item, NULL), done, held)
        fn.start(held)
        data = fn.load(at(fn, item, capi.ARRAY_DATA), PTR)
        fn.br(done)
        fn.start(done)
        return fn.merge(PTR, [(NULL, before), (data, held)])

    def _make_output(
        self, k: int, out: OutSpec, dims: list[Reg], size: Reg
    ) -> tuple[Reg | None, Reg]:
        fn = self.fn
        if not out.dims and not self.signature.arrays:
            slot = fn.alloca(I64, align=8)
            data = self._given_data(self.given[k])
            return None, fn.select(fn.icmp("eq", data, NULL), slot, data)
        item = self._given_or(k, lambda: self._make_array(out, dims, size))
        cell = self._own(item)
        return cell, fn.load(at(fn, item, capi.ARRAY_DATA), PTR)

    def _box(self, out: OutSpec, outputs: Reg, index: int) -> Reg:
        return self._given_or(
            index, lambda: super(_Into, self)._box(out, outputs, index)
        )

    def _given_or(self, k: int, make: Callable[[], Reg]) -> Reg:
        """Return a new reference to what is given for a result, else what is made."""
        fn = self.fn
        item = fn.load(self.given[k], PTR)
        held, fresh, done = (fn.new_label(x) for x in ("held", "fresh", "result"))
        fn.cond_br(fn.icmp("eq", item, NULL), fresh, held)
        fn.start(held)
        call_api(fn, "Py_IncRef", VOID, item)
        fn.br(done)
        fn.start(fresh)
        made, last = make(), fn.block
        fn.br(done)
        fn.start(done)
        return fn.merge(PTR, [(item, held), (made, last)])


def emit_apart(module: Module) -> None:
    """Emit apart(spans, first, count): whether no span overlaps one before it.

    A span is an address and a number of bytes; those below `first` may overlap.
    """
    fn = module.function("pb_apart", I32, [(PTR, ""), (I64, ""), (I64, "")], linkage="")
    spans, first, count = fn.args

    def bounds(k: Reg) -> tuple[Reg, Reg]:
        place = fn.gep(spans, fn.shl(k, const(I64, 4)), I8)
        low = fn.load(place, I64)
        return low, fn.add(low, fn.load(at(fn, place, 8), I64))

    fn.br("outer")
    fn.start("outer")
    k = fn.phi(I64, first, "entry")
    fn.cond_br(fn.icmp("ult", k, count), "span", "apart")
    fn.start("span")
    low, high = bounds(k)
    fn.br("inner")
    fn.start("inner")
    j = fn.phi(I64, const(I64, 0), "span")
    fn.cond_br(fn.icmp("ult", j, k), "pair", "next")
    fn.start("pair")
    other_low, other_high = bounds(j)
    later = fn.select(fn.icmp("ugt", low, other_low), low, other_low)
    sooner = fn.select(fn.icmp("ult", high, other_high), high, other_high)
    fn.cond_br(fn.icmp("ult", later, sooner), "overlap", "on")
    fn.start("on")
    fn.phi_edge(j, fn.add(j, const(I64, 1)), "on")
    fn.br("inner")
    fn.start("next")
    fn.phi_edge(k, fn.add(k, const(I64, 1)), "next")
    fn.br("outer")
    fn.start("overlap")
    fn.ret(const(I32, 0))
    fn.start("apart")
    fn.ret(const(I32, 1))
