"""Read an ELF64 relocatable object: sections, symbols, relocations.

Every offset is checked before it is followed, so damaged bytes end in a `PackageError`
and in nothing else. Little-endian objects only: those are what the targets emit.
"""

import struct
from dataclasses import dataclass

from ..ir.errors import PackageError

EM_X86_64 = 62
EM_AARCH64 = 183

SHT_PROGBITS = 1
SHT_SYMTAB = 2
SHT_STRTAB = 3
SHT_RELA = 4
SHT_NOBITS = 8
SHT_REL = 9
SHT_SYMTAB_SHNDX = 18

SHF_WRITE = 1
SHF_ALLOC = 2
SHF_EXECINSTR = 4
SHF_TLS = 0x400
SHF_COMPRESSED = 0x800

SHN_UNDEF = 0
SHN_LORESERVE = 0xFF00
SHN_ABS = 0xFFF1
SHN_COMMON = 0xFFF2

STB_LOCAL = 0
STB_GLOBAL = 1
STB_WEAK = 2
STV_DEFAULT = 0
STV_PROTECTED = 3
STT_OBJECT = 1
STT_FUNC = 2
STT_SECTION = 3
STT_FILE = 4
STT_COMMON = 5
STT_TLS = 6
STT_GNU_IFUNC = 10

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its header's fields and its bytes, none for SHT_NOBITS."""

    index: int
    name: str
    kind: int
    flags: int
    size: int
    align: int
    link: int
    info: int
    data: bytes

    def has(self, flag: int) -> bool:
        """Return whether a flag is set."""
        return bool(self.flags & flag)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol: `section` is the index of its section, or a reserved index."""

    name: str
    bind: int
    kind: int
    visibility: int
    section: int
    value: int
    size: int

    @property
    def is_exported(self) -> bool:
        """Whether a linker outside the object can see the definition."""
        return (
            self.section != SHN_UNDEF
            and self.bind in (STB_GLOBAL, STB_WEAK)
            and self.visibility in (STV_DEFAULT, STV_PROTECTED)
        )


@dataclass(frozen=True, slots=True)
class Relocation:
    """Patch `section` at `offset` with the address of `symbol` plus `addend`."""

    section: int
    offset: int
    kind: int
    symbol: int
    addend: int


@dataclass(frozen=True, slots=True)
class ElfObject:
    """A relocatable object. Symbols keep their numbers: relocations refer to them."""

    machine: int
    flags: int
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]


def is_elf(data: bytes) -> bool:
    """Return whether the bytes begin as an ELF file does."""
    return data[:4] == b"\x7fELF"


def read_object(data: bytes) -> ElfObject:
    """Read a relocatable object.

    Raises:
        PackageError: the bytes are not a well-formed little-endian ELF64 object.
    """
    if not is_elf(data):
        raise PackageError(
            f"not an ELF object: it begins with {data[:4]!r}, not b'\\x7fELF'"
        )
    if len(data) < _EHDR.size:
        raise PackageError(f"ELF header is cut off: {len(data)} bytes of {_EHDR.size}")
    ident, kind, machine, _, _, _, shoff, flags, *rest = _EHDR.unpack_from(data)
    _, _, _, shentsize, shnum, shstrndx = rest
    if ident[4] != 2 or ident[5] != 1:
        raise PackageError("not a 64-bit little-endian ELF object")
    if kind != 1:
        raise PackageError(f"not a relocatable object: ELF type {kind}, expected 1")
    if shentsize != _SHDR.size:
        raise PackageError(f"section headers of {shentsize} bytes, expected 64")
    sections = _read_sections(data, shoff, shnum, shstrndx)
    symbols = _read_symbols(sections)
    return ElfObject(
        machine, flags, sections, symbols, _read_relocations(sections, len(symbols))
    )


def _slice(data: bytes, offset: int, size: int, what: str) -> bytes:
    if offset + size > len(data):
        raise PackageError(
            f"{what} is cut off: bytes {offset} to {offset + size} of {len(data)}"
        )
    return data[offset : offset + size]


def _string(table: bytes, offset: int, what: str) -> str:
    end = table.find(b"\0", offset)
    if offset >= len(table) or end < 0:
        raise PackageError(f"{what}: no string at {offset} of {len(table)} bytes")
    try:
        return table[offset:end].decode()
    except UnicodeDecodeError as bad:
        raise PackageError(f"{what}: the string at {offset} is not UTF-8") from bad


def _read_sections(
    data: bytes, shoff: int, shnum: int, shstrndx: int
) -> tuple[Section, ...]:
    if shnum == 0 and shoff:
        # More than 65,279 sections: the counts are in the first header.
        first = _SHDR.unpack(_slice(data, shoff, _SHDR.size, "section header 0"))
        shnum = first[5]
    if shstrndx == 0xFFFF:
        first = _SHDR.unpack(_slice(data, shoff, _SHDR.size, "section header 0"))
        shstrndx = first[6]
    if shnum > len(data) // _SHDR.size:
        raise PackageError(f"{shnum} section headers do not fit {len(data)} bytes")
    raw = _slice(data, shoff, shnum * _SHDR.size, "section header table")
    headers = list(_SHDR.iter_unpack(raw))
    if not 0 < shstrndx < shnum:
        raise PackageError(f"section names are in section {shstrndx} of {shnum}")
    names = _slice(data, headers[shstrndx][4], headers[shstrndx][5], "section names")
    sections = []
    used = 0
    for index, (name, kind, flags, _, offset, size, link, info, align, _) in enumerate(
        headers
    ):
        text = _string(names, name, f"section {index}")
        body = b""
        if index and kind != SHT_NOBITS:
            body = _slice(data, offset, size, f"section {text or index}")
            used += size
        if used > len(data):
            raise PackageError("sections overlap: together they exceed the file")
        if align & (align - 1):
            raise PackageError(f"section {text}: alignment {align} is no power of two")
        sections.append(
            Section(index, text, kind, flags, size, max(align, 1), link, info, body)
        )
    return tuple(sections)


def _linked(sections: tuple[Section, ...], section: Section, kind: int) -> Section:
    if section.link >= len(sections) or sections[section.link].kind != kind:
        raise PackageError(
            f"section {section.name} links to section {section.link}, "
            f"which is not of type {kind}"
        )
    return sections[section.link]


def _records(section: Section, size: int) -> bytes:
    if len(section.data) % size:
        raise PackageError(
            f"section {section.name}: {len(section.data)} bytes are no multiple of the "
            f"entry size {size}"
        )
    return section.data


def _read_symbols(sections: tuple[Section, ...]) -> tuple[Symbol, ...]:
    tables = [s for s in sections if s.kind == SHT_SYMTAB]
    if len(tables) != 1:
        raise PackageError(f"{len(tables)} symbol tables, expected one")
    names = _linked(sections, tables[0], SHT_STRTAB).data
    wide: list[int] = []
    for section in sections:
        if section.kind == SHT_SYMTAB_SHNDX:
            wide = [k for (k,) in struct.iter_unpack("<I", _records(section, 4))]
    symbols = []
    raw = _records(tables[0], _SYM.size)
    for k, (name, info, other, shndx, value, size) in enumerate(_SYM.iter_unpack(raw)):
        text = _string(names, name, f"symbol {k}")
        if shndx == 0xFFFF:
            if k >= len(wide):
                raise PackageError(f"symbol {text}: no extended section index")
            shndx = wide[k]
            outside = shndx >= len(sections)
        else:
            outside = len(sections) <= shndx < SHN_LORESERVE
        if outside:
            raise PackageError(
                f"symbol {text} is in section {shndx}, there are {len(sections)}"
            )
        symbols.append(
            Symbol(text, info >> 4, info & 15, other & 3, shndx, value, size)
        )
    return tuple(symbols)


def _read_relocations(
    sections: tuple[Section, ...], symbols: int
) -> tuple[Relocation, ...]:
    found = []
    for table in sections:
        if table.kind == SHT_REL:
            raise PackageError(f"section {table.name}: relocations without addends")
        if table.kind != SHT_RELA:
            continue
        if not 0 < table.info < len(sections):
            raise PackageError(
                f"section {table.name} patches section {table.info}, "
                f"there are {len(sections)}"
            )
        size = len(sections[table.info].data)
        for offset, info, addend in _RELA.iter_unpack(_records(table, _RELA.size)):
            if offset >= size or info >> 32 >= symbols:
                raise PackageError(
                    f"section {table.name}: relocation at {offset} for symbol "
                    f"{info >> 32} is outside the {size} bytes or {symbols} symbols"
                )
            found.append(
                Relocation(table.info, offset, info & 0xFFFFFFFF, info >> 32, addend)
            )
    return tuple(found)


def undefined_symbols(data: bytes) -> list[str]:
    """Return the names of symbols the object needs from elsewhere, in table order.

    Raises:
        PackageError: the bytes are not a well-formed ELF64 object.
    """
    return [
        s.name
        for s in read_object(data).symbols[1:]
        if s.section == SHN_UNDEF and s.name
    ]


def defined_symbols(data: bytes) -> list[str]:
    """Return the names of symbols a linker can use from the object, in table order.

    Raises:
        PackageError: the bytes are not a well-formed ELF64 object.
    """
    return [s.name for s in read_object(data).symbols if s.is_exported]
