"""A small record, as run.py writes it."""

from typing import Any


def row(us: float, ratio: float, low: float, high: float, rounds: int = 31) -> Any:
    return {
        "us": us, "first_s": 0.25, "ratio": ratio, "low": low, "high": high,
        "rounds": rounds, "difference": 0.0,
    }  # fmt: skip


def alone(us: float, **more: Any) -> Any:
    return {"contenders": {"pullback": {"us": us, "first_s": 0.5}}, **more}


HEAD = {
    "machine": {
        "processor": "znver4", "architecture": "x86_64", "features": ["avx2", "fma"],
        "cores": 2, "caches": {"L1": "32K", "L2": "1024K"}, "system": "Linux",
        "python": "3.11.7",
    },
    "versions": {"numpy": "2.4.6", "pullback": "0.1.0", "C": "gcc 12", "JAX": "0.10.2"},
    "date": "2026-01-02",
    "threads": 1,
    "rounds": 31,
    "clock": "wall",
    "left_out": {"drjit": "No module named 'drjit'"},
}  # fmt: skip


def compared() -> Any:
    first = alone(2.0, name="rosen_1000", not_built={}, wrong={})
    first["contenders"] |= {"C": row(1.0, 2.0, 1.9, 2.1), "JAX": row(4, 0.5, 0.4, 0.6)}
    second = alone(1234.5, name="ode", not_built={"JAX": "too long"}, wrong={})
    second["contenders"] |= {"C": row(2469.0, 0.5, 0.25, 1.5, 7)}
    return {**HEAD, "workloads": [first, second]}


def grown() -> Any:
    spent = (1.0, 4.0, 40.0, 3000.0)
    sizes = [
        alone(us, name=f"elem_{10**e}", bytes=16 * 10**e, bound="work", faults=0)
        for e, us in zip(range(3, 7), spent, strict=True)
    ]
    sizes[0]["bound"] = "the call"
    triad = [
        {"bytes": 393_216, "bytes_per_s": 1e11},
        {"bytes": 2e7, "bytes_per_s": 1e10},
    ]
    return {**HEAD, "triad": triad, "growth": [{"family": "elem", "sizes": sizes}]}
