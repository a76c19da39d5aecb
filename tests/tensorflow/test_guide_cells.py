"""The guide to gradients and automatic differentiation, run cell by cell.

The guide lies beside the project, where there is one; only its import line is changed.
"""

import ast
import contextlib
import io
import re
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pullback as pb
import pullback.tensorflow as tf
import pytest

GUIDE = Path(__file__).parents[3] / "shared" / "spec" / "guide-autodiff.txt"
needs_shared = pytest.mark.skipif(
    not GUIDE.is_file(), reason="needs the guide in ../shared, which is not here"
)


def cells(text: str) -> list[str]:
    """The code after each prompt: as many paragraphs as compile."""
    found = []
    for part in text.split("In [None]:\n")[1:]:
        paragraphs = part.split("\n\n")
        longest = ""
        for count in range(1, len(paragraphs) + 1):
            code = "\n\n".join(paragraphs[:count])
            try:
                compile(code, "cell", "exec")
            except SyntaxError:
                break
            longest = code
        found.append(longest)
    return found


class Plots(types.ModuleType):
    """A plotting module that reads what it is given as one does, by protocols."""

    def __init__(self) -> None:
        super().__init__("matplotlib.pyplot")
        self.lines: list[tuple[Any, Any]] = []

    def plot(self, x: Any, y: Any, label: str = "") -> None:
        assert len(x) == len(y)
        assert [float(e) for e in y] == np.asarray(y).tolist()
        self.lines.append((np.asarray(x), np.asarray(y)))

    def legend(self) -> None: ...

    def xlabel(self, text: str) -> str:
        return text


class Session:
    """What the cells share, and what the last of them printed and gave."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.plots = Plots()
        self.printed: list[str] = []
        self.value: Any = None

    def run(self, code: str) -> None:
        code = code.replace(
            "import tensorflow as tf", "import pullback.tensorflow as tf"
        )
        tree = ast.parse(code)
        last = tree.body[-1] if tree.body else None
        out = io.StringIO()
        self.value = None
        with contextlib.redirect_stdout(out):
            if isinstance(last, ast.Expr):
                tree.body = tree.body[:-1]
                exec(compile(tree, "cell", "exec"), self.names)
                final = compile(ast.Expression(last.value), "cell", "eval")
                self.value = eval(final, self.names)
            else:
                exec(compile(tree, "cell", "exec"), self.names)
        self.printed = out.getvalue().splitlines()

    def __getitem__(self, name: str) -> Any:
        return self.names[name]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    made = Session()
    top = types.ModuleType("matplotlib")
    top.pyplot = made.plots  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "matplotlib", top)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", made.plots)
    tf.random.set_seed(7)
    return made


def near(x: Any, wanted: Any, rtol: float = 1e-6) -> None:
    assert np.asarray(x).dtype == np.float32
    np.testing.assert_allclose(np.asarray(x), wanted, rtol=rtol, atol=1e-12)


def scalar(x: Any, wanted: float) -> None:
    assert isinstance(x, np.float32)
    assert x == np.float32(wanted)


def first_layer(s: Session) -> None:
    assert s["y"].shape == (1, 2)
    assert s["loss"].shape == ()
    assert s["w"].dtype == s["b"].dtype == tf.float32


def layer_gradients(s: Session) -> None:
    y = s["y"].numpy()
    near(s["dl_db"], y[0])
    near(s["dl_dw"], np.outer([1, 2, 3], y[0]))


def model_gradients(s: Session) -> None:
    assert isinstance(s["grad"], list)
    y = s["y"].numpy()
    near(s["grad"][0], np.outer([1, 2, 3], y[0]))
    near(s["grad"][1], y[0])


def watched(s: Session) -> None:
    assert s.printed == [
        "tf.Tensor(6.0, shape=(), dtype=float32)", "None", "None", "None",
    ]  # fmt: skip


def plotted(s: Session) -> None:
    (x, y), (_, dy) = s.plots.lines
    near(x[[0, 100, 200]], [-10, 0, 10])
    near(y[[0, 100]], [4.539787e-05, 0.5])
    near(dy[[0, 100, 110]], [4.5395806e-05, 0.25, 0.19661193], 2e-6)


def numpy_step(s: Session) -> None:
    assert s.printed == ["None"]
    near(s["y"], 7.5)


def integer_path(s: Session) -> None:
    assert s.printed == ["None"]
    assert (s["y"].dtype, s["y"].numpy()) == (tf.int32, 8)
    assert s["x"].dtype == tf.int32


def state_path(s: Session) -> None:
    assert s.printed == ["None"]
    near(s["x1"], 3.0)
    near(s["y"], 9.0)


def no_gradient(s: Session) -> None:
    assert s.printed == [
        "LookupError: gradient registry has no entry for: AdjustContrastv2"
    ]
    near(s["new_image"], [[[0.5, 0.0, 0.0]]])


def says(*lines: str) -> Callable[[Session], None]:
    def check(s: Session) -> None:
        assert s.printed == list(lines)

    return check


NOTHING: Callable[[Session], None] = lambda s: None  # noqa: E731 - one line a cell

# what each cell does, in order
EXPECTED: list[Callable[[Session], None]] = [
    NOTHING,
    lambda s: (s["tf"] is tf) or pytest.fail("another module"),
    lambda s: near(s["y"], 9.0),
    lambda s: scalar(s.value, 6.0),
    first_layer,
    layer_gradients,
    says("(3, 2)", "(3, 2)"),
    lambda s: s.value is None or pytest.fail("other variables have no gradient"),
    model_gradients,
    says("kernel, shape: (3, 2)", "bias, shape: (2,)"),
    watched,
    lambda s: s.value == ["x0:0"] or pytest.fail(str(s.value)),
    says("6.0"),
    lambda s: near(s["ys"], 10.000046),
    says("dy/dx0: None", "dy/dx1: 0.9999546"),
    says("18.0"),
    says("[  4. 108.]", "[2. 6.]"),
    lambda s: "tape" not in s.names or pytest.fail("the tape lives"),
    says("4.0", "-0.25"),
    says("3.75"),
    says("7.0"),
    lambda s: s["dy_dx"].shape == (201,) or pytest.fail("shape"),
    plotted,
    says("tf.Tensor(1.0, shape=(), dtype=float32)", "None"),
    says("None"),
    says("None"),
    says(
        "ResourceVariable : tf.Tensor(1.0, shape=(), dtype=float32)",
        "EagerTensor : None",
    ),
    numpy_step,
    integer_path,
    state_path,
    no_gradient,
    says("tf.Tensor([0. 0.], shape=(2,), dtype=float32)"),
]


@needs_shared
def test_every_cell_of_the_guide(session: Session) -> None:
    found = cells(GUIDE.read_text("utf-8"))
    assert len(found) == len(EXPECTED) == 32
    for number, (code, check) in enumerate(zip(found, EXPECTED, strict=True)):
        with warnings.catch_warnings():
            if number == 27:  # the cell that shows what leaving the tape does
                warnings.simplefilter("ignore", pb.LeftTapeWarning)
            session.run(code)
        try:
            check(session)
        except BaseException as error:
            error.add_note(f"in cell {number + 1}:\n{code}")
            raise


def test_cells_are_cut_where_prose_begins() -> None:
    text = "In [None]:\nx = 1\n\ny = x\n\nDes mots.\n\nIn [None]:\nz = 2\n\n## Titre"
    assert [re.sub(r"\s+", " ", c) for c in cells(text)] == [
        "x = 1 y = x",
        "z = 2 ## Titre",
    ]
