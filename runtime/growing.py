"""The memory of programs whose loops bind sizes: the `grow` of docs/abi.md."""

from functools import cache

from ..codegen.llvm import I64, PTR, VOID, Reg, const
from ..codegen.target import emit_object_quickly, host
from .loading import Library
from .pool import address_reg, c_address, immortal


@cache
def grow_address() -> int:
    """Return the address of a `grow` that needs no interpreter lock and no state."""
    module = host().module()
    fn = module.function("pb_grow", PTR, [(PTR, ""), (PTR, ""), (I64, "")], linkage="")
    _, old, nbytes = fn.args
    fn.cond_br(fn.icmp("eq", nbytes, const(I64, 0)), "free", "more")
    fn.start("free")
    fn.call_ptr(address_reg(c_address("PyMem_RawFree")), VOID, [old])
    fn.ret(Reg("null", PTR))
    fn.start("more")
    realloc = address_reg(c_address("PyMem_RawRealloc"))
    fn.ret(fn.call_ptr(realloc, PTR, [old, nbytes]))
    library = Library(emit_object_quickly(module.text(), host()))
    immortal(library)
    return library.address("pb_grow")
