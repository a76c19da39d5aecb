r"""The loss of an LSTM that predicts the next character: ADBench's LSTM.

    python examples/adbench/lstm.py FILE [CHARS]     loss and norm of the gradient

The loop over the text is Python's: tracing unrolls it, so the program grows with the
text, and compiling it takes a time in proportion. Texts of one length share a program.

Source: F. Srajer, Z. Kukelova, A. Fitzgibbon, A benchmark of selected algorithmic
differentiation tools on some problems in computer vision and machine learning,
Optimization Methods and Software 33 (2018).
"""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pullback as pb

Array = np.ndarray[Any, np.dtype[np.float64]]


def cell(
    weight: Any, bias: Any, x: Any, hidden: Any, memory: Any, xp: Any
) -> tuple[Any, Any]:
    """Return the hidden state and the memory that follow an input."""
    gates = xp.concatenate([x, hidden, x, hidden]) * weight + bias
    bits = gates.shape[0] // 4
    forget, take, show = pb.sigmoid(gates[: 3 * bits]).reshape(3, bits)
    memory = memory * forget + take * xp.tanh(gates[3 * bits :])
    return show * xp.tanh(memory), memory


def loss(main: Any, extra: Any, state: Any, text: Any, xp: Any = np) -> Any:
    """Return minus the mean log-likelihood of the characters that follow.

    Args:
        main: (2 layers, 4 bits): weights, then biases, of each layer.
        extra: (3, bits): scale of the input, scale and shift of the prediction.
        state: (2 layers, bits): hidden state, then memory, of each layer at the start.
        text: (chars, bits), one character a row.
        xp: NumPy, or pullback for tensors under a tape.
    """
    layers = main.shape[0] // 2
    hidden = [state[2 * layer] for layer in range(layers)]
    memory = [state[2 * layer + 1] for layer in range(layers)]
    outputs = []
    for t in range(text.shape[0] - 1):
        x = text[t] * extra[0]
        for i in range(layers):
            weight, bias = main[2 * i], main[2 * i + 1]
            hidden[i], memory[i] = cell(weight, bias, x, hidden[i], memory[i], xp)
            x = hidden[i]
        outputs.append(x)
    prediction = xp.stack(outputs) * extra[1] + extra[2]
    total = xp.sum(xp.exp(prediction), axis=1, keepdims=True) + 2.0
    return -xp.mean(text[1:] * (prediction - xp.log(total)))


value_and_grad = pb.value_and_grad(loss, argnums=(0, 1))


def read(path: str | Path) -> tuple[Array, Array, Array, Array]:
    """Return the arguments of `loss` from a file of the suite."""
    lines = [line for line in Path(path).read_text("ascii").splitlines() if line.strip()]
    layers, chars, _ = map(int, lines[0].split())
    rows = [np.array(line.split(), np.float64) for line in lines[1:]]
    two = 2 * layers
    main, extra, state = rows[:two], rows[two : two + 3], rows[two + 3 : two + 3 + two]
    text = rows[two + 3 + two :][:chars]
    return np.stack(main), np.stack(extra), np.stack(state), np.stack(text)


def main(path: str, chars: str = "") -> None:
    *arrays, text = read(path)
    value, gradients = value_and_grad(*arrays, text[: int(chars)] if chars else text)
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    print(f"loss {value:.15g}, |gradient| {norm:.15g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
