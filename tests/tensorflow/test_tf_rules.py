"""The rules of the tape that are about texts, types and structures."""

import logging
import subprocess
import sys
import threading
from collections import OrderedDict
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pullback as pb
import pullback.tensorflow as tf
import pytest
from pullback.tensorflow import op_names
from taping import gradients, num


class Pair(NamedTuple):
    a: Any
    b: Any


def both(persistent: bool = False) -> Any:
    x = tf.Variable(2.0)
    with tf.GradientTape(persistent=persistent) as tape:
        y = x * x
    return tape, x, y


# -- a tape's life ---------------------------------------------------------------------


def test_a_tape_is_used_once() -> None:
    tape, x, y = both()
    tape.gradient(y, x)
    with pytest.raises(RuntimeError) as error:
        tape.gradient(y, x)
    assert str(error.value) == (
        "A non-persistent GradientTape can only be used to compute one set of "
        "gradients (or jacobians)"
    )


def test_an_active_tape_is_not_entered_again() -> None:
    with tf.GradientTape() as tape, pytest.raises(ValueError, match=r"\w") as error:
        tape.__enter__()
    assert str(error.value) == (
        "Tape is still recording, This can happen if you try to re-enter an "
        "already-active tape."
    )


def test_recording_that_is_not_on_cannot_stop() -> None:
    tape, _, _ = both()
    with pytest.raises(RuntimeError) as error, tape.stop_recording():
        pass
    assert str(error.value) == "Trying to stop recording a tape which is not recording."


def test_no_target() -> None:
    tape, x, _ = both()
    with pytest.raises(TypeError) as error:
        tape.gradient(None, x)
    assert str(error.value) == (
        "Argument `target` should be a list or nested structure of Tensors, Variables "
        "or CompositeTensors to be differentiated, but received None."
    )


def test_a_target_that_is_no_tensor() -> None:
    tape, x, _ = both()
    with pytest.raises(TypeError, match=r"`target` should be .* holds a float: 3\.0"):
        tape.gradient([3.0], x)


def test_unconnected_gradients_are_none_or_zero() -> None:
    tape, x, y = both()
    with pytest.raises(ValueError, match=r"\w") as error:
        tape.gradient(y, x, unconnected_gradients="nonsense")
    assert str(error.value) == "Unknown value for unconnected_gradients: 'nonsense'"


def test_what_cannot_be_watched() -> None:
    with tf.GradientTape() as tape, pytest.raises(ValueError, match=r"\w") as error:
        tape.watch(np.ones(2))
    assert str(error.value) == (
        "Passed in object array([1., 1.]) of type 'ndarray', not tf.Tensor or "
        "tf.Variable or ExtensionType."
    )


def test_integers_that_are_watched_are_told_five_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING), tf.GradientTape() as tape:
        for k in range(8):
            tape.watch(tf.constant(k))
    assert [r.getMessage() for r in caplog.records] == 5 * [
        "The dtype of the watched tensor must be floating (e.g. tf.float32), "
        "got tf.int32"
    ]


def test_a_gradient_of_what_no_tape_saw() -> None:
    x = tf.constant(2.0)
    y = x * x
    with tf.GradientTape() as tape:
        tape.watch(x)
    assert tape.gradient(y, x) is None


# -- structures ------------------------------------------------------------------------


def test_structures_of_every_kind() -> None:
    x, y = tf.constant(2.0), tf.constant(3.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        z = x * y
    got = tape.gradient(z, OrderedDict([("b", x), ("a", y)]))
    assert (type(got), list(got)) == (OrderedDict, ["b", "a"])
    assert [num(got[k]) for k in "ba"] == [3.0, 2.0]
    pair = tape.gradient(z, Pair(x, [y]))
    assert (type(pair), num(pair.a), num(pair.b[0])) == (Pair, 3.0, 2.0)
    with pytest.raises(TypeError, match="the keys of a dictionary cannot be sorted"):
        tape.gradient(z, {"a": x, 1: y})


def test_sets_and_arrays_are_leaves() -> None:
    tape, _, y = both()
    with pytest.raises(TypeError, match=r"`sources` should be .* holds a set"):
        tape.gradient(y, {3, 4})


def test_nest() -> None:
    tree = {"b": [1, 2], "a": (3, None)}
    assert tf.nest.flatten(tree) == [3, None, 1, 2]
    assert tf.nest.pack_sequence_as(tree, [5, 6, 7, 8]) == {"b": [7, 8], "a": (5, 6)}
    assert tf.nest.map_structure(lambda a, b: a + b, (1, [2]), (10, [20])) == (11, [22])
    assert tf.nest.is_nested([1])
    assert not tf.nest.is_nested(MappingProxyType({}).keys)
    with pytest.raises(ValueError, match="Structure had 2 atoms, but flat_seq"):
        tf.nest.pack_sequence_as([1, 2], [3])
    with pytest.raises(ValueError, match="don't have the same nested structure"):
        tf.nest.assert_same_structure([1], (1,))
    tf.nest.assert_same_structure([1], (1,), check_types=False)
    with pytest.raises(TypeError, match="func must be callable, got: 3"):
        tf.nest.map_structure(3, [1])
    with pytest.raises(ValueError, match="Must provide at least one structure"):
        tf.nest.map_structure(abs)


# -- identity and printing -------------------------------------------------------------


def test_tensors_and_variables_have_no_hash() -> None:
    with pytest.raises(TypeError) as error:
        hash(tf.constant(1.0))
    assert str(error.value) == (
        "Tensor is unhashable. Instead, use tensor.ref() as the key."
    )
    with pytest.raises(TypeError, match=r"Variable is unhashable.*variable\.ref\(\)"):
        hash(tf.Variable(1.0))
    x = tf.constant(1.0)
    assert {x.ref(): 1}[x.ref()] == 1
    assert x.ref().deref() is x
    assert x.ref() != tf.constant(1.0).ref()


def test_equality_is_elementwise() -> None:
    assert num(tf.Variable([1.0, 2.0]) == [1.0, 3.0]) == [True, False]
    assert num(tf.constant([1, 2]) != 1) == [False, True]


@pytest.mark.parametrize(
    ("x", "as_str", "as_repr"),
    [
        (
            6.0,
            "tf.Tensor(6.0, shape=(), dtype=float32)",
            "<tf.Tensor: shape=(), dtype=float32, numpy=6.0>",
        ),
        (
            [1, 2],
            "tf.Tensor([1 2], shape=(2,), dtype=int32)",
            "<tf.Tensor: shape=(2,), dtype=int32, numpy=array([1, 2], dtype=int32)>",
        ),
        (
            True,
            "tf.Tensor(True, shape=(), dtype=bool)",
            "<tf.Tensor: shape=(), dtype=bool, numpy=True>",
        ),
    ],
)
def test_how_tensors_print(x: Any, as_str: str, as_repr: str) -> None:
    made = tf.constant(x)
    assert (str(made), f"{made}", repr(made)) == (as_str, as_str, as_repr)


def test_how_variables_print() -> None:
    v = tf.Variable([1.0], name="v")
    assert (
        repr(v)
        == str(v)
        == (
            "<tf.Variable 'v:0' shape=(1,) dtype=float32, "
            "numpy=array([1.], dtype=float32)>"
        )
    )
    assert repr(v.shape) == "TensorShape([1])"
    assert (str(v.shape), v.shape.as_list(), v.shape.rank) == ("(1,)", [1], 1)
    assert (repr(v.dtype), str(v.dtype)) == ("tf.float32", "<dtype: 'float32'>")


# -- dtypes ----------------------------------------------------------------------------


def test_default_dtypes() -> None:
    made = [
        tf.constant(1.0), tf.constant([1, 3.0]), tf.constant(1), tf.constant([True]),
        tf.constant([]), tf.constant(np.ones(1)), tf.constant([np.float64(1.0)]),
    ]  # fmt: skip
    assert [x.dtype.name for x in made] == [
        "float32", "float32", "int32", "bool", "float32", "float64", "float64",
    ]  # fmt: skip


def test_python_numbers_and_lists_take_the_dtype_beside_them() -> None:
    x = tf.constant([1.0, 2.0], tf.float64)
    for y in (x * 2, 2.5 * x, x * [3.0, 4.0], [[1, 2]] @ tf.ones((2, 1), tf.float64)):
        assert y.dtype == tf.float64
    assert (tf.constant(1.0) + np.ones(2)).dtype == tf.float32
    assert (tf.constant(3) * 2).dtype == tf.int32
    assert (tf.constant(3) / 2).dtype == tf.float64


@pytest.mark.parametrize(
    ("y", "name"), [(tf.constant(1.0, tf.float64), "double"), (tf.constant(1), "int32")]
)
def test_tensors_are_never_cast(y: Any, name: str) -> None:
    x = tf.constant(1.0)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        x * y
    assert str(error.value) == (
        "cannot compute Mul as input #1(zero-based) was expected to be a float tensor "
        f"but is a {name} tensor [Op:Mul] name: "
    )
    assert error.value.__notes__ == [
        "  nothing is cast by itself: use tf.cast(x, tf.float32)"
    ]
    with pytest.raises(tf.errors.InvalidArgumentError, match="cannot compute AddV2"):
        tf.add(x, y)


def test_numbers_that_are_none_of_a_dtype() -> None:
    with pytest.raises(TypeError) as error:
        tf.constant([1, 2]) * 2.5
    assert str(error.value) == "Cannot convert 2.5 to EagerTensor of dtype int32"
    with pytest.raises(TypeError, match=r"Cannot convert \[1\.5\] to EagerTensor of"):
        tf.constant([1.5], tf.int32)
    with pytest.raises(ValueError, match="out-of-range integer"):
        tf.constant([1 << 40])
    with pytest.raises(ValueError, match="Can't convert non-rectangular"):
        tf.constant([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="with an unsupported type"):
        tf.constant("text")
    with pytest.raises(ValueError, match=r"\w") as other:
        tf.convert_to_tensor(tf.constant(1.0), tf.float64)
    assert str(other.value) == (
        "Tensor conversion requested dtype float64 for Tensor with dtype float32: "
        "<tf.Tensor: shape=(), dtype=float32, numpy=1.0>"
    )
    with pytest.raises(TypeError, match="to a TensorFlow DType"):
        tf.as_dtype("nonsense")


def test_functions_of_floats_take_floats() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="of int32 is not in the"):
        tf.sin(1)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        tf.ones(2) * tf.ones(3)
    assert str(error.value) == "Incompatible shapes: [2] vs. [3] [Op:Mul] name: "
    assert "traced at: " in error.value.__notes__[0]
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        tf.ones((2, 3)) @ tf.ones((2, 3))
    assert str(error.value) == (
        "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3] [Op:MatMul] name: "
    )


def test_a_value_that_does_not_fit_its_variable() -> None:
    v = tf.Variable([1.0, 2.0], name="v")
    with pytest.raises(ValueError, match=r"\w") as error:
        v.assign([1.0, 2.0, 3.0])
    assert str(error.value) == (
        "Cannot assign value to variable ' v:0': Shape mismatch.The variable shape "
        "(2,), and the assigned value shape (3,) are incompatible."
    )
    with pytest.raises(ValueError, match="requested dtype float32 for Tensor"):
        v.assign(tf.constant([1.0, 2.0], tf.float64))
    with pytest.raises(ValueError, match="shapes must be equal"):
        v.assign_sub([1.0])
    with pytest.raises(
        ValueError, match=r"`initial_value` arg to `tf.Variable` must be"
    ):
        tf.Variable()
    with pytest.raises(ValueError, match="explicitly supplied `shape` argument"):
        tf.Variable([1.0], shape=(2,))
    assert num(v) == [1.0, 2.0]


def test_lists_that_hold_tensors() -> None:
    a = tf.constant(2.0)
    x = tf.convert_to_tensor([[a, 1.0], [3, a]])
    assert (x.dtype, num(x)) == (tf.float32, [[2.0, 1.0], [3.0, 2.0]])


def test_shapes_of_constants() -> None:
    assert num(tf.constant(2.0, shape=(2, 1))) == [[2.0], [2.0]]
    assert num(tf.constant([1, 2], shape=[2, 1])) == [[1], [2]]
    with pytest.raises(TypeError, match="has 3 elements, but got `shape`"):
        tf.constant([1, 2, 3], shape=(2,))


# -- gradients that are somebody's own -------------------------------------------------


def test_a_gradient_that_nobody_registered() -> None:
    image, factor = tf.Variable(tf.ones((2, 2, 3))), tf.Variable(0.5)
    with tf.GradientTape(persistent=True) as tape:
        made = tf.image.adjust_contrast(image, factor)
        other = image * 2.0
    assert tape.gradient(other, image).shape == (2, 2, 3)
    with pytest.raises(LookupError) as error:
        tape.gradient(made, [image])
    assert type(error.value) is LookupError
    assert str(error.value) == "gradient registry has no entry for: AdjustContrastv2"
    assert (
        "a cotangent reaches it: target <- AdjustContrastv2" in error.value.__notes__[0]
    )
    assert "RegisterGradient" in error.value.__notes__[1]


def test_registering_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pullback.tracer.tape_custom.REGISTERED", {})
    registry: dict[str, Any] = {}
    for module in ("pullback.tracer.tape", "pullback.tensorflow.custom"):
        monkeypatch.setattr(f"{module}.REGISTERED", registry)
    image, factor = tf.Variable(tf.reshape(tf.range(12.0), (2, 2, 3))), tf.Variable(0.5)
    with tf.GradientTape() as tape:
        made = tf.image.adjust_contrast(image, factor)
        loss = tf.reduce_sum(made**2)

    @tf.RegisterGradient("AdjustContrastv2")
    def rule(op: Any, ct: Any) -> Any:
        x, by = op.inputs
        assert op.type == "AdjustContrastv2"
        assert op.outputs[0].shape == x.shape
        with pytest.raises(ValueError, match="has no attr named 'T'"):
            op.get_attr("T")
        mean = tf.reduce_mean(ct, (0, 1), True)
        middle = tf.reduce_mean(x, (0, 1), True)
        return (ct - mean) * by + mean, tf.reduce_sum(ct * (x - middle))

    dx, df = tape.gradient(loss, [image, factor])

    def truth(x: Any, f: Any) -> Any:
        mean = x.mean((0, 1), keepdims=True)
        return np.sum(((x - mean) * f + mean) ** 2)

    x, step = image.numpy().astype(np.float64), 1e-4
    up, down = x.copy(), x.copy()
    up[1, 0, 2] += step
    down[1, 0, 2] -= step
    slope = (truth(up, 0.5) - truth(down, 0.5)) / (2 * step)
    np.testing.assert_allclose(dx.numpy()[1, 0, 2], slope, rtol=1e-5)
    slope = (truth(x, 0.5 + step) - truth(x, 0.5 - step)) / (2 * step)
    np.testing.assert_allclose(df.numpy(), slope, rtol=1e-5)
    with pytest.raises(KeyError, match="Registering two gradient with name 'AdjustCon"):
        tf.RegisterGradient("AdjustContrastv2")(rule)


def test_what_may_be_registered() -> None:
    with pytest.raises(TypeError, match="op_type must be a string"):
        tf.RegisterGradient(3)
    with pytest.raises(TypeError, match="op_type must be a string"):
        tf.no_gradient(3)
    with pytest.raises(KeyError, match="Registering two gradient with name 'Square'!"):
        tf.RegisterGradient("Square")(lambda op, ct: ct)


def test_registered_rules_that_return_too_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry: dict[str, Any] = {}
    for module in ("pullback.tracer.tape", "pullback.tensorflow.custom"):
        monkeypatch.setattr(f"{module}.REGISTERED", registry)
    tf.RegisterGradient("AdjustContrastv2")(lambda op, ct: ct)
    image = tf.Variable(tf.ones((1, 1, 3)))
    with tf.GradientTape() as tape:
        made = tf.image.adjust_contrast(image, 0.5)
    with pytest.raises(tf.errors.InternalError) as error:
        tape.gradient(made, image)
    assert str(error.value) == (
        "Recorded operation 'AdjustContrastv2' returned too few gradients. Expected 2 "
        "but received 1"
    )
    registry.clear()
    tf.no_gradient("AdjustContrastv2")
    with tf.GradientTape() as tape:
        made = tf.image.adjust_contrast(image, 0.5)
    assert tape.gradient(made, image) is None


@tf.custom_gradient
def clipped(x: Any) -> Any:
    def back(ct: Any) -> Any:
        return tf.clip_by_norm(ct, 0.5)

    return x, back


def test_the_gradient_of_a_function_that_has_its_own() -> None:
    v = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        y = clipped(v * v)
    assert num(tape.gradient(y, v)) == 2.0


def test_it_holds_in_a_recorded_function_too() -> None:
    f = tf.function(lambda x: clipped(x * x))
    assert num(gradients(f)(tf.constant(2.0))[0]) == 2.0
    inside = tf.function(lambda x: gradients(clipped)(x * x)[0])
    assert num(inside(tf.constant(2.0))) == 0.5


def test_its_operations_inside_are_not_the_gradient() -> None:
    @tf.custom_gradient
    def f(x: Any) -> Any:
        return tf.exp(x) * 100.0, lambda ct: ct * 4.0

    assert num(gradients(f)(tf.constant(1.0))[0]) == 4.0


def test_one_gradient_for_each_argument() -> None:
    @tf.custom_gradient
    def swapped(a: Any, b: Any) -> Any:
        return a * b, lambda ct: (ct * a, ct * b)

    assert [num(g) for g in gradients(swapped)(2.0, 3.0)] == [2.0, 3.0]

    for made in ([], [1.0, 2.0, 3.0]):
        f = tf.custom_gradient(lambda a, b, made=made: (a, lambda ct: made))
        with pytest.raises(
            ValueError, match="expected to return 2 gradients, but retu"
        ):
            gradients(f)(1.0, 2.0)

    @tf.custom_gradient
    def nothing(a: Any) -> Any:
        return a * 1.0, lambda ct: None

    assert gradients(nothing)(1.0) == [None]


def test_several_results_have_a_cotangent_each() -> None:
    @tf.custom_gradient
    def two(x: Any) -> Any:
        return {"a": x, "b": x * 2.0}, lambda da, db: da * 10.0 + db

    def f(x: Any) -> Any:
        out = two(x)
        return out["b"] * 3.0

    assert num(gradients(f)(1.0)[0]) == 3.0
    assert num(gradients(lambda x: two(x))(1.0)[0]) == 11.0


def test_it_may_read_variables() -> None:
    v = tf.Variable(3.0)

    @tf.custom_gradient
    def f(x: Any) -> Any:
        def back(ct: Any, variables: Any = None) -> Any:
            assert [w is v for w in variables] == [True]
            return ct * v, [ct * x * 7.0]

        return x * v, back

    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    assert [num(g) for g in tape.gradient(y, [x, v])] == [3.0, 14.0]

    @tf.custom_gradient
    def deaf(x: Any) -> Any:
        return x * v, lambda ct: ct

    with pytest.raises(TypeError, match="grad_fn must accept keyword argument 'variab"):
        deaf(x)

    @tf.custom_gradient
    def short(x: Any) -> Any:
        return x * v, lambda ct, variables: (ct, [])

    with tf.GradientTape() as tape:
        y = short(x)
    with pytest.raises(ValueError, match="Must return gradient for each variable from"):
        tape.gradient(y, v)


def test_variables_that_are_arguments_are_not_captured() -> None:
    v, still = tf.Variable(3.0), tf.Variable(1.0, trainable=False)

    @tf.custom_gradient
    def f(w: Any) -> Any:
        return w * still, lambda ct: ct * 5.0

    with tf.GradientTape() as tape:
        y = f(v)
    assert num(tape.gradient(y, v)) == 5.0


def test_it_works_on_methods_and_with_settings() -> None:
    class Scaled:
        by = 3.0

        @tf.custom_gradient
        def run(self, x: Any, extra: float = 1.0) -> Any:
            return x * extra, lambda ct: (None, ct * self.by)

    assert num(gradients(lambda x: Scaled().run(x, extra=2.0))(1.0)[0]) == 3.0


def test_second_order_follows_the_rule() -> None:
    @tf.custom_gradient
    def square(x: Any) -> Any:
        @tf.custom_gradient
        def slope(x: Any) -> Any:
            return x * 2.0, lambda ct: ct * 9.0

        return x * x, lambda ct: ct * slope(x)

    first = gradients(square)
    assert num(first(tf.constant(3.0))[0]) == 6.0
    assert num(gradients(lambda x: first(x)[0])(tf.constant(3.0))[0]) == 9.0


def test_gradients_inside_a_forward_pass() -> None:
    @tf.custom_gradient
    def f(x: Any) -> Any:
        (slope,) = gradients(lambda t: t**3)(x)
        return slope, lambda ct: ct * 2.0

    assert num(f(tf.constant(2.0))) == 12.0
    assert num(gradients(f)(tf.constant(2.0))[0]) == 2.0


def test_arrays_are_arguments_too() -> None:
    @tf.custom_gradient
    def f(x: Any) -> Any:
        return tf.reduce_sum(x), lambda ct: ct * np.ones(2, np.float32)

    assert num(f(np.ones(2, np.float32))) == 2.0


def test_errors_in_a_rule_reach_the_user() -> None:
    @tf.custom_gradient
    def f(x: Any) -> Any:
        def back(ct: Any) -> Any:
            raise RuntimeError("no slope here")

        return x, back

    with pytest.raises(RuntimeError, match="no slope here"):
        gradients(f)(1.0)


def test_computing_again_has_the_same_gradient() -> None:
    f = tf.recompute_grad(lambda x: tf.sin(x) * tf.exp(x))
    got = gradients(f)(tf.constant(0.5, tf.float64))[0]
    want = np.exp(0.5) * (np.sin(0.5) + np.cos(0.5))
    np.testing.assert_allclose(num(got), want, rtol=1e-14)


# -- the module ------------------------------------------------------------------------


def test_unknown_names_say_what_is_near() -> None:
    with pytest.raises(AttributeError) as error:
        tf.reduce_summ  # noqa: B018 - it raises
    assert str(error.value) == (
        "module 'pullback.tensorflow' has no attribute 'reduce_summ': nearest are "
        "tf.reduce_sum"
    )
    with pytest.raises(
        AttributeError, match=r"nearest are tf\.tanh and pullback\.tanh"
    ):
        tf.tanhh  # noqa: B018 - it raises
    with pytest.raises(AttributeError, match=r"'data': use NumPy arrays"):
        tf.data  # noqa: B018 - it raises
    with pytest.raises(AttributeError, match=r"has no attribute 'zzzzqq'$"):
        tf.zzzzqq  # noqa: B018 - it raises


def test_leaving_the_tape_is_told() -> None:
    x = tf.Variable([1.0, 2.0])
    told = "call {} to keep the gradient"
    for leave, text in (
        (lambda: np.mean(x * x), told.format(r"tf\.reduce_mean")),
        (lambda: np.sin(x * x), told.format(r"tf\.sin")),
        (lambda: np.sort(x), "compute with pullback's functions to keep"),
    ):
        with tf.GradientTape(), pytest.warns(pb.LeftTapeWarning, match=text):
            leave()


def test_every_name_that_is_advised_exists() -> None:
    for name in [*op_names._SAME.split(), *op_names._OTHER]:
        held: Any = tf
        for part in op_names.instead(name).removeprefix("tf.").split("."):
            held = getattr(held, part)
        assert callable(held)
        assert hasattr(np, name)


def test_importing_pullback_does_not_load_it() -> None:
    code = "import sys, pullback; print('pullback.tensorflow' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert ran.stdout == "False\n"


def test_numpy_reads_tensors_by_its_protocols() -> None:
    x = tf.linspace(0.0, 1.0, 5)
    assert len(x) == 5
    assert [float(e) for e in x] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert np.asarray(x).dtype == np.float32
    assert np.asarray(x, np.float64).dtype == np.float64
    assert not hasattr(x, "mean")
    assert not hasattr(x, "__array_function__")


def test_threads_share_variables() -> None:
    v = tf.Variable(1.0)

    def add() -> None:
        v.assign_add(1.0)
        v.numpy()

    for _ in range(3):
        thread = threading.Thread(target=add)
        thread.start()
        thread.join()
    assert num(v) == 4.0
