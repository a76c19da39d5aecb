"""docs/coverage.md says what the tables say."""

import numpy as np
import pullback as pb
import pytest
from numpy_coverage import TARGET, functions, status, text
from pullback.tracer.functions.table import BY_NUMPY, PUBLIC
from pullback.tracer.refused import REFUSED


def test_the_file_is_current() -> None:
    version = ".".join(np.__version__.split(".")[:2])
    written = TARGET.read_text()
    if f"NumPy {version}.\n" in written:
        assert written == text(), "run tests/numpy_coverage.py"
    for name, function in functions(np):  # whatever NumPy is installed
        if status(name, function, PUBLIC)[0] == "traced":
            assert f"`{name}`" in written


def test_what_is_refused_is_not_there() -> None:
    for name in REFUSED:
        assert getattr(np, name, None) not in BY_NUMPY
        assert name not in PUBLIC


def test_the_reason_of_a_refusal_is_told() -> None:
    with pytest.raises(pb.UnknownFunction) as caught:
        pb.function(lambda x: np.unique(x))(np.ones(3))
    assert "np.unique has no traced form" in str(caught.value)
    assert str(caught.value).endswith(f"\n  {REFUSED['unique']}")
