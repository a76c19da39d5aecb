"""The hand: against 40 digits, and against its published Jacobians."""

import json
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pullback as pb
import pytest
from example_tools import DATA, DIGITS, differences, exact_arrays, load, needs_data

hand = load("adbench/hand.py")
BONES, VERTICES, POINTS = 7, 5, 4


def small() -> tuple[list[Any], Any]:
    """u, theta, points and correspondences, and a model of a finger and a half."""
    rng = np.random.default_rng(13)
    weights = rng.random((VERTICES, BONES))
    vertices = np.ones((VERTICES, 4))
    vertices[:, :3] = rng.standard_normal((VERTICES, 3))
    model = hand.Model(
        (-1, 0, 0, 2, 3, 4, 0),
        rng.standard_normal((BONES, 4, 4)),
        rng.standard_normal((BONES, 4, 4)),
        vertices,
        weights / weights.sum(axis=1, keepdims=True),
        np.array([[0, 1, 2], [4, 3, 1], [2, 4, 0]]),
    )
    u, theta = rng.random((POINTS, 2)), rng.standard_normal(26)
    points, which = rng.standard_normal((POINTS, 3)), np.array([2, 0, 1, 2])
    return [u, theta, points, which], model


def turned(axis: int, angle: Any) -> Any:
    """The rotation about a coordinate axis."""
    out = np.array(mp.eye(3).tolist())
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[i, i] = out[j, j] = mp.cos(angle)
    out[j, i] = mp.sin(angle)
    out[i, j] = -out[j, i]
    return out


def exact_vertices(theta: Any, model: Any) -> Any:
    """All vertices under a pose, by the definition, bone by bone."""
    rows = [[0, 0, 0], [0, 0, 0]]
    for finger in range(5):
        a, b, c, d = theta[6 + 4 * finger : 10 + 4 * finger]
        rows += [[a, b, 0], [c, 0, 0], [d, 0, 0], [0, 0, 0]]
    base, inverse, vertices, weights = exact_arrays(
        [model.base, model.inverse, model.vertices, model.weights]
    )
    absolute: list[Any] = []
    total = 0 * vertices[:, :3]
    for bone, parent in enumerate(model.parents):
        x, z, y = rows[bone]
        local = np.array(mp.eye(4).tolist())
        local[:3, :3] = turned(2, z) @ turned(1, y) @ turned(0, x)
        own = base[bone] @ local
        absolute.append(own if parent < 0 else absolute[parent] @ own)
        moved = vertices @ (absolute[bone] @ inverse[bone]).T
        total = total + weights[:, bone : bone + 1] * moved[:, :3]
    r = theta[:3]
    k = np.array([[0, -r[2], r[1]], [r[2], 0, -r[0]], [-r[1], r[0], 0]])
    turn = np.array(mp.eye(3).tolist()) + k
    angle = mp.sqrt(r @ r)
    if angle > mp.mpf(10) ** -6:
        near, far = mp.sin(angle) / angle, (1 - mp.cos(angle)) / angle**2
        turn = np.array(mp.eye(3).tolist()) + near * k + far * (k @ k)
    return total @ turn.T + theta[3:6]


def exact_simple(theta: Any) -> Any:
    (_, _, points, which), model = small()
    return exact_arrays([points])[0] - exact_vertices(theta, model)[which]


def exact_complicated(u: Any, theta: Any) -> Any:
    (_, _, points, which), model = small()
    corners = exact_vertices(theta, model)[model.triangles[which]]
    third = 1 - u[:, 0] - u[:, 1]
    place = np.concatenate([u, third[:, None]], axis=1)[:, None, :] @ corners
    return exact_arrays([points])[0] - place[:, 0]


def exact_value(f: Callable[..., Any], *arrays: Any) -> Any:
    with mp.workdps(DIGITS):
        return f(*exact_arrays(arrays)).astype(np.float64)


@pytest.mark.parametrize("rest", [False, True], ids=["turned", "at_rest"])
def test_simple(rest: bool) -> None:
    (_, theta, points, which), model = small()
    if rest:
        theta[:3] = 0.0
    wanted = differences(exact_simple, [theta])[0].reshape(3 * POINTS, 26)
    errors, matrix = hand.simple_jacobian(theta, points, which, model)
    np.testing.assert_allclose(errors, exact_value(exact_simple, theta), 1e-12)
    np.testing.assert_allclose(matrix, wanted, 1e-11, 1e-13)


def own_columns(found: Any) -> Any:
    """A row's derivatives by its point's u, then by theta."""
    by_u, by_theta = found
    at = np.arange(POINTS)
    both = np.concatenate([by_u[at, :, at], by_theta], axis=2)
    return both.reshape(3 * POINTS, 28)


def test_complicated() -> None:
    (u, theta, points, which), model = small()
    wanted = own_columns(differences(exact_complicated, [u, theta]))
    errors, matrix = hand.complicated_jacobian(u, theta, points, which, model)
    exact = exact_value(exact_complicated, u, theta)
    np.testing.assert_allclose(errors, exact, 1e-12, 1e-14)
    np.testing.assert_allclose(matrix, wanted, 1e-11, 1e-13)


def test_tape_row_by_row() -> None:
    (u, theta, points, which), model = small()
    _, matrix = hand.complicated_jacobian(u, theta, points, which, model)
    variables = [pb.Variable(u), pb.Variable(theta)]
    exact = exact_value(exact_complicated, u, theta)
    for point, component in ((0, 0), (3, 2)):
        with pb.GradientTape() as tape:
            errors = hand.complicated(*variables, points, which, model, pb)
            value = errors[point, component]
        by_u, by_theta = (g.numpy() for g in tape.gradient(value, variables))
        np.testing.assert_allclose(errors.numpy(), exact, 1e-12, 1e-14)
        found = np.concatenate([by_u[point], by_theta])
        wanted = matrix[3 * point + component]
        np.testing.assert_allclose(found, wanted, 1e-11, 1e-13)


@pytest.mark.parametrize("name", ["test", "simple_hand1_t26_c100"])
def test_published_simple(name: str) -> None:
    check_published(name, False)


@pytest.mark.parametrize("name", ["test_complicated", "complicated_hand1_t26_c100"])
def test_published_complicated(name: str) -> None:
    check_published(name, True)


def check_published(name: str, barycentric: bool) -> None:
    needs_data()
    model = hand.read_model(DATA / "hand" / "model")
    u, *rest = hand.read(DATA / "hand" / f"{name}.txt", barycentric)
    expected = json.loads((DATA / "expected" / f"hand_{name}.json").read_text())
    if barycentric:
        errors, matrix = hand.complicated_jacobian(u, *rest, model)
    else:
        errors, matrix = hand.simple_jacobian(*rest, model)
    kept = expected["objective"]
    np.testing.assert_allclose(errors.ravel(), kept, rtol=1e-9, atol=1e-14)
    wanted = np.reshape(expected["jacobian"], expected["jacobian_shape"])
    np.testing.assert_allclose(matrix, wanted, rtol=1e-9, atol=1e-13)
