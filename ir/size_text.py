"""Read size text such as `n`, `2*n+1`, `max(n-1, 0)`, `(n*m)//(4)`.

The grammar is small and closed; anything else is an error with its position. Nothing is
evaluated by Python.
"""

import re

from .errors import SizeError
from .sizes import SizeExpr, floordiv, named, smax, smin

_TOKEN = re.compile(r"\s*(//|[A-Za-z_]\w*|\d+|[-+*%(),])")
_DEPTH = 50


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, int]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if not found:
                raise SizeError(f"size {text!r}: unexpected {text[at]!r} at {at + 1}")
            self.tokens.append((found.group(1), found.start(1)))
            at = found.end()
        self.next = 0
        self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.next][0] if self.next < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        got = self.peek()
        if not got or (wanted is not None and got != wanted):
            at = self.tokens[self.next][1] if got else len(self.text)
            what = f"{wanted!r} expected" if wanted else "size ends too early"
            raise SizeError(f"size {self.text!r}: {what} at {at + 1}")
        self.next += 1
        return got

    def sum(self) -> int | SizeExpr:
        self.depth += 1
        if self.depth > _DEPTH:
            raise SizeError(f"size {self.text[:40]!r}...: nested too deeply")
        negative = self.peek() == "-"
        if negative:
            self.take()
        out = self.term()
        if negative:
            out = out * -1
        while self.peek() in ("+", "-"):
            op, right = self.take(), self.term()
            out = out + right if op == "+" else out - right
        self.depth -= 1
        return out

    def term(self) -> int | SizeExpr:
        out = self.atom()
        while self.peek() in ("*", "//", "%"):
            op, right = self.take(), self.atom()
            if op == "*":
                out = out * right
            elif op == "//":
                out = floordiv(out, right)
            else:
                out = out - floordiv(out, right) * right
        return out

    def atom(self) -> int | SizeExpr:
        token = self.take()
        if token.isdigit():
            return int(token)
        if token == "(":
            out = self.sum()
            self.take(")")
            return out
        if token in ("min", "max") and self.peek() == "(":
            self.take("(")
            a = self.sum()
            self.take(",")
            b = self.sum()
            self.take(")")
            return smax(a, b) if token == "max" else smin(a, b)
        if token[0].isalpha() or token[0] == "_":
            return named(token)
        at = self.tokens[self.next - 1][1]
        raise SizeError(f"size {self.text!r}: unexpected {token!r} at {at + 1}")


def parse_size(text: str) -> int | SizeExpr:
    """Read one size.

    Raises:
        SizeError: the text is not a size; the message has the column.
    """
    reader = _Reader(text)
    out = reader.sum()
    if reader.peek():
        at = reader.tokens[reader.next][1]
        raise SizeError(f"size {text!r}: unexpected {reader.peek()!r} at {at + 1}")
    return out
