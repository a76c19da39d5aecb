"""The demo holds what it claims, and says so when something does not."""

import numpy as np
import pytest
from pullback import demo
from pullback.cli import main


def test_every_check_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("[ok]") == 6
    assert "FAILED" not in out
    assert "intercept   15.0429   standard error 7.3786" in out
    assert "loss(%0 w: f64[2], %1 t: f64[n], %2 y: f64[n]):" in out
    assert "loss_adjoint(" in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_check_that_fails_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_call_native", lambda *_: (0.0, np.zeros(2)))
    assert main(["demo"]) == 1
    out = capsys.readouterr().out
    assert "[FAILED] libloss.so" in out
    assert "1 checks FAILED" in out
