"""Measure what importing costs, and a process that takes one gradient and ends.

    python benchmarks/startup.py [--rounds 20]

Every figure is the median over fresh processes, interleaved: `import pullback` over
`import numpy`, and the time to the first value and gradient of a function of ten ops,
counted inside the process from before the imports.
"""

import argparse
import os
import statistics
import subprocess
import sys

IMPORT = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
TEN = """
import time
t = time.perf_counter()
import numpy as np
import pullback as pb
def f(x, y):
    z = np.exp(-x * x) + np.sin(y) / (2 + y)
    return np.sum(np.tanh(z) * x - y)
x = np.linspace(0, 1, 50)
v, g = pb.value_and_grad(f, argnums=(0, 1))(x, x + 1)
print(time.perf_counter() - t)
"""


# compiled modules are cached, as they are wherever a package is installed
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def once(code: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    over, first = [], []
    once(TEN)
    for _ in range(rounds):
        alone = once(IMPORT.format("import numpy"))
        with_us = once(IMPORT.format("import numpy, pullback"))
        over.append(with_us - alone)
        first.append(once(TEN))
    print(f"import pullback over numpy: {statistics.median(over) * 1e3:.1f} ms")
    print(
        f"first value and gradient, imports included: {statistics.median(first):.3f} s"
    )


if __name__ == "__main__":
    main()
