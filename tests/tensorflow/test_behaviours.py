"""The table of behaviours: the tests it names exist; what is left out says why."""

import ast
from pathlib import Path

import pytest
from behaviours import ADAPTED, CELLS, PORTABLE, RULES
from test_guide_cells import EXPECTED

TESTS = {
    node.name
    for path in Path(__file__).parent.glob("test_*.py")
    for node in ast.parse(path.read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef)
}
ROWS = [*(test for _, test in RULES.values()), *PORTABLE.values(), *ADAPTED.values()]


@pytest.mark.parametrize("row", sorted(set(ROWS)))
def test_what_a_row_names_exists(row: str) -> None:
    assert row in TESTS or row.startswith("not: ")


def test_how_many_there_are() -> None:
    tested = [
        [r for r in t.values() if not r.startswith("not")] for t in (PORTABLE, ADAPTED)
    ]
    assert len(EXPECTED) == CELLS == 32
    assert sorted(RULES) == list(range(1, 26))
    assert sum(t.startswith("not: ") for _, t in RULES.values()) == 0
    assert len(tested[0]) == len(PORTABLE) == 106
    assert (len(ADAPTED), len(tested[1])) == (15, 11)
