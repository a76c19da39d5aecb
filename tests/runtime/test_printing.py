"""Prints of programs of this process: both ways to call them, and without the lock."""

import _thread
import threading

import numpy as np
import pullback as pb
import pytest
from pullback.ir.types import F64, TensorType
from pullback.runtime import fastcall
from pullback.runtime.aot import build_package
from pullback.runtime.aot_pair import pair_entries
from pullback.runtime.compile import compile_graph


def squares(x):
    pb.print("{} of {}", x[0], x.shape[0])
    y = pb.scan(lambda c, e: (c + e, pb.print("{}", e)), 0.0, x[:2])[0]
    return y * x


@pytest.mark.parametrize("refusal", [None, "a test"])
@pytest.mark.parametrize("size", [3, 1 << 18])  # beyond 1 MiB without the lock
def test_both_ways_to_call_print(refusal, size, monkeypatch, capsys):
    if refusal:
        monkeypatch.setattr(fastcall, "refusal", lambda: refusal)
    # a name of its own: programs are kept
    graph = pb.function(squares).graph(TensorType(F64, (size + bool(refusal),)))
    program = compile_graph(graph)
    x = np.arange(1.0, size + 1 + bool(refusal))
    for _ in range(2):
        (found,) = program.run([x])
        np.testing.assert_array_equal(found, 3 * x)
        assert capsys.readouterr().out == f"1.0 of {len(x)}\n1.0\n2.0\n"

    class Broken:
        def write(self, text):
            raise KeyError(text)

    monkeypatch.setattr("sys.stdout", Broken())
    with pytest.raises(KeyError, match=f"1.0 of {len(x)}"):
        program.run([x])


def test_an_interrupt_stops_a_loop_that_prints(monkeypatch):
    class Interrupting:
        lines = 0

        def write(self, text):
            self.lines += text.count("\n")
            if self.lines == 3:
                _thread.interrupt_main()

        def flush(self):
            pass

    stream = Interrupting()
    monkeypatch.setattr("sys.stdout", stream)

    def step(k):
        pb.print("{}", k)
        return k + 1

    forever = pb.function(lambda k: pb.while_loop(lambda k: k >= 0, step, k))
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        forever(0)
    assert 3 <= stream.lines < 6


def test_threads_have_their_own_errors(monkeypatch):
    class Named:
        def write(self, text):
            raise ValueError(threading.current_thread().name)

    monkeypatch.setattr("sys.stdout", Named())
    failing = pb.function(lambda x: (pb.print("{}", x), x)[1])
    found = {}

    def run():
        for _ in range(20):
            try:
                failing(1.0)
            except ValueError as error:
                found.setdefault(threading.current_thread().name, set()).add(str(error))

    threads = [threading.Thread(target=run, name=f"t{k}") for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {f"t{k}": {f"t{k}"} for k in range(4)}


def test_the_forward_half_of_a_pullback_prints(tmp_path, monkeypatch, capsys):
    graph = pb.function(squares).graph(TensorType(F64, (2,)))
    entries, pair = pair_entries("squares", graph, [0])
    build_package("halves", entries, pairs=[pair]).write(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import halves

    value, back = halves.squares_vjp(np.array([1.0, 2.0]))
    assert capsys.readouterr().out == "1.0 of 2\n1.0\n2.0\n"
    np.testing.assert_array_equal(value, [3.0, 6.0])
    (got,) = back(np.ones(2))
    assert capsys.readouterr().out == ""
    np.testing.assert_allclose(got, [6.0, 6.0])
