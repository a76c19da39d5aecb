"""Which contenders run, what is checked before they are timed, and what is recorded."""

import functools
import importlib.util
import platform
import shutil
import sys
from types import SimpleNamespace
from typing import Any

import contenders
import numpy as np
import pytest
from contenders import Contender, NotBuilt, gathered
from contenders.pullback import call as ours
from harness.growth import FAMILIES
from harness.session import lines, measured, session
from harness.timing import difference
from llvmlite import binding
from workloads import KINDS, MAKERS, MEANING, WIDE, WORKLOADS, workload

SMALL = (
    "scalar", "rosen_16", "elem_16", "elem_16_f32", "bs_16", "logreg_70", "poisson_70",
    "mlp_3_f32", "gmm_3_2_70", "ba_16", "lstm_5", "ode_6", "newton_16", "hess_5",
    "hvp_16", "jac_70", "chain_9", "gp_12", "exp_32", "log_32", "sin_32", "tanh_32",
    "erf_32", "erf_32_f32",
)  # fmt: skip


def square(**more: Any) -> Contender:
    def form(given: Any) -> Any:
        (x,) = given.arrays
        return lambda: (x**2, 2 * x)

    return Contender("pullback", "0", {"scalar": form}, **more)


def other(name: str, result: Any, **more: Any) -> Contender:
    return Contender(name, "0", {"scalar": lambda _: result}, **more)


def test_every_name_is_of_a_kind_that_is_explained() -> None:
    names = [*WORKLOADS, *WIDE, *(n for family in FAMILIES.values() for n in family)]
    assert {n.split("_")[0] for n in names} <= set(KINDS)
    assert set(MEANING) == set(KINDS)
    assert set(MAKERS) <= set(KINDS)
    assert all(len(family) == 4 for family in FAMILIES.values())


@pytest.mark.parametrize("name", ["rosenbrock_10", "rosen_x", "rosen_1_2"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(SystemExit, match=rf"no workload '{name}': kinds are scalar, r"):
        workload(name)


def test_a_name_without_sizes_has_the_usual_ones() -> None:
    assert workload("gmm_2_5").size == (2, 5, 1000)
    assert workload("ode").size == (1000,)
    single = workload("elem_10_f32")
    assert (single.arrays[0].dtype, single.tolerance) == (np.float32, 1e-4)
    assert workload("elem_10").tolerance == 1e-8


def test_pullback_has_a_form_of_every_kind() -> None:
    alone, left_out = gathered(["pullback"], 1)
    assert alone[0].name == "pullback"
    assert alone[0].forms.keys() == KINDS.keys()
    assert not left_out
    exact = {c.name: c.exact for c in gathered(["pullback"], 2)[0]}
    assert exact.pop("pullback") is False
    assert exact.keys() - {c.name for c in alone} == {"pullback 1 thread"}
    assert all(exact.values()), "ours have the same bits, however they are run"


def test_what_is_not_installed_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "autograd", None)
    monkeypatch.delitem(sys.modules, "contenders.autograd", raising=False)
    found, left_out = gathered(["autograd"], 1)
    assert [c.name for c in found] == ["pullback"]
    assert left_out["autograd"].startswith("import of autograd")


def test_what_compiles_for_long_runs_only_when_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [
        Contender("torch", "1", {}),
        Contender("torch compile", "1", {}, asked=True),
    ]
    fake = SimpleNamespace(load=lambda threads: made)
    monkeypatch.setitem(sys.modules, "contenders.torch", fake)
    monkeypatch.setattr(contenders, "MODULES", ("pullback", "torch"))

    def names(*given: str) -> list[str]:
        return [c.name for c in gathered(given, 1)[0]]

    assert names() == ["pullback"]
    assert names("torch") == ["pullback", "torch"]
    assert names("torch compile") == ["pullback", "torch compile"]
    assert names("torch", "torch compile") == ["pullback", "torch", "torch compile"]
    with pytest.raises(SystemExit, match="no contender 'torch fast': modules are pull"):
        gathered(["torch fast"], 1)
    with pytest.raises(SystemExit, match="no contender 'tourch'"):
        gathered(["tourch"], 1)


def test_pullback_itself_must_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "contenders.pullback", None)
    with pytest.raises(ImportError):
        gathered(["pullback"], 1)


def refusing(_: Any) -> Any:
    raise NotBuilt("takes minutes")


def test_a_record_says_who_was_timed_who_not_and_why() -> None:
    right = other("right", lambda: (np.float64(9.0), np.float64(6.0)))
    contenders = [
        square(),
        right,
        other("wrong", lambda: (9.0, 6.1)),
        other("shape", lambda: (9.0,)),
        other("bits", lambda: (9.0, 6.0 + 1e-12), exact=True),
        other("broken", lambda: 1 / 0),
        Contender("never", "0", {"scalar": refusing}),
        Contender("nothing", "0", {}),
    ]
    record = measured("scalar", contenders, 5, 1.0)
    assert record["contenders"].keys() == {"pullback", "right"}
    row = record["contenders"]["right"]
    assert row.keys() == {
        "us", "first_s", "ratio", "low", "high", "rounds", "difference"
    }  # fmt: skip
    assert row["low"] <= row["ratio"] <= row["high"]
    assert row["rounds"] == 5
    assert record["contenders"]["pullback"].keys() == {"us", "first_s"}
    assert record["not_built"] == {"never": "takes minutes"}
    assert record["wrong"] == {
        "wrong": "scalar: wrong differs by 1.6e-02",
        "shape": "scalar: shape differs by inf",
        "bits": "scalar: bits has other bits",
        "broken": "ZeroDivisionError: division by zero",
    }
    assert record["bytes"] == 24
    shown = "\n".join(lines(record))
    assert "ratio" in shown
    assert "not built: takes minutes" in shown
    assert "WRONG: scalar: wrong differs" in shown


def test_the_base_is_timed_without_others_too() -> None:
    said: list[str] = []
    (record,) = session(["scalar"], [square()], 3, 1.0, say=said.append)
    assert record["contenders"]["pullback"]["us"] > 0
    assert said[0].startswith("scalar\n  pullback ")


def test_the_base_comes_first() -> None:
    with pytest.raises(AssertionError, match="right is not pullback"):
        measured("scalar", [other("right", None)], 3, 1.0)


def compiler() -> str | None:
    if not shutil.which("gcc"):
        return "there is no gcc"
    wide = binding.get_host_cpu_features().get("avx512f")
    if platform.machine() != "x86_64" or not wide:
        return "the C is written for AVX-512"
    return None


@pytest.mark.skipif(compiler() is not None, reason=str(compiler()))
def test_what_is_written_in_c_agrees() -> None:
    agreed("c")


def test_what_is_written_in_numpy_agrees() -> None:
    agreed("numpy")


@pytest.mark.parametrize("module", ["autograd", "casadi", "drjit"])
def test_peers_agree(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    agreed(module)


@functools.cache
def computed(name: str) -> Any:
    return ours(workload(name))()


def agreed(module: str) -> None:
    """Every form of a module agrees with ours on small data; there is at least one."""
    (_, *others), _ = gathered([module], 1)
    (their,) = others
    compared = 0
    for name in SMALL:
        given = workload(name)
        try:
            call = their.build(given)
        except NotBuilt:
            continue
        if call is not None:
            far = difference(computed(name), call())
            assert far <= given.tolerance, f"{name}: {far:.1e}"
            compared += 1
    assert compared
