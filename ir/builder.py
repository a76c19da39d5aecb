"""Append nodes to a program being built.

A builder belongs to one program. Rules call it by op name: `b.mul(ct, b.cos(x))`.
Python numbers among the operands become constants of the type of the first Value that
is not bool, or of the first. Appending a float `add` whose operand was defined by a
`mul` makes an `fma`: contraction happens here, once, so a result has the same bits
however the program is later cut into kernels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .constant import ArrayConstant
from .errors import GraphError, OpTypeError
from .graph import NO_PARAMS, Graph, Guard, Node, Value
from .loc import Loc, traced_at
from .primitive import Primitive
from .sizes import SizeExpr, named, names_in
from .subgraph import mentioned_sizes
from .types import DType, Shape, TensorType, dtype_of

Scalar = bool | int | float


class Builder:
    """Builds one graph from the op records of `table`."""

    def __init__(self, table: Mapping[str, Primitive], strict: bool = False) -> None:
        self.table = table
        self.strict = strict  # no contraction
        self.inputs: list[Value] = []
        self.names: list[str] = []
        self.nodes: list[Node] = []
        self.sizes: list[str] = []
        self.guards: list[Guard] = []
        self.captures: list[np.ndarray[Any, Any]] = []
        self.loc: Loc | None = None
        self._fresh: set[str] | None = None  # names of sizes, once one was asked for
        self._calls: dict[str, Callable[..., Any]] = {}
        self._constants: dict[Any, Value] = {}  # Any: (type, value bits)

    # -- values ------------------------------------------------------------------------

    def input(self, type: TensorType, name: str) -> Value:
        """Add a program input."""
        value = Value(type, None, len(self.inputs))
        self.inputs.append(value)
        self.names.append(name)
        return value

    def constant(
        self,
        value: "Scalar | np.generic | np.ndarray[Any, Any] | SizeExpr",
        dtype: DType | None = None,
        shape: Shape = (),
    ) -> Value:
        """Return a constant: a scalar or size in every element of `shape`, or an array.

        The same constant asked for again is the same value.
        """
        if isinstance(value, np.ndarray) and value.ndim:
            held = ArrayConstant(value if dtype is None else value.astype(dtype.numpy))
            result = TensorType(dtype_of(held.array.dtype), held.array.shape)
            return self._literal(held, result, held)
        if isinstance(value, SizeExpr):
            result = TensorType(dtype or self._default(value), shape)
            return self._literal(value, result, value)
        dtype = dtype or self._default(value)
        item = np.asarray(value).astype(dtype.numpy).item()
        # two zeros are equal and have different bits; nan is not equal to itself
        key = item.hex() if isinstance(item, float) else item
        return self._literal(item, TensorType(dtype, shape), key)

    def _literal(self, value: Any, result: TensorType, key: Any) -> Value:
        # Any: int, float, bool, size or array constant
        found = self._constants.get((result, key))
        if found is None:
            found = self.apply(
                self.table["constant"], (), {"value": value, "type": result}
            )[0]
            self._constants[result, key] = found
        return found

    @staticmethod
    def _default(value: Any) -> DType:  # Any: as `constant`
        if isinstance(value, SizeExpr):
            return dtype_of("int64")
        return dtype_of(np.asarray(value).dtype)

    # -- nodes -------------------------------------------------------------------------

    def apply(
        self,
        primitive: Primitive,
        operands: tuple[Value, ...],
        params: Mapping[str, Any],
    ) -> tuple[Value, ...]:
        """Append a node and return its results; types are checked at once."""
        try:
            types = primitive.infer(*[x.type for x in operands], **params)
        except OpTypeError as error:
            raise OpTypeError(f"{error}{traced_at(self.loc)}") from None
        node = Node(primitive, operands, params or NO_PARAMS, types, self.loc)
        node.checked = True
        self.nodes.append(node)
        return node.results

    def op(self, name: str, *operands: Any, **params: Any) -> Any:
        """Append op `name`; returns its result, or a tuple when it has several.

        Any: operands are Values or Python numbers; params are of any kind.
        """
        primitive = self.table[name]
        like: Value | None = None
        for x in operands:
            if type(x) is Value:
                like = x
                if x.type.dtype.kind != "b":
                    break
        values = tuple(
            [x if type(x) is Value else self._lift(x, like, name) for x in operands]
        )
        if not self.strict and (name == "add" or name == "sub"):
            contracted = self._contract(name, *values)
            if contracted is not None:
                return contracted
        results = self.apply(primitive, values, params)
        return results[0] if len(results) == 1 else results

    def _lift(self, number: Any, like: Value | None, name: str) -> Value:
        if like is None or not isinstance(number, (bool, int, float, SizeExpr)):
            raise GraphError(f"{name}: operand {number!r} is not a Value or a number")
        return self.constant(number, like.type.dtype, like.type.shape)

    def _contract(self, name: str, x: Value, y: Value) -> Value | None:
        """Return x + y or x - y as one fma where a product is added, else None."""
        if not x.type.dtype.is_float or x.type != y.type:
            return None
        fma = self.table["fma"]
        node = x.node
        if node is not None and node.primitive.name == "mul":
            p, q = node.operands
            rest = y if name == "add" else self.op("neg", y)
            return self.apply(fma, (p, q, rest), {})[0]
        node = y.node
        if node is not None and node.primitive.name == "mul":
            p, q = node.operands
            if name == "sub":
                p = self.op("neg", p)
            return self.apply(fma, (p, q, x), {})[0]
        return None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Any: the result is a Value, or a tuple of them for a multi-result op
        if name.startswith("_") or name not in self.table:
            raise AttributeError(name)

        def call(*operands: Any, **params: Any) -> Any:
            return self.op(name, *operands, **params)

        self.__dict__[name] = call
        return call

    # -- shorthand ---------------------------------------------------------------------

    def zeros(self, like: TensorType) -> Value:
        """Return zeros of a type."""
        return self.constant(0, like.dtype, like.shape)

    def broadcast(self, x: Value, shape: Shape) -> Value:
        """Return x broadcast to `shape`; x itself where nothing changes."""
        if x.type.shape == shape:
            return x
        node = x.node
        if (
            node is not None
            and node.primitive.name == "constant"
            and not isinstance(node.params["value"], ArrayConstant)
        ):
            return self.constant(node.params["value"], x.type.dtype, shape)
        out: Value = self.op("broadcast_to", x, shape=shape)
        return out

    def capture(self, array: "np.ndarray[Any, Any]") -> Value:
        """Return a value that holds an array a program captured."""
        return self.constant(array, dtype_of(array.dtype))

    def take_back(self, start: int) -> list[Node]:
        """Remove the nodes from number `start` on, and return them.

        Constants among them are not given out again.
        """
        taken = self.nodes[start:]
        del self.nodes[start:]
        gone = {x for node in taken if not node.operands for x in node.results}
        if gone:
            kept = self._constants.items()
            self._constants = {key: x for key, x in kept if x not in gone}
        return taken

    def guard(self, left: "int | SizeExpr", right: "int | SizeExpr", why: str) -> None:
        """Demand that two sizes be equal when the program is entered."""
        if left != right:
            self.guards.append(Guard(left, right, why, self.loc))

    def fresh_size(self, stem: str) -> SizeExpr:
        """Return a named size that nothing of the program is called after."""
        if self._fresh is None:
            taken = set(self.sizes)
            for x in self.inputs:
                for d in x.type.shape:
                    taken |= names_in(d)
            for node in self.nodes:
                if node.params:
                    taken |= mentioned_sizes(node)
            self._fresh = taken
        k = 0
        while f"{stem}{k}" in self._fresh:
            k += 1
        self._fresh.add(f"{stem}{k}")
        return named(f"{stem}{k}")

    def finish(
        self, name: str, outputs: Sequence[Value], output_names: Sequence[str] = ()
    ) -> Graph:
        """Return the program as a graph."""
        names = list(output_names) or [f"out{k}" for k in range(len(outputs))]
        return Graph(
            name,
            list(self.inputs),
            list(self.nodes),
            list(outputs),
            list(self.names),
            list(self.sizes),
            list(self.guards),
            list(self.captures),
            names,
        )
