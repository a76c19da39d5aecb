"""Read the text that `text` writes.

The grammar is closed: nothing is evaluated, no name is looked up but ops in the table
given and arrays in the mapping given. Anything else is a ParseError with line and
column. Types and operands are not checked against the ops here; `verify` does that.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .constant import ArrayConstant
from .errors import ParseError, PullbackError
from .graph import Graph, Guard, Node, Value
from .pause import collector_paused
from .primitive import Primitive
from .size_text import parse_size
from .sizes import SizeExpr
from .text import HEADER, RESERVED
from .types import DTYPES, TensorType, parse_type

Array = np.ndarray[Any, np.dtype[Any]]

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(
    r"(-?(?:inf|nan|\d+\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+)|-?\d+)(?=\s*(?:[,)\]}]|$))",
    re.ASCII,
)
_VALUE = re.compile(r"%([0-9]+)")
_HASH = re.compile(r"@([0-9a-f]+)")
_SPACE = re.compile(r"\s*")
_WORDS = {"true": True, "false": False, "none": None}
_DEPTH = 50


class _Line:
    """A cursor over one line of the text."""

    def __init__(self, text: str, number: int, constants: Mapping[str, Array]) -> None:
        self.text = text
        self.number = number
        self.constants = constants
        self.at = 0
        self.depth = 0

    def error(self, what: str, at: int | None = None) -> ParseError:
        column = (self.at if at is None else at) + 1
        return ParseError(f"line {self.number}, column {column}: {what}")

    def space(self) -> None:
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
        if not self.starts(sign):
            raise self.error(f"{sign!r} expected")

    def match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        self.space()
        found = pattern.match(self.text, self.at)
        if not found:
            raise self.error(f"{what} expected")
        self.at = found.end()
        return found

    def end(self) -> None:
        self.space()
        if self.at < len(self.text) and self.text[self.at] != "#":
            raise self.error(f"unexpected {self.text[self.at :][:20]!r}")

    def string(self) -> str:
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
        start = self.at
        self.match(_WORD, "a type")
        if self.at >= len(self.text) or self.text[self.at] != "[":
            raise self.error("'[' expected")
        self.at = self.close(self.at) + 1
        try:
            return parse_type(self.text[start : self.at])
        except PullbackError as error:
            raise self.error(str(error), start) from None

    # -- params ------------------------------------------------------------------------

    def param(self) -> Any:  # Any: a param is of any kind the grammar has
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
        found = _NUMBER.match(self.text, start)
        if found:
            self.at = found.end()
            return self.number_of(found.group(), start)
        word = _WORD.match(self.text, start)
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
        try:
            return int(text) if text.lstrip("-").isdigit() else float(text)
        except ValueError as error:  # more digits than Python converts
            raise self.error(str(error), start) from None

    def items(self, closing: str) -> list[Any]:
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
        self.expect("(")
        return tuple(self.items(")"))

    def array(self) -> ArrayConstant:
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
        if any(isinstance(d, SizeExpr) for d in kind.shape):
            raise self.error(f"array {kind}: its shape is not constant")
        return tuple(d for d in kind.shape if isinstance(d, int))

    def named_array(self) -> ArrayConstant:
        start = self.at
        key = self.match(_HASH, "a hash").group(1)
        self.space()
        return ArrayConstant(self.held(key, self.tensor_type(), start))

    def held(self, key: str, kind: TensorType, start: int) -> Array:
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
        out: dict[str, Any] = {}
        if not self.starts("{"):
            return out
        while True:
            name = self.match(_WORD, "the name of a param").group()
            if name in out:
                raise self.error(f"param {name} is given twice")
            self.expect("=")
            out[name] = self.param()
            if not self.starts(","):
                self.expect("}")
                return out


class _Reader:
    """Builds the graph line by line."""

    def __init__(self, table: Mapping[str, Primitive]) -> None:
        self.table = table
        self.graph = Graph("", [], [], [], [])
        self.values: list[Value] = []
        self.pending = 0  # results of the line being read, not yet usable

    def define(self, line: _Line) -> TensorType:
        at = line.at
        number = int(line.match(_VALUE, "a value").group(1))
        wanted = len(self.values) + self.pending
        if number != wanted:
            raise line.error(f"%{number} is out of order: %{wanted} comes next", at)
        line.expect(":")
        line.space()
        return line.tensor_type()

    def use(self, line: _Line) -> Value:
        line.space()
        at = line.at
        number = int(line.match(_VALUE, "a value").group(1))
        if number >= len(self.values):
            raise line.error(f"%{number} is not defined", at)
        return self.values[number]

    def input(self, line: _Line) -> None:
        graph, self.pending = self.graph, 0
        line.space()
        value = Value(self.define(line), None, len(graph.inputs))
        graph.inputs.append(value)
        graph.names.append(line.string())
        self.values.append(value)
        if line.starts("capture"):
            line.space()
            at = line.at
            key = line.match(_HASH, "a hash").group(1)
            graph.captures.append(line.held(key, value.type, at))
        elif graph.captures:
            raise line.error("captures come after all other inputs")

    def node(self, line: _Line) -> None:
        types: list[TensorType] = []
        self.pending = 0
        if not line.starts("_"):
            while True:
                types.append(self.define(line))
                self.pending += 1
                if not line.starts(","):
                    break
                line.space()
        line.expect("=")
        line.space()
        at = line.at
        name = line.match(_WORD, "the name of an op").group()
        if name not in self.table:
            raise line.error(f"there is no op {name}", at)
        operands: list[Value] = []
        line.space()
        if line.text[line.at : line.at + 1] == "%":
            operands.append(self.use(line))
            while line.starts(","):
                operands.append(self.use(line))
        node = Node(self.table[name], tuple(operands), line.params(), types, None)
        self.graph.nodes.append(node)
        self.values += node.results

    def sizes(self, line: _Line) -> None:
        while True:
            line.space()
            if line.at >= len(line.text):
                return
            at = line.at
            name = line.match(_WORD, "the name of a size").group()
            if name in RESERVED or "." in name:
                raise line.error(f"a size cannot be called {name}", at)
            self.graph.sizes.append(name)

    def guard(self, line: _Line) -> None:
        left = line.size("=")
        line.expect("=")
        right = line.size('"')
        self.graph.guards.append(Guard(left, right, line.string()))

    def output(self, line: _Line) -> None:
        self.graph.outputs.append(self.use(line))
        self.graph.output_names.append(line.string())

    def name(self, line: _Line) -> None:
        line.space()
        quoted = line.text[line.at : line.at + 1] == '"'
        self.graph.name = (
            line.string() if quoted else line.match(_WORD, "a name").group()
        )


def parse_graph(
    text: str,
    table: Mapping[str, Primitive],
    constants: Mapping[str, Array] | None = None,
) -> Graph:
    """Return the graph a text describes.

    Args:
        text: as `print_graph` writes it.
        table: op name -> record.
        constants: the arrays the text names by hash.

    Raises:
        ParseError: the text is malformed; the message has line and column.
    """
    with collector_paused(text.count("\n")):
        return _read(_Reader(table), text, constants or {})


def _read(reader: _Reader, text: str, named: Mapping[str, Array]) -> Graph:
    """Read a program line by line."""
    lines = [_Line(t, k + 1, named) for k, t in enumerate(text.splitlines())]
    lines = [x for x in lines if x.text.strip() and not x.text.startswith("#")]
    if not lines or lines[0].text.rstrip() != HEADER:
        raise ParseError(f"line 1, column 1: a program begins with {HEADER!r}")
    reads = {
        "graph": reader.name,
        "sizes": reader.sizes,
        "in": reader.input,
        "guard": reader.guard,
        "out": reader.output,
    }
    stages = {"graph": 0, "sizes": 1, "in": 2, "%": 3, "guard": 4, "out": 5, "end": 6}
    stage = -1
    for line in lines[1:]:
        line.space()
        word = _WORD.match(line.text, line.at)
        key = word.group() if word and word.group() != "_" else "%"
        step = stages.get(key)
        if step is None:
            raise line.error(f"unexpected {key!r}")
        if step < stage or (step == stage and step in (0, 1, 6)):
            raise line.error(f"{key!r} comes too late")
        if stage < 0 < step:
            raise line.error("'graph' expected")
        stage = step
        if word and key != "%":
            line.at = word.end()
        if key in reads:
            reads[key](line)
        elif key == "%":
            reader.node(line)
        line.end()
    if stage != 6:
        raise ParseError(f"line {lines[-1].number + 1}, column 1: 'end' expected")
    return reader.graph
