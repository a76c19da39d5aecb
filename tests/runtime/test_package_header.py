import shutil
import subprocess

import pytest
from package_program import AGAIN, SCALE, TABLE, program_object
from pullback.codegen.elf import defined_symbols
from pullback.codegen.signature import ArraySpec, Signature
from pullback.ir.errors import OpTypeError, PackageError, SizeError
from pullback.runtime.package.archive import write_archive
from pullback.runtime.package.header import header_text
from pullback.runtime.package.names import Namer, python_function
from pullback.runtime.package.shared import write_shared

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
COMPILERS = [
    ("gcc", "c", "c99"), ("gcc", "c", "c11"), ("g++", "c++", "c++17"),
    ("clang", "c", "c99"), ("clang++", "c++", "c++17"),
]  # fmt: skip


def run(*args, **kwargs):
    done = subprocess.run(args, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def array(name, dtype="f64", dims=()):
    return ArraySpec(name, dtype, dims)


NASTY = Signature(
    "nasty",
    (
        array("int", "i32", ("n",)), array("class", "f32"), array("θ.w", "bool", (3,)),
        array("p['w'][0]", "u64", ("n", "m")), array("x"), array("ctx"),
        array("int64_t"), array("1st"), array("_Hidden"), array("a__b"), array(""),
    ),
    (array("x", "i8"), array("workspace", "i16"), array("x_2", "u16"), array("x")),
    ("n", "m"),
    "Ends a comment */ and begins one /* and ??/\n\n    goes on \\\n\u202ereversed",
)  # fmt: skip
EMPTY = Signature("empty", (), (), (), "")


@pytest.mark.parametrize(("compiler", "language", "standard"), COMPILERS)
def test_headers_compile_without_a_warning(tmp_path, compiler, language, standard):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    (tmp_path / "scale.h").write_text(header_text("scale", [SCALE, AGAIN]))
    (tmp_path / "nasty.h").write_text(header_text("nasty", [NASTY, EMPTY]))
    text = '#include "nasty.h"\n#include "scale.h"\n#include "nasty.h"\n'
    for name, body in (("both", text), ("alone", '#include "scale.h"\n')):
        file = tmp_path / f"{name}.{language}"
        file.write_text(body + "int main(void) { return PB_OK; }\n")
        flags = ["-x", language, f"-std={standard}", *STRICT, "-fsyntax-only"]
        run(compiler, *flags, str(file))


def test_headers_of_two_abi_versions_do_not_mix(tmp_path):
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    (tmp_path / "scale.h").write_text(header_text("scale", [SCALE]))
    done = subprocess.run(
        ["gcc", "-fsyntax-only", "-DPB_ABI_VERSION=2", "-x", "c", "scale.h"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert "different pullback ABI versions" in done.stderr


def test_prototypes_show_the_shapes():
    text = header_text("scale", [SCALE])
    assert " *   0: x, double, shape (n,)\n" in text
    assert " *   1: y, double, shape (n+1,) */\n" in text
    assert " * Scale x by entry k of a table; add 1 where k is odd.\n" in text
    text = header_text("nasty", [NASTY])
    assert "a1st (1st), double" in text
    assert "u03b8_w (θ.w), uint8_t, shape (3,), 0 or 1 a byte" in text


MAIN = """
#include <stdio.h>
#include "scale.h"
int main(void) {
  double x[2] = {2, 4}, y[3], total, work[2];
  int64_t k = 2, n = 2;
  pb_status status;
  pb_ctx ctx = {PB_ABI_VERSION, sizeof(pb_ctx), &status, NULL, NULL, NULL, 1, 0, NULL,
                NULL, NULL};
  int32_t code = pb_scale_call(NULL, x, &k, n, &total, y, work);
  printf("%d %g %g %g %g ", code, total, y[0], y[1], y[2]);
  printf("%d ", (int)pb_scale_workspace(&n, 1));
  k = -3;
  code = pb_scale_again_call(&ctx, x, &k, n, &total, y, work);
  printf("%d %d %d", code, (int)status.index, (int)status.extent);
  printf(" %d %d", (int)sizeof(pb_ctx), (int)sizeof(pb_status));
  return 0;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "g++", "clang", "clang++"])
@pytest.mark.parametrize("library", ["libscale.a", "libscale.so"])
def test_programs_link_and_run(tmp_path, compiler, library):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    data = program_object()
    (tmp_path / "scale.h").write_text(header_text("scale", [SCALE, AGAIN]))
    if library.endswith(".a"):
        made = write_archive("scale.o", data, defined_symbols(data))
    else:
        made = write_shared(data, library)
    (tmp_path / library).write_bytes(made)
    language = "c++" if "++" in compiler else "c"
    (tmp_path / f"main.{language}").write_text(MAIN)
    run(
        compiler, *STRICT, f"main.{language}", "-L.", "-lscale", "-Wl,-rpath,$ORIGIN",
        "-o", "main", cwd=tmp_path,
    )  # fmt: skip
    assert (
        run(str(tmp_path / "main")) == f"0 {6 * TABLE[2]} 6.5 13 19.5 16 1 -3 4 72 32"
    )


@pytest.mark.parametrize("name", ["", "1st", "a-b", "θ", "a b", "../x", "_x", "x\n"])
def test_function_names_that_are_no_symbols_are_refused(name):
    with pytest.raises(PackageError, match="cannot be a C symbol"):
        header_text("p", [Signature(name, (), (), (), "")])
    with pytest.raises(PackageError, match="cannot be a C symbol"):
        header_text(name, [])


@pytest.mark.parametrize(
    "names", [("f", "f"), ("f", "f_workspace"), ("f_call", "f"), ("p_stamp",)]
)
def test_function_names_that_clash_are_refused(names):
    with pytest.raises(PackageError, match="taken twice"):
        header_text("p", [Signature(n, (), (), (), "") for n in names])


def test_other_names_that_cannot_be_are_refused():
    with pytest.raises(PackageError, match="has 300 characters"):
        header_text("f" * 300, [])
    with pytest.raises(PackageError, match="'status' is a type of the header"):
        header_text("p", [Signature("status", (), (), (), "")])


def test_names_are_unique_and_readable():
    namer = Namer({"for"})
    wanted = ["x", "x", "x", "x_2", "for", "é", "", "__", "x.y[0]", "9"]
    assert [namer.name(w) for w in wanted] == [
        "x", "x_2", "x_3", "x_2_2", "for_", "u00e9", "array", "array_2", "x_y_0", "a9",
    ]  # fmt: skip
    assert [python_function(n) for n in ("loss", "max", "lambda")] == [
        "loss", "max_", "lambda_",
    ]  # fmt: skip


def test_signatures_are_checked():
    with pytest.raises(OpTypeError, match="x: dtype 'f16' is not one of f64, f32"):
        array("x", "f16")
    with pytest.raises(SizeError, match="x: a dimension is negative: -2"):
        array("x", "f64", (-2,))
    with pytest.raises(SizeError, match="unexpected"):
        array("x", "f64", ("n; import os",))
    with pytest.raises(SizeError, match=r"f: x f64\[n,m\] mentions m, which is not"):
        Signature("f", (array("x", "f64", ("n", "m")),), (), ("n",), "")
    with pytest.raises(SizeError, match="listed twice"):
        Signature("f", (), (), ("n", "n"), "")
    with pytest.raises(SizeError, match="'n-n' cannot name a size"):
        Signature("f", (), (), ("n-n",), "")
