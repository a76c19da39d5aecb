"""Lay out and write the bytes of an ELF shared library.

Knows headers, segments and tables; what goes into them is decided elsewhere. File
offsets and addresses agree modulo the page, and each segment begins on a file page of
its own, so no byte of one is mapped with the rights of another where pages are 4 KiB.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...codegen import elf
from ...ir.errors import PackageError

DYNSYM = 11

_FILE_PAGE = 0x1000
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_PT_LOAD = 1
_PT_DYNAMIC = 2
_PT_GNU_EH_FRAME = 0x6474E550
_PT_GNU_STACK = 0x6474E551
_PT_GNU_RELRO = 0x6474E552


@dataclass(slots=True, eq=False)
class Output:
    """A section of the library; `address` and `offset` are known once placed."""

    name: str
    kind: int
    flags: int
    data: bytearray
    align: int
    entry: int = 0
    link: "Output | None" = None
    info: int = 0
    address: int = 0
    offset: int = 0


def _up(value: int, align: int) -> int:
    return -(-value // align) * align


@dataclass(slots=True)
class Image:
    """A library being laid out: add segments, place, fill the data, write."""

    machine: int
    flags: int
    page: int
    sections: list[Output] = field(default_factory=list)
    _segments: list[tuple[int, list[Output]]] = field(default_factory=list)
    _headers: list[tuple[int, ...]] = field(default_factory=list)
    _end: int = 0
    _numbers: dict[int, int] = field(default_factory=dict)

    def add_segment(self, rights: int, sections: Sequence[Output]) -> None:
        """Add a segment; `rights` has bits 4 read, 2 write, 1 execute."""
        self._segments.append((rights, list(sections)))
        for section in sections:
            self._add(section)

    def _add(self, section: Output) -> None:
        self.sections.append(section)
        self._numbers[id(section)] = len(self.sections)

    def number(self, section: Output) -> int:
        """Return the index of the section's header."""
        return self._numbers[id(section)]

    def place(self, dynamic: Output, frames: Output | None) -> None:
        """Give every section of the segments its address; their sizes are final.

        Raises:
            PackageError: the library has more sections than the format numbers.
        """
        if len(self.sections) > elf.SHN_LORESERVE - 8:
            raise PackageError(f"{len(self.sections)} sections are too many")
        count = len(self._segments) + 3 + (frames is not None)
        offset = address = _EHDR.size + count * _PHDR.size
        loads = []
        for number, (rights, sections) in enumerate(self._segments):
            if number:
                offset = _up(offset, _FILE_PAGE)
                address = _up(address, self.page) + offset % self.page
            start = (offset, address) if number else (0, 0)
            for section in sections:
                step = _up(address, section.align) - address
                section.offset, section.address = offset + step, address + step
                offset += step + len(section.data)
                address += step + len(section.data)
            stop = _up(address, self.page) if rights & 2 else address
            size, memory = offset - start[0], stop - start[1]
            loads.append(
                (
                    _PT_LOAD,
                    rights,
                    start[0],
                    start[1],
                    start[1],
                    size,
                    memory,
                    self.page,
                )
            )
        self._end = offset
        _, _, begin, where, _, size, memory, _ = loads[-1]
        self._headers = [*loads, _section_header(_PT_DYNAMIC, 6, dynamic)]
        self._headers.append((_PT_GNU_RELRO, 4, begin, where, where, size, memory, 1))
        if frames is not None:
            self._headers.append(_section_header(_PT_GNU_EH_FRAME, 4, frames))
        self._headers.append((_PT_GNU_STACK, 6, 0, 0, 0, 0, 0, 16))

    def add_loose(self, section: Output) -> None:
        """Add a section that is in the file and not in memory."""
        section.offset = _up(self._end, section.align)
        self._end = section.offset + len(section.data)
        self._add(section)

    def to_bytes(self) -> bytes:
        """Return the file."""
        names, at = string_table([*(s.name for s in self.sections), ".shstrtab"])
        self.add_loose(Output(".shstrtab", elf.SHT_STRTAB, 0, bytearray(names), 1))
        table = _up(self._end, 8)
        out = bytearray(table)
        count = len(self.sections) + 1
        ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        out[: _EHDR.size] = _EHDR.pack(
            ident, 3, self.machine, 1, 0, _EHDR.size, table, self.flags, _EHDR.size,
            _PHDR.size, len(self._headers), _SHDR.size, count, count - 1,
        )  # fmt: skip
        for k, header in enumerate(self._headers):
            _PHDR.pack_into(out, _EHDR.size + k * _PHDR.size, *header)
        out += bytes(_SHDR.size)
        for s in self.sections:
            out[s.offset : s.offset + len(s.data)] = s.data
            link = 0 if s.link is None else self.number(s.link)
            out += _SHDR.pack(
                at[s.name], s.kind, s.flags, s.address, s.offset, len(s.data), link,
                s.info, s.align, s.entry,
            )  # fmt: skip
        return bytes(out)


def _section_header(kind: int, rights: int, s: Output) -> tuple[int, ...]:
    size = len(s.data)
    return (kind, rights, s.offset, s.address, s.address, size, size, s.align)


def string_table(names: Sequence[str]) -> tuple[bytes, dict[str, int]]:
    """Return a string table and the offset of each name in it."""
    table = bytearray(1)
    at: dict[str, int] = {}
    for name in names:
        if name not in at:
            at[name] = len(table)
            table += name.encode() + b"\0"
    return bytes(table), at


def symbol_record(
    name: int,
    bind: int,
    kind: int,
    visibility: int,
    section: int,
    value: int,
    size: int,
) -> bytes:
    """Return an entry of a symbol table.

    Raises:
        PackageError: the value or the size is outside the address space.
    """
    if not (0 <= value < 2**64 and 0 <= size < 2**64):
        raise PackageError(f"symbol at {value:#x} lies outside the address space")
    return struct.pack(
        "<IBBHQQ", name, bind << 4 | kind, visibility, section, value, size
    )


def hash_table(names: Sequence[str]) -> bytes:
    """Return the hash section for symbols numbered from 1 in the order of `names`.

    Source: System V gABI, chapter 5, "Hash Table".
    """
    buckets = [0] * max(len(names), 1)
    chains = [0] * (len(names) + 1)
    for number, name in enumerate(names, 1):
        slot = _hash(name) % len(buckets)
        chains[number] = buckets[slot]
        buckets[slot] = number
    words = [len(buckets), len(chains), *buckets, *chains]
    return struct.pack(f"<{len(words)}I", *words)


def _hash(name: str) -> int:
    h = 0
    for byte in name.encode():
        h = (h << 4) + byte
        high = h & 0xF0000000
        h = (h ^ high >> 24) & ~high & 0xFFFFFFFF
    return h


def dynamic_table(
    soname: int, hashes: Output, strings: Output, symbols: Output, rela: Output | None
) -> bytes:
    """Return the dynamic section: what the loader needs to find the tables."""
    pairs = [
        (14, soname),
        (4, hashes.address),
        (5, strings.address),
        (6, symbols.address),
        (10, len(strings.data)),
        (11, 24),
    ]
    if rela is not None:
        count = len(rela.data) // 24
        pairs += [(7, rela.address), (8, 24 * count), (9, 24), (0x6FFFFFF9, count)]
    return b"".join(struct.pack("<QQ", tag, value) for tag, value in [*pairs, (0, 0)])
