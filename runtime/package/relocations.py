"""Apply ELF relocations: how each kind patches a field, per machine.

A rule turns the old field, the target S + A and the place P into the new field; it
knows nothing of sections or files. Kinds that no position-independent object without
undefined symbols needs are absent, and asking for one is an error that names it by
number.
Source: System V ABI AMD64 supplement, table 4.9; ELF for the Arm 64-bit Architecture,
section 5.7.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ...codegen.elf import EM_AARCH64, EM_X86_64
from ...ir.errors import PackageError

Field = Callable[[int, int, int], int]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of relocation patches.

    `width` is in bytes. With `through_got` the target is the symbol's entry in the
    global offset table; with `absolute` the field holds an address, which moves with
    the load address.
    """

    name: str
    width: int
    field: Field
    through_got: bool = False
    absolute: bool = False


class _Range(Exception):
    """The value does not fit the field."""


def _signed(value: int, bits: int) -> int:
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise _Range
    return value & ((1 << bits) - 1)


def _shifted(value: int, shift: int) -> int:
    if value & ((1 << shift) - 1):
        raise _Range
    return value >> shift


def _address(old: int, target: int, place: int) -> int:
    return target & 0xFFFFFFFFFFFFFFFF


def _relative(bits: int) -> Field:
    return lambda old, target, place: _signed(target - place, bits)


def _inserted(old: int, value: int, at: int, bits: int) -> int:
    return old & ~(((1 << bits) - 1) << at) | value << at


def _adr(old: int, distance: int) -> int:
    value = _signed(distance, 21)
    return _inserted(_inserted(old, value & 3, 29, 2), value >> 2, 5, 19)


def _adr_near(old: int, target: int, place: int) -> int:
    return _adr(old, target - place)


def _adr_page(old: int, target: int, place: int) -> int:
    return _adr(old, (target >> 12) - (place >> 12))


def _low12(shift: int) -> Field:
    def field(old: int, target: int, place: int) -> int:
        return _inserted(old, _shifted(target & 0xFFF, shift), 10, 12)

    return field


def _branch(bits: int, at: int) -> Field:
    def field(old: int, target: int, place: int) -> int:
        return _inserted(old, _signed(_shifted(target - place, 2), bits), at, bits)

    return field


_X86_64 = {
    1: Rule("R_X86_64_64", 8, _address, absolute=True),
    2: Rule("R_X86_64_PC32", 4, _relative(32)),
    4: Rule("R_X86_64_PLT32", 4, _relative(32)),
    9: Rule("R_X86_64_GOTPCREL", 4, _relative(32), through_got=True),
    24: Rule("R_X86_64_PC64", 8, _relative(64)),
    41: Rule("R_X86_64_GOTPCRELX", 4, _relative(32), through_got=True),
    42: Rule("R_X86_64_REX_GOTPCRELX", 4, _relative(32), through_got=True),
}

_AARCH64 = {
    257: Rule("R_AARCH64_ABS64", 8, _address, absolute=True),
    260: Rule("R_AARCH64_PREL64", 8, _relative(64)),
    261: Rule("R_AARCH64_PREL32", 4, _relative(32)),
    273: Rule("R_AARCH64_LD_PREL_LO19", 4, _branch(19, 5)),
    274: Rule("R_AARCH64_ADR_PREL_LO21", 4, _adr_near),
    275: Rule("R_AARCH64_ADR_PREL_PG_HI21", 4, _adr_page),
    277: Rule("R_AARCH64_ADD_ABS_LO12_NC", 4, _low12(0)),
    278: Rule("R_AARCH64_LDST8_ABS_LO12_NC", 4, _low12(0)),
    279: Rule("R_AARCH64_TSTBR14", 4, _branch(14, 5)),
    280: Rule("R_AARCH64_CONDBR19", 4, _branch(19, 5)),
    282: Rule("R_AARCH64_JUMP26", 4, _branch(26, 0)),
    283: Rule("R_AARCH64_CALL26", 4, _branch(26, 0)),
    284: Rule("R_AARCH64_LDST16_ABS_LO12_NC", 4, _low12(1)),
    285: Rule("R_AARCH64_LDST32_ABS_LO12_NC", 4, _low12(2)),
    286: Rule("R_AARCH64_LDST64_ABS_LO12_NC", 4, _low12(3)),
    299: Rule("R_AARCH64_LDST128_ABS_LO12_NC", 4, _low12(4)),
    311: Rule("R_AARCH64_ADR_GOT_PAGE", 4, _adr_page, through_got=True),
    312: Rule("R_AARCH64_LD64_GOT_LO12_NC", 4, _low12(3), through_got=True),
    314: Rule("R_AARCH64_PLT32", 4, _relative(32)),
}

_RULES = {EM_X86_64: _X86_64, EM_AARCH64: _AARCH64}
_NONE = {EM_X86_64: (0,), EM_AARCH64: (0, 256)}

# The kind that adds the load address to a field when the library is loaded.
RELATIVE = {EM_X86_64: 8, EM_AARCH64: 1027}


def rule_for(machine: int, kind: int, where: str) -> Rule | None:
    """Return the rule of a relocation kind; None for the kind that patches nothing.

    Raises:
        PackageError: no shared library can be written for the machine, or the kind is
            not one of a self-contained position-independent object.
    """
    if machine not in _RULES:
        raise PackageError(f"no shared libraries are written for ELF machine {machine}")
    if kind in _NONE[machine]:
        return None
    rule = _RULES[machine].get(kind)
    if rule is None:
        known = ", ".join(r.name for r in _RULES[machine].values())
        raise PackageError(
            f"{where}: relocation kind {kind} is not supported; supported are {known}"
        )
    return rule


def apply_rule(
    rule: Rule, body: bytearray, offset: int, target: int, place: int, where: str
) -> None:
    """Patch the field at `offset` of `body`, which is mapped at address `place`.

    Raises:
        PackageError: the field is cut off or cannot hold the value.
    """
    end = offset + rule.width
    if end > len(body):
        raise PackageError(f"{where}: {rule.name} reaches past the section's end")
    old = int.from_bytes(body[offset:end], "little")
    try:
        new = rule.field(old, target, place)
    except _Range:
        raise PackageError(
            f"{where}: {rule.name} cannot reach {target:#x} from {place:#x}"
        ) from None
    body[offset:end] = new.to_bytes(rule.width, "little")
