"""The command line: what it writes, what it prints, and every one-line error."""

import ctypes
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.cli import main
from pullback.stages import STAGES

MODEL = '''\
"""A model."""

from dataclasses import dataclass

import numpy as np

import helper

SCALE = np.arange(20.0)


@dataclass
class Both:
    low: object
    high: object


def loss(w, t, y):
    z = w[0] + w[1] * t
    return np.sum(np.logaddexp(0.0, z) - y * z)


def scaled(x):
    return np.sum(np.sin(x) * SCALE) * helper.FACTOR


def nested(x, /, k=2):
    return {"b": x * k, "a": [x + 1, (x.sum(),)], "c": Both(x - 1, x - 2)}


def product(x, y):
    return np.sum(x @ y)


def pick(x, i):
    return np.sum(x[i])


def vector(x):
    return x * 2


def branches(x):
    return x if x > 0 else -x


def divides(x):
    return np.sum(x) / int("zero")


def wrong(x):
    return np.sum(x @ x[:-1])


def nothing(x):
    return "text"


constant = 3
'''
LOSS = ["--arg", "w: f64[2]", "--arg", "t: f64[n]", "--arg", "y:f64[n]"]
FILES = {"{}.o", "lib{}.a", "lib{}.so", "{}.py", "{}.h", "{}.ll"}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "helper.py").write_text("FACTOR = 3.0\n")
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield tmp_path  # type: ignore[misc]  # pytest resumes it
    for name in set(sys.modules) - known:
        if name.rstrip("_") in ("model", "helper"):
            del sys.modules[name]


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"loader_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


# -- compile ---------------------------------------------------------------------------


def test_compile(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["compile", "model.py:loss", *LOSS, "--wrt", "w", "--out", "build"])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert "loss(w: f64[2], t: f64[n], y: f64[n]) -> f64[]\n" in out
    assert "loss_value_and_grad(w: f64[2], t: f64[n], y: f64[n]) -> " in out
    assert "object without undefined symbols" in out
    assert names(model / "build") == {name.format("loss") for name in FILES}
    loader = load(model / "build" / "loss.py")
    user = load(model / "model.py")
    w, rng = np.array([0.3, -0.2]), np.random.default_rng(0)
    for n in (2, 7, 100):
        t, y = rng.standard_normal(n), rng.random(n)
        value, gradient = pb.value_and_grad(user.loss)(w, t, y)
        assert loader.loss(w, t, y) == value
        found = loader.loss_value_and_grad(w, t, y)
        assert found[0] == value
        np.testing.assert_array_equal(found[1], gradient)


def test_captured_arrays_are_data_of_the_object(model: Path) -> None:
    arguments = ["model.py:scaled", "--arg", "x: f64[20]", "--wrt", "x"]
    assert main(["compile", *arguments, "--out", "a/b", "--name", "s"]) == 0
    assert names(model / "a" / "b") == {name.format("s") for name in FILES}
    x = np.linspace(-1, 1, 20)
    value, gradient = load(model / "a" / "b" / "s.py").s_value_and_grad(x)
    scale = np.arange(20.0)
    np.testing.assert_allclose(value, 3 * np.sum(np.sin(x) * scale), rtol=1e-14)
    np.testing.assert_allclose(gradient, 3 * np.cos(x) * scale, rtol=1e-14)
    ctypes.CDLL(str(model / "a" / "b" / "libs.so"))


def test_results_nest_as_the_function_nests_them(model: Path) -> None:
    assert main(["compile", "model.py:nested", "--arg", "x: f64[n]", "--out", "o"]) == 0
    found = load(model / "o" / "nested.py").nested(np.array([1.0, 2.0]))
    assert list(found) == ["b", "a", "c"]
    np.testing.assert_array_equal(found["b"], [2, 4])
    np.testing.assert_array_equal(found["a"][0], [2, 3])
    assert found["a"][1] == (3.0,)
    np.testing.assert_array_equal(found["c"]["low"], [0, 1])
    np.testing.assert_array_equal(found["c"]["high"], [-1, 0])


def test_several_arguments_are_differentiated_in_the_order_named(model: Path) -> None:
    given = ["--arg", "x: f64[n,2]", "--arg", "y: f64[2]", "--wrt", "y,x"]
    assert main(["compile", "model.py:product", *given, "--out", "o"]) == 0
    x, y = np.arange(6.0).reshape(3, 2), np.array([1.0, -1.0])
    loader = load(model / "o" / "product.py")
    _, (by_y, by_x) = loader.product_value_and_grad(x, y)
    np.testing.assert_array_equal(by_y, x.sum(axis=0))
    np.testing.assert_array_equal(by_x, np.tile(y, (3, 1)))


def test_compiling_again_replaces_the_files_and_keeps_others(model: Path) -> None:
    command = ["compile", "model.py:vector", "--arg", "x: f64[3]", "--out", "o"]
    assert main(command) == 0
    (model / "o" / "mine.txt").write_text("kept")
    first = (model / "o" / "vector.o").read_bytes()
    assert main(command) == 0
    assert (model / "o" / "vector.o").read_bytes() == first
    assert (model / "o" / "mine.txt").read_text() == "kept"


def test_a_folder_gets_all_files_or_none(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "o").mkdir()
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if str(target).endswith(".h"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    code = main(["compile", "model.py:vector", "--arg", "x: f64[3]", "--out", "o"])
    assert code == 2
    assert "--out o: No space left on device" in capsys.readouterr().err
    assert names(model / "o") == set()
    assert names(model) == {"model.py", "helper.py", "o"}


# -- errors ----------------------------------------------------------------------------

OUT = ["--out", "o"]
X = ["--arg", "x: f64[n]"]
WRONG: dict[str, tuple[list[str], str]] = {
    "no file": (
        ["compile", "modle.py:loss", *OUT],
        "modle.py: no such file: did you mean model.py?",
    ),
    "no function named": (
        ["compile", "model.py", *OUT], "model.py: expected FILE.py:FUNCTION"
    ),
    "not in the file": (
        ["compile", "model.py:los", *OUT],
        "model.py has no function 'los': did you mean loss?",
    ),
    "not a function": (
        ["compile", "model.py:constant", *OUT],
        "model.py:constant: constant is a int: a function is needed",
    ),
    "no colon": (
        ["compile", "model.py:vector", "--arg", "x f64[n]", *OUT],
        "--arg 'x f64[n]': column 9: ':' and a type expected, as x: f64[n,3]",
    ),
    "not a name": (
        ["compile", "model.py:vector", "--arg", " 2x: f64[n]", *OUT],
        "--arg ' 2x: f64[n]': column 2: '2x' is not the name of a parameter",
    ),
    "dtype": (
        ["compile", "model.py:vector", "--arg", "x: f63[n]", *OUT],
        "--arg 'x: f63[n]': column 4: 'f63' is not a dtype: use one of f64, f32,",
    ),
    "no sizes": (
        ["compile", "model.py:vector", "--arg", "x: f64", *OUT],
        "--arg 'x: f64': column 7: '[' expected; a scalar is f64[]",
    ),
    "not closed": (
        ["compile", "model.py:vector", "--arg", "x: f64[n", *OUT],
        "--arg 'x: f64[n': column 9: ']' expected",
    ),
    "size": (
        ["compile", "model.py:vector", "--arg", "x: f64[n, m?]", *OUT],
        "--arg 'x: f64[n, m?]': column 12: unexpected '?'",
    ),
    "negative": (
        ["compile", "model.py:vector", "--arg", "x: f64[2,-3]", *OUT],
        "--arg 'x: f64[2,-3]': column 10: a size is not negative: -3",
    ),
    "twice": (
        ["compile", "model.py:vector", *X, *X, *OUT],
        "--arg x: given twice: give each argument once",
    ),
    "too few": (
        ["compile", "model.py:loss", *LOSS[:4], *OUT],
        "model.py:loss takes 3 arguments (w, t, y), 2 given: "
        "add --arg 'y: f64[...]'",
    ),
    "unknown parameter": (
        ["compile", "model.py:vector", *X, "--arg", "z: f64[]", *OUT],
        "--arg z: model.py:vector has no such parameter: it has x",
    ),
    "wrt unknown": (
        ["compile", "model.py:vector", *X, "--wrt", "y", *OUT],
        "--wrt y: there is no argument 'y': it has x",
    ),
    "wrt integer": (
        ["compile", "model.py:pick", *X, "--arg", "i: i64[3]", "--wrt", "x,i", *OUT],
        "--wrt x,i: i is i64[3], a float is needed: use f64 or f32, or leave it out",
    ),
    "wrt twice": (
        ["compile", "model.py:vector", *X, "--wrt", "x,x", *OUT],
        "--wrt x,x: x is named twice: name it once",
    ),
    "not scalar": (
        ["compile", "model.py:vector", *X, "--wrt", "x", *OUT],
        "--wrt x: vector returns f64[n]: a gradient needs a float scalar: "
        "sum the result; --vjp takes any",
    ),
    "several results": (
        ["compile", "model.py:nested", *X, "--wrt", "x", *OUT],
        "--wrt x: nested returns 5 arrays: a gradient needs one float scalar; "
        "--vjp takes any",
    ),
    "branch": (
        ["compile", "model.py:branches", *X, *OUT],
        "model.py:44 in branches; return x if x > 0 else -x",
    ),
    "exception": (
        ["compile", "model.py:divides", *X, *OUT],
        "model.py:divides: ValueError: invalid literal for int() with base 10: 'zero'; "
        "at: ",
    ),
    "types": (
        ["compile", "model.py:wrong", "--arg", "x: f64[3]", *OUT],
        "model.py:52 in wrong",
    ),
    "result": (
        ["compile", "model.py:nothing", *X, *OUT],
        "nothing: a result is a str, not an array or a number: 'text'",
    ),
    "name": (
        ["compile", "model.py:vector", *X, "--name", "2x", *OUT],
        "function name '2x' cannot be a C symbol",
    ),
    "folder": (
        ["compile", "model.py:vector", *X, "--out", "model.py"],
        "model.py exists and is not a folder",
    ),
    "import": (
        ["compile", "broken.py:f", *OUT],
        "importing broken.py: ZeroDivisionError: division by zero; at: ",
    ),
    "syntax": (
        ["compile", "syntax.py:f", *OUT], "importing syntax.py: SyntaxError: "
    ),
    "exits": (
        ["compile", "exits.py:f", *OUT], "importing exits.py: SystemExit: 3; at: "
    ),
    "no out": (["compile", "model.py:loss"], "required: --out; pullback compile -"),
    "command": (["compil"], "invalid choice: 'compil'"),
    "stage": (
        ["inspect", "model.py:vector", *X, "--stage", "ast"], "invalid choice: 'ast'"
    ),
    "no program": (
        ["inspect", "gone.ir"], "gone.ir: No such file or directory: expected FILE.py"
    ),
    "python without function": (
        ["inspect", "model.py"],
        "model.py: a function is needed: write model.py:FUNCTION",
    ),
    "not a program": (
        ["inspect", "bad.ir"],
        "bad.ir: line 1, column 1: a program begins with 'pullback-ir 1'",
    ),
    "ill-typed program": (["inspect", "types.ir"], "types.ir: "),
    "binary": (["inspect", "binary.ir"], "binary.ir: not a text file: expected"),
    "types of a program": (
        ["inspect", "bad.ir", *X],
        "--arg 'x: f64[n]': bad.ir has the types of its inputs already: leave it out",
    ),
    "nothing to differentiate": (
        ["inspect", "model.py:vector", "--arg", "x: i64[n]", "--stage", "adjoint"],
        "--stage adjoint: vector has no float argument to differentiate",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_one_line_and_exit_code_2(
    case: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "broken.py").write_text("x = 1\ny = x / 0\n")
    (model / "syntax.py").write_text("def f(:\n")
    (model / "exits.py").write_text("raise SystemExit(3)\n")
    (model / "bad.ir").write_text("import os\n")
    (model / "binary.ir").write_bytes(b"\xff\xfe\x00")
    (model / "types.ir").write_text(
        'pullback-ir 1\ngraph f\nin %0: f64[3] "x"\n'
        '%1: f64[4] = neg %0\nout %1 "out"\nend\n'
    )
    before = {path.name for path in model.iterdir()}
    command, expected = WRONG[case]
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pullback: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert expected in err
    left = {path.name for path in model.iterdir()} - {"__pycache__"}
    assert left == before, "a failed command leaves nothing behind"


# -- inspect ---------------------------------------------------------------------------


def inspect(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("\n")
    return out


MARKS = {
    "text": "pullback-ir 1\ngraph loss\nsizes n\n",
    "graph": "loss(%0 w: f64[2], %1 t: f64[n], %2 y: f64[n]):",
    "joint": "sigmoid",
    "adjoint": "loss_adjoint(",
    "passes": "# dce: ",
    "schedule": "loop [n], reduced (0,)",
    "llvm": "@pb_program(",
    "optimized": "define",
    "asm": "pb_program:",
}


@pytest.mark.parametrize("stage", STAGES)
def test_stages(stage: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = inspect(capsys, "model.py:loss", *LOSS, "--stage", stage)
    assert MARKS[stage] in out
    both = inspect(capsys, "model.py:loss", *LOSS, "--wrt", "w", "--stage", stage)
    assert MARKS[stage] in both
    if stage in ("passes", "schedule", "llvm", "optimized", "asm"):
        assert both != out, "the program is the joint graph where --wrt is given"


def test_graph_points_at_the_users_lines(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = inspect(capsys, "model.py:loss", *LOSS)
    assert f"# {model}/model.py:20 in loss" in out


def test_text_is_read_back(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = inspect(capsys, "model.py:loss", *LOSS, "--stage", "text")
    (model / "loss.ir").write_text(text)
    assert inspect(capsys, "loss.ir", "--stage", "text") == text
    wanted = inspect(capsys, "model.py:loss", *LOSS, "--wrt", "w", "--stage", "llvm")
    found = inspect(capsys, "loss.ir", "--wrt", "w", "--stage", "llvm")
    assert found == wanted


def test_a_contraction_and_a_check_are_in_the_schedule(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--arg", "x: f64[n,2]", "--arg", "y: f64[2,m]", "--stage", "schedule")
    out = inspect(capsys, "model.py:product", *given)
    assert "# input0 is x: f64[n,2]" in out
    assert "contract f64" in out
    assert "m: n, strides lhs 2" in out
    given = (*X, "--arg", "i: i64[5]", "--wrt", "x", "--stage", "schedule")
    out = inspect(capsys, "model.py:pick", *given)
    assert "check 5 integers, axis 0 of n" in out
    assert "scatter add f64 into zeros[1, n, 1], 5 integers" in out


# -- the process -----------------------------------------------------------------------


def test_a_reader_that_has_seen_enough(model: Path) -> None:
    command = [
        sys.executable, "-c", "import sys; from pullback.cli import main; "
        "sys.exit(main(sys.argv[1:]))", "inspect", "model.py:loss", *LOSS,
        "--wrt", "w", "--stage", "llvm",
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=model, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        ran.stdout.close()
        assert ran.stderr.read() == b""


def test_help_lists_commands_and_stages(capsys: pytest.CaptureFixture[str]) -> None:
    helps: list[Callable[[], int]] = [
        lambda: main(["--help"]), lambda: main(["inspect", "--help"])
    ]  # fmt: skip
    for run in helps:
        with pytest.raises(SystemExit) as stopped:
            run()
        assert stopped.value.code == 0
    out = capsys.readouterr().out
    for word in ("compile", "inspect", "demo", *STAGES):
        assert word in out
