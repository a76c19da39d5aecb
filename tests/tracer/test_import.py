"""What `import pullback` loads."""

import subprocess
import sys


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
