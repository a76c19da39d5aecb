"""Write the C header of a compiled program, for C99 and C++17.

Each function gets its prototypes with the shapes in words, and a typed `static inline`
wrapper that takes the arrays by name. Several headers can be included together: the
types of the ABI are guarded by its version.
"""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from ...codegen.signature import ABI_VERSION, ArraySpec, Signature, TextSpec
from .names import C_RESERVED, Namer, check_symbols

_C_TYPES = {
    "f64": "double",
    "f32": "float",
    "i64": "int64_t",
    "i32": "int32_t",
    "i16": "int16_t",
    "i8": "int8_t",
    "u64": "uint64_t",
    "u32": "uint32_t",
    "u16": "uint16_t",
    "u8": "uint8_t",
    "bool": "uint8_t",  # one byte, 0 or 1; C and C++ spell their own bool differently
}

_ABI = f"""\
#include <stddef.h>
#include <stdint.h>

#if defined(PB_ABI_VERSION) && PB_ABI_VERSION != {ABI_VERSION}
#error "headers of different pullback ABI versions are included together"
#endif

#ifndef PB_ABI_VERSION
#define PB_ABI_VERSION {ABI_VERSION}

/* What a function returns. */
#define PB_OK 0
#define PB_INDEX_OUT_OF_RANGE 1   /* status: node of the gather, index, axis, extent */
#define PB_WORKSPACE_TOO_SMALL 2  /* grow gave none; status: index: bytes needed */
#define PB_CANCELLED 3
#define PB_SIZE_MISMATCH 4        /* status: node of the guard, index, extent */
#define PB_NOT_POSITIVE_DEFINITE 5 /* status: index: order of the leading minor,
                                      axis: matrix of the batch, extent: its rows */
#define PB_SINGULAR 6             /* status: index: pivot, axis: matrix, extent: rows */
#define PB_PRINT_STOPPED 7        /* status: node: number of the text, index: what print
                                     returned */

typedef struct pb_status {{
  int32_t code;
  int32_t node;
  int64_t index;
  int64_t axis;
  int64_t extent;
}} pb_status;

/* May be NULL in every call: no status, no memory, no cancelling, one thread.

   grow: memory for what loops keep when nobody knows how often they will turn; other
   programs never call it. grow(state, NULL, bytes) returns new memory aligned to 16,
   grow(state, old, bytes) returns memory that begins with what `old` held and takes
   `old` back, or NULL and `old` stays; grow(state, old, 0) takes `old` back. A call
   gives all of it back before it returns, whatever it returns.

   print: called by programs that print, in their order, each time they get there, with
   the number of a text, the address of each value, and the sizes of all axes of all
   values, one after the other. Where it does not return 0 the program stops and returns
   PB_PRINT_STOPPED. */
typedef struct pb_ctx {{
  uint32_t abi_version;           /* PB_ABI_VERSION */
  uint32_t size;                  /* sizeof(pb_ctx) */
  pb_status *status;              /* filled on failure, or NULL */
  void *(*grow)(void *state, void *old, int64_t bytes); /* or NULL: see above */
  void *grow_state;
  const void *pool;               /* thread pool, or NULL */
  int32_t threads;                /* 1 without a pool */
  int32_t reserved;               /* 0 */
  const volatile int32_t *cancel; /* a long call stops once it is not 0, or NULL */
  int32_t (*print)(void *state, int32_t text, const void *const *values,
                   const int64_t *sizes); /* or NULL: see above */
  void *print_state;
}} pb_ctx;

/* A text that is printed. */
typedef struct pb_print_text {{
  const char *format;       /* as of Python's str.format: {{0}}, {{1:.3f}} are values */
  int32_t is_error;         /* 1: it goes to stderr */
  int32_t count;            /* how many values it has */
  const char *const *types; /* "f64", "i32", "bool" ..., one a value */
  const int32_t *ranks;     /* how many axes each value has */
}} pb_print_text;
#endif

/* A grow by the C library, for who defines PB_USE_MALLOC before this line. */
#if defined(PB_USE_MALLOC) && !defined(PB_GROW_MALLOC)
#define PB_GROW_MALLOC
#include <stdlib.h>
static inline void *pb_grow_malloc(void *state, void *old, int64_t bytes) {{
  (void)state;
  if (bytes == 0) {{
    free(old);
    return NULL;
  }}
  return realloc(old, (size_t)bytes);
}}
#endif
"""

# for packages that print; not formatted
_STDIO = """\
/* A print by the C library, for who defines PB_USE_STDIO before this line. print_state
   is the table of texts. Formats of fields are left out: numbers are shown with all
   their digits, arrays as their elements. */
#if defined(PB_USE_STDIO) && !defined(PB_PRINT_STDIO)
#define PB_PRINT_STDIO
#include <inttypes.h>
#include <stdio.h>
static inline int32_t pb_print_number(FILE *to, const char *type, const void *at,
                                      int64_t k) {
  int is_byte = type[0] == 'b' || type[1] == '8';
  int bits = is_byte ? 8 : (type[1] - '0') * 10 + type[2] - '0';
  if (type[0] == 'f')
    return bits == 64 ? fprintf(to, "%.17g", ((const double *)at)[k])
                      : fprintf(to, "%.9g", (double)((const float *)at)[k]);
  if (type[0] == 'i') {
    int64_t value = bits == 64   ? ((const int64_t *)at)[k]
                    : bits == 32 ? ((const int32_t *)at)[k]
                    : bits == 16 ? ((const int16_t *)at)[k]
                                 : ((const int8_t *)at)[k];
    return fprintf(to, "%" PRId64, value);
  }
  uint64_t value = bits == 64   ? ((const uint64_t *)at)[k]
                   : bits == 32 ? ((const uint32_t *)at)[k]
                   : bits == 16 ? ((const uint16_t *)at)[k]
                                : ((const uint8_t *)at)[k];
  return fprintf(to, "%" PRIu64, value);
}
static inline void pb_print_value(FILE *to, const char *type, int32_t rank,
                                  const void *at, const int64_t *sizes) {
  int64_t count = 1;
  for (int32_t k = 0; k < rank; ++k) count *= sizes[k];
  if (rank) fputc('[', to);
  for (int64_t k = 0; k < count; ++k) {
    if (k) fputc(' ', to);
    pb_print_number(to, type, at, k);
  }
  if (rank) fputc(']', to);
}
static inline int32_t pb_print_stdio(void *state, int32_t text,
                                     const void *const *values, const int64_t *sizes) {
  const pb_print_text *given = (const pb_print_text *)state + text;
  FILE *to = given->is_error ? stderr : stdout;
  const char *at = given->format;
  while (*at) {
    if ((*at != '{' && *at != '}') || at[1] == *at) {
      fputc(*at, to);
      at += 1 + (*at == '{' || *at == '}');
      continue;
    }
    int32_t number = 0, depth = 1;
    int64_t first = 0;
    for (++at; *at >= '0' && *at <= '9'; ++at) number = number * 10 + (*at - '0');
    for (; *at && depth; ++at) depth += (*at == '{') - (*at == '}');
    for (int32_t k = 0; k < number; ++k) first += given->ranks[k];
    pb_print_value(to, given->types[number], given->ranks[number], values[number],
                   sizes + first);
  }
  return fflush(to) ? 1 : 0;
}
#endif
"""

_RULES = """\
Arrays are C-contiguous; a scalar is an array of shape (). Inputs are never written.
An output overlaps no input and no other output. workspace: as many bytes as the
_workspace function tells, aligned to 64, or NULL when that is 0. A call returns PB_OK
or another of the codes below. The functions keep no state: threads may share them."""


def header_text(
    name: str, signatures: Sequence[Signature], texts: Sequence[TextSpec] = ()
) -> str:
    """Return the text of `NAME.h`; `texts` is what its functions print.

    Raises:
        PackageError: a function name cannot be a C symbol, or two clash.
    """
    check_symbols(name, [s.symbol for s in signatures])
    guard = f"PB_{name}_H"
    parts = [
        _comment([f"{name}: compiled by pullback, ABI {ABI_VERSION}.", "", _RULES]),
        f"#ifndef {guard}\n#define {guard}\n",
        _ABI,
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        *([_STDIO, _texts(name, texts)] if texts else []),
        *(_function(signature) for signature in signatures),
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */\n",
    ]
    return "\n".join(parts)


def _texts(name: str, texts: Sequence[TextSpec]) -> str:
    """Return the table of what is printed, by number."""
    lines: list[str] = []
    rows: list[str] = []
    for k, text in enumerate(texts):
        types = ", ".join([f'"{dtype}"' for dtype, _ in text.values]) or "0"
        ranks = ", ".join([str(rank) for _, rank in text.values]) or "0"
        here = f"pb_{name}_prints_{k}"
        lines.append(f"static const char *const {here}_types[] = {{{types}}};")
        lines.append(f"static const int32_t {here}_ranks[] = {{{ranks}}};")
        rows.append(
            f"  {{{_quoted(text.format)}, {int(text.stream == 'stderr')}, "
            f"{len(text.values)}, {here}_types, {here}_ranks}},"
        )
    title = _comment(["What is printed: `print` is given the number of one of these."])
    return "\n".join(
        [
            title.rstrip(),
            *lines,
            f"static const pb_print_text pb_{name}_prints[{len(texts)}] = {{",
            *rows,
            "};",
            "",
        ]
    )


def _quoted(text: str) -> str:
    """Return a C string of the text's UTF-8."""
    shown = [
        chr(c) if 32 <= c < 127 and chr(c) not in '"\\?' else f"\\{c:03o}"
        for c in text.encode()
    ]
    return f'"{"".join(shown)}"'


def _comment(paragraphs: Sequence[str]) -> str:
    lines = [_plain(t) for p in paragraphs for t in p.split("\n")]
    return "/* " + "\n".join(f" * {t}".rstrip() for t in lines)[3:] + " */\n"


def _plain(text: str) -> str:
    """Return text that can neither end a comment nor reorder what a reader sees."""
    for old, new in (("*/", "* /"), ("/*", "/ *"), ("??/", "? ?/")):
        text = text.replace(old, new)
    shown = (" " if unicodedata.category(c)[0] == "C" else c for c in text.rstrip("\\"))
    return "".join(shown)


def _array_lines(specs: Sequence[ArraySpec], names: Sequence[str]) -> Iterator[str]:
    for k, (spec, name) in enumerate(zip(specs, names, strict=True)):
        shape = ", ".join(str(d) for d in spec.dims)
        shape += "," if len(spec.dims) == 1 else ""
        note = ", 0 or 1 a byte" if spec.dtype == "bool" else ""
        shown = f"{_called(name, spec.name)}, {_C_TYPES[spec.dtype]}"
        held = f": {spec.note}" if spec.note else ""
        yield f"  {k}: {shown}, shape ({shape}){note}{held}"


def _called(name: str, original: str) -> str:
    return name if name == original else f"{name} ({original})"


def _function(signature: Signature) -> str:
    main, workspace = signature.symbols()
    namer = Namer(C_RESERVED | {"ctx", "workspace", "pb_in", "pb_sizes", "pb_out"})
    inputs = [namer.name(s.name) for s in signature.inputs]
    sizes = [namer.name(s) for s in signature.sizes]
    outputs = [namer.name(s.name) for s in signature.outputs]
    doc = [main]
    if signature.doc.strip():
        lines = signature.doc.strip().splitlines()
        tail = textwrap.dedent("\n".join(lines[1:])).splitlines()
        doc += ["", "\n".join([lines[0], *tail])]
    doc += ["", "inputs:" if inputs else "inputs: none"]
    doc += _array_lines(signature.inputs, inputs)
    doc.append("sizes:" if sizes else "sizes: none")
    named = zip(sizes, signature.sizes, strict=True)
    doc += [f"  {k}: {_called(*pair)}" for k, pair in enumerate(named)]
    doc.append("outputs:" if outputs else "outputs: none")
    doc += _array_lines(signature.outputs, outputs)

    params = ["const pb_ctx *ctx"]
    for name, spec in zip(inputs, signature.inputs, strict=True):
        params.append(f"const {_C_TYPES[spec.dtype]} *{name}")
    params += [f"int64_t {name}" for name in sizes]
    for name, spec in zip(outputs, signature.outputs, strict=True):
        params.append(f"{_C_TYPES[spec.dtype]} *{name}")
    params.append("void *workspace")
    return "\n".join(
        [
            _comment(doc).rstrip(),
            f"int32_t {main}(const pb_ctx *ctx, const void *const *inputs,",
            "    const int64_t *sizes, void *const *outputs, void *workspace);",
            "",
            f"/* Bytes of workspace {main} needs. */",
            f"int64_t {workspace}(const int64_t *sizes, int32_t threads);",
            "",
            f"/* {main}, with the arrays and sizes by name. */",
            f"static inline int32_t {main}_call(",
            *_listed(params),
            _local("const void *const", "pb_in", inputs),
            _local("const int64_t", "pb_sizes", sizes),
            _local("void *const", "pb_out", outputs),
            f"  return {main}(ctx, pb_in, pb_sizes, pb_out, workspace);",
            "}",
            "",
        ]
    )


def _listed(params: Sequence[str]) -> list[str]:
    return [f"    {p}," for p in params[:-1]] + [f"    {params[-1]}) {{"]


def _local(kind: str, name: str, values: Sequence[str]) -> str:
    # C has no empty arrays: one unused entry stands in.
    inner = ",\n      ".join(values or ("0",))
    return f"  {kind} {name}[{max(len(values), 1)}] = {{\n      {inner}}};"
