r"""Bundle adjustment, cameras and points against observed features: ADBench's BA.

    python examples/adbench/ba.py FILE    cost, norm of the gradient, Jacobian blocks

The residual of an observation reads one camera, one point and one weight. So the
gradient of the sum of one component over all observations is that component's row of
every 2x15 block, and two calls of one program give the whole sparse Jacobian.

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
Index = np.ndarray[Any, np.dtype[np.int64]]


def rotate(r: Any, x: Any, xp: Any = np) -> Any:
    """Return points rotated about the axes r by the angles |r|: Rodrigues' formula.

    Without an angle there is no axis: the first-order form stands in for it, so that
    the derivative is right there too.
    """
    square = xp.sum(r * r, axis=-1, keepdims=True)
    still = square == 0.0
    angle = xp.sqrt(xp.where(still, 1.0, square))
    axis = r / angle
    cos = xp.cos(angle)
    along = xp.sum(axis * x, axis=-1, keepdims=True)
    turned = x * cos + xp.cross(axis, x) * xp.sin(angle) + axis * along * (1.0 - cos)
    return xp.where(still, x + xp.cross(r, x), turned)


def residuals(
    cameras: Any, points: Any, weights: Any, features: Any, xp: Any = np
) -> Any:
    """Return the weighted reprojection errors, (p, 2), one observation a row.

    Args:
        cameras: (p, 11), each observation's: rotation, centre, focal length, principal
            point and two radial coefficients.
        points: (p, 3), each observation's.
        weights: (p,).
        features: (p, 2), where the points were seen.
        xp: NumPy, or pullback for tensors under a tape.
    """
    seen = rotate(cameras[:, 0:3], points - cameras[:, 3:6], xp)
    flat = seen[:, 0:2] / seen[:, 2:3]
    square = xp.sum(flat * flat, axis=1, keepdims=True)
    radial = 1.0 + cameras[:, 9:10] * square + cameras[:, 10:11] * square**2
    projected = cameras[:, 6:7] * radial * flat + cameras[:, 7:9]
    return weights[:, None] * (projected - features)


def weight_errors(weights: Any) -> Any:
    return 1.0 - weights * weights


def cost(
    cameras: Any,
    points: Any,
    weights: Any,
    features: Any,
    camera_of: Any,
    point_of: Any,
    xp: Any = np,
) -> Any:
    """Return half the sum of squares of all errors, for n cameras and m points."""
    errors = residuals(cameras[camera_of], points[point_of], weights, features, xp)
    return 0.5 * (xp.sum(errors**2) + xp.sum(weight_errors(weights) ** 2))


def seeded(cameras: Any, points: Any, weights: Any, features: Any, seed: Any) -> Any:
    return np.sum(residuals(cameras, points, weights, features) @ seed)


value_and_grad = pb.value_and_grad(cost, argnums=(0, 1, 2))
rows = pb.grad(seeded, argnums=(0, 1, 2))
weight_slopes = pb.grad(lambda weights: np.sum(weight_errors(weights)))


def jacobian(cameras: Array, points: Array, weights: Array, features: Array) -> Array:
    """Return the blocks of the residuals, (p, 2, 15): camera, point, weight columns."""
    blocks = []
    for seed in np.eye(2):
        camera, point, weight = rows(cameras, points, weights, features, seed)
        blocks.append(np.concatenate([camera, point, weight[:, None]], axis=1))
    return np.stack(blocks, axis=1)


def read(path: str | Path) -> tuple[Array, Array, Array, Array, Index, Index]:
    """Return the arguments of `cost` from a file of the suite."""
    numbers = Path(path).read_text("ascii").split()
    n, m, p = map(int, numbers[:3])
    camera, point, weight, feature = np.split(
        np.array(numbers[3:], np.float64), [11, 14, 15]
    )
    cameras, points = np.tile(camera, (n, 1)), np.tile(point, (m, 1))
    weights, features = np.tile(weight, p), np.tile(feature, (p, 1))
    return cameras, points, weights, features, np.arange(p) % n, np.arange(p) % m


def main(path: str) -> None:
    *arrays, camera_of, point_of = read(path)
    value, gradients = value_and_grad(*arrays, camera_of, point_of)
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    cameras, points, weights, features = arrays
    blocks = jacobian(cameras[camera_of], points[point_of], weights, features)
    print(f"cost {value:.15g}, |gradient| {norm:.15g}, Jacobian blocks {blocks.shape}")


if __name__ == "__main__":
    main(sys.argv[1])
