"""A cursor over one line of program text: the pieces that `parse` puts together."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .constant import ArrayConstant
from .errors import ParseError, PullbackError
from .size_text import parse_size
from .sizes import SizeExpr
from .subgraph import SubGraph
from .types import DTYPES, TensorType, parse_type

Array = np.ndarray[Any, np.dtype[Any]]

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
VALUE = re.compile(r"%([0-9]+)")
HASH = re.compile(r"@([0-9a-f]+)")
REGION = re.compile(r"&([0-9a-f]+)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(
    r"(-?(?:inf|nan|\d+\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+)|-?\d+)(?=\s*(?:[,)\]}]|$))",
    re.ASCII,
)
_SPACE = re.compile(r"\s*")
_WORDS = {"true": True, "false": False, "none": None}
_DEPTH = 50


class Line:
    """A cursor over one line of the text."""

    def __init__(
        self,
        text: str,
        number: int,
        constants: Mapping[str, Array],
        regions: Mapping[str, SubGraph],
    ) -> None:
        self.text = text
        self.number = number
        self.constants = constants
        self.regions = regions
        self.at = 0
        self.depth = 0

    def error(self, what: str, at: int | None = None) -> ParseError:
        """Return an error at a column, the present one by default."""
        column = (self.at if at is None else at) + 1
        return ParseError(f"line {self.number}, column {column}: {what}")

    def space(self) -> None:
        """Skip space."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def starts(self, sign: str) -> bool:
        """Skip space, then `sign` if it is next."""
        self.space()
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def expect(self, sign: str) -> None:
        """Skip space and `sign`, which has to be next."""
        if not self.starts(sign):
            raise self.error(f"{sign!r} expected")

    def match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        """Skip space and what matches a pattern; return the match."""
        self.space()
        found = pattern.match(self.text, self.at)
        if not found:
            raise self.error(f"{what} expected")
        self.at = found.end()
        return found

    def end(self) -> None:
        """Demand that nothing but a comment is left."""
        self.space()
        if self.at < len(self.text) and self.text[self.at] != "#":
            raise self.error(f"unexpected {self.text[self.at :][:20]!r}")

    def string(self) -> str:
        """Read a quoted string."""
        start = self.at
        found = self.match(_STRING, "a string")
        try:
            out: str = json.loads(found.group())
        except ValueError:
            raise self.error("malformed string", start) from None
        return out

    # -- pieces ------------------------------------------------------------------------

    def close(self, start: int) -> int:
        """Return where the bracket that opens at `start` closes."""
        depth, at = 0, start
        while at < len(self.text):
            char = self.text[at]
            if char == '"':
                found = _STRING.match(self.text, at)
                if not found:
                    raise self.error("unclosed string", at)
                at = found.end()
                continue
            if char in "([{":
                depth += 1
            elif char in ")]}":
                depth -= 1
                if depth == 0:
                    return at
            at += 1
        raise self.error(f"{self.text[start]!r} is never closed", start)

    def size(self, stops: str) -> int | SizeExpr:
        """Read a size up to one of `stops` outside parentheses, or the end."""
        self.space()
        start = at = self.at
        while at < len(self.text) and self.text[at] not in stops:
            at = self.close(at) + 1 if self.text[at] == "(" else at + 1
        text = self.text[start:at].rstrip()
        if not text:
            raise self.error("a size expected")
        try:
            out = parse_size(text)
        except PullbackError as error:
            raise self.error(str(error), start) from None
        self.at = at
        return out

    def tensor_type(self) -> TensorType:
        """Read a type."""
        start = self.at
        self.match(WORD, "a type")
        if self.at >= len(self.text) or self.text[self.at] != "[":
            raise self.error("'[' expected")
        self.at = self.close(self.at) + 1
        try:
            return parse_type(self.text[start : self.at])
        except PullbackError as error:
            raise self.error(str(error), start) from None

    # -- params ------------------------------------------------------------------------

    def param(self) -> Any:  # Any: a param is of any kind the grammar has
        """Read the value of a param."""
        self.space()
        start = self.at
        char = self.text[start : start + 1]
        if char == '"':
            return self.string()
        if char == "(":
            rest = self.text[self.close(start) + 1 :].lstrip()
            return self.size(",)]}") if rest[:1] in tuple("*/+-%") else self.sequence()
        if char == "[":
            return self.array()
        if char == "@":
            return self.named_array()
        if char == "&":
            key = self.match(REGION, "a hash").group(1)
            if key not in self.regions:
                raise self.error(f"there is no region &{key} above", start)
            return self.regions[key]
        found = _NUMBER.match(self.text, start)
        if found:
            self.at = found.end()
            return self.number_of(found.group(), start)
        word = WORD.match(self.text, start)
        if word and word.group() in _WORDS:
            self.at = word.end()
            return _WORDS[word.group()]
        if word and word.group() in DTYPES:
            if self.text[word.end() : word.end() + 1] == "[":
                return self.tensor_type()
            self.at = word.end()
            return DTYPES[word.group()]
        return self.size(",)]}")

    def number_of(self, text: str, start: int) -> int | float:
        """Return a number from its text."""
        try:
            return int(text) if text.lstrip("-").isdigit() else float(text)
        except ValueError as error:  # more digits than Python converts
            raise self.error(str(error), start) from None

    def items(self, closing: str) -> list[Any]:
        """Read values up to `closing`."""
        out: list[Any] = []
        self.depth += 1
        if self.depth > _DEPTH:
            raise self.error("nested too deeply")
        while not self.starts(closing):
            out.append(self.param())
            if not self.starts(","):
                self.expect(closing)
                break
        self.depth -= 1
        return out

    def sequence(self) -> tuple[Any, ...]:
        """Read a tuple."""
        self.expect("(")
        return tuple(self.items(")"))

    def array(self) -> ArrayConstant:
        """Read an array that is written out."""
        start = self.at
        self.expect("[")
        values = self.items("]")
        self.space()
        kind = self.tensor_type()
        if not all(isinstance(v, (bool, int, float)) for v in values):
            raise self.error("an array holds numbers", start)
        try:
            flat = np.array(values, kind.dtype.numpy)
            return ArrayConstant(flat.reshape(self.static(kind)))
        except (ValueError, OverflowError) as error:
            raise self.error(f"array {kind}: {error}", start) from None

    def static(self, kind: TensorType) -> tuple[int, ...]:
        """Return the shape of a type without named sizes."""
        if any(isinstance(d, SizeExpr) for d in kind.shape):
            raise self.error(f"array {kind}: its shape is not constant")
        return tuple(d for d in kind.shape if isinstance(d, int))

    def named_array(self) -> ArrayConstant:
        """Read an array written by its hash."""
        start = self.at
        key = self.match(HASH, "a hash").group(1)
        self.space()
        return ArrayConstant(self.held(key, self.tensor_type(), start))

    def held(self, key: str, kind: TensorType, start: int) -> Array:
        """Return the array that was given under a hash."""
        found = self.constants.get(key)
        if found is None:
            raise self.error(f"no array @{key} was given", start)
        if found.dtype != kind.dtype.numpy or found.shape != kind.shape:
            raise self.error(
                f"array @{key} is {found.dtype}{list(found.shape)}, not {kind}", start
            )
        if ArrayConstant(found).key != key:
            raise self.error(f"array @{key} has other contents", start)
        return found

    def params(self) -> dict[str, Any]:
        """Read the params of a node."""
        out: dict[str, Any] = {}
        if not self.starts("{"):
            return out
        while True:
            name = self.match(WORD, "the name of a param").group()
            if name in out:
                raise self.error(f"param {name} is given twice")
            self.expect("=")
            out[name] = self.param()
            if not self.starts(","):
                self.expect("}")
                return out
