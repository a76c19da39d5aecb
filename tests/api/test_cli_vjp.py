"""`pullback compile --vjp`: a pullback as two functions, from Python and from C."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback import cli
from pullback.cli import main

MODEL = '''\
"""Functions whose pullback is compiled ahead of time."""

import numpy as np

TABLE = np.linspace(0.0, 1.0, 40)


def net(w, b, x, k=3):
    h = np.maximum(np.tanh(x @ w) + b, 0.0)
    return {"h": h * np.exp(x[:, :1]), "best": np.argmax(h), "s": (h[0], [x.sum()])}


def loss(w, x):
    return np.sum(np.sin(x @ w) ** 2)


def linear(x):
    return 3 * x


def cut(x):
    return np.sin(x[1:]) * 2


def table(x):
    return np.exp(x) * TABLE


def again(ct, residuals):
    return np.exp(ct) * residuals


def single(x):
    return np.tanh(x) * x


def rounded(x):
    return np.argmax(x)
'''
NET = ["--arg", "w: f64[3,m]", "--arg", "b: f64[m]", "--arg", "x: f64[n,3]"]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return load(tmp_path / "model.py")


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled(name: str, *arguments: str) -> Any:
    assert main(["compile", f"model.py:{name}", *arguments, "--out", "o"]) == 0
    return load(Path("o") / f"{name}.py")


def same(left: Any, right: Any) -> None:
    left, right = np.asarray(left), np.asarray(right)
    assert (left.dtype, left.shape) == (right.dtype, right.shape)
    assert left.tobytes() == right.tobytes()


# -- from Python -----------------------------------------------------------------------


def test_of_several_arrays_of_any_size(model: Any) -> None:
    loader = compiled("net", *NET, "--vjp", "x,w")
    rng = np.random.default_rng(0)
    for m, n in ((1, 1), (4, 7), (5, 2)):
        w, b = rng.standard_normal((3, m)), rng.standard_normal(m)
        x = rng.standard_normal((n, 3))
        value, pull = loader.net_vjp(w, b, x)
        wanted, back = pb.vjp(model.net, w, b, x)
        assert list(value) == ["h", "best", "s"]
        same(value["h"], wanted["h"])
        same(value["best"], wanted["best"])
        same(value["s"][0], wanted["s"][0])
        same(value["s"][1][0], wanted["s"][1][0])
        ct = {"h": value["h"] + 1, "best": None, "s": (np.ones(m), [2.5])}
        by_x, by_w = pull(ct)
        in_order = back(ct)
        same(by_x, in_order[2])
        same(by_w, in_order[0])
        same(pull(ct)[1], by_w)
        again, residuals = loader.net_forward(w, b, x)
        same(again["h"], value["h"])
        found = loader.net_backward(ct, w, b, x, residuals)
        same(found[0], by_x)
        same(found[1], by_w)


def test_of_a_scalar_beside_its_gradient(model: Any) -> None:
    given = ["--arg", "w: f64[3]", "--arg", "x: f64[n,3]", "--wrt", "w", "--vjp", "w"]
    loader = compiled("loss", *given)
    w, x = np.array([0.5, -1.0, 2.0]), np.arange(12.0).reshape(4, 3)
    value, gradient = loader.loss_value_and_grad(w, x)
    found, pull = loader.loss_vjp(w, x)
    assert found == value == loader.loss(w, x)
    (ct,) = pull(1.0)
    np.testing.assert_allclose(ct, gradient, rtol=1e-14)
    same(ct, pb.vjp(model.loss, w, x)[1](1.0)[0])


def test_of_f32(model: Any) -> None:
    loader = compiled("single", "--arg", "x: f32[n]", "--vjp", "x")
    x = np.linspace(-2, 2, 9, dtype=np.float32)
    value, pull = loader.single_vjp(x)
    wanted, back = pb.vjp(model.single, x)
    same(value, wanted)
    same(pull(np.ones(9, np.float32))[0], back(np.ones(9, np.float32))[0])


def test_arrays_may_change_before_the_pullback(model: Any) -> None:
    given = ["--arg", "w: f64[3]", "--arg", "x: f64[n,3]"]
    loader = compiled("loss", *given, "--vjp", "w")
    w, x = np.array([0.5, -1.0, 2.0]), np.arange(12.0).reshape(4, 3)
    wanted = loader.loss_vjp(w, x)[1](1.0)[0]
    _, pull = loader.loss_vjp(w, x)
    w[:] = x[:] = 9
    same(pull(1.0)[0], wanted)


def test_captured_arrays_are_data_of_both_halves(model: Any) -> None:
    loader = compiled("table", "--arg", "x: f64[40]", "--vjp", "x")
    x = np.linspace(-1, 1, 40)
    value, pull = loader.table_vjp(x)
    wanted, back = pb.vjp(model.table, x)
    same(value, wanted)
    same(pull(x)[0], back(x)[0])


def test_names_that_are_taken_get_a_number(model: Any) -> None:
    given = ["--arg", "ct: f64[2]", "--arg", "residuals: f64[2]"]
    loader = compiled("again", *given, "--vjp", "ct")
    ct, other = np.array([0.5, 1.0]), np.array([2.0, 3.0])
    value, pull = loader.again_vjp(ct, other)
    same(pull(np.ones(2))[0], value)
    (_, kept) = loader.again_forward(ct=ct, residuals=other)
    (found,) = loader.again_backward(ct_2=np.ones(2), residuals=other, residuals_2=kept)
    same(found, value)


def test_sizes_that_only_the_cotangent_shows_are_checked(model: Any) -> None:
    loader = compiled("linear", "--arg", "x: f64[n]", "--vjp", "x")
    _, pull = loader.linear_vjp(np.ones(4))
    same(pull(np.ones(4))[0], np.full(4, 3.0))
    with pytest.raises(ValueError, match="size n is 4 in the value and 5 in argument"):
        pull(np.ones(5))


def test_sizes_that_no_array_of_the_backward_half_shows(model: Any) -> None:
    loader = compiled("cut", "--arg", "x: f64[2*n]", "--vjp", "x")
    x = np.linspace(0, 1, 6)
    value, pull = loader.cut_vjp(x, n=3)
    wanted, back = pb.vjp(model.cut, x)
    same(value, wanted)
    same(pull(np.ones(5))[0], back(np.ones(5))[0])
    with pytest.raises(
        ValueError, match=r"seed of out is f64\[4\], .* = \(5,\) with n=3"
    ):
        pull(np.ones(4))
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
        loader.cut_vjp(x)


def test_a_cotangent_has_the_structure_of_the_value(model: Any) -> None:
    loader = compiled("net", *NET, "--vjp", "w")
    value, pull = loader.net_vjp(np.ones((3, 2)), np.ones(2), np.ones((4, 3)))
    parts = (np.ones(2), [1.0])
    wrong = {
        r"argument ct must be a dict with the keys \['best', 'h', 's'\], got ndarray":
            value["h"],
        r"argument ct\['best'\] must be None, got int64": value,
        r"argument ct\['s'\] must be a tuple of 2, got list of 2":
            {"h": value["h"], "best": None, "s": [*parts]},
        r"argument seed of out\['h'\] is f32\[4,2\], expected f64\[n,m\] \(dtype\)":
            {"h": value["h"].astype("f"), "best": None, "s": parts},
    }  # fmt: skip
    for said, ct in wrong.items():
        with pytest.raises(TypeError, match=f"net_backward: {said}"):
            pull(ct)


def test_what_is_printed_and_written(
    model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    loader = compiled("net", *NET, "--vjp", "w")
    out = capsys.readouterr().out
    assert (
        "net_forward(w: f64[3,m], b: f64[m], x: f64[n,3]) -> (i64[], f64[n,m], f64"
        in out
    )
    assert "net_backward(seed of out['h']: f64[n,m], seed of out['s'][0]: f64[m]" in out
    assert "net_vjp in net.py returns the value and its pullback\n" in out
    assert loader.__all__ == ["net", "net_forward", "net_backward", "net_vjp"]
    assert "with respect to w" in loader.net_vjp.__doc__
    assert "9*m*n+8*n bytes of residuals are kept" in loader.net_vjp.__doc__
    header = (Path("o") / "net.h").read_text()
    line = "h = np.maximum(np.tanh(x @ w) + b, 0.0)"
    kept = f"residual_0 (residual 0), double, shape (n, m): tanh at model.py:9: {line}"
    assert header.count(kept) == 2, "an output of the first, an input of the second"
    assert "then the residuals that net_backward takes: 9*m*n+8*n bytes" in header
    assert f"residual 0: f64[n,m]: tanh at model.py:9: {line}" in (
        loader.net_forward.__doc__
    )


# -- from C ----------------------------------------------------------------------------

MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include "single.h"

/* Reads n, x and a cotangent; prints value and cotangent as hexadecimal floats. */
int main(int argc, char **argv) {
  int64_t n = atoll(argv[1]);
  double *all = calloc(6 * n + 1, sizeof(double));
  double *x = all, *ct = x + n, *y = ct + n, *kept = y + n, *out = kept + n;
  for (int64_t k = 0; k < 2 * n; k++) x[k] = strtod(argv[2 + k], NULL);
  void *room = aligned_alloc(64, 1 << 20);
  if (pb_single_forward_workspace(&n, 1) > 1 << 20) return 2;
  if (pb_single_backward_workspace(&n, 1) > 1 << 20) return 2;
  if (pb_single_forward_call(NULL, x, n, y, kept, room)) return 3;
  if (pb_single_backward_call(NULL, ct, x, kept, n, out, room)) return 4;
  for (int64_t k = 0; k < n; k++) printf("%a %a\\n", y[k], out[k]);
  free(room);
  free(all);
  return argc < 2 + 2 * n;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
@pytest.mark.parametrize("library", ["static", "shared"])
def test_from_c(model: Any, library: str, tmp_path: Path) -> None:
    compiled("single", "--arg", "x: f64[n]", "--vjp", "x")
    out = tmp_path / "o"
    (out / "main.c").write_text(MAIN)
    linked = {"static": ["libsingle.a"], "shared": ["-L.", "-lsingle"]}[library]
    subprocess.run(
        ["gcc", "-std=c11", "-Wall", "-Werror", "main.c", *linked,
         "-Wl,-rpath,$ORIGIN", "-o", "main"],
        cwd=out, check=True,
    )  # fmt: skip
    for n in (1, 3, 20):
        x, ct = np.linspace(-2, 2, n), np.cos(np.arange(float(n)))
        words = [str(n), *map(float.hex, x.tolist()), *map(float.hex, ct.tolist())]
        ran = subprocess.run(
            [str(out / "main"), *words], capture_output=True, text=True, check=True
        )
        found = [[float.fromhex(t) for t in s.split()] for s in ran.stdout.splitlines()]
        value, back = pb.vjp(model.single, x)
        same([v for v, _ in found], value)
        same([c for _, c in found], back(ct)[0])


def test_the_loader_needs_numpy_alone(model: Any, tmp_path: Path) -> None:
    compiled("single", "--arg", "x: f64[n]", "--vjp", "x")
    code = (
        "import sys, numpy as np, single; v, pull = single.single_vjp(np.zeros(2)); "
        "print(pull(np.ones(2))[0], 'pullback' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "o", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == "[0. 0.] False\n"


# -- errors ----------------------------------------------------------------------------

X = ["--arg", "x: f64[n]"]
WRONG: dict[str, tuple[list[str], str]] = {
    "unknown": (
        ["single", *X, "--vjp", "y"],
        "--vjp y: there is no argument 'y': it has x",
    ),
    "twice": (
        ["single", *X, "--vjp", "x,x"],
        "--vjp x,x: x is named twice: name it once",
    ),
    "integer": (
        ["single", "--arg", "x: i64[n]", "--vjp", "x"],
        "--vjp x: x is i64[n], a float is needed: use f64 or f32, or leave it out",
    ),
    "no float result": (
        ["rounded", *X, "--vjp", "x"],
        "--vjp x: rounded returns no float: there is no cotangent to pull back",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(case: str, model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (name, *arguments), said = WRONG[case]
    assert main(["compile", f"model.py:{name}", *arguments, "--out", "o"]) == 2
    assert capsys.readouterr().err == f"pullback: {said}\n"
    assert not Path("o").exists()


def test_an_op_without_a_rule(
    model: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise pb.GradientLookupError("gradient registry has no entry for: spline")

    monkeypatch.setattr(cli, "pair_entries", refuse)
    assert main(["compile", "model.py:single", *X, "--vjp", "x", "--out", "o"]) == 2
    said = capsys.readouterr().err
    assert said == "pullback: --vjp x: gradient registry has no entry for: spline\n"


def test_help_says_what_it_adds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compile", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--vjp NAME[,NAME] arguments to pull cotangents back to: adds " in text
