"""Sizes: non-negative integer expressions over named sizes, in canonical form.

A size is an `int` or a `SizeExpr`, a polynomial with integer coefficients over atoms.
An atom is a name, `pos(e)` = max(e, 0), or a floor division. Minimum, maximum and
remainder are rewritten in these, so equal expressions are equal objects: x[1:] and
x[:-1] of n rows both have max(n-1, 0). A named size is 0 or at least 2: size 1 is
always a constant.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .errors import SizeError


class Atom(NamedTuple):
    """A factor of a monomial: `op` is "name", "pos" or "//"."""

    op: str
    name: str
    args: "tuple[int | SizeExpr, ...]"

    def text(self) -> str:
        """Return the atom as size text."""
        if self.op == "name":
            return self.name
        if self.op == "pos":
            return f"max({self.args[0]}, 0)"
        return f"({self.args[0]})//({self.args[1]})"


Monomial = tuple[Atom, ...]


class SizeExpr:
    """A size that is not a constant. Build with names and Python's operators."""

    __slots__ = ("_hash", "_text", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)
        self._text: str | None = None

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, SizeExpr) and self.terms == other.terms
        )

    def __str__(self) -> str:
        if self._text is None:
            self._text = "".join(_term_texts(self.terms))
        return self._text

    __repr__ = __str__

    def __add__(self, other: "int | SizeExpr") -> "int | SizeExpr":
        return _build(_added(_terms(self), _terms(other), 1))

    __radd__ = __add__

    def __sub__(self, other: "int | SizeExpr") -> "int | SizeExpr":
        return _build(_added(_terms(self), _terms(other), -1))

    def __rsub__(self, other: "int | SizeExpr") -> "int | SizeExpr":
        return _build(_added(_terms(other), _terms(self), -1))

    def __mul__(self, other: "int | SizeExpr") -> "int | SizeExpr":
        out: dict[Monomial, int] = {}
        for m1, c1 in self.terms:
            for m2, c2 in _terms(other).items():
                key = tuple(sorted(m1 + m2, key=Atom.text))
                out[key] = out.get(key, 0) + c1 * c2
        return _build(out)

    __rmul__ = __mul__

    def __neg__(self) -> "int | SizeExpr":
        return self * -1

    def __floordiv__(self, other: "int | SizeExpr") -> "int | SizeExpr":
        return floordiv(self, other)

    def __mod__(self, other: "int | SizeExpr") -> "int | SizeExpr":
        return self - floordiv(self, other) * other


def _term_texts(terms: tuple[tuple[Monomial, int], ...]) -> Iterator[str]:
    for k, (mono, coef) in enumerate(terms):
        lone = abs(coef) == 1 and len(mono) == 1
        # `2*(n)//(2)` would be read back as (2*n)//2.
        body = "*".join(
            f"({a.text()})" if a.op == "//" and not lone else a.text() for a in mono
        )
        sign = "-" if coef < 0 else ("+" if k else "")
        size = abs(coef)
        if not mono:
            yield f"{sign}{size}"
        elif size == 1:
            yield sign + body
        else:
            yield f"{sign}{size}*{body}"


def _terms(size: "int | SizeExpr") -> dict[Monomial, int]:
    if isinstance(size, SizeExpr):
        return dict(size.terms)
    return {(): size} if size else {}


def _added(
    left: dict[Monomial, int], right: dict[Monomial, int], sign: int
) -> dict[Monomial, int]:
    out = dict(left)
    for mono, coef in right.items():
        out[mono] = out.get(mono, 0) + sign * coef
    return out


def _order(item: tuple[Monomial, int]) -> tuple[int, str]:
    return (-len(item[0]), "*".join(a.text() for a in item[0]))


def _build(terms: dict[Monomial, int]) -> "int | SizeExpr":
    kept = [(m, c) for m, c in terms.items() if c]
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return SizeExpr(tuple(sorted(kept, key=_order)))


def named(name: str) -> SizeExpr:
    """Return the size called `name`: 0, or at least 2."""
    return SizeExpr((((Atom("name", name, ()),), 1),))


def lower_bound(size: "int | SizeExpr") -> int | None:
    """Return a proven lower bound, or None."""
    return _bound(size, want_low=True)


def upper_bound(size: "int | SizeExpr") -> int | None:
    """Return a proven upper bound, or None."""
    return _bound(size, want_low=False)


def _bound(size: "int | SizeExpr", want_low: bool) -> int | None:
    if isinstance(size, int):
        return size
    total = 0
    for mono, coef in size.terms:
        if not mono:
            total += coef
        elif (coef > 0) != want_low or not all(map(_is_non_negative, mono)):
            return None  # an atom has no upper bound
        # a product of non-negative atoms is at least 0
    return total


def _is_non_negative(atom: Atom) -> bool:
    """Return whether an atom is at least 0; a quotient of a difference may not be."""
    if atom.op != "//":
        return True
    low, divisor = (lower_bound(x) for x in atom.args)
    return low is not None and low >= 0 and divisor is not None and divisor >= 0


def smax(a: "int | SizeExpr", b: "int | SizeExpr") -> "int | SizeExpr":
    """Return max(a, b)."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return b + _pos(a - b)


def smin(a: "int | SizeExpr", b: "int | SizeExpr") -> "int | SizeExpr":
    """Return min(a, b)."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return a - _pos(a - b)


def _pos(e: "int | SizeExpr") -> "int | SizeExpr":
    if isinstance(e, int):
        return max(e, 0)
    low, high = lower_bound(e), upper_bound(e)
    if low is not None and low >= 0:
        return e
    if high is not None and high <= 0:
        return 0
    if e.terms[0][1] < 0:  # one sign of e has an atom: max(e,0) = max(-e,0) + e
        return _pos(-e) + e
    return SizeExpr((((Atom("pos", "", (e,)),), 1),))


def floordiv(a: "int | SizeExpr", b: "int | SizeExpr") -> "int | SizeExpr":
    """Return floor(a / b); exact quotients are divided out.

    Raises:
        SizeError: b is the constant 0.
    """
    if b == 0:
        raise SizeError(f"size {a} divided by zero")
    if b == 1:
        return a
    if isinstance(a, int):
        if isinstance(b, int):
            return a // b
        if a == 0:
            return 0
    divisor = list(_terms(b).items())
    if len(divisor) == 1:
        mono, coef = divisor[0]
        quotient: dict[Monomial, int] = {}
        for m, c in _terms(a).items():
            rest = list(m)
            for atom in mono:
                if atom not in rest:
                    break
                rest.remove(atom)
            else:
                if c % coef == 0:
                    quotient[tuple(rest)] = c // coef
                    continue
            break
        else:
            return _build(quotient)
    return SizeExpr((((Atom("//", "", (a, b)),), 1),))


def product(sizes: "Sequence[int | SizeExpr]") -> "int | SizeExpr":
    """Return the product; 1 for no sizes."""
    out: int | SizeExpr = 1
    for size in sizes:
        out = out * size
    return out


def evaluate_size(size: "int | SizeExpr", env: Mapping[str, int]) -> int:
    """Return the value of a size where the names have the values of `env`."""
    if isinstance(size, int):
        return size
    total = 0
    for mono, coef in size.terms:
        value = coef
        for atom in mono:
            if atom.op == "name":
                value *= env[atom.name]
            elif atom.op == "pos":
                value *= max(evaluate_size(atom.args[0], env), 0)
            else:
                a, b = (evaluate_size(x, env) for x in atom.args)
                value *= a // b if b else 0
        total += value
    return total


def substitute(
    size: "int | SizeExpr", env: "Mapping[str, int | SizeExpr]"
) -> "int | SizeExpr":
    """Return the size with names replaced by sizes."""
    if isinstance(size, int):
        return size
    total: int | SizeExpr = 0
    for mono, coef in size.terms:
        value: int | SizeExpr = coef
        for atom in mono:
            if atom.op == "name":
                value = value * env.get(atom.name, named(atom.name))
            elif atom.op == "pos":
                value = value * _pos(substitute(atom.args[0], env))
            else:
                a, b = (substitute(x, env) for x in atom.args)
                value = value * (0 if b == 0 else floordiv(a, b))
        total = total + value
    return total


def names_in(size: "int | SizeExpr") -> set[str]:
    """Return the names a size mentions."""
    if isinstance(size, int):
        return set()
    found: set[str] = set()
    for mono, _ in size.terms:
        for atom in mono:
            if atom.op == "name":
                found.add(atom.name)
            for arg in atom.args:
                found |= names_in(arg)
    return found
