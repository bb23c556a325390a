"""TFLM in its child process: outputs, allocations, and every way in which it can fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_models import shared

from tflm_opt import graph
from tflm_opt.errors import MissingTool, ToolFailed
from tflm_opt.graph.ir import Graph, Op, Quantization, Tensor
from tflm_opt.graph.options import AddOptions
from tflm_opt.runtime import tflm

pytestmark = pytest.mark.skipif(not tflm.available(), reason="tflite-micro is not installed")

SHAPE = (1, 3, 5, 2)


def _tensor(name: str, dtype: str = "int8", shape: tuple[int, ...] = SHAPE) -> Tensor:
    quant = Quantization(np.array([0.5], np.float32), np.array([0], np.int64))
    return Tensor(name, shape, dtype, quant if dtype.startswith("int") else None)


def add_model(dtype: str = "int8") -> bytes:
    """Two inputs, two outputs: (a + b, a + b + b)."""
    a, b, first, second = (_tensor(name, dtype) for name in ("a", "b", "first", "second"))
    ops = (
        Op("ADD", (a, b), (first,), AddOptions()),
        Op("ADD", (first, b), (second,), AddOptions()),
    )
    return graph.write(Graph(ops, (a, b), (first, second)))


@pytest.fixture(scope="module")
def model() -> bytes:
    return add_model()


def test_two_inputs_two_outputs_many_samples(model: bytes) -> None:
    rng = np.random.default_rng(3)
    samples = [list(rng.integers(-40, 40, (2, *SHAPE)).astype(np.int8)) for _ in range(300)]
    for (a, b), (first, second) in zip(samples, tflm.run(model, samples), strict=True):
        np.testing.assert_array_equal(first, a + b)
        np.testing.assert_array_equal(second, np.clip(a.astype(int) + b + b, -128, 127))
        assert first.dtype == np.int8


def test_float_inputs() -> None:
    a, b = np.full(SHAPE, 1.25, np.float32), np.full(SHAPE, -3.0, np.float32)
    ((first, second),) = tflm.run(add_model("float32"), [[a, b]])
    np.testing.assert_array_equal(first, a + b)
    np.testing.assert_array_equal(second, a + b + b)


def test_several_models_in_one_child(model: bytes) -> None:
    ones = [np.ones(SHAPE, np.int8)] * 2
    floats = [np.ones(SHAPE, np.float32)] * 2
    results = tflm.run_many([(model, [ones] * 3), (add_model("float32"), [floats]), (model, [])])
    assert [len(result) for result in results] == [3, 1, 0]
    assert results[0][2][1][0, 0, 0, 0] == 3
    assert results[1][0][1][0, 0, 0, 0] == 3.0
    assert tflm.run_many([]) == []


def test_allocations_are_exact_and_do_not_depend_on_the_arena(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = tflm.allocations(model)
    # Tensors of 30 bytes in slots of 32; three are alive at a time: a, b and first, then b, first
    # and second.
    assert used.head == 3 * 32
    assert used.total == used.head + used.tail
    assert sum(used.parts.values()) <= used.tail
    sample = [np.ones(SHAPE, np.int8)] * 2
    assert tflm.measure(model, [sample, sample]).allocations == used
    monkeypatch.setattr(tflm, "ARENA", used.total + 64)
    assert tflm.allocations(model) == used
    monkeypatch.setattr(tflm, "ARENA", used.total - 64)
    with pytest.raises(ToolFailed, match="refused the model"):
        tflm.allocations(model)


def test_allocations_of_a_known_model() -> None:
    used = tflm.allocations(shared("mcunet_vww1"))
    assert (used.head, used.tail) == (161_472, 63_504)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ([np.zeros(SHAPE, np.int8)], "1 arrays, and the model has 2 inputs"),
        ([np.zeros(SHAPE, np.uint8)] * 2, "sample 1, input 0: uint8"),
        ([np.zeros(SHAPE, np.int8), np.zeros((3, 5, 2), np.int8)], r"input 1: int8\[3, 5, 2\]"),
    ],
)
def test_bad_sample_is_named(model: bytes, sample: list[np.ndarray], message: str) -> None:
    good = [np.zeros(SHAPE, np.int8)] * 2
    with pytest.raises(ToolFailed, match=message):
        tflm.run(model, [good, sample])


def test_array_as_a_sample_is_a_programming_error(model: bytes) -> None:
    with pytest.raises(TypeError, match=r"\[array\]"):
        tflm.run(model, [np.zeros(SHAPE, np.int8)])  # type: ignore[list-item]


def test_garbage_is_refused_and_the_parent_lives(model: bytes) -> None:
    """Whatever TFLM does with damaged bytes, it comes back as our error or as outputs."""
    rng = np.random.default_rng(11)
    sample = [np.zeros(SHAPE, np.int8)] * 2
    cases = [b"", b"TFL3" * 20, model[:40], model[: len(model) // 2]]
    for _ in range(12):
        damaged = bytearray(model)
        for place in rng.integers(0, len(model), 6):
            damaged[place] = int(rng.integers(0, 256))
        cases.append(bytes(damaged))
    refused = 0
    for case in cases:
        try:
            assert len(tflm.run(case, [sample], timeout=60)) == 1
        except ToolFailed:
            refused += 1
    assert refused >= 4


def _with_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """Replace the child's script."""
    script = tmp_path / "child.py"
    script.write_text(code)
    monkeypatch.setattr(tflm.tflm_child, "__file__", str(script))


def test_crash_is_reported_with_its_last_words(
    model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = "import os, sys\nprint('about to go', file=sys.stderr, flush=True)\nos.abort()\n"
    _with_child(monkeypatch, tmp_path, code)
    with pytest.raises(ToolFailed, match="SIGABRT") as caught:
        tflm.run(model, [])
    assert "about to go" in caught.value.output


def test_timeout_stops_the_child(
    model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    _with_child(monkeypatch, tmp_path, code)
    with pytest.raises(ToolFailed, match=r"still running after 0\.5 s"):
        tflm.run(model, [], timeout=0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_interrupt_stops_the_child(
    model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    _with_child(monkeypatch, tmp_path, code)

    def interrupt() -> None:
        while not pid.exists() or not pid.read_text():
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        tflm.run(model, [], timeout=30)
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_missing_wheel_says_how_to_install_it(
    model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _with_child(monkeypatch, tmp_path, f"import sys\nsys.exit({tflm.tflm_child.NO_WHEEL})\n")
    with pytest.raises(MissingTool, match="pip install --pre tflite-micro"):
        tflm.run(model, [])
    monkeypatch.setattr(tflm, "available", lambda: False)
    with pytest.raises(MissingTool, match="pip install --pre tflite-micro"):
        tflm.run(model, [])


def test_import_is_light() -> None:
    code = (
        "import sys, tflm_opt.runtime.tflm, tflm_opt.boards, tflm_opt.runtime.qemu, "
        "tflm_opt.export.platformio\n"
        "heavy = {'tensorflow', 'tflite_micro', 'jinja2', 'elftools', 'rich', 'ai_edge_litert'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
