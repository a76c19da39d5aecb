"""The tour's code runs as it stands and prints what it says."""

import pytest
from code_blocks import blocks, missing_targets, read, run

TEXT = read("docs/tour.md")


def test_the_code_prints_what_is_shown() -> None:
    reason = "scipy is not installed: pip install 'pullback[examples]'"
    pytest.importorskip("scipy", reason=reason)
    printed, _ = run(TEXT, "tour.md")
    assert printed == blocks(TEXT, "text")


def test_the_files_it_points_to_exist() -> None:
    assert missing_targets("docs/tour.md") == []
