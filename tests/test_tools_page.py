"""The code of docs/tools.md runs as it stands and prints what it says."""

import contextlib
import io
import linecache
import re
from pathlib import Path
from typing import Any

import pytest
from pullback.tracer.check_grads import TOLERANCES

TEXT = (Path(__file__).parent.parent / "docs" / "tools.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def printed() -> list[str]:
    names: dict[str, Any] = {}
    found = []
    for block in BLOCKS:
        linecache.cache["tools.md"] = (
            len(block), None, block.splitlines(keepends=True), "tools.md",
        )  # fmt: skip
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, "tools.md", "exec"), names)
        found.append(out.getvalue())
    linecache.cache.pop("tools.md")
    return found


def test_what_is_printed_is_what_the_comments_say(printed: list[str]) -> None:
    for block, text in zip(BLOCKS, printed, strict=True):
        for said in re.findall(r"^print\(.*\)\s+# (.*)$", block, re.MULTILINE):
            assert said.removesuffix("...") in text


def test_the_error_is_the_one_that_is_shown(printed: list[str]) -> None:
    shown = re.search(r"prints\n\n```\n(.*?)```", TEXT, re.DOTALL)
    assert shown
    assert shown[1] in printed, printed


def test_the_table_of_tolerances_is_the_one_that_is_used() -> None:
    rows = re.findall(r"^\| (float\d+) \| (.*) \| (.*) \| (.*) \|$", TEXT, re.MULTILINE)
    found = {name: tuple(map(float, numbers)) for name, *numbers in rows}
    assert found == TOLERANCES
