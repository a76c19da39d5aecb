"""The rules of the rooms, read from the source of every file."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("api", "tracer", "runtime", "codegen", "ir")  # imports point down this list
MOST_LINES = 400
LLVMLITE = ("codegen/target.py", "runtime/loading.py")

# File -> why it may import inside functions.
LAZY = {
    "tracer/engine.py": "the compiler, and with it LLVM: the first program loads it; "
    "and what explains programs",
    "ir/digest.py": "hashlib: the first array constant or program loads it",
    "ir/subgraph.py": "text writes regions, and regions are known by their text",
    "ir/adjoint.py": "adjoints of loops, and with them the partition: few have loops",
    "tracer/pair.py": "functions of complex numbers: the first one met loads them",
    "api/tensorflow/complex_face.py": "complex tensors: the first one made loads them",
    "tracer/trace.py": "batching: few traces map over rows",
    "tracer/tape_jacobian.py": "batching: few tapes ask for Jacobians",
    "ir/log.py": "logging: the first line asked for loads it",
    "ir/passes/mincut.py": "networkx is loaded by the first cut",
}
# Files whose length is data.
TABLES = frozenset(
    {"codegen/vecmath/coefficients.py", "codegen/vecmath/special_coefficients.py"}
)


def files() -> list[str]:
    return sorted(
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    )


FILES = files()


def tree_of(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text("utf-8"))


def package_of(name: str) -> list[str]:
    """The package a file is in, as it installs."""
    room, *rest = Path(name).parent.parts
    return ["pullback", *([] if room == "api" else [room]), *rest]


def room_of(module: list[str]) -> str:
    assert module[0] == "pullback", module
    return module[1] if len(module) > 1 and module[1] in ROOMS[1:] else "api"


def imported(name: str, node: ast.stmt) -> Iterator[list[str]]:
    """The absolute names of what a statement imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name.split(".")
    elif isinstance(node, ast.ImportFrom):
        base: list[str] = []
        if node.level:
            package = package_of(name)
            base = package[: len(package) - node.level + 1]
            assert base, f"{name}:{node.lineno}: imports from outside the package"
        full = [*base, *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            yield [*full, alias.name]


@pytest.mark.parametrize("name", FILES)
def test_imports_point_down(name: str) -> None:
    place = ROOMS.index(Path(name).parts[0])
    for node in ast.walk(tree_of(name)):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for module in imported(name, node):
            where = f"{name}:{node.lineno}: {'.'.join(module)}"
            assert module[0] not in ROOMS, f"{where}: import rooms relatively"
            if module[0] == "pullback":
                assert ROOMS.index(room_of(module)) >= place, f"{where} climbs"
            if module[0] == "llvmlite":
                assert name in LLVMLITE, f"{where}: only in {' and '.join(LLVMLITE)}"


@pytest.mark.parametrize("name", FILES)
def test_no_import_inside_a_function(name: str) -> None:
    for outer in ast.walk(tree_of(name)):
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(outer):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    assert name in LAZY, (
                        f"{name}:{node.lineno}: a lower room is missing"
                    )


def test_what_is_lazy_exists_and_is_lazy() -> None:
    for name in LAZY:
        found = [
            node
            for outer in ast.walk(tree_of(name))
            if isinstance(outer, ast.FunctionDef)
            for node in ast.walk(outer)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        assert found, f"{name} imports nothing inside functions: take it off the list"


@pytest.mark.parametrize("name", FILES)
def test_files_are_short(name: str) -> None:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    code = [t for t in lines if t.strip() and not t.strip().startswith("#")]
    if name not in TABLES:
        assert len(code) <= MOST_LINES, f"{name} has {len(code)} lines of code"


def test_the_packages_listed_are_the_folders() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    listed = tool["setuptools"]["packages"]
    folders = sorted({".".join(package_of(name)) for name in FILES})
    assert sorted(listed) == folders
    where = tool["setuptools"]["package-dir"]
    assert sorted(where) == folders
    for package, folder in where.items():
        assert package_of(f"{folder}/__init__.py") == package.split(".")
        assert (ROOT / folder / "__init__.py").is_file(), folder


def test_no_folder_hides_the_package() -> None:
    assert not (ROOT / "pullback").exists()


def test_importing_loads_neither_llvm_nor_networkx() -> None:
    code = "import sys, pullback; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    loaded = set(ran.stdout.split())
    assert "pullback" in loaded
    assert not {"llvmlite", "networkx", "scipy"} & loaded
    assert not any("complex_" in name or "complexes" in name for name in loaded)
