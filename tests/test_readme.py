"""README's code runs as it stands and prints what it says."""

import re

from code_blocks import blocks, missing_targets, read, run

TEXT = read("README.md")


def test_the_python_code() -> None:
    printed, names = run(TEXT, "README.md")
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
    assert len([t for t in blocks(TEXT, "python")[0].splitlines() if t.strip()]) <= 12


def test_the_line_that_tests_is_what_ci_runs() -> None:
    line = next(t for b in blocks(TEXT, "sh") for t in b.splitlines() if "pytest" in t)
    assert line.endswith(".venv/bin/python -m pytest")
    assert "\npython -m pytest\n" in read(".ci/run")


def test_the_files_it_points_to_exist() -> None:
    assert missing_targets("README.md") == []
