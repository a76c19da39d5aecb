"""Make the user's names safe in C, C++ and Python.

Function names become linker symbols and file names, so they are taken as they are or
refused. Array and size names are only parameters, so they are rewritten: what a
language does not accept is spelled out, and a name taken already gets a number.
"""

import builtins
import keyword
import re
from collections.abc import Iterable

from ...ir.errors import PackageError

_C_WORDS = """
    auto break case char const continue default do double else enum extern float for
    goto if inline int long register restrict return short signed sizeof static
    struct switch typedef union unsigned void volatile while bool true false nullptr
    thread_local alignas alignof static_assert typeof typeof_unqual constexpr
    complex imaginary I asm and and_eq bitand bitor catch char8_t char16_t char32_t
    class co_await co_return co_yield compl concept consteval constinit const_cast
    decltype delete dynamic_cast explicit export false friend mutable namespace new
    noexcept not not_eq operator or or_eq private protected public reflexpr
    reinterpret_cast requires static_cast synchronized template this throw try
    typeid typename using virtual wchar_t xor xor_eq int8_t int16_t int32_t int64_t
    uint8_t uint16_t uint32_t uint64_t size_t ptrdiff_t intptr_t uintptr_t intmax_t
    uintmax_t NULL EOF errno assert stdin stdout stderr linux unix i386 near far min
    max INFINITY NAN fortran
"""

C_RESERVED = frozenset(_C_WORDS.split())
PYTHON_KEYWORDS = frozenset(keyword.kwlist)

_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_LONGEST = 200


def check_symbol(name: str) -> None:
    """Refuse a function name that cannot be part of a linker symbol and a file name.

    Raises:
        PackageError: the name is not an ASCII letter followed by letters, digits and
            underscores, or is longer than 200 characters.
    """
    if not _SYMBOL.match(name):
        raise PackageError(
            f"function name {name!r} cannot be a C symbol: use ASCII letters, digits "
            "and underscores, a letter first"
        )
    if len(name) > _LONGEST:
        raise PackageError(
            f"function name {name[:20]!r}... has {len(name)} characters, at most "
            f"{_LONGEST}"
        )


def check_symbols(name: str, symbols: Iterable[str]) -> None:
    """Refuse function names that clash, with each other or with derived names.

    Raises:
        PackageError: a name is malformed, given twice, or equal to a name derived from
            another: its workspace function, its call wrapper, the library's stamp.
    """
    check_symbol(name)
    taken = {stamp_symbol(name)[3:]: "the library's stamp"}
    for symbol in symbols:
        check_symbol(symbol)
        derived = (symbol, f"{symbol}_workspace", f"{symbol}_call")
        for text in derived:
            if text in taken:
                raise PackageError(
                    f"function name pb_{text} is taken twice: by {symbol!r} and by "
                    f"{taken[text]}"
                )
            taken[text] = f"{symbol!r}"
    for reserved in ("ctx", "status", "print_text"):
        if reserved in taken:
            raise PackageError(f"function name {reserved!r} is a type of the header")


def stamp_symbol(name: str) -> str:
    """Return the symbol that tells a loader whether the library is its own."""
    return f"pb_{name}_stamp"


def python_function(symbol: str) -> str:
    """Return the name of a function in a loader: keywords and builtins get a `_`."""
    # A loader uses builtins, so its functions must not hide them.
    hides = symbol in PYTHON_KEYWORDS or hasattr(builtins, symbol)
    return f"{symbol}_" if hides else symbol


class Namer:
    """Hand out unique identifiers for names; `reserved` are not given."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self._reserved = frozenset(reserved)
        self._taken: set[str] = set()

    def name(self, wanted: str) -> str:
        """Return an ASCII identifier that resembles `wanted` and is not taken."""
        text = re.sub("_+", "_", "".join(_spelled(c) for c in wanted)).strip("_")
        text = text or "array"
        if not text[0].isalpha():
            text = f"a{text}"
        if text in self._reserved:
            text += "_"
        found, number = text, 2
        while found in self._taken or found in self._reserved:
            found = f"{text.rstrip('_')}_{number}"
            number += 1
        self._taken.add(found)
        return found


def _spelled(char: str) -> str:
    if char.isascii():
        return char if char.isalnum() else "_"
    return f"u{ord(char):04x}"
