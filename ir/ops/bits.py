"""Bitwise operations of integers, and of bool, where they are the logical ones."""

import numpy as np

from ..primitive import NON_DIFFERENTIABLE, Sample
from .factory import elementwise

_PAIR = (
    Sample(((None,), (None,)), {}, ("i64", "i64"), ((0, -99, 99), (1, -99, 99))),
    Sample(((None,), (None,)), {}, ("u8", "u8"), ((0, 0, 256), (1, 0, 256))),
)
_BOOLS = Sample(((None,), (None,)), {}, ("bool", "bool"), ((0, 0, 2), (1, 0, 2)))
_SHIFTS = (
    Sample(((None,), (None,)), {}, ("i64", "i64"), ((0, -99, 99), (1, 0, 99))),
    Sample(((None,), (None,)), {}, ("u8", "u8"), ((0, 0, 256), (1, 0, 12))),
)

bitwise_and = elementwise(
    "bitwise_and",
    mirrors=[np.bitwise_and],
    tf_name="bitwise.bitwise_and",
    kinds="iub",
    scalar=lambda s, x, y: s.and_(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=(*_PAIR, _BOOLS),
    doc="The bits that both have.",
)
bitwise_or = elementwise(
    "bitwise_or",
    mirrors=[np.bitwise_or],
    tf_name="bitwise.bitwise_or",
    kinds="iub",
    scalar=lambda s, x, y: s.or_(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=(_PAIR[1], _BOOLS),
    doc="The bits that either has.",
)
bitwise_xor = elementwise(
    "bitwise_xor",
    mirrors=[np.bitwise_xor],
    tf_name="bitwise.bitwise_xor",
    kinds="iub",
    scalar=lambda s, x, y: s.xor(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=(_PAIR[1], _BOOLS),
    doc="The bits that exactly one has.",
)
invert = elementwise(
    "invert",
    mirrors=[np.invert],
    tf_name="bitwise.invert",
    kinds="iub",
    scalar=lambda s, x: s.not_(x),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=(
        Sample(((None,),), {}, ("i64",), ((0, -99, 99),)),
        Sample(((None,),), {}, ("u8",), ((0, 0, 256),)),
        Sample(((None,),), {}, ("bool",), ((0, 0, 2),)),
    ),
    doc="All bits turned over.",
)
left_shift = elementwise(
    "left_shift",
    mirrors=[np.left_shift],
    tf_name="bitwise.left_shift",
    kinds="iu",
    scalar=lambda s, x, y: s.shl(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=_SHIFTS,
    doc="x * 2**y of integers, wrapping; 0 where y is not below the number of bits.",
)
right_shift = elementwise(
    "right_shift",
    mirrors=[np.right_shift],
    tf_name="bitwise.right_shift",
    kinds="iu",
    scalar=lambda s, x, y: s.shr(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=_SHIFTS,
    doc="floor(x / 2**y) of integers, whatever y is.",
)
