"""The code of docs/control-flow.md runs as it stands and prints what it says."""

import re

from code_blocks import blocks, missing_targets, read, run

TEXT = read("docs/control-flow.md")


def test_what_is_printed_is_what_the_comments_say() -> None:
    printed, _ = run(TEXT, "control-flow.md")
    for block, text in zip(blocks(TEXT, "python"), printed, strict=True):
        found = re.findall(r"^(?:print|with)\b.*\s# (.*)$", block, re.MULTILINE)
        said = [line for lines in found for line in lines.split(" | ")]
        for line in said:
            assert line.removeprefix("...") in text
        assert text.count("\n") == len(said)


def test_the_files_it_points_to_exist() -> None:
    assert missing_targets("docs/control-flow.md") == []
