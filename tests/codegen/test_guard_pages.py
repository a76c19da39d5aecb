import numpy as np
import pytest
from native import PLAIN, SIDES, Call, Fault, How, Native, in_child, native
from pullback.codegen.target import emit_object
from pullback.ir.graph import Graph
from pullback.ir.ops import new_builder
from pullback.ir.types import parse_type
from pullback.runtime.loading import Library


def doubled() -> Graph:
    b = new_builder()
    x = b.input(parse_type("f64[5]"), "x")
    return b.finish("doubled", [b.mul(x, 2.0)])


PLANTED = """
define i32 @pb_p0(ptr %ctx, ptr %inputs, ptr %sizes, ptr %outputs, ptr %work) {{
  %x = load ptr, ptr %inputs
  %y = load ptr, ptr %outputs
  br label %loop
loop:
  %k = phi i64 [ 0, %0 ], [ %next, %loop ]
  %from = getelementptr double, ptr %x, i64 %k
  %to = getelementptr double, ptr %y, i64 %k
  %v = load double, ptr %from
  %w = fadd double %v, %v
  store double %w, ptr %to
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, 5
  br i1 %more, label %loop, label %done
done:
  {extra}
  ret i32 0
}}
define i64 @pb_p0_workspace(ptr %sizes, i32 %threads) {{
  ret i64 0
}}
"""


def planted(extra: str) -> Native:
    target = PLAIN.target
    text = f'target triple = "{target.triple}"\n' + PLANTED.format(extra=extra)
    library = Library(emit_object(text, target, 0))
    return Native(
        native(doubled()).lowered,
        library,
        library.address("pb_p0"),
        library.address("pb_p0_workspace"),
    )


X = np.arange(5.0)


def test_a_correct_kernel_passes() -> None:
    assert np.array_equal(planted("").guarded([X])[0], 2 * X)
    assert np.array_equal(native(doubled()).guarded([X])[0], 2 * X)


@pytest.mark.parametrize("at", [-1, 5])
def test_a_store_outside_is_caught(at: int) -> None:
    extra = f"""%p = getelementptr double, ptr %y, i64 {at}
  store double 0.0, ptr %p"""
    with pytest.raises(Fault):
        planted(extra).guarded([X])


@pytest.mark.parametrize("at", [-1, 5])
def test_a_load_outside_is_caught(at: int) -> None:
    extra = f"""%p = getelementptr double, ptr %x, i64 {at}
  %v9 = load volatile double, ptr %p"""
    with pytest.raises(Fault, match="SIGSEGV"):
        planted(extra).guarded([X])


def test_a_write_to_an_input_is_caught() -> None:
    with pytest.raises(Fault, match="SIGSEGV"):
        planted("store double 0.0, ptr %x").guarded([X])


def test_an_element_not_written_is_caught() -> None:
    code = planted("")
    text = f'target triple = "{PLAIN.target.triple}"\n' + PLANTED.format(extra="")
    text = text.replace("icmp slt i64 %next, 5", "icmp slt i64 %next, 4")
    library = Library(emit_object(text, PLAIN.target, 0))
    short = Native(
        code.lowered,
        library,
        library.address("pb_p0"),
        library.address("pb_p0_workspace"),
    )
    with pytest.raises(AssertionError, match="not written"):
        short.guarded([X])


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("bad", [-6, 5, 2**62, -(2**63)])
def test_an_index_out_of_range_touches_nothing(bad: int, fuse: bool) -> None:
    b = new_builder()
    x = b.input(parse_type("f64[5]"), "x")
    ids = b.input(parse_type("i64[9]"), "ids")
    code = native(b.finish("taken", [b.sin(b.take(x, ids, axis=0))]), How(fuse=fuse))
    at = np.array([0, 4, -5, 1, 2, -1, 3, 0, bad])
    for side in SIDES:
        call = Call(code, [X, at], side)
        in_child(call.run)
        (status,) = call.result.data.view(np.int32)
        assert status == 1
        assert call.status.data[:8].view(np.int32).tolist() == [1, 0]
        assert call.status.data[8:32].view(np.int64).tolist() == [bad, 0, 5]
        assert call.status.intact()
        assert call.outputs[0].intact()
