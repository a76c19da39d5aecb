"""Write a static library: an ar archive with the symbol index linkers want.

Two dialects: GNU's, for ELF and for COFF objects, and BSD's, for Mach-O. Dates, owners
and modes are fixed, so the same object gives the same archive.
"""

import struct
from collections.abc import Sequence

from ...ir.errors import PackageError

_MAGIC = b"!<arch>\n"


def write_archive(
    member: str, data: bytes, symbols: Sequence[str], bsd: bool = False
) -> bytes:
    """Return an archive of one object.

    Args:
        member: the file name of the object.
        data: the object.
        symbols: linker symbols the object defines, for the index.
        bsd: write the dialect of Mach-O linkers.

    Raises:
        PackageError: the archive would exceed the 4 GiB its index can address.
    """
    if len(data) >= 2**32 - 2**20:
        raise PackageError(f"{member}: {len(data)} bytes exceed what an ar index holds")
    write = _bsd if bsd else _gnu
    return write(member, data, [s.encode() for s in symbols])


def _header(name: str, size: int) -> bytes:
    text = f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{size:<10}`\n"
    return text.encode("ascii")


def _padded(data: bytes, align: int, fill: bytes) -> bytes:
    return data + fill * (-len(data) % align)


def _gnu(member: str, data: bytes, symbols: list[bytes]) -> bytes:
    # A name ends in a slash; one over 15 bytes is kept in the member `//`.
    long_names = b""
    name = f"{member}/"
    if len(member.encode()) > 15:
        long_names = _padded(f"{member}/\n".encode(), 2, b"\n")
        name = "/0"
    strings = b"".join(s + b"\0" for s in symbols)
    index_size = 4 + 4 * len(symbols) + len(strings)
    index_size += index_size % 2
    names = _header("//", len(long_names)) + long_names if long_names else b""
    at = len(_MAGIC) + 60 + index_size + len(names)
    index = struct.pack(f">{len(symbols) + 1}I", len(symbols), *[at] * len(symbols))
    index = (index + strings).ljust(index_size, b"\0")
    return b"".join(
        [
            _MAGIC,
            _header("/", index_size),
            index,
            names,
            _header(name, len(data)),
            _padded(data, 2, b"\n"),
        ]
    )


def _bsd(member: str, data: bytes, symbols: list[bytes]) -> bytes:
    # Names follow the header and count as content: `#1/20` is a name of 20 bytes.
    # Everything is a multiple of 8, as the linker wants objects aligned.
    strings = _padded(b"".join(s + b"\0" for s in symbols), 8, b"\0")
    index_size = 20 + 4 + 8 * len(symbols) + 4 + len(strings)
    index_size += -(len(_MAGIC) + 60 + index_size) % 8
    at = len(_MAGIC) + 60 + index_size
    index = b"__.SYMDEF".ljust(20, b"\0") + struct.pack("<I", 8 * len(symbols))
    offset = 0
    for symbol in symbols:
        index += struct.pack("<II", offset, at)
        offset += len(symbol) + 1
    index += struct.pack("<I", len(strings)) + strings
    index = index.ljust(index_size, b"\0")
    name = member.encode() + b"\0"
    name += b"\0" * (-(at + 60 + len(name)) % 8)
    body = _padded(name + data, 8, b"\n")
    return b"".join(
        [
            _MAGIC,
            _header("#1/20", index_size),
            index,
            _header(f"#1/{len(name)}", len(body)),
            body,
        ]
    )
