r"""The loss of an LSTM that predicts the next character: ADBench's LSTM.

    python examples/adbench/lstm.py FILE     loss and norm of the gradient

The loop over the text is Python's: tracing unrolls it, and the program grows with the
text. So a long text is taken in windows that share one program: forward from window to
window by the state, and back by the cotangent of the state. The gradient is exact.

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


def cell(weight: Any, bias: Any, x: Any, hidden: Any, memory: Any, xp: Any) -> Any:
    """Return the hidden state and the memory that follow an input."""
    forget = pb.sigmoid(x * weight[0] + bias[0])
    take = pb.sigmoid(hidden * weight[1] + bias[1])
    show = pb.sigmoid(x * weight[2] + bias[2])
    change = xp.tanh(hidden * weight[3] + bias[3])
    memory = memory * forget + take * change
    return show * xp.tanh(memory), memory


def run(main: Any, extra: Any, state: Any, text: Any, xp: Any = np) -> tuple[Any, Any]:
    """Return minus the summed log-likelihood of the characters that follow, and state.

    Args:
        main: (2 layers, 4 bits): weights, then biases, of each layer.
        extra: (3, bits): scale of the input, scale and shift of the prediction.
        state: (2 layers, bits): hidden state, then memory, of each layer at the start.
        text: (chars, bits), one character a row.
        xp: NumPy, or pullback for tensors under a tape.
    """
    layers, bits = main.shape[0] // 2, main.shape[1] // 4
    gates = xp.reshape(main, (layers, 2, 4, bits))
    state = [state[i] for i in range(2 * layers)]
    scale, gain, shift = extra[0], extra[1], extra[2]
    total = 0.0
    for t in range(text.shape[0] - 1):
        x = text[t] * scale
        for i in range(layers):
            hidden, memory = state[2 * i], state[2 * i + 1]
            state[2 * i : 2 * i + 2] = cell(*gates[i], x, hidden, memory, xp)
            x = state[2 * i]
        prediction = x * gain + shift
        normaliser = xp.log(xp.sum(xp.exp(prediction)) + 2.0)
        total = total - xp.sum(text[t + 1] * (prediction - normaliser))
    return total, xp.stack(state)


def loss(main: Any, extra: Any, state: Any, text: Any, xp: Any = np) -> Any:
    """Return `run`'s sum as a mean over steps and bits."""
    total, _ = run(main, extra, state, text, xp)
    return total / ((text.shape[0] - 1) * text.shape[1])


def seeded(main: Any, extra: Any, state: Any, text: Any, seed: Any) -> Any:
    total, last = run(main, extra, state, text)
    return total + np.sum(seed * last)


value_and_grad = pb.value_and_grad(loss, argnums=(0, 1))
forward = pb.function(run)
backward = pb.grad(seeded, argnums=(0, 1, 2))


def windowed(
    main: Array, extra: Array, state: Array, text: Array, steps: int = 3
) -> tuple[float, tuple[Array, Array]]:
    """Return the loss of a text of any length, and its gradient by main and extra.

    `steps` is the length of a window; texts of 1 + a multiple of it need one program.
    """
    total, states = 0.0, []
    windows = [text[t : t + steps + 1] for t in range(0, len(text) - 1, steps)]
    for window in windows:
        states.append(state)
        part, state = forward(main, extra, state, window)
        total += float(part)
    seed, by_main, by_extra = np.zeros_like(state), 0.0 * main, 0.0 * extra
    for window, start in zip(reversed(windows), reversed(states), strict=True):
        slopes = backward(main, extra, start, window, seed)
        by_main, by_extra, seed = by_main + slopes[0], by_extra + slopes[1], slopes[2]
    count = (len(text) - 1) * text.shape[1]
    return total / count, (by_main / count, by_extra / count)


def read(path: str | Path) -> tuple[Array, Array, Array, Array]:
    """Return the arguments of `loss` from a file of the suite."""
    lines = [
        line for line in Path(path).read_text("ascii").splitlines() if line.strip()
    ]
    layers, chars, _ = map(int, lines[0].split())
    rows = [np.array(line.split(), np.float64) for line in lines[1:]]
    two = 2 * layers
    main, extra, state = rows[:two], rows[two : two + 3], rows[two + 3 : two + 3 + two]
    text = rows[two + 3 + two :][:chars]
    return np.stack(main), np.stack(extra), np.stack(state), np.stack(text)


def main(path: str) -> None:
    value, gradients = windowed(*read(path))
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    print(f"loss {value:.15g}, |gradient| {norm:.15g}")


if __name__ == "__main__":
    main(sys.argv[1])
