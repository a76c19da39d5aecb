"""Emit size expressions as i64 arithmetic."""

from collections.abc import Mapping

from ..ir.sizes import SizeExpr
from .llvm import I64, Function, Reg, const


def emit_size(fn: Function, size: int | SizeExpr, env: Mapping[str, Reg]) -> Reg:
    """Return a size as an i64; `env` has the registers of the named sizes."""
    if isinstance(size, int):
        return const(I64, size)
    total: Reg | None = None
    for mono, coef in size.terms:
        value: Reg | None = None if mono and coef == 1 else const(I64, coef)
        for atom in mono:
            if atom.op == "name":
                factor = env[atom.name]
            elif atom.op == "pos":
                inner = emit_size(fn, atom.args[0], env)
                factor = fn.smax(inner, const(I64, 0))
            else:
                factor = _floordiv(fn, *(emit_size(fn, a, env) for a in atom.args))
            value = factor if value is None else fn.mul(value, factor)
        assert value is not None
        total = value if total is None else fn.add(total, value)
    assert total is not None
    return total


def _floordiv(fn: Function, a: Reg, b: Reg) -> Reg:
    """Return floor(a / b), and 0 where b is 0 (a size that is never used then)."""
    zero = const(I64, 0)
    bad = fn.icmp("eq", b, zero)
    safe = fn.select(bad, const(I64, 1), b)
    quotient = fn.sdiv(a, safe)
    rest = fn.sub(a, fn.mul(quotient, safe))
    negative = fn.icmp("slt", fn.xor(rest, safe), zero)
    inexact = fn.icmp("ne", rest, zero)
    lower = fn.sub(quotient, const(I64, 1))
    return fn.select(bad, zero, fn.select(fn.and_(negative, inexact), lower, quotient))
