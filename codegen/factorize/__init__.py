"""Factorisations and triangular systems: blocked, vectorised, in fixed order.

Knows LLVM and the target, and nothing of graphs. The law of this folder: an element is
one chain of fma in the order of elimination that starts from its operand, on every
path. What is being eliminated is held negated, so that a chain only ever adds: the
trailing updates are those of `contract`, and no sign costs a rounding.
"""

from .plan import FactorizePlan, emit_factorize, plan_factorize

__all__ = ["FactorizePlan", "emit_factorize", "plan_factorize"]
