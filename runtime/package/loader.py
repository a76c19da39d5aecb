"""Write the Python module that loads a compiled program with NumPy alone.

The module is the text of `loader_core.py` followed by one description and one `def` for
each function. Text of the user enters it as string literals only; sizes enter as
arithmetic printed from parsed size expressions.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from ...codegen.signature import (
    ABI_VERSION,
    ArraySpec,
    Signature,
    TextSpec,
    python_size,
)
from ...ir.errors import PackageError
from .names import PYTHON_KEYWORDS, Namer, check_symbols, python_function

# How results and arguments nest: the number of an array, a list, {"tuple": [...]},
# {"dict": {...}}, or None.
Tree = object


@dataclass(frozen=True, slots=True)
class Pair:
    """Two functions that are one pullback: the loader offers NAME_vjp over them.

    Fields:
        symbol: the functions are SYMBOL_forward and SYMBOL_backward. The first returns
            the value and a tuple of residuals; the second takes the cotangent of the
            value, the inputs it reads again and that tuple.
        doc: what the loader says of it.
        reads: numbers of the inputs that SYMBOL_backward takes again.
    """

    symbol: str
    doc: str
    reads: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the function in the loader."""
        return f"{self.symbol}_vjp"


# What Linux calls the instruction sets that change the code LLVM writes. Features
# outside the table are stated in the module and not looked for.
_CPU_FLAGS = {
    "x86_64": {
        "adx": "adx",
        "aes": "aes",
        "avx": "avx",
        "avx2": "avx2",
        "avx512bw": "avx512bw",
        "avx512cd": "avx512cd",
        "avx512dq": "avx512dq",
        "avx512f": "avx512f",
        "avx512ifma": "avx512ifma",
        "avx512vbmi": "avx512vbmi",
        "avx512vl": "avx512vl",
        "bmi2": "bmi2",
        "f16c": "f16c",
        "fma": "fma",
        "gfni": "gfni",
        "movbe": "movbe",
        "popcnt": "popcnt",
        "sse2": "sse2",
        "sse4a": "sse4a",
        "ssse3": "ssse3",
        "vaes": "vaes",
        "vpclmulqdq": "vpclmulqdq",
        "sse3": "pni",
        "sse4.1": "sse4_1",
        "sse4.2": "sse4_2",
        "cx16": "cx16",
        "lzcnt": "abm",
        "bmi": "bmi1",
        "pclmul": "pclmulqdq",
        "sha": "sha_ni",
        "avx512vbmi2": "avx512_vbmi2",
        "avx512vnni": "avx512_vnni",
        "avx512bitalg": "avx512_bitalg",
        "avx512vpopcntdq": "avx512_vpopcntdq",
        "avx512bf16": "avx512_bf16",
        "avx512fp16": "avx512_fp16",
        "avxvnni": "avx_vnni",
    },
    "aarch64": {
        "neon": "asimd",
        "fullfp16": "asimdhp",
        "dotprod": "asimddp",
        "lse": "atomics",
        "sve": "sve",
        "sve2": "sve2",
        "bf16": "bf16",
        "i8mm": "i8mm",
        "crc": "crc32",
    },
}


def loader_text(
    name: str,
    signatures: Sequence[Signature],
    trees: Sequence[Tree],
    argument_trees: Sequence[Mapping[str, Tree] | None],
    target_triple: str,
    features: Sequence[str],
    library: str,
    stamp: tuple[str, bytes],
    pairs: Sequence[Pair] = (),
    texts: Sequence[TextSpec] = (),
) -> str:
    """Return the text of `NAME.py`.

    Args:
        name: the program.
        signatures: its functions.
        trees: how each function's results nest; None for a flat tuple, or the array
            itself where there is one.
        argument_trees: how each function's arguments nest, by parameter; None for one
            parameter an input.
        target_triple: the machine the library is for.
        features: the processor features its code uses; `+` in front is allowed, and
            those with `-` in front are left out.
        library: the file name of the shared library.
        stamp: the symbol and the bytes by which the library is recognised.
        pairs: which functions are the halves of a pullback.
        texts: what the functions print, by number.

    Raises:
        PackageError: a tree does not fit its signature, or names clash.
    """
    check_symbols(name, [s.symbol for s in signatures])
    wanted = [f.lstrip("+") for f in features if f and not f.startswith("-")]
    known = _CPU_FLAGS.get(target_triple.split("-")[0], {})
    flags = tuple((f, known[f]) for f in wanted if f in known)
    shown = [python_function(s.symbol) for s in signatures]
    shown += [pair.name for pair in pairs]
    if len(set(shown)) != len(shown):
        raise PackageError(f"two functions would have one Python name: {shown}")
    parts = [
        _module_doc(name, shown, target_triple, wanted, library),
        _core_text(),
        f"\n__all__ = {shown!r}\n",
        f"_ABI_VERSION = {ABI_VERSION}",
        f"_TARGET = {target_triple!r}",
        f"_FEATURES = {tuple(wanted)!r}",
        *_texts(texts),
        "_folder = _os.path.dirname(_os.path.abspath(__file__))",
        "_library = _open(",
        f"    _os.path.join(_folder, {library!r}),",
        f"    _TARGET, {flags!r},",
        f"    {stamp!r},",
        ")\n",
    ]
    rows = zip(signatures, trees, argument_trees, strict=True)
    parts += [_function(s, tree, args) for s, tree, args in rows]
    by_symbol = {s.symbol: s for s in signatures}
    parts += [_pullback(pair, by_symbol[f"{pair.symbol}_forward"]) for pair in pairs]
    text = "\n".join(parts)
    compile(text, f"{name}.py", "exec", dont_inherit=True)
    return text


def _texts(texts: Sequence[TextSpec]) -> list[str]:
    """Return the table of what is printed, if anything is."""
    if not texts:
        return []
    rows = [f"    ({t.format!r}, {t.stream!r}, {t.values!r})," for t in texts]
    return ["_TEXTS = (", *rows, ")"]


def _core_text() -> str:
    source = files(__package__).joinpath("loader_core.py").read_text("utf-8")
    first = ast.parse(source).body[0]
    return "\n".join(source.splitlines()[first.end_lineno :]).strip("\n") + "\n"


def _literal(text: str, indent: str = "") -> str:
    """Return a triple-quoted literal of the text, whatever is in it."""
    lines = [
        "".join(
            f"\\{c}" if c in '\\"' else c if c.isprintable() else _escaped(c)
            for c in line
        )
        for line in text.split("\n")
    ]
    body = "\n".join([lines[0], *(f"{indent}{t}" if t else "" for t in lines[1:])])
    return f'"""{body}{indent if text.endswith(chr(10)) else ""}"""'


def _escaped(char: str) -> str:
    return f"\\U{ord(char):08x}"


def _module_doc(
    name: str, shown: Sequence[str], triple: str, features: Sequence[str], library: str
) -> str:
    text = [
        f"{name}: compiled by pullback.",
        "",
        f"Functions: {', '.join(shown)}.",
        f"Needs NumPy, and {library} in the same folder.",
        f"The library is for {triple}.",
    ]
    if features:
        text.append(f"Processor features it uses: {', '.join(features)}.")
    return _literal("\n".join([*text, ""])) + "\n"


def _spec_tuple(spec: ArraySpec) -> tuple[str, str, tuple[str, ...]]:
    return spec.name, spec.dtype, tuple(str(d) for d in spec.dims)


def _dims_text(specs: Sequence[ArraySpec], spelled: Mapping[str, str]) -> str:
    shapes = []
    for spec in specs:
        dims = [python_size(size, spelled) for size in spec.sizes()]
        shapes.append(f"({', '.join(dims)}{',' if len(dims) == 1 else ''})")
    return f"({', '.join(shapes)}{',' if len(shapes) == 1 else ''})"


def _parameters(
    signature: Signature, names: Sequence[str]
) -> tuple[list[str], str, str]:
    """Return parameters, the text of all with keywords, and what a call passes on."""
    namer = Namer(PYTHON_KEYWORDS)
    params = [namer.name(name) for name in names]
    free = [s for s in signature.sizes if s not in signature.inferable()]
    keywords = [namer.name(size) for size in free]
    listed = ", ".join([*params, *(["*", *keywords] if keywords else [])])
    given = ", ".join(f"{s!r}: {k}" for s, k in zip(free, keywords, strict=True))
    passed = f"({', '.join(params)}{',' if len(params) == 1 else ''})"
    return params, listed, f"{passed}, {{{given}}}"


def _plain_parameters(signature: Signature) -> dict[str, Tree]:
    names = Namer(())
    return {names.name(s.name): k for k, s in enumerate(signature.inputs)}


def _pullback(pair: Pair, forward: Signature) -> str:
    _, listed, passed = _parameters(forward, list(_plain_parameters(forward)))
    calls = f"_call_{pair.symbol}_forward, _call_{pair.symbol}_backward"
    return "\n".join(
        [
            "",
            f"def {pair.name}({listed}):",
            f"    {_literal(pair.doc + chr(10), '    ')}",
            f"    return _vjp({calls}, {pair.reads!r}, {passed})",
            "",
        ]
    )


def _function(
    signature: Signature, tree: Tree, arguments: Mapping[str, Tree] | None
) -> str:
    symbol = signature.symbol
    what = f"results of {symbol}"
    count = len(signature.outputs)
    if tree is None:
        tree = 0 if count == 1 else {"tuple": list(range(count))}
    _check_tree(tree, count, what)
    if arguments is None:
        arguments = _plain_parameters(signature)
    whole = {"dict": dict(arguments)}
    _check_tree(whole, len(signature.inputs), f"arguments of {symbol}")
    params, listed, passed = _parameters(signature, list(arguments))
    nested = tuple(zip(params, arguments.values(), strict=True))
    inferred = tuple(
        (signature.sizes.index(dim), number, axis)
        for number, spec in enumerate(signature.inputs)
        for axis, dim in enumerate(spec.dims)
        if dim in signature.sizes
    )
    spelled = {size: f"s[{k}]" for k, size in enumerate(signature.sizes)}
    return "\n".join(
        [
            "",
            f"def _dims_{symbol}(s):",
            f"    return ({_dims_text(signature.inputs, spelled)},",
            f"            {_dims_text(signature.outputs, spelled)})",
            "",
            "",
            f"_call_{symbol} = _Function(",
            f"    _library, {symbol!r}, {signature.sizes!r},",
            f"    {tuple(_spec_tuple(s) for s in signature.inputs)!r},",
            f"    {tuple(_spec_tuple(s) for s in signature.outputs)!r},",
            f"    {inferred!r}, _dims_{symbol},",
            f"    {nested!r},",
            f"    {tree!r},",
            "    _ABI_VERSION,",
            ")",
            "",
            "",
            f"def {python_function(symbol)}({listed}):",
            f"    {_literal(_function_doc(signature), '    ')}",
            f"    return _call_{symbol}({passed})",
            "",
        ]
    )


def _function_doc(signature: Signature) -> str:
    lines = [signature.doc.strip() or f"Call pb_{signature.symbol}.", ""]
    for title, specs in (("Inputs", signature.inputs), ("Results", signature.outputs)):
        lines.append(f"{title}:" if specs else f"{title}: none")
        lines += [
            f"    {spec.name}: {spec.type_text()}" + (spec.note and f": {spec.note}")
            for spec in specs
        ]
    return "\n".join([*lines, ""])


def _check_tree(tree: Tree, count: int, what: str) -> None:
    """Refuse a tree that is malformed or does not use each array exactly once."""
    found: list[int] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, int) and not isinstance(node, bool):
            found.append(node)
        elif isinstance(node, list):
            stack += node
        elif isinstance(node, dict) and list(node) == ["tuple"]:
            stack += node["tuple"]
        elif isinstance(node, dict) and list(node) == ["dict"]:
            stack += node["dict"].values()
        elif node is not None:
            raise PackageError(f"{what}: {node!r} is no part of a tree")
    if sorted(found) != list(range(count)):
        raise PackageError(
            f"{what}: the tree has the leaves {sorted(found)}, expected each of "
            f"0 to {count - 1} once"
            if count
            else f"{what}: the tree has the leaves {sorted(found)}, there is no array"
        )
