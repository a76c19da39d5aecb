"""Read the text that `text` writes.

The grammar is closed: nothing is evaluated, no name is looked up but ops in the table
given and arrays in the mapping given. Anything else is a ParseError with line and
column. Types and operands are not checked against the ops here; `verify` does that.
"""

from collections.abc import Mapping

from .cursor import HASH, REGION, VALUE, WORD, Array, Line
from .errors import ParseError
from .graph import Graph, Guard, Node, Value
from .pause import collector_paused
from .primitive import Primitive
from .subgraph import SubGraph
from .text import HEADER, RESERVED
from .types import TensorType


class _Reader:
    """Builds the graph line by line."""

    def __init__(self, table: Mapping[str, Primitive]) -> None:
        self.table = table
        self.graph = Graph("", [], [], [], [])
        self.values: list[Value] = []
        self.pending = 0  # results of the line being read, not yet usable

    def define(self, line: Line) -> TensorType:
        at = line.at
        number = int(line.match(VALUE, "a value").group(1))
        wanted = len(self.values) + self.pending
        if number != wanted:
            raise line.error(f"%{number} is out of order: %{wanted} comes next", at)
        line.expect(":")
        line.space()
        return line.tensor_type()

    def use(self, line: Line) -> Value:
        line.space()
        at = line.at
        number = int(line.match(VALUE, "a value").group(1))
        if number >= len(self.values):
            raise line.error(f"%{number} is not defined", at)
        return self.values[number]

    def input(self, line: Line) -> None:
        graph, self.pending = self.graph, 0
        line.space()
        value = Value(self.define(line), None, len(graph.inputs))
        graph.inputs.append(value)
        graph.names.append(line.string())
        self.values.append(value)
        if line.starts("capture"):
            line.space()
            at = line.at
            key = line.match(HASH, "a hash").group(1)
            graph.captures.append(line.held(key, value.type, at))
        elif graph.captures:
            raise line.error("captures come after all other inputs")

    def node(self, line: Line) -> None:
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
        name = line.match(WORD, "the name of an op").group()
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

    def sizes(self, line: Line) -> None:
        while True:
            line.space()
            if line.at >= len(line.text):
                return
            at = line.at
            name = line.match(WORD, "the name of a size").group()
            if name in RESERVED or "." in name:
                raise line.error(f"a size cannot be called {name}", at)
            self.graph.sizes.append(name)

    def guard(self, line: Line) -> None:
        left = line.size("=")
        line.expect("=")
        right = line.size('"')
        self.graph.guards.append(Guard(left, right, line.string()))

    def output(self, line: Line) -> None:
        self.graph.outputs.append(self.use(line))
        self.graph.output_names.append(line.string())

    def name(self, line: Line) -> None:
        line.space()
        quoted = line.text[line.at : line.at + 1] == '"'
        self.graph.name = (
            line.string() if quoted else line.match(WORD, "a name").group()
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
    regions: dict[str, SubGraph] = {}
    lines = [Line(t, k + 1, named, regions) for k, t in enumerate(text.splitlines())]
    lines = [x for x in lines if x.text.strip() and not x.text.startswith("#")]
    if not lines or lines[0].text.rstrip() != HEADER:
        raise ParseError(f"line 1, column 1: a program begins with {HEADER!r}")
    at = 1
    while at < len(lines) and lines[at].text.startswith("region "):
        at = _read_region(reader.table, lines, at, regions)
    _read_lines(reader, lines[at:], lines[-1].number, -1)
    return reader.graph


def _read_region(
    table: Mapping[str, Primitive],
    lines: list[Line],
    at: int,
    regions: dict[str, SubGraph],
) -> int:
    """Read a region and return where the line after it is."""
    head = lines[at]
    head.at = len("region")
    head.space()
    start = head.at
    key = head.match(REGION, "a hash").group(1)
    head.end()
    last = at + 1
    while last < len(lines) and lines[last].text.strip() != "end":
        last += 1
    reader = _Reader(table)
    reader.graph.name = "region"
    _read_lines(reader, lines[at + 1 : last + 1], lines[-1].number, 0)
    if reader.graph.captures or reader.graph.guards:
        raise head.error("a region has no captures and no guards", start)
    held = SubGraph(reader.graph)
    if held.key != key:
        raise head.error(f"region &{key} has other contents: &{held.key}", start)
    regions[key] = held
    return last + 1


def _read_lines(reader: _Reader, lines: list[Line], last: int, stage: int) -> None:
    """Read the lines of one graph; `stage` is 0 where it has no line for its name."""
    reads = {
        "graph": reader.name,
        "sizes": reader.sizes,
        "in": reader.input,
        "guard": reader.guard,
        "out": reader.output,
    }
    stages = {"graph": 0, "sizes": 1, "in": 2, "%": 3, "guard": 4, "out": 5, "end": 6}
    for line in lines:
        line.space()
        word = WORD.match(line.text, line.at)
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
        raise ParseError(f"line {last + 1}, column 1: 'end' expected")
