"""What `import pullback` loads."""

import subprocess
import sys

import pullback as pb


def test_import_loads_no_compiler() -> None:
    code = (
        "import sys, pullback; print(sorted({m.split('.')[0] for m in sys.modules}"
        " & {'llvmlite', 'networkx', 'logging', 'hashlib'}),"
        " 'pullback.runtime' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["[]", "False"]


def test_tools_are_loaded_when_they_are_asked_for() -> None:
    code = (
        "import sys, pullback as pb;"
        "names = ['check_grads', 'vjp', 'ravel', 'explain'];"
        "print(*[n for n in names if f'pullback.tracer.{n}' in sys.modules]);"
        "print(pb.vjp.__module__, pb.ravel_tree.__module__, pb.check_grads.__module__)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.splitlines() == [
        "",
        "pullback.tracer.vjp pullback.tracer.ravel pullback.tracer.check_grads",
    ]


def test_every_name_that_is_shown_is_there() -> None:
    assert sorted(set(pb.__all__)) == dir(pb)
    for name in pb.__all__:
        assert getattr(pb, name) is not None
