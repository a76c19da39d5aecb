import random
import shutil
import subprocess
from contextlib import suppress

import pytest
from package_program import arm, object_of, program_object
from pullback.codegen.elf import defined_symbols, read_object, undefined_symbols
from pullback.codegen.target import Target
from pullback.ir.errors import PackageError
from pullback.runtime.package.shared import write_shared

NEEDY = "declare double @sin(double)\n@pb_data = external global double\n" + (
    "define double @pb_f() {\n%x = load double, ptr @pb_data\n"
    "%y = call double @sin(double %x)\nret double %y\n}\n"
)


def test_program_defines_its_functions_and_needs_nothing():
    assert undefined_symbols(program_object()) == []
    assert set(defined_symbols(program_object())) == {
        "pb_scale", "pb_scale_workspace", "pb_scale_again", "pb_scale_again_workspace",
    }  # fmt: skip


@pytest.mark.skipif(not shutil.which("nm"), reason="nm is not installed")
def test_symbols_agree_with_nm(tmp_path):
    for data in (program_object(), object_of(NEEDY)):
        (tmp_path / "p.o").write_bytes(data)
        for flag, ours in (
            ("-u", undefined_symbols),
            ("--defined-only", defined_symbols),
        ):
            args = ["nm", "-g", flag, "--format=posix", str(tmp_path / "p.o")]
            shown = subprocess.run(args, capture_output=True, text=True, check=True)
            theirs = {line.split()[0] for line in shown.stdout.splitlines()}
            assert theirs == set(ours(data))


def test_undefined_symbols_are_named():
    assert set(undefined_symbols(object_of(NEEDY))) == {"sin", "pb_data"}


def test_sections_and_relocations_are_read():
    obj = read_object(program_object())
    names = {s.name for s in obj.sections}
    assert {".text", ".data.rel.ro", ".symtab"} <= names
    assert obj.relocations
    assert (
        read_object(object_of("define void @pb_f() {\nret void\n}", arm())).machine
        == 183
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an ELF object"),
        (b"MZ\x90\0", "not an ELF object: it begins with b'MZ"),
        (b"\x7fELF\x02\x01", "header is cut off"),
        (b"\x7fELF\x01\x01" + bytes(80), "not a 64-bit little-endian"),
        (b"\x7fELF\x02\x01" + bytes(80), "not a relocatable object: ELF type 0"),
    ],
)
def test_other_bytes_are_refused(data, message):
    with pytest.raises(PackageError, match=message):
        read_object(data)


def test_coff_and_mach_o_objects_are_refused():
    body = "define void @pb_f() {\nret void\n}"
    for triple in ("x86_64-pc-windows-msvc", "arm64-apple-macosx13"):
        data = object_of(body, Target(triple, "", "", "", 128, False))
        with pytest.raises(PackageError, match="not an ELF object"):
            read_object(data)


def _survives(data):
    for action in (read_object, lambda d: write_shared(d, "libp.so")):
        with suppress(PackageError):
            action(data)


def test_every_truncation_is_an_error_or_harmless():
    data = program_object()
    for size in range(0, len(data), 3):
        _survives(data[:size])
    with pytest.raises(PackageError):
        read_object(data[: len(data) - 1])


def test_flipped_bytes_are_an_error_or_harmless():
    rng = random.Random(7)
    data = program_object()
    for _ in range(1500):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            damaged[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        _survives(bytes(damaged))


def test_flipped_headers_are_an_error_or_harmless():
    rng = random.Random(11)
    data = program_object()
    start = int.from_bytes(data[40:48], "little")
    for _ in range(1500):
        damaged = bytearray(data)
        at = rng.choice((rng.randrange(64), rng.randrange(start, len(data))))
        damaged[at] = rng.randrange(256)
        _survives(bytes(damaged))
