"""Write a shared library from one self-contained position-independent ELF object.

Three segments: read-only data with the dynamic tables, code, and data that is writable
only while the loader adds the load address to it (RELRO). No segment is writable and
executable, nothing is imported, no library is needed. Source: System V gABI, chapter 5.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...codegen import elf
from ...codegen.elf import ElfObject, Section, Symbol
from ...ir.errors import PackageError
from .image import (
    DYNSYM,
    Image,
    Output,
    dynamic_table,
    hash_table,
    string_table,
    symbol_record,
)
from .relocations import RELATIVE, Rule, apply_rule, rule_for

_PAGE = {elf.EM_X86_64: 0x1000, elf.EM_AARCH64: 0x10000}


@dataclass(slots=True)
class _Plan:
    """What is known of the object before addresses are."""

    obj: ElfObject
    read_only: list[Output] = field(default_factory=list)
    code: list[Output] = field(default_factory=list)
    relro: list[Output] = field(default_factory=list)
    placed: dict[int, Output] = field(default_factory=dict)
    patches: list[tuple[Rule, elf.Relocation]] = field(default_factory=list)
    got: dict[int, int] = field(default_factory=dict)  # symbol number -> entry
    moving: int = 0  # fields the loader adds the load address to


def write_shared(
    data: bytes, soname: str, constants: Mapping[str, bytes] | None = None
) -> bytes:
    """Return the bytes of an ELF shared library made from one object.

    Args:
        data: the object; every symbol it uses is its own.
        soname: the name the dynamic loader knows the library by.
        constants: further read-only data to export, by symbol.

    Raises:
        PackageError: the object is malformed, needs a symbol from elsewhere, has
            writable data, thread-local data, constructors or a relocation that a
            position-independent object has no use for, or exports a symbol that does
            not begin with `pb_`.
    """
    obj = elf.read_object(data)
    if obj.machine not in _PAGE:
        raise PackageError(
            f"no shared libraries are written for ELF machine {obj.machine}"
        )
    plan = _plan_sections(obj)
    _plan_relocations(plan)
    exported = _exported(obj)
    names = [s.name for s in exported]
    extra = []
    for name, value in (constants or {}).items():
        names.append(name)
        extra.append(
            Output(f".rodata.{name}", elf.SHT_PROGBITS, 2, bytearray(value), 8)
        )
    if len(set(names)) != len(names):
        raise PackageError("a symbol is exported twice")
    foreign = [name for name in names if not name.startswith("pb_")]
    if foreign:
        raise PackageError(
            f"linker symbols begin with pb_; exported: {', '.join(foreign)}"
        )
    if not exported:
        raise PackageError("the object exports no symbol")

    strings, at = string_table([soname, *names])
    hashes = Output(".hash", 5, 2, bytearray(hash_table(names)), 8, entry=4)
    dynsym = Output(".dynsym", DYNSYM, 2, bytearray(24 * (len(names) + 1)), 8, entry=24)
    dynstr = Output(".dynstr", elf.SHT_STRTAB, 2, bytearray(strings), 1)
    rela = Output(
        ".rela.dyn", elf.SHT_RELA, 2, bytearray(24 * plan.moving), 8, entry=24
    )
    got = Output(".got", elf.SHT_PROGBITS, 3, bytearray(8 * len(plan.got)), 8, entry=8)
    dynamic = Output(
        ".dynamic", 6, 3, bytearray(16 * (11 if plan.moving else 7)), 8, entry=16
    )
    frames = [s for s in plan.read_only if s.name == ".eh_frame"]
    index = Output(".eh_frame_hdr", elf.SHT_PROGBITS, 2, bytearray(8), 4)
    hashes.link = dynsym
    dynsym.link = dynamic.link = dynstr
    rela.link = dynsym
    dynsym.info = 1
    image = Image(obj.machine, obj.flags, _PAGE[obj.machine])
    image.add_segment(
        4,
        [
            hashes, dynsym, dynstr, *([rela] if plan.moving else []), *plan.read_only,
            *extra, *([index] if frames else []),
        ],
    )  # fmt: skip
    image.add_segment(5, plan.code)
    image.add_segment(6, [*plan.relro, *([got] if plan.got else []), dynamic])
    image.place(dynamic, index if frames else None)

    rela.data[:] = _relocate(plan, got)
    records = [bytes(24)]
    records += [_record(plan, s, at[s.name], image) for s in exported]
    records += [
        symbol_record(
            at[name],
            1,
            elf.STT_OBJECT,
            0,
            image.number(out),
            out.address,
            len(out.data),
        )
        for out, name in zip(extra, names[len(exported) :], strict=True)
    ]
    dynsym.data[:] = b"".join(records)
    dynamic.data[:] = dynamic_table(
        at[soname], hashes, dynstr, dynsym, rela if plan.moving else None
    )
    if frames:
        # Version 1, a relative address of 4 bytes, no search table.
        distance = frames[0].address - (index.address + 4)
        index.data[:] = struct.pack("<BBBBi", 1, 0x1B, 0xFF, 0xFF, distance)
    _add_symbol_table(plan, image)
    return image.to_bytes()


def _plan_sections(obj: ElfObject) -> _Plan:
    plan = _Plan(obj)
    for section in obj.sections:
        if not section.has(elf.SHF_ALLOC) or not section.size:
            continue
        group = _group(plan, section)
        if section.align > _PAGE[obj.machine]:
            raise PackageError(
                f"section {section.name}: alignment {section.align} exceeds a page"
            )
        body = bytearray(section.data)
        if section.name == ".eh_frame":
            body += bytes(4)  # an empty entry ends the list
        flags = section.flags & 7
        out = Output(section.name, elf.SHT_PROGBITS, flags, body, section.align)
        group.append(out)
        plan.placed[section.index] = out
    if not plan.code:
        raise PackageError("the object has no code")
    return plan


def _group(plan: _Plan, section: Section) -> list[Output]:
    if section.has(elf.SHF_TLS):
        raise PackageError(f"section {section.name} is thread-local: not supported")
    if section.has(elf.SHF_COMPRESSED):
        raise PackageError(f"section {section.name} is compressed: not supported")
    writable = section.has(elf.SHF_WRITE)
    if section.has(elf.SHF_EXECINSTR):
        if writable:
            raise PackageError(f"section {section.name} is writable and executable")
        return plan.code
    if not writable:
        if section.kind == elf.SHT_NOBITS:
            raise PackageError(f"section {section.name} is read-only without content")
        return plan.read_only
    if section.name.split(".")[:4] == ["", "data", "rel", "ro"]:
        return plan.relro
    raise PackageError(
        f"section {section.name} of {section.size} bytes is writable: compiled "
        "programs keep no state"
    )


def _where(obj: ElfObject, reloc: elf.Relocation) -> str:
    name = obj.symbols[reloc.symbol].name
    return f"{obj.sections[reloc.section].name}+{reloc.offset:#x} ({name or 'section'})"


def _plan_relocations(plan: _Plan) -> None:
    obj = plan.obj
    missing = [
        s.name
        for s in obj.symbols[1:]
        if s.section in (elf.SHN_UNDEF, elf.SHN_COMMON)
        and s.kind not in (elf.STT_FILE, elf.STT_SECTION)
    ]
    if missing:
        raise PackageError(
            f"the object is not self-contained: it needs {', '.join(missing)}"
        )
    for reloc in obj.relocations:
        out = plan.placed.get(reloc.section)
        if out is None:
            continue  # debug information and other sections that are not mapped
        where = _where(obj, reloc)
        rule = rule_for(obj.machine, reloc.kind, where)
        if rule is None:
            continue
        symbol = obj.symbols[reloc.symbol]
        if symbol.kind in (elf.STT_TLS, elf.STT_GNU_IFUNC, elf.STT_COMMON):
            raise PackageError(f"{where}: symbol of type {symbol.kind} not supported")
        if symbol.section != elf.SHN_ABS and symbol.section not in plan.placed:
            raise PackageError(f"{where}: the symbol is in no mapped section")
        if rule.through_got:
            plan.got.setdefault(reloc.symbol, len(plan.got))
        moves = rule.absolute and symbol.section != elf.SHN_ABS
        if moves and not out.flags & elf.SHF_WRITE:
            raise PackageError(
                f"{where}: {rule.name} in read-only memory; compile the object as "
                "position-independent code"
            )
        plan.moving += moves
        plan.patches.append((rule, reloc))
    plan.moving += sum(obj.symbols[k].section != elf.SHN_ABS for k in plan.got)


def _exported(obj: ElfObject) -> list[Symbol]:
    found = [s for s in obj.symbols if s.is_exported]
    for symbol in found:
        if symbol.kind in (elf.STT_TLS, elf.STT_GNU_IFUNC, elf.STT_COMMON):
            raise PackageError(f"symbol {symbol.name} has type {symbol.kind}")
        if symbol.section >= len(obj.sections):
            raise PackageError(f"symbol {symbol.name} is exported from no section")
    return found


def _address(plan: _Plan, symbol: Symbol) -> int:
    if symbol.section == elf.SHN_ABS:
        return symbol.value
    out = plan.placed.get(symbol.section)
    if out is None or symbol.value > len(out.data):
        raise PackageError(f"symbol {symbol.name} is outside every mapped section")
    return out.address + symbol.value


def _relocate(plan: _Plan, got: Output) -> bytes:
    """Patch every field; return the table of those that move with the load address."""
    obj = plan.obj
    kind = RELATIVE[obj.machine]
    moving = []
    for number, entry in plan.got.items():
        symbol = obj.symbols[number]
        value = _address(plan, symbol)
        got.data[8 * entry : 8 * entry + 8] = (value & (2**64 - 1)).to_bytes(
            8, "little"
        )
        if symbol.section != elf.SHN_ABS:
            moving.append((got.address + 8 * entry, value))
    for rule, reloc in plan.patches:
        out = plan.placed[reloc.section]
        symbol = obj.symbols[reloc.symbol]
        if rule.through_got:
            target = got.address + 8 * plan.got[reloc.symbol] + reloc.addend
        else:
            target = _address(plan, symbol) + reloc.addend
        place = out.address + reloc.offset
        apply_rule(rule, out.data, reloc.offset, target, place, _where(obj, reloc))
        if rule.absolute and symbol.section != elf.SHN_ABS:
            moving.append((place, target))
    moving.sort()
    try:
        return b"".join(struct.pack("<QQq", place, kind, v) for place, v in moving)
    except struct.error:
        raise PackageError("an address lies outside the address space") from None


def _record(plan: _Plan, symbol: Symbol, name: int, image: Image) -> bytes:
    number = (
        image.number(plan.placed[symbol.section])
        if (symbol.section in plan.placed)
        else elf.SHN_ABS
    )
    return symbol_record(
        name, symbol.bind, symbol.kind, symbol.visibility, number,
        _address(plan, symbol), symbol.size,
    )  # fmt: skip


def _add_symbol_table(plan: _Plan, image: Image) -> None:
    """Add the full symbol table: debuggers and profilers show kernels by name."""
    shown: Sequence[Symbol] = [
        s
        for s in plan.obj.symbols
        if s.name
        and s.kind in (0, elf.STT_FUNC, elf.STT_OBJECT)
        and s.section in plan.placed
        and (s.kind or s.is_exported)
    ]
    shown = sorted(shown, key=lambda s: s.bind != elf.STB_LOCAL)
    strings, at = string_table([s.name for s in shown])
    records = [bytes(24)]
    records += [_record(plan, s, at[s.name], image) for s in shown]
    table = Output(
        ".symtab", elf.SHT_SYMTAB, 0, bytearray(b"".join(records)), 8, entry=24
    )
    table.info = 1 + sum(s.bind == elf.STB_LOCAL for s in shown)
    names = Output(".strtab", elf.SHT_STRTAB, 0, bytearray(strings), 1)
    table.link = names
    image.add_loose(table)
    image.add_loose(names)
