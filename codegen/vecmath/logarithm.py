"""log, log2, log10 and log1p, and logarithms of sums of two floats.

x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), and log(1 + f) = f + tail(f). In f64
the tail is that of the series in s = f / (2 + f) (Tang, ACM TOMS 16, 1990; Ng's form,
f - (f^2/2 - s (f^2/2 + R))); in f32 a polynomial in f is shorter than the division.
"""

from collections.abc import Callable

from ..llvm import Function, Reg
from .coefficients import LOG_F32, LOG_F64
from .lanes import Lanes

# log10(2) with a short first part, and 1/log(10), by the bits of the format.
_LOG10 = {
    64: (
        (0.30102999566395283, 2.8363394551044964e-14),
        (0.4342944819032518, 1.098319650216765e-17),
    ),
    32: (
        (0.301025390625, 4.605039066518657e-06),
        (0.4342944920063019, -1.0103049952192578e-08),
    ),
}


def split(k: Lanes, x: Reg, bias: Reg) -> tuple[Reg, Reg, Reg]:
    """Return k as a float, k in the exponent field, and 1 + f, for normal x > 0.

    `bias` is subtracted from k: 0 lane by lane, or the power x was multiplied by.
    """
    fn, fmt = k.fn, k.fmt
    raw = k.bits(x)
    count = fn.ashr(fn.sub(raw, k.word(fmt.root_half)), k.word(fmt.fraction))
    field = k.exponent(count)
    # Integer to float by the magic number: one operation everywhere.
    shifted = k.from_bits(fn.add(count, _magic_bits(k)))
    power = fn.fsub(shifted, bias)
    return power, field, k.from_bits(fn.sub(raw, field))


def _magic_bits(k: Lanes) -> Reg:
    # 1.5 * 2^fraction has exponent field bias + fraction and the top fraction bit.
    fmt = k.fmt
    return k.word(
        ((fmt.bias + fmt.fraction) << fmt.fraction) | (1 << (fmt.fraction - 1))
    )


class Guard:
    """Splits x and mends its logarithm; what only rare numbers need is in branches.

    Subnormal numbers are raised before; 0, infinity, NaN and what is negative get their
    due afterwards. Both is left out where all lanes are normal, positive and finite,
    with the same bits: it is a quarter of the instructions of a logarithm.
    """

    __slots__ = ("k", "mantissa", "power", "rare", "x")

    def __init__(self, k: Lanes, x: Reg) -> None:
        fn, fmt = k.fn, k.fmt
        self.k, self.x = k, x
        # as unsigned integers the other normal numbers lie between two bounds
        lowest = 1 << fmt.fraction
        above = fn.sub(k.bits(x), k.word(lowest))
        odd = fn.icmp("uge", above, k.word(fmt.infinity - lowest))
        self.rare = fn.any_lane(odd)

        def raised() -> tuple[Reg, ...]:
            return _raised(k, x)

        usual = (x, k.num(fmt.magic))
        given, bias = _where(k, self.rare, usual, raised)
        self.power, _, self.mantissa = split(k, given, bias)

    def mended(self, y: Reg) -> Reg:
        """Return the logarithm y of x with what is due where x has none."""
        (y,) = _where(self.k, self.rare, (y,), lambda: (special(self.k, y, self.x),))
        return y


def _where(
    k: Lanes, rare: Reg, usual: tuple[Reg, ...], other: Callable[[], tuple[Reg, ...]]
) -> tuple[Reg, ...]:
    """Return `usual`, or in a branch that is rarely taken what `other` writes."""
    fn = k.fn
    before, branch, join = fn.block, fn.new_label("rare"), fn.new_label("any")
    fn.cond_br(rare, branch, join, likely=False)
    fn.start(branch)
    made, last = other(), fn.block
    fn.br(join)
    fn.start(join)
    return tuple(
        fn.merge(x.ty, ((x, before), (y, last)))
        for x, y in zip(usual, made, strict=True)
    )


def _raised(k: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """Return x > 0, multiplied where it is subnormal, and the bias of its power."""
    fn, fmt = k.fn, k.fmt
    small = fn.fcmp("olt", x, k.num(fmt.smallest_normal))
    raised = fn.select(small, fn.fmul(x, k.num(2.0**fmt.fraction)), x)
    bias = fn.select(small, k.num(fmt.magic + float(fmt.fraction)), k.num(fmt.magic))
    return raised, bias


def split_any(k: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """Return k as a float and 1 + f for x > 0, subnormal x included."""
    power, _, mantissa = split(k, *_raised(k, x))
    return power, mantissa


def _series(k: Lanes, f: Reg, half: Reg) -> tuple[Reg, Reg]:
    """Return s and f^2/2 + R, whose product is log(1 + f) - f + f^2/2."""
    fn = k.fn
    s = fn.fdiv(f, fn.fadd(f, k.num(2.0)))
    z = fn.fmul(s, s)
    return s, k.fma(z, k.poly(z, LOG_F64), half)


def _tail(k: Lanes, f: Reg) -> Reg:
    """Return log(1 + f) - f."""
    fn = k.fn
    f2 = fn.fmul(f, f)
    if k.fmt.bits == 32:
        q = k.poly(f, LOG_F32, f2)
        return fn.fmul(f2, k.fma(f, q, k.num(-0.5)))
    half = fn.fmul(f2, k.num(0.5))
    s, bracket = _series(k, f, half)
    return k.fms(s, bracket, half)


def _cube(k: Lanes, f: Reg) -> Reg:
    """Return log(1 + f) - f + f^2/2."""
    fn = k.fn
    f2 = fn.fmul(f, f)
    if k.fmt.bits == 32:
        return fn.fmul(fn.fmul(f2, f), k.poly(f, LOG_F32, f2))
    s, bracket = _series(k, f, fn.fmul(f2, k.num(0.5)))
    return fn.fmul(s, bracket)


def special(k: Lanes, y: Reg, x: Reg) -> Reg:
    """Return the logarithm y of x made -inf at 0, inf at inf and NaN elsewhere."""
    fn, fmt = k.fn, k.fmt
    raw = k.bits(x)
    # As unsigned integers infinity, NaN and all that is negative come last; with its
    # sign spread over all bits a negative number is a NaN, and the others are as due.
    beyond = fn.icmp("uge", raw, k.word(fmt.infinity))
    due = k.from_bits(fn.or_(raw, fn.ashr(raw, k.word(fmt.bits - 1))))
    y = fn.select(beyond, due, y)
    return fn.select(fn.fcmp("oeq", x, k.num(0.0)), k.num(float("-inf")), y)


def log(fn: Function, x: Reg) -> Reg:
    """Return the natural logarithm of x."""
    k = Lanes(fn, x.ty)
    ln2 = k.fmt.ln2
    guard = Guard(k, x)
    power, f = guard.power, fn.fsub(guard.mantissa, k.num(1.0))
    low = k.fma(power, k.num(ln2[1]), _tail(k, f))
    y = k.fma(power, k.num(ln2[0]), fn.fadd(f, low))
    return guard.mended(y)


def log2(fn: Function, x: Reg) -> Reg:
    """Return the logarithm of x to the base 2; exact for powers of two."""
    k = Lanes(fn, x.ty)
    high, low = k.fmt.inv_ln2
    guard = Guard(k, x)
    power, f = guard.power, fn.fsub(guard.mantissa, k.num(1.0))
    # g + g_low = f - f^2/2 exactly, then times 1/ln2 with the error of the product.
    half = fn.fmul(f, k.num(-0.5))
    g = k.fma(half, f, f)
    g_low = k.fma(half, f, fn.fsub(f, g))
    main, error = k.two_prod(g, k.num(high))
    rest = fn.fadd(g_low, _cube(k, f))
    rest = k.fma(rest, k.num(high), k.fma(g, k.num(low), error))
    y = fn.fadd(power, fn.fadd(main, rest))
    return guard.mended(y)


def log10(fn: Function, x: Reg) -> Reg:
    """Return the logarithm of x to the base 10."""
    k = Lanes(fn, x.ty)
    (two, two_low), (high, low) = _LOG10[k.fmt.bits]
    guard = Guard(k, x)
    power, f = guard.power, fn.fsub(guard.mantissa, k.num(1.0))
    half = fn.fmul(f, k.num(-0.5))
    g = k.fma(half, f, f)
    g_low = k.fma(half, f, fn.fsub(f, g))
    main, error = k.two_prod(g, k.num(high))
    rest = fn.fadd(g_low, _cube(k, f))
    rest = k.fma(rest, k.num(high), k.fma(g, k.num(low), error))
    # Exact: `two` has so few bits that its products with exponents are floats.
    base = fn.fmul(power, k.num(two))
    y, error = k.fast_two_sum(base, main)
    rest = fn.fadd(error, k.fma(power, k.num(two_low), rest))
    return guard.mended(fn.fadd(y, rest))


def log1p(fn: Function, x: Reg) -> Reg:
    """Return the natural logarithm of 1 + x."""
    k = Lanes(fn, x.ty)
    one = k.num(1.0)
    # u + c = 1 + x exactly; the error of a sum needs the larger term first.
    u = fn.fadd(x, one)
    x_less = fn.fcmp("olt", x, one)
    larger, smaller = fn.select(x_less, one, x), fn.select(x_less, x, one)
    c = fn.fsub(smaller, fn.fsub(u, larger))
    return fn.copysign(special(k, log_of_sum(k, u, c), u), x)


def _split_sum(k: Lanes, u: Reg, c: Reg, bias: Reg) -> tuple[Reg, Reg, Reg]:
    """Return n, f and f_low with u + c = 2^n (1 + f + f_low), for normal u > 0.

    c is below a few ulp of u, f_low below as much of f.
    """
    fn, fmt = k.fn, k.fmt
    power, field, mantissa = split(k, u, bias)
    # 2^-k; for the largest k the subtraction wraps to -inf, and c no longer counts.
    scale = k.at_least(k.from_bits(fn.sub(k.word(fmt.one), field)), 0.0)
    whole = fn.fsub(mantissa, k.num(1.0))
    f = k.fma(c, scale, whole)
    return power, f, k.fma(c, scale, fn.fsub(whole, f))


def log_of_sum(k: Lanes, u: Reg, c: Reg, twice: Reg | None = None) -> Reg:
    """Return log(u + c), and log(2u + 2c) where the mask `twice` holds.

    u is normal and positive; u + c - 1 may be much smaller than u.
    """
    fn, fmt = k.fn, k.fmt
    bias = k.num(fmt.magic)
    if twice is not None:
        bias = fn.select(twice, k.num(fmt.magic - 1.0), bias)
    power, f, f_low = _split_sum(k, u, c, bias)
    # log(1 + f + f_low) = log(1 + f) + f_low / (1 + f)
    low = fn.fadd(_tail(k, f), k.fnma(f, f_low, f_low))
    low = k.fma(power, k.num(fmt.ln2[1]), low)
    return k.fma(power, k.num(fmt.ln2[0]), fn.fadd(f, low))


def log_pair(k: Lanes, u: Reg, c: Reg) -> tuple[Reg, Reg]:
    """Return log(u + c) as the sum of two floats, for u > 0; c is 0 for subnormal u."""
    fn, fmt = k.fn, k.fmt
    raised, bias = _raised(k, u)
    power, f, f_low = _split_sum(k, raised, c, bias)
    main, main_low = k.two_prod(power, k.num(fmt.ln2[0]))
    main_low = k.fma(power, k.num(fmt.ln2[1]), main_low)
    high, error = k.fast_two_sum(main, f)
    low = fn.fadd(main_low, k.fnma(f, f_low, f_low))
    return k.fast_two_sum(high, fn.fadd(error, fn.fadd(low, _tail(k, f))))
