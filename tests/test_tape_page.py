"""The page on the tape runs as it stands and prints what it says."""

from code_blocks import blocks, missing_targets, read, run

TEXT = read("docs/tape.md")


def test_the_code_prints_what_is_shown() -> None:
    printed, _ = run(TEXT, "tape.md")
    assert printed == blocks(TEXT, "text")


def test_the_files_it_points_to_exist() -> None:
    assert missing_targets("docs/tape.md") == []
