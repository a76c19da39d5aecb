"""The exceptions of pullback.

    PullbackError
    |- OpTypeError(TypeError)            an op does not take operands of these types
    |- ArgumentError(TypeError)          a call does not fit the compiled signature
    |- SizeError(ValueError)             sizes disagree, or size text is malformed
    |- TracedValueError(TypeError)       Python needs the value of something traced
    |- EscapedValue(RuntimeError)        a traced value is used after its trace closed
    |- UnknownFunction(NotImplementedError)   NumPy's function has no traced form
    |- IndexOutOfRange(IndexError)       a gather met an index outside its axis
    |- NotPositiveDefinite(LinAlgError)  a Cholesky factor does not exist
    |- SingularMatrix(LinAlgError)       a system of equations has a pivot of 0
    |- GradientLookupError(LookupError)  a cotangent reaches an op without a rule
    |- ParseError(ValueError)            program text is malformed; has line and column
    |- TargetError(RuntimeError)         the target cannot express an instruction
    |- PackageError(ValueError)          an ahead-of-time artefact cannot be written
    |- NonFiniteError(FloatingPointError)     an op made a NaN or an infinity
    |- GradientMismatch(AssertionError)  a gradient disagrees with finite differences
    `- GraphError(AssertionError)        a graph is malformed: a defect of pullback

Each also derives from the builtin, or the error of NumPy, its user would catch.
"""

from numpy.linalg import LinAlgError


class PullbackError(Exception):
    """Base of everything pullback raises on its own account."""


class OpTypeError(PullbackError, TypeError):
    """An op does not take operands of these types."""


class ArgumentError(PullbackError, TypeError):
    """A call does not fit the signature that was compiled."""


class SizeError(PullbackError, ValueError):
    """Sizes disagree, or the text of a size is malformed."""


class TracedValueError(PullbackError, TypeError):
    """Python asked for the value of something that is only traced."""


class EscapedValue(PullbackError, RuntimeError):
    """A traced value was used after its trace closed."""


class UnknownFunction(PullbackError, NotImplementedError):
    """A NumPy function was called on a traced value and has no traced form."""


class IndexOutOfRange(PullbackError, IndexError):
    """A gather met an index outside its axis."""


class NotPositiveDefinite(PullbackError, LinAlgError):
    """A matrix has no Cholesky factor; the message has the leading minor."""


class SingularMatrix(PullbackError, LinAlgError):
    """A system has a pivot that is exactly 0; the message has its index."""


class GradientLookupError(PullbackError, LookupError):
    """A cotangent reaches an op that has no VJP rule."""


class ParseError(PullbackError, ValueError):
    """Program text is malformed; the message has line and column."""


class TargetError(PullbackError, RuntimeError):
    """The target cannot express what was asked of it."""


class PackageError(PullbackError, ValueError):
    """An ahead-of-time artefact cannot be read or written."""


class NonFiniteError(PullbackError, FloatingPointError):
    """An op made a NaN or an infinity where that is checked."""


class GradientMismatch(PullbackError, AssertionError):
    """A gradient disagrees with finite differences."""


class GraphError(PullbackError, AssertionError):
    """A graph is malformed; the message names the pass that ran last."""
