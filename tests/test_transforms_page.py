"""The code of the page on transforms runs as it stands and prints what it says."""

from code_blocks import blocks, missing_targets, read, run

TEXT = read("docs/transforms.md")


def test_the_code_prints_what_is_shown() -> None:
    printed, _ = run(TEXT, "transforms.md")
    assert [p for p in printed if p] == blocks(TEXT, "text")


def test_the_files_it_points_to_exist() -> None:
    assert missing_targets("docs/transforms.md") == []
