"""TensorFlow's exceptions, by its names; pullback's advice is in their notes."""

from ..ir.errors import PullbackError


class OpError(PullbackError):
    """An operation cannot be run."""

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self)


class InvalidArgumentError(OpError):
    """An operand has a dtype or a shape that the op does not take."""


class FailedPreconditionError(OpError):
    """Something is not in the state that the op needs."""


class InternalError(OpError):
    """A registered gradient broke its promise."""


class NotFoundError(OpError):
    """A file or a name does not exist."""


class OutOfRangeError(OpError):
    """An index is outside its axis."""


class UnimplementedError(OpError):
    """TensorFlow has it, and pullback does not."""


class OperatorNotAllowedInGraphError(PullbackError, TypeError):
    """Python asked for the value of a tensor of a function that is being traced."""


__all__ = [
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "OpError",
    "OperatorNotAllowedInGraphError",
    "OutOfRangeError",
    "UnimplementedError",
]
