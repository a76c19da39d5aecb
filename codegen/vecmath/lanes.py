"""A small vocabulary for writing arithmetic on the lanes of one float type.

`Format` holds what the IEEE type decides; `Lanes` binds a function being written and a
type, scalar or vector, so that an elementary function reads like its formula. Nothing
here depends on the vector width: every lane goes through the same IEEE operations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..llvm import F32, F64, Function, Reg, const, elem_of, int_of, vec, width_of


@dataclass(frozen=True, slots=True)
class Format:
    """An IEEE binary format and the constants of range reduction in it.

    Constants with two or three parts sum to the real number, each part rounded to the
    format: ln2, 1/ln2 and pi/2.
    """

    bits: int
    fraction: int  # stored bits of the significand
    bias: int
    magic: float  # 1.5 * 2^fraction: adding it rounds to an integer
    smallest_normal: float
    ln2: tuple[float, float]
    inv_ln2: tuple[float, float]
    half_pi: tuple[float, float, float]
    two_over_pi: float
    exp_low: float  # exp rounds to +0 below
    exp_normal: float  # exp is normal from here on
    exp_high: float  # exp overflows above
    expm1_low: float  # expm1 rounds to -1 below
    tanh_high: float  # tanh rounds to 1 above
    trig_high: float  # the three-part pi/2 serves below

    @property
    def one(self) -> int:
        """The bits of 1.0."""
        return self.bias << self.fraction

    @property
    def infinity(self) -> int:
        """The bits of infinity."""
        return (2 * self.bias + 1) << self.fraction

    @property
    def sign(self) -> int:
        """The bit of the sign."""
        return 1 << (self.bits - 1)

    @property
    def root_half(self) -> int:
        """The bits of sqrt(1/2), to nearest: where logarithms cut the octave."""
        return 0x3FE6A09E667F3BCD if self.bits == 64 else 0x3F3504F3


_F64 = Format(
    bits=64,
    fraction=52,
    bias=1023,
    magic=1.5 * 2.0**52,
    smallest_normal=2.0**-1022,
    ln2=(0.6931471805599453, 2.3190468138462996e-17),
    inv_ln2=(1.4426950408889634, 2.0355273740931033e-17),
    half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    two_over_pi=0.6366197723675814,
    exp_low=-746.0,
    exp_normal=-708.0,
    exp_high=709.782712893384,
    expm1_low=-40.0,
    tanh_high=20.0,
    trig_high=2.0**30,
)

_F32 = Format(
    bits=32,
    fraction=23,
    bias=127,
    magic=1.5 * 2.0**23,
    smallest_normal=2.0**-126,
    ln2=(0.6931471824645996, -1.9046542121259336e-09),
    inv_ln2=(1.4426950216293335, 1.925963033500011e-08),
    half_pi=(1.570796251296997, 7.549789415861596e-08, 5.390302953474238e-15),
    two_over_pi=0.6366197466850281,
    exp_low=-104.0,
    exp_normal=-87.0,
    exp_high=88.72283172607422,
    expm1_low=-20.0,
    tanh_high=10.0,
    trig_high=2.0**15,
)

FORMATS = {F64: _F64, F32: _F32}


class Lanes:
    """Writes arithmetic of one float type into a function."""

    __slots__ = ("fmt", "fn", "ity", "ty")

    def __init__(self, fn: Function, ty: str) -> None:
        self.fn = fn
        self.ty = ty
        self.ity = int_of(ty)
        self.fmt = FORMATS[elem_of(ty)]

    def like(self, elem: str) -> "Lanes":
        """Return the same number of lanes of another float type."""
        return Lanes(self.fn, vec(elem, width_of(self.ty)))

    # -- constants and bits ---------------------------------------------------

    def num(self, value: float) -> Reg:
        """Return a float constant."""
        return const(self.ty, value)

    def word(self, value: int) -> Reg:
        """Return an integer constant of the lane size."""
        return const(self.ity, value)

    def bits(self, x: Reg) -> Reg:
        """Return the bits of x as integers."""
        return self.fn.bitcast(x, self.ity)

    def from_bits(self, n: Reg) -> Reg:
        """Return the floats that have the bits n."""
        return self.fn.bitcast(n, self.ty)

    def exponent(self, n: Reg) -> Reg:
        """Return n moved to the exponent field; what is above it is lost."""
        return self.fn.shl(n, self.word(self.fmt.fraction))

    def nan_like(self, y: Reg, x: Reg) -> Reg:
        """Return y, and NaN where x is one."""
        return self.fn.select(self.fn.fcmp("uno", x, x), self.fn.fadd(x, x), y)

    # -- arithmetic -----------------------------------------------------------

    def fma(self, x: Reg, y: Reg, z: Reg) -> Reg:
        """Return x * y + z with one rounding."""
        return self.fn.fma(x, y, z)

    def fnma(self, x: Reg, y: Reg, z: Reg) -> Reg:
        """Return z - x * y with one rounding."""
        return self.fn.fma(self.fn.fneg(x), y, z)

    def fms(self, x: Reg, y: Reg, z: Reg) -> Reg:
        """Return x * y - z with one rounding."""
        return self.fn.fma(x, y, self.fn.fneg(z))

    def at_least(self, x: Reg, low: float) -> Reg:
        """Return max(x, low); a NaN stays."""
        bound = self.num(low)
        return self.fn.select(self.fn.fcmp("olt", x, bound), bound, x)

    def at_most(self, x: Reg, high: float) -> Reg:
        """Return min(x, high); a NaN stays."""
        bound = self.num(high)
        return self.fn.select(self.fn.fcmp("ogt", x, bound), bound, x)

    def fast_two_sum(self, x: Reg, y: Reg) -> tuple[Reg, Reg]:
        """Return x + y rounded and its error, where |x| >= |y| or x = 0.

        Source: Dekker, Numerische Mathematik 18, 1971.
        """
        high = self.fn.fadd(x, y)
        return high, self.fn.fsub(y, self.fn.fsub(high, x))

    def two_sum(self, x: Reg, y: Reg) -> tuple[Reg, Reg]:
        """Return x + y rounded and its error, whichever is larger.

        Source: Knuth, The Art of Computer Programming 2, section 4.2.2.
        """
        fn = self.fn
        high = fn.fadd(x, y)
        part = fn.fsub(high, x)
        return high, fn.fadd(fn.fsub(x, fn.fsub(high, part)), fn.fsub(y, part))

    def two_prod(self, x: Reg, y: Reg) -> tuple[Reg, Reg]:
        """Return x * y rounded and its error."""
        high = self.fn.fmul(x, y)
        return high, self.fms(x, y, high)

    def poly(self, z: Reg, coefs: Sequence[float], z2: Reg | None = None) -> Reg:
        """Evaluate a polynomial, lowest power first, by Horner's rule.

        Given z2 = z * z the even and the odd half run side by side, which halves the
        length of the dependency chain without an operation more.
        """
        if z2 is None or len(coefs) < 4:
            acc = self.num(coefs[-1])
            for c in coefs[-2::-1]:
                acc = self.fma(acc, z, self.num(c))
            return acc
        return self.fma(self.poly(z2, coefs[1::2]), z, self.poly(z2, coefs[0::2]))

    # -- another precision -----------------------------------------------------

    def through_f64(self, core: Callable[..., Reg], *xs: Reg) -> Reg:
        """Return core(lanes, *xs) computed in f64 lanes, whatever the type."""
        if self.fmt.bits == 64:
            return core(self, *xs)
        wide = self.like(F64)
        y = core(wide, *(self.fn.convert("fpext", x, wide.ty) for x in xs))
        return self.fn.convert("fptrunc", y, self.ty)
