"""Running the code blocks of a document, for the tests of documents."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(text: str, name: str) -> tuple[list[str], dict[str, Any]]:
    """Return what each Python block printed, and the names all of them made."""
    names: dict[str, Any] = {}
    printed = []
    for block in blocks(text, "python"):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, name, "exec"), names)
        printed.append(out.getvalue())
    return printed, names


def missing_targets(path: str) -> list[str]:
    """The files a document points to that do not exist."""
    here = (ROOT / path).parent
    targets = re.findall(r"\]\(([^)#]+)\)", read(path))
    return [target for target in targets if not (here / target).exists()]
