"""Call a compiled program from Python, as fast as a builtin function.

`make_entry` turns the address of a native program (docs/abi.md) and a description of
its arrays into a callable. The call checks its arguments, makes the results and runs
the program; arguments that don't fit exactly go to a Python callable instead. Where
the native entry isn't known to be safe, a ctypes callable with the same behaviour is
made, and `call_path` says so.
"""

import ctypes
from collections.abc import Callable
from functools import cache

from ..growing import grow_address
from ..pool import immortal
from ..threads import threads as thread_pool
from .capi import refusal
from .native import make_native, redirect_native
from .portable import Context, PortableEntry, make_portable
from .spec import DimEmitter, InSpec, OutSpec, Signature, Tree, check_signature

__all__ = [
    "DimEmitter",
    "InSpec",
    "OutSpec",
    "Tree",
    "call_path",
    "context_of",
    "make_entry",
    "redirect",
]

_DEFAULT_CONTEXT = Context(abi_version=1, size=ctypes.sizeof(Context), threads=1)
immortal(_DEFAULT_CONTEXT)


@cache
def context_of(grows: bool, threads: int) -> int:
    """Return the address of a context, the same for equal needs.

    Args:
        grows: whether its programs may ask for memory.
        threads: how many run the parts of a kernel; from 2 on they are of the pool.
    """
    made = Context.from_buffer_copy(_DEFAULT_CONTEXT)
    if grows:
        made.grow = grow_address()
    if threads > 1:
        made.pool = thread_pool().table
        made.threads = threads
    immortal(made)
    return ctypes.addressof(made)


def call_path() -> str:
    """Return `native`, or `ctypes: ` and the reason."""
    reason = refusal()
    return "native" if reason is None else f"ctypes: {reason}"


def make_entry(
    address: int,
    inputs: tuple[InSpec, ...],
    outputs: tuple[OutSpec, ...],
    sizes: tuple[str, ...],
    workspace: int,
    tree: Tree,
    miss: Callable[..., object],
    failed: Callable[[int, int, int, int, int], BaseException],
    *,
    workspace_address: int = 0,
    context: int = 0,
    release: bool | None = None,
    stoppable: bool = False,
    prints: bool = False,
    into: bool = False,
    arrays: bool = False,
    keep: object = None,
    path: str | None = None,
) -> Callable[..., object]:
    """Make the callable of a native program.

    Args:
        address: the program's `pb_NAME`.
        inputs: the arguments, all positional.
        outputs: the results, in the program's order.
        sizes: the named sizes in the order the program takes them.
        workspace: bytes of workspace; ignored with `workspace_address`.
        tree: how results are returned: an output's number or a nested tuple of them,
            each output once. A 0-d result is a NumPy scalar, others are fresh arrays.
        miss: called with the arguments of a call that doesn't fit exactly.
        failed: makes the exception of a status: code, node, index, axis, extent.
        workspace_address: the program's `pb_NAME_workspace`, or 0.
        context: address of a pb_ctx that is copied at each call, with the status
            replaced; 0 for one thread and no cancel flag. It must outlive the entry.
        release: run without the interpreter lock always, never, or (None) when the
            arrays of a call exceed 1 MiB.
        stoppable: an interrupt stops the program: it has loops.
        prints: the context has the fields of programs that print.
        into: the call takes `out=`: arranged as `tree`, arrays that results are written
            into and that are returned, or None for what is made; None also stands for a
            tuple. An array must fit exactly, be C-contiguous, aligned and writable, and
            overlap no input and no other result, else the call doesn't fit.
        arrays: 0-d results are arrays too.
        keep: an object kept as long as the entry: whatever owns `address`.
        path: `native` or `ctypes` instead of the best path here.

    Returns:
        A callable that doesn't bind: as `__call__` of a class it receives exactly the
        arguments of the call.

    Raises:
        ValueError: the description contradicts itself.
        RuntimeError: `path` is `native` and the native entry can't be used here.
    """
    signature = Signature(
        inputs, outputs, sizes, tree, -1 if workspace_address else workspace, release,
        stoppable, prints, into, arrays,
    )  # fmt: skip
    check_signature(signature)
    reason = refusal()
    if path == "native" and reason is not None:
        raise RuntimeError(f"no native entry: {reason}")
    native = reason is None and path != "ctypes"
    make = make_native if native else make_portable
    return make(
        address,
        signature,
        workspace_address,
        context or ctypes.addressof(_DEFAULT_CONTEXT),
        miss,
        failed,
        keep,
    )


def redirect(entry: Callable[..., object], address: int) -> None:
    """Let an entry call a program of the same arrays at another address.

    Calls that run meanwhile end where they began: the code there must stay.
    """
    if isinstance(entry, PortableEntry):
        entry.redirect(address)
    else:
        redirect_native(entry, address)
