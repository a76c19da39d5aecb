"""What a compiled program says of itself: launches, memory, time."""

from collections.abc import Mapping
from dataclasses import dataclass

from .sizes import SizeExpr


@dataclass(frozen=True, slots=True)
class Kernel:
    """One distinct kernel: what it does, how often a call launches it, and for whom.

    `lines` are the user's lines that called what it makes, each once, in order;
    `inner` are the kernels of the steps of a loop, or of branches; `split` says how
    threads share it, where they may.
    """

    text: str
    launches: int
    lines: tuple[str, ...] = ()
    inner: "tuple[Kernel, ...]" = ()
    split: str = ""


@dataclass(frozen=True, slots=True)
class ProgramReport:
    """A compiled program, in numbers.

    Fields:
        operations: how many are left after all passes.
        kernels: in the order in which they run first.
        workspace: bytes a call needs beside arguments and results.
        call_path: `native`, or `ctypes: ` and the reason.
        seconds: what each stage of compilation took.
        threads: how many run the kernels that are split; why, where it is one for good.
        passed: bytes of the arrays that kernels read and write, of each kernel; None
            where that is not known.
        largest: bytes of the largest piece of the workspace; None where none is known.
    """

    operations: int
    kernels: tuple[Kernel, ...]
    workspace: int | SizeExpr
    call_path: str
    seconds: Mapping[str, float]
    threads: str = "1"
    passed: int | None = None
    largest: int | None = None

    @property
    def launches(self) -> int:
        """How many kernels one call runs."""
        return sum(k.launches for k in self.kernels)


def times_text(seconds: Mapping[str, float]) -> str:
    """Return stages with their times in ms, and their sum."""
    total = sum(seconds.values()) * 1e3
    parts = ", ".join(f"{name} {t * 1e3:.1f}" for name, t in seconds.items())
    return f"{total:.1f} ms ({parts})"
