"""Bundle adjustment: against 40 digits, and against its published derivatives."""

import json
from typing import Any

import mpmath as mp
import numpy as np
import pullback as pb
import pytest
from example_tools import DATA, DIGITS, differences, exact_arrays, load, needs_data

ba = load("adbench/ba.py")
P = 4


def small() -> list[Any]:
    rng = np.random.default_rng(5)
    cameras = rng.standard_normal((P, 11)) * 0.5
    points = rng.standard_normal((P, 3)) + np.array([0.0, 0.0, 6.0])
    cameras[1, :3] = 0.0  # no rotation: the first-order form
    return [cameras, points, rng.random(P) + 0.2, rng.standard_normal((P, 2))]


def exact(cameras: Any, points: Any, weights: Any, features: Any) -> Any:
    """The residuals by their definition, (p, 2), by Rodrigues' matrix."""
    out = []
    for c, x, w, f in zip(cameras, points, weights, features, strict=True):
        r, y = c[:3], x - c[3:6]
        k = np.array([[0, -r[2], r[1]], [r[2], 0, -r[0]], [-r[1], r[0], 0]])
        angle = mp.sqrt(sum(v * v for v in r))
        if angle < mp.mpf(10) ** -6:
            z = y + k @ y  # its derivative at 0 is the rotation's
        else:
            near, far = mp.sin(angle) / angle, (1 - mp.cos(angle)) / angle**2
            z = y + near * (k @ y) + far * (k @ (k @ y))
        p = z[:2] / z[2]
        square = p @ p
        p = p * (1 + c[9] * square + c[10] * square**2)
        out.append(w * (c[6] * p + c[7:9] - f))
    return np.array(out)


def own_blocks() -> np.ndarray[Any, Any]:
    """The 2x15 blocks, of which each reads one row of the arguments."""
    *read, features = small()
    found = differences(
        lambda c, x, w: exact(c, x, w, exact_arrays([features])[0]), read
    )
    at = np.arange(P)
    rows = [np.reshape(a[at, :, at], (P, 2, -1)) for a in found]
    return np.concatenate(rows, axis=2)


BLOCKS = own_blocks()


def values() -> Any:
    with mp.workdps(DIGITS):
        return exact(*exact_arrays(small())).astype(np.float64)


def test_decorated() -> None:
    np.testing.assert_allclose(pb.function(ba.residuals)(*small()), values(), 1e-12)
    np.testing.assert_allclose(ba.jacobian(*small()), BLOCKS, 1e-12, 1e-14)


def test_tape() -> None:
    *read, features = small()
    variables = [pb.Variable(a) for a in read]
    for component in (0, 1):
        with pb.GradientTape() as tape:
            errors = ba.residuals(*variables, features, pb)
            value = pb.sum(errors[:, component])
        rows = [g.numpy().reshape(P, -1) for g in tape.gradient(value, variables)]
        np.testing.assert_allclose(errors.numpy(), values(), 1e-12)
        found = np.concatenate(rows, axis=1)
        np.testing.assert_allclose(found, BLOCKS[:, component], 1e-12, 1e-14)


def test_the_cost_of_shared_cameras() -> None:
    """The gradient scatters each observation's into its camera and its point."""
    cameras, points, weights, features = small()
    camera_of, point_of = np.array([1, 0, 1, 1]), np.array([0, 2, 2, 1])
    value, gradients = ba.value_and_grad(
        cameras[:2], points[:3], weights, features, camera_of, point_of
    )
    own = (cameras[camera_of], points[point_of], weights, features)
    errors = pb.function(ba.residuals)(*own)
    slack = 1.0 - weights**2
    np.testing.assert_allclose(value, 0.5 * (np.sum(errors**2) + np.sum(slack**2)))
    each = np.einsum("pc,pcj->pj", errors, ba.jacobian(*own))
    by_camera, by_point = np.zeros((2, 11)), np.zeros((3, 3))
    np.add.at(by_camera, camera_of, each[:, :11])
    np.add.at(by_point, point_of, each[:, 11:14])
    by_weight = each[:, 14] - 2.0 * weights * slack
    for found, wanted in zip(gradients, (by_camera, by_point, by_weight), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-12, 1e-13)


@pytest.mark.parametrize(
    ("name", "kept"), [("test", "test"), ("ba1_n49_m7776_p31843", "ba1_first20")]
)
def test_published(name: str, kept: str) -> None:
    needs_data()
    cameras, points, weights, features, camera_of, point_of = ba.read(
        DATA / "ba" / f"{name}.txt"
    )
    expected = json.loads((DATA / "expected" / f"ba_{kept}.json").read_text())
    count = len(expected["w_err"])
    args = (cameras[camera_of], points[point_of], weights, features)
    errors = pb.function(ba.residuals)(*args)[:count].ravel()
    np.testing.assert_allclose(errors, expected["reproj_err"], rtol=1e-9)
    slack = pb.function(ba.weight_errors)(weights)[:count]
    np.testing.assert_allclose(slack, expected["w_err"], rtol=1e-9)
    blocks = ba.jacobian(*args)[:count].ravel()
    slopes = ba.weight_slopes(weights)[:count]
    found = np.concatenate([blocks, slopes])
    np.testing.assert_allclose(found, expected["jacobian"], rtol=1e-9, atol=1e-12)
