"""README's code runs as it stands and prints what it says."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_python_code() -> None:
    names: dict[str, Any] = {}
    printed = []
    for block in blocks("python"):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, "README.md", "exec"), names)
        printed.append(out.getvalue())
    assert "loss(%0 w: f64[3], %1 x: f64[5,3], %2 y: f64[5]):" in printed[0]
    shown = re.findall(r"`(%\d+: .*)`", TEXT)
    assert shown
    assert all(line in printed[0] for line in shown)
    assert '{lhs="ik", out="k", rhs="i"}' in printed[0], "the adjoint's contraction"
    assert "# residuals: " in printed[0]
    assert printed[0].endswith("5.0 [-10. -10. -10.]\n")
    assert printed[2] == "[-10. -10. -10.]\n"
    row = names["hessian_row"]
    assert row(names["x"][0] * 0.1, names["x"][0]).shape == (3,)


def test_the_first_block_is_short() -> None:
    assert len([t for t in blocks("python")[0].splitlines() if t.strip()]) <= 12


def test_the_line_that_tests_is_what_ci_runs() -> None:
    line = next(t for b in blocks("sh") for t in b.splitlines() if "pytest" in t)
    assert line.endswith(".venv/bin/python -m pytest")
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "\npython -m pytest\n" in run


def test_the_files_it_points_to_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
