"""Emit the native entry of one signature: check, call, wrap.

The text depends on the signature alone; program, workspace and the two Python callbacks
are reached through `self`, a tuple whose items `STATE_*` number. So equal signatures
share machine code. An argument that does not fit sends the whole call, untouched, to
`miss`, and everything that can miss comes before the first object is made. Addresses of
this process are constants in the text: it is never stored.
"""

from dataclasses import dataclass

from ...codegen.llvm import (
    I1,
    I8,
    I32,
    I64,
    PTR,
    VOID,
    Function,
    Module,
    Reg,
    const,
)
from ...codegen.target import host
from ..pool import POOLED_BYTES, address_reg
from . import capi
from .interrupt import interrupts
from .spec import DTYPES, RELEASE_BYTES, InSpec, OutSpec, Signature, Tree

STATE_MISS, STATE_FAILED, STATE_RECORD = 0, 1, 2

# The record behind the capsule.
WORKSPACE, WORKSPACE_BYTES, BUSY = 0, 8, 16
PROGRAM, CONTEXT, WORKSPACE_SIZE = 24, 32, 40
RECORD_BYTES = 48

CONTEXT_BYTES = 56
PRINTING_BYTES = 72  # of programs that print
CONTEXT_STATUS = 8
CONTEXT_THREADS = 40

NULL = Reg("null", PTR)


@dataclass(frozen=True, slots=True)
class Support:
    """Addresses of the functions every entry shares."""

    large: int
    take: int
    give: int
    fail: int
    int_to_f64: int
    int_to_i64: int
    destroy: int
    apart: int


def at(fn: Function, base: Reg, offset: int) -> Reg:
    """Return the address `offset` bytes after base."""
    return fn.gep(base, const(I64, offset)) if offset else base


def state_item(fn: Function, state: Reg, index: int) -> Reg:
    """Return the address of an item of the state tuple."""
    return at(fn, state, capi.TUPLE_ITEMS + 8 * index)


def call_api(fn: Function, name: str, ret_ty: str, *args: Reg) -> Reg:
    """Call a function of the Python C API."""
    return fn.call_ptr(address_reg(capi.python_address(name)), ret_ty, args)


def new_entry(module: Module, name: str = "pb_entry", linkage: str = "") -> Function:
    """Begin the function of an entry: self, arguments, their number, keywords."""
    params = [(PTR, ""), (PTR, ""), (I64, ""), (PTR, "")]
    return module.function(name, PTR, params, linkage=linkage)


def emit_entry(signature: Signature, support: Support) -> str:
    """Return the module text of an entry; its one symbol is `pb_entry`."""
    module = host().module()
    Entry(new_entry(module), signature, support).emit()
    return module.text()


class Entry:
    """The entry being written."""

    def __init__(self, fn: Function, signature: Signature, support: Support) -> None:
        self.fn = fn
        self.signature = signature
        self.support = support
        self.sizes: dict[str, Reg] = {}
        self.total: Reg = const(I64, 0)
        # The address and bytes of each input.
        self.spans: list[tuple[Reg, Reg]] = []
        # One cell an object made here; NULL once something else owns it.
        self.owned: list[Reg] = []

    def emit(self) -> None:
        """Write the function."""
        fn, signature = self.fn, self.signature
        state, args, count, keywords = fn.args
        self._check_call(count, keywords)
        inputs = fn.alloca(PTR, max(len(signature.inputs), 1), align=8)
        for k, spec in enumerate(signature.inputs):
            item = fn.load(at(fn, args, 8 * k), PTR)
            fn.store(self._input(spec, item), at(fn, inputs, 8 * k))
        extents = [self._extents(out) for out in signature.outputs]
        self._check_given(args, extents)
        sizes = fn.alloca(I64, max(len(signature.sizes), 1), align=8)
        for k, name in enumerate(signature.sizes):
            fn.store(self.sizes[name], at(fn, sizes, 8 * k))
        outputs = fn.alloca(PTR, max(len(signature.outputs), 1), align=8)
        arrays = self._make_outputs(extents, outputs)
        self._run(state, inputs, sizes, outputs)
        cells = [
            made if made is not None else self._own(self._box(out, outputs, k))
            for k, (out, made) in enumerate(zip(signature.outputs, arrays, strict=True))
        ]
        fn.ret(fn.load(self._wrap(signature.tree, cells), PTR))
        self._emit_tails(args, count, keywords, state)

    def _check_call(self, count: Reg, keywords: Reg) -> None:
        """Check the number of arguments, and that no keyword is given."""
        fn = self.fn
        expected = const(I64, len(self.signature.inputs))
        exact = fn.icmp("eq", count, expected)
        self._or_miss(fn.and_(exact, fn.icmp("eq", keywords, NULL)))

    def _check_given(self, args: Reg, extents: list[tuple[list[Reg], Reg]]) -> None:
        """Check what results are to be written into; here nothing is given."""

    def _or_miss(self, fits: Reg) -> None:
        label = self.fn.new_label("fit")
        self.fn.cond_br(fits, label, "miss", likely=True)
        self.fn.start(label)

    # -- arguments ---------------------------------------------------------------------

    def _input(self, spec: InSpec, item: Reg) -> Reg:
        kind = self.fn.load(at(self.fn, item, capi.TYPE), I64)
        if not spec.dims:
            data = self._scalar(spec, item, kind)
            self.spans.append((data, const(I64, DTYPES[spec.dtype].itemsize)))
            return data
        self._or_miss(self._fits(spec, item, kind))
        dims = self.fn.load(at(self.fn, item, capi.ARRAY_DIMS), PTR)
        elements: Reg = const(I64, DTYPES[spec.dtype].itemsize)
        for axis, dim in enumerate(spec.dims):
            extent = self.fn.load(at(self.fn, dims, 8 * axis), I64)
            self._extent(dim, extent)
            elements = self.fn.mul(elements, extent)
        self.total = self.fn.add(self.total, elements)
        data = self.fn.load(at(self.fn, item, capi.ARRAY_DATA), PTR)
        self.spans.append((data, elements))
        return data

    def _extent(self, dim: int | str, extent: Reg) -> None:
        if isinstance(dim, int):
            self._or_miss(self.fn.icmp("eq", extent, const(I64, dim)))
        elif dim in self.sizes:
            self._or_miss(self.fn.icmp("eq", extent, self.sizes[dim]))
        else:
            self._or_miss(self.fn.icmp("ne", extent, const(I64, 1)))
            self.sizes[dim] = extent

    def _fits(
        self,
        spec: InSpec | OutSpec,
        item: Reg,
        kind: Reg,
        flags: int = capi.C_CONTIGUOUS | capi.ALIGNED,
    ) -> Reg:
        """Check that an object is exactly an ndarray of the dtype, rank and flags.

        The fields are read only where the type is exactly ndarray.
        """
        fn = self.fn
        self._or_miss(fn.icmp("eq", kind, const(I64, id(capi.ARRAY_TYPE))))
        descr = fn.load(at(fn, item, capi.ARRAY_DESCR), PTR)
        key = fn.load(at(fn, descr, capi.DESCR_KEY), I64)
        key = fn.and_(key, const(I64, capi.KEY_MASK))
        same = fn.icmp("eq", key, const(I64, capi.dtype_key(spec.dtype)))
        rank = fn.load(at(fn, item, capi.ARRAY_ND), I32)
        same = fn.and_(same, fn.icmp("eq", rank, const(I32, len(spec.dims))))
        held, wanted = fn.load(at(fn, item, capi.ARRAY_FLAGS), I32), const(I32, flags)
        return fn.and_(same, fn.icmp("eq", fn.and_(held, wanted), wanted))

    def _scalar(self, spec: InSpec, item: Reg, kind: Reg) -> Reg:
        """Return the address of a 0-d value: in its object, or in a slot here."""
        fn = self.fn
        join = fn.new_label("scalar")
        edges: list[tuple[Reg, str]] = []

        def leave(value: Reg) -> None:
            edges.append((value, fn.block))
            fn.br(join)

        def branch(condition: Reg) -> str:
            then, other = fn.new_label("is"), fn.new_label("not")
            fn.cond_br(condition, then, other)
            fn.start(then)
            return other

        exact = fn.icmp("eq", kind, const(I64, id(capi.scalar_type(spec.dtype))))
        if spec.dtype == "f64":
            # A Python float and a float64 keep their value at the same offset.
            exact = fn.or_(exact, fn.icmp("eq", kind, const(I64, id(float))))
        other = branch(exact)
        leave(at(fn, item, capi.SCALAR_VALUE))
        fn.start(other)
        if spec.dtype in ("f64", "i64"):
            other = branch(fn.icmp("eq", kind, const(I64, id(int))))
            slot = fn.alloca(I64, align=8)
            kind_of = {"f64": self.support.int_to_f64, "i64": self.support.int_to_i64}
            helper = kind_of[spec.dtype]
            good = fn.call_ptr(address_reg(helper), I32, [item, slot])
            self._or_miss(fn.icmp("ne", good, const(I32, 0)))
            leave(slot)
            fn.start(other)
        elif spec.dtype == "bool":
            other = branch(fn.icmp("eq", kind, const(I64, id(bool))))
            slot = fn.alloca(I8, align=1)
            true = fn.icmp("eq", item, address_reg(id(True)))
            fn.store(fn.convert("zext", true, I8), slot)
            leave(slot)
            fn.start(other)
        self._or_miss(self._fits(spec, item, kind))
        leave(fn.load(at(fn, item, capi.ARRAY_DATA), PTR))
        fn.start(join)
        return fn.merge(PTR, edges)

    # -- results -----------------------------------------------------------------------

    def _extents(self, out: OutSpec) -> tuple[list[Reg], Reg]:
        """Return the extents and bytes of a result; misses where they overflow."""
        fn = self.fn
        itemsize = const(I64, DTYPES[out.dtype].itemsize)
        extents: list[Reg] = []
        fixed = 1
        for dim in out.dims:
            if isinstance(dim, int):
                extents.append(const(I64, dim))
                fixed *= dim
            else:
                extents.append(dim(fn, self.sizes))
        if len(out.dims) == sum(isinstance(dim, int) for dim in out.dims):
            size = const(I64, fixed * DTYPES[out.dtype].itemsize)
        else:
            size = itemsize
            name = "llvm.smul.with.overflow.i64"
            fn.module.declare(name, f"declare {{i64, i1}} @{name}(i64, i64)")
            good: Reg = const(I1, 1)
            for extent in extents:
                pair = fn.call(name, "{i64, i1}", [size, extent])
                size = fn.emit(I64, f"extractvalue {{i64, i1}} {pair.ref}, 0")
                over = fn.emit(I1, f"extractvalue {{i64, i1}} {pair.ref}, 1")
                positive = fn.icmp("sge", extent, const(I64, 0))
                good = fn.and_(good, fn.and_(fn.not_(over), positive))
            self._or_miss(good)
        if out.dims:
            self.total = fn.add(self.total, size)
        return extents, size

    def _own(self, value: Reg) -> Reg:
        """Keep a new object in a cell, or unwind where it is NULL."""
        fn = self.fn
        cell = fn.alloca(PTR, align=8)
        fn.head.append(f"  store ptr null, ptr {cell.ref}, align 8")
        fn.store(value, cell)
        self.owned.append(cell)
        label = fn.new_label("made")
        fn.cond_br(fn.icmp("ne", value, NULL), label, "unwind", likely=True)
        fn.start(label)
        return cell

    def _make_outputs(
        self, extents: list[tuple[list[Reg], Reg]], outputs: Reg
    ) -> list[Reg | None]:
        """Fill the address list; returns the cells, None for a scalar."""
        fn = self.fn
        made: list[Reg | None] = []
        pairs = zip(self.signature.outputs, extents, strict=True)
        for k, (out, (dims, size)) in enumerate(pairs):
            cell, data = self._make_output(k, out, dims, size)
            made.append(cell)
            fn.store(data, at(fn, outputs, 8 * k))
        return made

    def _make_output(
        self, k: int, out: OutSpec, dims: list[Reg], size: Reg
    ) -> tuple[Reg | None, Reg]:
        """Return the cell of a result, None for a scalar, and where it is written."""
        if not out.dims and not self.signature.arrays:
            return None, self.fn.alloca(I64, align=8)
        array = self._make_array(out, dims, size)
        cell = self._own(array)
        return cell, self.fn.load(at(self.fn, array, capi.ARRAY_DATA), PTR)

    def _make_array(self, out: OutSpec, dims: list[Reg], size: Reg) -> Reg:
        fn = self.fn
        shape = fn.alloca(I64, max(len(dims), 1), align=8)
        for axis, extent in enumerate(dims):
            fn.store(extent, at(fn, shape, 8 * axis))
        descr = address_reg(id(DTYPES[out.dtype]))
        rank = const(I32, len(dims))
        small, large = fn.new_label("small"), fn.new_label("large")
        join = fn.new_label("array")
        fn.cond_br(fn.icmp("ult", size, const(I64, POOLED_BYTES)), small, large)
        fn.start(small)
        call_api(fn, "Py_IncRef", VOID, descr)
        fresh = fn.call_ptr(
            address_reg(capi.numpy_address("PyArray_NewFromDescr")),
            PTR,
            [
                address_reg(id(capi.ARRAY_TYPE)),
                descr, rank, shape, NULL, NULL, const(I32, 0), NULL,
            ],
        )  # fmt: skip
        fn.br(join)
        fn.start(large)
        target = address_reg(self.support.large)
        pooled = fn.call_ptr(target, PTR, [descr, rank, shape, size])
        fn.br(join)
        fn.start(join)
        return fn.merge(PTR, [(fresh, small), (pooled, large)])

    def _box(self, out: OutSpec, outputs: Reg, index: int) -> Reg:
        """Make a NumPy scalar of a 0-d result."""
        fn = self.fn
        slot = fn.load(at(fn, outputs, 8 * index), PTR)
        return fn.call_ptr(
            address_reg(capi.numpy_address("PyArray_Scalar")),
            PTR,
            [slot, address_reg(id(DTYPES[out.dtype])), NULL],
        )

    def _wrap(self, tree: Tree, cells: list[Reg]) -> Reg:
        """Return the cell of the result; a tuple takes its items over."""
        if isinstance(tree, int):
            return cells[tree]
        fn = self.fn
        items = [self._wrap(child, cells) for child in tree]
        made = call_api(fn, "PyTuple_New", PTR, const(I64, len(items)))
        cell = self._own(made)
        for k, item in enumerate(items):
            fn.store(fn.load(item, PTR), at(fn, made, capi.TUPLE_ITEMS + 8 * k))
            fn.store(NULL, item)
        return cell

    # -- the call ----------------------------------------------------------------------

    def _run(self, state: Reg, inputs: Reg, sizes: Reg, outputs: Reg) -> None:
        fn = self.fn
        capsule = fn.load(state_item(fn, state, STATE_RECORD), PTR)
        record = fn.load(at(fn, capsule, capi.CAPSULE_POINTER), PTR)
        status = fn.alloca(I64, 4, align=8)
        for offset in range(0, 32, 8):
            fn.store(const(I64, 0), at(fn, status, offset))
        context = self._context(record, status)
        workspace = self._take_workspace(record, context, sizes)
        program = fn.load(at(fn, record, PROGRAM), PTR)
        args = [context, inputs, sizes, outputs, workspace]
        code = self._call(program, args)
        if self.signature.workspace:
            give = address_reg(self.support.give)
            fn.call_ptr(give, VOID, [record, workspace])
        fn.cond_br(
            fn.icmp("eq", code, const(I32, 0)), "succeeded", "failed", likely=True
        )
        fn.start("failed")
        fn.call_ptr(address_reg(self.support.fail), VOID, [state, code, status])
        fn.br("unwind")
        fn.start("succeeded")

    def _context(self, record: Reg, status: Reg) -> Reg:
        """Return a copy of the runtime's pb_ctx that reports to `status`."""
        fn = self.fn
        template = fn.load(at(fn, record, CONTEXT), PTR)
        nbytes = PRINTING_BYTES if self.signature.prints else CONTEXT_BYTES
        context = fn.alloca(I64, nbytes // 8, align=8)
        for offset in range(0, nbytes, 8):
            value = (
                status
                if offset == CONTEXT_STATUS
                else fn.load(at(fn, template, offset), PTR)
            )
            fn.store(value, at(fn, context, offset))
        return context

    def _take_workspace(self, record: Reg, context: Reg, sizes: Reg) -> Reg:
        fn, need = self.fn, self.signature.workspace
        if not need:
            return NULL
        size = const(I64, need)
        if need < 0:
            function = fn.load(at(fn, record, WORKSPACE_SIZE), PTR)
            threads = fn.load(at(fn, context, CONTEXT_THREADS), I32)
            size = fn.call_ptr(function, I64, [sizes, threads])
        cell = fn.alloca(PTR, align=8)
        take = address_reg(self.support.take)
        good = fn.call_ptr(take, I32, [record, size, cell])
        label = fn.new_label("ready")
        fn.cond_br(fn.icmp("ne", good, const(I32, 0)), label, "unwind", likely=True)
        fn.start(label)
        return fn.load(cell, PTR)

    def _call(self, program: Reg, args: list[Reg]) -> Reg:
        fn, release = self.fn, self.signature.release
        if release is None:
            long = fn.icmp("ugt", self.total, const(I64, RELEASE_BYTES))
        else:
            long = const(I1, release)
        if self.signature.stoppable:
            watched = address_reg(interrupts().watched)
            free = fn.convert("zext", long, I32)
            return fn.call_ptr(watched, I32, [program, *args, free])
        fn.cond_br(long, "long", "short")
        fn.start("short")
        held = fn.call_ptr(program, I32, args)
        fn.br("ran")
        fn.start("long")
        thread = call_api(fn, "PyEval_SaveThread", PTR)
        free = fn.call_ptr(program, I32, args)
        call_api(fn, "PyEval_RestoreThread", VOID, thread)
        fn.br("ran")
        fn.start("ran")
        return fn.merge(I32, [(held, "short"), (free, "long")])

    def _emit_tails(self, args: Reg, count: Reg, keywords: Reg, state: Reg) -> None:
        fn = self.fn
        fn.start("unwind")
        for cell in self.owned:
            call_api(fn, "Py_DecRef", VOID, fn.load(cell, PTR))
        fn.ret(NULL)
        fn.start("miss")
        target = fn.load(state_item(fn, state, STATE_MISS), PTR)
        fn.ret(call_api(fn, "PyObject_Vectorcall", PTR, target, args, count, keywords))
