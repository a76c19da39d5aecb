"""Package a compiled program: object, libraries, header, loader module.

Pure Python: no compiler, linker or archiver is needed. Formats are written from the
object's bytes alone.
"""

import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...codegen.elf import EM_AARCH64, EM_X86_64, defined_symbols, is_elf, read_object
from ...codegen.elf import undefined_symbols as _undefined
from ...codegen.signature import ABI_VERSION, Signature, TextSpec
from ...ir.errors import PackageError
from .archive import write_archive
from .header import header_text
from .loader import Pair, Tree, loader_text
from .names import check_symbols, stamp_symbol
from .publish import publish_files
from .shared import write_shared

__all__ = ["Pair", "Tree", "missing_files", "package_files", "write_package"]


def missing_files(name: str, object_bytes: bytes) -> str:
    """Say which files are not written for an object's format, and why; "" for none."""
    what = f"lib{name}.so and {name}.py are not written"
    if not is_elf(object_bytes):
        return f"{what}: the object is not ELF, so a linker has to make the library"
    machine = read_object(object_bytes).machine
    if machine not in (EM_X86_64, EM_AARCH64):
        return f"{what}: shared libraries for ELF machine {machine} are not supported"
    return ""


def package_files(
    name: str,
    object_bytes: bytes,
    llvm_text: str,
    signatures: Sequence[Signature],
    trees: Sequence[Tree],
    target_triple: str,
    features: Sequence[str],
    argument_trees: Sequence[Mapping[str, Tree] | None] | None = None,
    pairs: Sequence[Pair] = (),
    texts: Sequence[TextSpec] = (),
) -> dict[str, bytes]:
    """Return the files of a package by name; see `write_package`."""
    check_symbols(name, [s.symbol for s in signatures])
    needed = [symbol for s in signatures for symbol in s.symbols()]
    header = header_text(name, signatures, texts)
    elf = is_elf(object_bytes)
    if elf:
        missing = _undefined(object_bytes)
        if missing:
            raise PackageError(
                f"the object of {name} is not self-contained: it needs "
                f"{', '.join(missing)}"
            )
        defined = defined_symbols(object_bytes)
        absent = [symbol for symbol in needed if symbol not in set(defined)]
        if absent:
            raise PackageError(f"the object of {name} lacks {', '.join(absent)}")
    else:
        mach_o = object_bytes[:4] == b"\xcf\xfa\xed\xfe"
        defined = [f"_{symbol}" if mach_o else symbol for symbol in needed]
    contents = {
        f"{name}.o": object_bytes,
        f"lib{name}.a": write_archive(
            f"{name}.o", object_bytes, defined, bsd=not elf and mach_o
        ),
    }
    if not missing_files(name, object_bytes):
        library = f"lib{name}.so"
        stamp = (stamp_symbol(name), _stamp(object_bytes, signatures))
        contents[library] = write_shared(object_bytes, library, dict([stamp]))
        loader = loader_text(
            name,
            signatures,
            trees,
            argument_trees or [None] * len(signatures),
            target_triple,
            features,
            library,
            stamp,
            pairs,
            texts,
        )
        contents[f"{name}.py"] = loader.encode()
    contents[f"{name}.h"] = header.encode()
    contents[f"{name}.ll"] = llvm_text.encode()
    return contents


def write_package(
    out_dir: str | os.PathLike[str],
    name: str,
    object_bytes: bytes,
    llvm_text: str,
    signatures: Sequence[Signature],
    trees: Sequence[Tree],
    target_triple: str,
    features: Sequence[str],
    argument_trees: Sequence[Mapping[str, Tree] | None] | None = None,
    pairs: Sequence[Pair] = (),
    texts: Sequence[TextSpec] = (),
) -> list[Path]:
    """Write a compiled program into a folder: all files or none.

    The files are NAME.o, libNAME.a, libNAME.so, NAME.py, NAME.h and NAME.ll. Objects
    that are not ELF for x86-64 or AArch64 get no libNAME.so and no NAME.py;
    `missing_files` says so.

    Args:
        out_dir: the folder, made if it does not exist. Other files in it stay.
        name: the program: an ASCII identifier.
        object_bytes: one relocatable object without undefined symbols.
        llvm_text: the LLVM IR the object was made from.
        signatures: the functions in the object.
        trees: how the results of each function nest.
        target_triple: the machine the object is for.
        features: the processor features its code uses.
        argument_trees: how the arguments of each function nest, by parameter; None for
            one parameter an input.
        pairs: which functions are the halves of a pullback.
        texts: what the functions print, by number.

    Returns:
        The paths of the files.

    Raises:
        PackageError: the object, a name or a tree cannot be packaged.
        OSError: a file could not be written.
    """
    return publish_files(
        out_dir,
        package_files(
            name,
            object_bytes,
            llvm_text,
            signatures,
            trees,
            target_triple,
            features,
            argument_trees,
            pairs,
        ),
    )


def _stamp(object_bytes: bytes, signatures: Sequence[Signature]) -> bytes:
    digest = hashlib.sha256(object_bytes)
    digest.update(repr(tuple(signatures)).encode())
    return struct.pack("<ii", ABI_VERSION, 0) + digest.digest()
