r"""A skinned hand model and a cloud of points it should meet: ADBench's HAND.

    python examples/adbench/hand.py MODEL FILE [complicated]     errors and Jacobian

`model/` has bones, vertices and triangles. Points correspond to vertices (simple) or to
places in triangles, whose coordinates are parameters too (complicated).

Source: F. Srajer, Z. Kukelova, A. Fitzgibbon, A benchmark of selected algorithmic
differentiation tools on some problems in computer vision and machine learning,
Optimization Methods and Software 33 (2018).
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pullback as pb

Array = np.ndarray[Any, np.dtype[np.float64]]
Index = np.ndarray[Any, np.dtype[np.int64]]

THETAS = 26
WRIST = 2  # rows of zero angles before the fingers'
FINGERS = 5


@dataclass(frozen=True)
class Model:
    """Bones and vertices.

    `parents` has -1 for the root; `base` and `inverse` are (bones, 4, 4), each bone's
    relative transform and the inverse of its absolute one at rest; `vertices` is
    (v, 4), homogeneous; `weights` (v, bones); `triangles` (t, 3).
    """

    parents: tuple[int, ...]
    base: Array
    inverse: Array
    vertices: Array
    weights: Array
    triangles: Index


def angle_index(bones: int) -> Index:
    """Return where in theta each bone's three angles are; THETAS stands for zero.

    A finger has four bones and four angles: two at its root and one at the next two.
    """
    where = np.full((WRIST + 4 * FINGERS, 3), THETAS)
    for finger in range(FINGERS):
        row, first = WRIST + 4 * finger, 6 + 4 * finger
        where[row, :2] = first, first + 1
        where[row + 1, 0] = first + 2
        where[row + 2, 0] = first + 3
    return where[:bones]


def rotations(angles: Any, xp: Any = np) -> Any:
    """Return the products of rotations about z, y and x by x, z, y angles."""
    cos, sin = xp.cos(angles), xp.sin(angles)
    cx, cz, cy = cos[:, 0], cos[:, 1], cos[:, 2]
    sx, sz, sy = sin[:, 0], sin[:, 1], sin[:, 2]
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return xp.stack([xp.stack(row, axis=1) for row in rows], axis=1)


def turn(r: Any, xp: Any = np) -> Any:
    """Return the rotation about r by the angle |r|, (3, 3); the identity for none."""
    square = xp.sum(r * r)
    still = square == 0.0
    angle = xp.sqrt(xp.where(still, 1.0, square))
    x, y, z = (r / angle)[0], (r / angle)[1], (r / angle)[2]
    zero = 0.0 * x
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    cross = xp.stack([xp.stack(row) for row in rows])
    sin, cos = xp.sin(angle), xp.cos(angle)
    turned = np.eye(3) + sin * cross + (1.0 - cos) * (cross @ cross)
    return xp.where(still, np.eye(3) + angle * cross, turned)


def transforms(theta: Any, model: Model, xp: Any = np) -> Any:
    """Return what the pose does to points at rest, (bones, 4, 4), bone by bone."""
    bones = len(model.parents)
    padded = xp.concatenate([theta, np.zeros(1)])
    turned = rotations(padded[angle_index(bones)], xp)
    column = xp.concatenate([turned, np.zeros((bones, 3, 1))], axis=2)
    last = np.broadcast_to(np.array([0.0, 0.0, 0.0, 1.0]), (bones, 1, 4))
    relative = model.base @ xp.concatenate([column, last], axis=1)
    absolute: list[Any] = []
    for bone, parent in enumerate(model.parents):
        own = relative[bone]
        absolute.append(own if parent < 0 else absolute[parent] @ own)
    return xp.stack(absolute) @ model.inverse


def skinned(theta: Any, which: Index, model: Model, xp: Any = np) -> Any:
    """Return the positions of some vertices, (n, 3), under a pose."""
    moves = xp.reshape(transforms(theta, model, xp)[:, :3], (len(model.parents), 12))
    blended = xp.reshape(model.weights[which] @ moves, (len(which), 3, 4))
    placed = blended @ model.vertices[which][:, :, None]
    return placed[:, :, 0] @ xp.transpose(turn(theta[:3], xp)) + theta[3:6]


def simple(theta: Any, points: Any, which: Index, model: Model, xp: Any = np) -> Any:
    """Return how far each point is from its vertex, (n, 3)."""
    return points - skinned(theta, which, model, xp)


def complicated(
    u: Any, theta: Any, points: Any, which: Index, model: Model, xp: Any = np
) -> Any:
    """Return how far each point is from its place in its triangle, (n, 3).

    `u` is (n, 2): the first two barycentric coordinates.
    """
    corners = skinned(theta, model.triangles[which].T.ravel(), model, xp)
    a, b, c = (corners[i * len(which) : (i + 1) * len(which)] for i in range(3))
    first, second = u[:, 0:1], u[:, 1:2]
    return points - (first * a + second * b + (1.0 - first - second) * c)


def read_model(folder: str | Path) -> Model:
    """Return the model of a folder of the suite."""
    parents, base, inverse = [], [], []
    for line in _lines(Path(folder) / "bones.txt"):
        _, parent, *numbers = line.split(":")
        parents.append(int(parent))
        base.append(np.array(numbers[:16], np.float64).reshape(4, 4))
        inverse.append(np.array(numbers[16:32], np.float64).reshape(4, 4))
    rows = [line.split(":") for line in _lines(Path(folder) / "vertices.txt")]
    vertices = np.ones((len(rows), 4))
    weights = np.zeros((len(rows), len(parents)))
    for i, row in enumerate(rows):
        vertices[i, :3] = [float(v) for v in row[:3]]
        for k in range(int(row[8])):
            weights[i, int(row[9 + 2 * k])] = float(row[10 + 2 * k])
    corners = [line.split(":") for line in _lines(Path(folder) / "triangles.txt")]
    return Model(
        tuple(parents),
        np.stack(base),
        np.stack(inverse),
        vertices,
        weights,
        np.array([[int(i) for i in row[:3]] for row in corners]),
    )


def read(path: str | Path, barycentric: bool) -> tuple[Array, Array, Array, Index]:
    """Return u (empty where simple), theta, points and what they correspond to."""
    numbers = Path(path).read_text("ascii").split()
    count, thetas = int(numbers[0]), int(numbers[1])
    values = np.array(numbers[2:], np.float64)
    cloud = values[: 4 * count].reshape(count, 4)
    rest = values[4 * count :]
    u = rest[: 2 * count].reshape(count, 2) if barycentric else np.zeros((0, 2))
    return u, rest[-thetas:], cloud[:, 1:], cloud[:, 0].astype(np.int64)


def _lines(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines()


def simple_jacobian(
    theta: Array, points: Array, which: Index, model: Model
) -> tuple[Array, Array]:
    """Return the errors and their Jacobian, (3 n, 26)."""

    def errors(theta: Any) -> Any:
        return simple(theta, points, which, model)

    matrix = pb.jacobian(errors, mode="forward")(theta)
    return pb.function(errors)(theta), matrix.reshape(-1, THETAS)


def complicated_jacobian(
    u: Array, theta: Array, points: Array, which: Index, model: Model
) -> tuple[Array, Array]:
    """Return the errors and their Jacobian, (3 n, 2 + 26): the row's own u, then theta.

    A point reads its own u alone, so that one column serves all of them.
    """

    def errors(u: Any, theta: Any) -> Any:
        return complicated(u, theta, points, which, model)

    def along(u: Any, theta: Any, du: Any) -> Any:
        return pb.jvp(errors, (u, theta), (du, None))[1]

    own = pb.vmap(along, in_axes=(None, None, 0), out_axes=-1)
    sides = np.stack([np.zeros_like(u) + e for e in np.eye(2)])
    by_theta = pb.jacobian(errors, argnums=1, mode="forward")(u, theta)
    matrix = np.concatenate([own(u, theta, sides), by_theta], axis=-1)
    return pb.function(errors)(u, theta), matrix.reshape(-1, 2 + THETAS)


def main(folder: str, path: str, kind: str = "simple") -> None:
    u, theta, points, which = read(path, kind == "complicated")
    model = read_model(folder)
    if kind == "complicated":
        errors, matrix = complicated_jacobian(u, theta, points, which, model)
    else:
        errors, matrix = simple_jacobian(theta, points, which, model)
    print(f"|errors| {np.linalg.norm(errors):.15g}, Jacobian {matrix.shape}")


if __name__ == "__main__":
    main(*sys.argv[1:])
