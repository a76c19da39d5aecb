"""Sample calls of every op; an evaluator and a checker that depend on records alone.

The evaluator walks nodes and calls references; the adjoint is a plain reverse walk.
Both are kept apart from the interpreter and the adjoint of the library on purpose: they
are what those are checked against.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
from pullback.ir.builder import Builder
from pullback.ir.errors import OpTypeError
from pullback.ir.graph import Value
from pullback.ir.ops import OPS
from pullback.ir.primitive import Domain, Primitive, Rule, Sample, as_results
from pullback.ir.sizes import SizeExpr, evaluate_size
from pullback.ir.types import DTYPES, DType, TensorType, dtype_of

SIZES = (0, 1, 7, 64, 1000)
LARGEST = 1 << 18  # elements of one operand or result

Array = np.ndarray[Any, Any]
Params = dict[str, Any]

# --- sample calls ---------------------------------------------------------------------


def params_of(sample: Sample, size: int | SizeExpr) -> Params:
    """Params of a sample for one size under test, which may be symbolic."""
    return {
        key: made(size) if isinstance(made, FunctionType) else made
        for key, made in sample.params.items()
    }


def dtypes_of(sample: Sample, dtype: DType) -> list[DType]:
    names = sample.dtypes or ("f",) * len(sample.shapes)
    return [dtype if name == "f" else DTYPES[name] for name in names]


def types_of(
    sample: Sample, size: int | SizeExpr, dtype: DType
) -> tuple[TensorType, ...]:
    """Operand types of a sample for one size under test, which may be symbolic."""
    return tuple(
        TensorType(d, tuple(size if s is None else s for s in shape))
        for shape, d in zip(sample.shapes, dtypes_of(sample, dtype), strict=True)
    )


def type_of(array: Any) -> TensorType:
    """Type of an array or a NumPy scalar."""
    return TensorType(dtype_of(array.dtype), array.shape)


def domain_of(primitive: Primitive, operand: int) -> Domain:
    domain = primitive.domain
    return domain[operand] if isinstance(domain, tuple) else domain


def draw(domain: Domain, shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Floats in a domain, at least 0.05 from the points it keeps clear of."""
    out = rng.uniform(domain.low, domain.high, tuple(shape))
    for point in domain.away:
        near = np.abs(out - point) < 0.05
        out = np.where(near, point + np.where(out < point, -0.05, 0.05), out)
    return out


def sample_arrays(
    primitive: Primitive,
    sample: Sample,
    size: int,
    dtype: Any,
    rng: np.random.Generator,
) -> tuple[list[Array], Params] | None:
    """Operands and params of one sample; None where the op refuses the size."""
    params = params_of(sample, size)
    types = types_of(sample, size, dtype_of(dtype))
    try:
        results = primitive.infer(*types, **params)
    except OpTypeError:
        assert size == 0, f"{primitive.name} refuses its own sample at size {size}"
        return None
    shapes = [tuple(int(str(d)) for d in t.shape) for t in (*types, *results)]
    if max(int(np.prod(shape)) for shape in shapes) > LARGEST:
        return None
    if sample.make is not None:
        drawn = sample.make(shapes[: len(types)], rng)
        made = zip(drawn, types, strict=True)
        return [np.asarray(a).astype(t.dtype.numpy) for a, t in made], params
    ranges = {k: (low, high) for k, low, high in sample.integers}
    operands = []
    for k, t in enumerate(types):
        if k in ranges:
            array = rng.integers(*ranges[k], shapes[k])
        else:
            array = draw(domain_of(primitive, k), shapes[k], rng)
        operands.append(np.asarray(array).astype(t.dtype.numpy))
    return operands, params


def sample_calls(
    primitive: Primitive, size: int, dtype: Any, rng: np.random.Generator
) -> Iterator[tuple[list[Array], Params]]:
    """Yield (operand arrays, params) for each sample the op takes at this size.

    `dtype` is the float type under test; operands come from where the op is smooth.
    """
    for sample in primitive.samples:
        made = sample_arrays(primitive, sample, size, dtype, rng)
        if made is not None:
            yield made


def named_samples() -> list[tuple[str, Primitive, Sample]]:
    """(test id, record, sample) of every sample of every op."""
    return [
        (f"{p.name}-{k}" if len(p.samples) > 1 else p.name, p, sample)
        for p in OPS.values()
        for k, sample in enumerate(p.samples)
    ]


# --- evaluation -----------------------------------------------------------------------


def resolve(param: Any, sizes: Mapping[str, int]) -> Any:
    """A param with numbers for named sizes."""
    if isinstance(param, SizeExpr):
        return evaluate_size(param, sizes)
    if isinstance(param, TensorType):
        return param.with_shape(resolve(param.shape, sizes))
    if isinstance(param, tuple):
        return tuple(resolve(p, sizes) for p in param)
    return param


def evaluate(
    b: Builder,
    inputs: Mapping[Value, Array],
    outputs: Sequence[Value],
    sizes: Mapping[str, int] | None = None,
) -> list[Array]:
    """Values of `outputs`, by the reference of each node in order."""
    env: dict[Value, Array] = dict(inputs)
    with np.errstate(all="ignore"):
        for node in b.nodes:
            params = {k: resolve(p, sizes or {}) for k, p in node.params.items()}
            made = node.primitive.evaluate(*[env[x] for x in node.operands], **params)
            env.update(zip(node.results, as_results(made), strict=True))
    return [env[x] for x in outputs]


def pull(
    b: Builder, cts: Mapping[Value, Value], wrt: Sequence[Value]
) -> list[Value | None]:
    """Append the adjoint of all nodes of `b`; one cotangent for each of `wrt`."""
    found: dict[Value, Value] = dict(cts)
    for node in list(reversed(b.nodes)):
        rule = node.primitive.vjp
        if isinstance(rule, Rule) or not any(y in found for y in node.results):
            continue
        held = tuple(found[y] if y in found else b.zeros(y.type) for y in node.results)
        given: Any = (held, node.results)
        if len(held) == 1:
            given = (held[0], node.results[0])
        pulled = rule(b, *given, *node.operands, **node.params)
        for x, ct in zip(node.operands, pulled, strict=True):
            if ct is None or not x.type.dtype.is_float:
                continue
            assert ct.type == x.type, f"{node.primitive.name}: {ct.type} for {x.type}"
            found[x] = b.add(found[x], ct) if x in found else ct
    return [found.get(x) for x in wrt]


@dataclass
class Program:
    """Nodes with inputs and outputs that can be evaluated and differentiated."""

    builder: Builder
    inputs: list[Value]
    outputs: list[Value]

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        env = dict(zip(self.inputs, arrays, strict=True))
        return evaluate(self.builder, env, self.outputs)


def one_op(
    primitive: Primitive,
    arrays: Sequence[Array],
    params: Params,
    table: Mapping[str, Primitive] = OPS,
) -> Program:
    """The program that applies one op to inputs of these types."""
    b = Builder(table)
    inputs = [b.input(type_of(a), f"x{k}") for k, a in enumerate(arrays)]
    return Program(b, inputs, list(b.apply(primitive, tuple(inputs), params)))


def differentiate(program: Program) -> Program:
    """The program of the cotangents of the float inputs.

    Its inputs are those of `program`, then one cotangent for each float output. It
    shares the builder, so `program` gains unused nodes.
    """
    b = program.builder
    floats = [y for y in program.outputs if y.type.dtype.is_float]
    seeds = [b.input(y.type, f"ct{k}") for k, y in enumerate(floats)]
    wrt = [x for x in program.inputs if x.type.dtype.is_float]
    starts: dict[Value, Value] = {}
    for out, seed in zip(floats, seeds, strict=True):
        starts[out] = b.add(starts[out], seed) if out in starts else seed
    cts = pull(b, starts, wrt)
    outputs = [
        b.zeros(x.type) if ct is None else ct for x, ct in zip(wrt, cts, strict=True)
    ]
    return Program(b, [*program.inputs, *seeds], outputs)


# --- the checker ----------------------------------------------------------------------


def normal_like(x: Value, rng: np.random.Generator) -> Array:
    """Random numbers of the type of a value with constant sizes."""
    shape: Any = x.type.shape
    return np.asarray(rng.standard_normal(shape), x.type.dtype.numpy)


def _inner(left: Sequence[Array], right: Sequence[Array]) -> tuple[float, float]:
    """Sum of products, and of their absolute values."""
    total = size = 0.0
    for x, y in zip(left, right, strict=True):
        terms = x.astype(np.float64) * y.astype(np.float64)
        total += float(np.sum(terms))
        size += float(np.sum(np.abs(terms)))
    return total, size


def check_program(
    make: Callable[[], Program], arrays: Sequence[Array], rng: np.random.Generator
) -> None:
    """Compare the cotangents of a program with central differences, as inner products.

    `make` returns the program afresh: differentiating it appends to its builder.
    """
    program, gradient = make(), differentiate(make())
    floats = [k for k, y in enumerate(program.outputs) if y.type.dtype.is_float]
    weights = [normal_like(program.outputs[k], rng) for k in floats]
    cts = gradient([*arrays, *weights])
    is_float = [a.dtype.kind == "f" for a in arrays]
    moves = [
        np.asarray(rng.standard_normal(a.shape)) if f else None
        for a, f in zip(arrays, is_float, strict=True)
    ]
    # f32 inside an f64 program, as cast has it, needs a step that f32 can see
    rough = any(x.type.dtype.name == "f32" for x in [*program.inputs, *program.outputs])
    step = 0.05 if rough else 1e-5

    def at(distance: float) -> float:
        moved: list[Array] = [
            a if m is None else np.asarray(a + distance * m, a.dtype)
            for a, m in zip(arrays, moves, strict=True)
        ]
        made = program(moved)
        return _inner(weights, [made[k] for k in floats])[0]

    expected = (at(step) - at(-step)) / (2 * step)
    got, size = _inner(cts, [m for m in moves if m is not None])
    assert np.isfinite(got), f"cotangents are not finite: {got}"
    assert abs(got - expected) <= 1e-4 * abs(expected) + 1e-7 * (size + 1), (
        f"inner product {got}, central difference {expected}"
    )


def check_vjp(
    primitive: Primitive,
    arrays: Sequence[Array],
    params: Params,
    order: int,
    rng: np.random.Generator,
    table: Mapping[str, Primitive] = OPS,
) -> None:
    """Check the VJP rule of one call at order 1, or the VJP of that rule at order 2."""

    def first() -> Program:
        return one_op(primitive, arrays, params, table)

    if order == 1:
        check_program(first, arrays, rng)
        return
    outputs = first().outputs
    seeds = [normal_like(y, rng) for y in outputs if y.type.dtype.is_float]
    check_program(lambda: differentiate(first()), [*arrays, *seeds], rng)
