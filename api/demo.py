"""`pullback demo`: a maximum-likelihood fit by compiled gradients, step by step.

Prints a model, its graph and its pruned adjoint; compiles, checks the gradient, fits,
compiles ahead of time and calls the artefact in two ways. Each claim is checked.
"""

import ctypes
import importlib.util
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .demo_data import ERRORS, ESTIMATES, FLIGHTS, MODEL
from .ir.adjoint import grad_graph
from .ir.passes import pipeline
from .ir.passes.partition import partition
from .ir.text import pretty
from .runtime.aot import compile_ahead
from .tracer.function import function
from .tracer.gradient import grad, value_and_grad
from .user_function import (
    check_wrt,
    load_function,
    parse_argument,
    trace_function,
)

Array = np.ndarray[Any, np.dtype[Any]]

_TYPES = ("w: f64[2]", "t: f64[n]", "y: f64[n]")
_STEPS = 50  # of Newton's method; it takes seven
_HALVINGS = 40


class _Checks:
    """Prints each check, and remembers whether all held."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def __call__(self, what: str, holds: bool) -> None:
        print(f"  [{'ok' if holds else 'FAILED'}] {what}")
        if not holds:
            self.failed.append(what)


def run() -> int:
    """Run the demo; return 0 if every check holds, else 1."""
    began = time.perf_counter()
    checks = _Checks()
    data = np.array(FLIGHTS, dtype=np.float64)
    t, y = data[:, 0].copy(), data[:, 1].copy()
    with tempfile.TemporaryDirectory(prefix="pullback-demo-") as folder:
        model = Path(folder) / "oring.py"
        model.write_text(MODEL, "utf-8")
        _title("The model: oring.py, plain NumPy")
        print(MODEL)
        loss = load_function(f"{model}:loss")
        forward, joint = _show_graphs(loss, folder)
        compiled = _compile(loss, t, y, checks)
        w = _fit(loss, compiled, t, y, checks)
        _ahead(forward, joint, Path(folder) / "build", (w, t, y), compiled, checks)
    elapsed = time.perf_counter() - began
    if checks.failed:
        print(f"\n{len(checks.failed)} checks FAILED in {elapsed:.1f} s")
        return 1
    print(f"\nEvery check holds. {elapsed:.1f} s in all.")
    return 0


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


# -- graphs ----------------------------------------------------------------------------


def _show_graphs(loss: Callable[..., Any], folder: str) -> tuple[Any, Any]:
    """Print graph and adjoint; return forward and joint graph for n flights."""
    arguments = [parse_argument(text) for text in _TYPES]
    forward = trace_function(loss, arguments, "oring.py:loss").graph
    joint = grad_graph(forward, check_wrt("w", arguments))
    halves = partition(pipeline.run(joint), 1)
    _title("Traced, for any number n of flights")
    print(_shown(pretty(pipeline.run(forward)), folder))
    _title("The gradient with respect to w, pruned")
    kept = ", ".join(f"{x.type}" for x in halves.residuals)
    print(_shown(pretty(halves.adjoint), folder))
    print(f"kept from the forward graph: {kept or 'nothing'} ({halves.bytes} bytes)")
    return forward, joint


def _shown(text: str, folder: str) -> str:
    """Return a graph's text in 90 columns, with the lines of the file behind."""
    lines = []
    for line in text.replace(f"{folder}/", "").rstrip().split("\n"):
        body, mark, comment = line.partition("  # ")
        place = comment.partition(" in ")[0]
        if mark:
            lines.append(f"{body:<68}  # {place}")
        else:
            lines += textwrap.wrap(body, 90, subsequent_indent="    ")
    return "\n".join(lines)


# -- native code -----------------------------------------------------------------------


def _compile(
    loss: Callable[..., Any], t: Array, y: Array, checks: _Checks
) -> Callable[..., Any]:
    """Return value and gradient with respect to w, compiled and checked."""
    _title("Compiled to native code in this process")
    compiled: Callable[..., Any] = value_and_grad(loss)
    w = np.array([1.0, -0.02])
    start = time.perf_counter()
    compiled(w, t, y)
    first = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(1000):
        compiled(w, t, y)
    each = (time.perf_counter() - start) / 1000
    print(f"  first call, tracing and compiling: {first * 1e3:.0f} ms")
    print(f"  later calls, value and gradient:   {each * 1e6:.2f} us")
    worst = 0.0
    for point in ([1.0, -0.02], [15.0, -0.23], [-3.0, 0.05], [0.0, 0.0]):
        w = np.array(point)
        found = compiled(w, t, y)[1]
        expected = _central_differences(lambda v: loss(v, t, y), w)
        error = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-300)
        worst = max(worst, float(np.max(error)))
    checks(f"gradient against central differences: {worst:.1e} relative", worst < 1e-7)
    return compiled


def _central_differences(f: Callable[[Array], Any], w: Array) -> Array:
    """Return the gradient of f, which runs in NumPy, by differences of fourth order."""
    out = np.zeros_like(w)
    for k in range(w.size):
        h = np.zeros_like(w)
        h[k] = 1e-3 * max(abs(float(w[k])), 0.02)
        near = f(w + h) - f(w - h)
        far = f(w + 2 * h) - f(w - 2 * h)
        out[k] = (8 * near - far) / (12 * h[k])
    return out


# -- the fit ---------------------------------------------------------------------------


def _fit(
    loss: Callable[..., Any],
    compiled: Callable[..., Any],
    t: Array,
    y: Array,
    checks: _Checks,
) -> Array:
    """Fit by Newton's method with an exact Hessian; return the estimates."""
    _title("Fitted to 23 flights by damped Newton steps")
    gradient = grad(loss)
    # One row of the Hessian: the gradient of one element of the gradient.
    row = grad(lambda w, v, t, y: np.sum(gradient(w, t, y) * v))
    hessian = function(lambda w, t, y: np.stack([row(w, v, t, y) for v in np.eye(2)]))
    w = np.zeros(2)
    value, g = compiled(w, t, y)
    print("  step   minus log-likelihood   |gradient|")
    step = 0
    while np.max(np.abs(g)) > 1e-9 and step < _STEPS:
        move = np.linalg.solve(hessian(w, t, y), g)
        scale = 1.0
        for _ in range(_HALVINGS):
            ahead = compiled(w - scale * move, t, y)
            if ahead[0] <= value + 1e-12 * abs(value):
                break
            scale *= 0.5
        step += 1
        w = w - scale * move
        value, g = ahead
        print(f"  {step:4d}   {value:20.12f}   {np.max(np.abs(g)):.1e}")
    errors = np.sqrt(np.diag(np.linalg.inv(hessian(w, t, y))))
    print()
    for k, name in enumerate(("intercept", "slope")):
        print(f"  {name:9s} {w[k]:9.4f}   standard error {errors[k]:.4f}")
    chance = 1 / (1 + np.exp(-(w[0] + w[1] * 31.0)))
    print(f"  chance of distress at 31 F, as on the last flight: {chance:.4f}")
    checks("the gradient is zero there", bool(np.max(np.abs(g)) <= 1e-9))
    near = np.allclose(w, ESTIMATES, rtol=0, atol=6e-5)
    near = near and np.allclose(errors, ERRORS, rtol=0, atol=6e-5)
    checks("estimates and standard errors are the published ones, to 4 digits", near)
    return w


# -- ahead of time ---------------------------------------------------------------------


def _ahead(
    forward: Any,
    joint: Any,
    out: Path,
    point: tuple[Array, Array, Array],
    compiled: Callable[..., Any],
    checks: _Checks,
) -> None:
    """Compile for any n into a folder, call the result in two ways, compare bits."""
    _title("Compiled ahead of time, for any n")
    start = time.perf_counter()
    written = compile_ahead(forward, joint, "loss", out, gradients={"tuple": [0, 1]})
    elapsed = time.perf_counter() - start
    names = ", ".join(path.name for path in written)
    print(f"  {names}\n  in {elapsed * 1e3:.0f} ms, without a compiler or linker")
    expected = _bits(*compiled(*point))
    library = next((p for p in written if p.suffix == ".so"), None)
    if library is None:
        print("  no shared library is written for this platform: link the object")
        return
    loader = _load(next(p for p in written if p.suffix == ".py"))
    found = _bits(*loader.loss_value_and_grad(*point))
    checks("loss.py, with NumPy alone: the bits of the call above", found == expected)
    found = _bits(*_call_native(ctypes.CDLL(str(library)), *point))
    checks("libloss.so, called as C would: the same bits", found == expected)
    w, t, y = point
    some = slice(0, 11)
    same = _bits(*compiled(w, t[some], y[some])) == _bits(
        *loader.loss_value_and_grad(w, t[some], y[some])
    )
    checks("11 flights through the same file: the bits of a program for 11", same)


def _bits(value: Any, gradient: Any) -> bytes:
    return np.float64(value).tobytes() + np.asarray(gradient, np.float64).tobytes()


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("pullback_demo_loader", path)
    assert spec is not None, f"no Python file: {path}"
    assert spec.loader is not None, f"no loader for: {path}"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _call_native(library: Any, w: Array, t: Array, y: Array) -> tuple[float, Array]:
    """Call pb_loss_value_and_grad by its C signature (docs/abi.md)."""
    name = "pb_loss_value_and_grad"
    pointers = ctypes.POINTER(ctypes.c_void_p)
    sizes = (ctypes.c_int64 * 1)(t.size)
    needed = library[f"{name}_workspace"]
    needed.restype, needed.argtypes = (
        ctypes.c_int64,
        [ctypes.POINTER(ctypes.c_int64), ctypes.c_int32],
    )
    room = np.empty(needed(sizes, 1) + 64, np.uint8)
    workspace = room[-room.ctypes.data % 64 :].ctypes.data
    value, gradient = np.zeros(()), np.zeros(2)
    inputs = (ctypes.c_void_p * 3)(w.ctypes.data, t.ctypes.data, y.ctypes.data)
    outputs = (ctypes.c_void_p * 2)(value.ctypes.data, gradient.ctypes.data)
    call = library[name]
    call.restype = ctypes.c_int32
    call.argtypes = [
        ctypes.c_void_p, pointers, ctypes.POINTER(ctypes.c_int64), pointers,
        ctypes.c_void_p,
    ]  # fmt: skip
    code = call(None, inputs, sizes, outputs, workspace)
    if code:
        raise RuntimeError(f"{name} returned status {code}")
    return float(value), gradient
