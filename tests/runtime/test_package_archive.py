import shutil
import struct
import subprocess

import pytest
from package_program import object_of, program_object
from pullback.codegen.elf import defined_symbols
from pullback.codegen.target import Target
from pullback.runtime.package.archive import write_archive

NAMES = ["p.o", "exactly_15_ch.o", "sixteen_charac.o", "a_name_longer_than_the_field.o"]


def run(*args, **kwargs):
    done = subprocess.run(args, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def members(data):
    """Return (name field, content) of each member, by the plainest reading."""
    assert data[:8] == b"!<arch>\n"
    at, found = 8, []
    while at < len(data):
        head = data[at : at + 60]
        assert head[58:] == b"`\n"
        size = int(head[48:58])
        found.append((head[:16].decode().rstrip(), data[at + 60 : at + 60 + size]))
        at += 60 + size + size % 2
    assert at == len(data)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"", b"x", b"xy"])
def test_index_points_at_the_member(name, body):
    data = write_archive(name, body, ["pb_a", "pb_bcd"])
    parts = members(data)
    count, *offsets = struct.unpack_from(">III", parts[0][1])
    assert (parts[0][0], count) == ("/", 2)
    assert parts[0][1][12:].rstrip(b"\0") == b"pb_a\0pb_bcd"
    shown = parts[-1][0]
    if shown == "/0":
        assert parts[1] == ("//", parts[1][1])
        shown = parts[1][1].decode().split("\n")[0]
    assert shown == f"{name}/"
    assert parts[-1][1] == body
    for offset in offsets:
        assert data[offset + 60 :].rstrip(b"\n") == body


@pytest.mark.skipif(not shutil.which("ar"), reason="ar is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_ar_extracts_what_was_put_in(tmp_path, name):
    data = program_object()
    archive = write_archive(name, data, defined_symbols(data))
    (tmp_path / "libp.a").write_bytes(archive)
    assert run("ar", "t", "libp.a", cwd=tmp_path).split() == [name]
    run("ar", "x", "libp.a", cwd=tmp_path)
    assert (tmp_path / name).read_bytes() == data


@pytest.mark.skipif(not shutil.which("nm"), reason="nm is not installed")
def test_nm_shows_the_index(tmp_path):
    data = program_object()
    (tmp_path / "libp.a").write_bytes(write_archive("p.o", data, defined_symbols(data)))
    shown = run("nm", "-s", "libp.a", cwd=tmp_path)
    for symbol in defined_symbols(data):
        assert f"{symbol} in p.o" in shown


@pytest.mark.skipif(not shutil.which("llvm-nm"), reason="llvm-nm is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_llvm_reads_the_mach_o_dialect(tmp_path, name):
    target = Target("arm64-apple-macosx13", "", "", "", 128, False)
    data = object_of("define void @pb_f() {\nret void\n}", target)
    archive = write_archive(name, data, ["_pb_f"], bsd=True)
    (tmp_path / "libp.a").write_bytes(archive)
    shown = run("llvm-nm", "--print-armap", "libp.a", cwd=tmp_path)
    assert f"_pb_f in {name}" in shown
    assert " T _pb_f" in shown
    assert archive.find(data) % 8 == 0
