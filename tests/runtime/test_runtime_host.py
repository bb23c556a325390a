"""The host engine: right results under every use, clear errors under misuse."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tflm_opt import codegen
from tflm_opt.errors import InvalidModel, MissingTool, TflmOptError, ToolFailed
from tflm_opt.graph.ir import Graph, Op, Quantization, Tensor
from tflm_opt.graph.options import AddOptions
from tflm_opt.runtime import host


def doubler(folder: Path, zero_point: int = 0, name: str = "twice") -> host.Engine:
    """x + x at scales that make it stored * 2 - zero point, clamped: checkable by hand."""
    quant = Quantization.per_tensor(1.0, zero_point)
    x = Tensor("x", (1, 4), "int8", quant)
    y = Tensor("y", (1, 4), "int8", quant)
    g = Graph((Op("ADD", (x, x), (y,), AddOptions()),), (x,), (y,))
    plan = SimpleNamespace(
        schedule=SimpleNamespace(stages=[SimpleNamespace(ops=g.ops, band=None)]),
        offsets={x: 0, y: 16},
        scratch={},
        fronts={},
        moves={},
        peak=32,
    )
    codegen.write(codegen.generate(g, plan, name=name), folder)
    return host.Engine(folder)


X = np.array([[1, -3, 50, 100]], np.int8)
TWICE = [[2, -6, 100, 127]]


def test_runs_again_and_again(tmp_path: Path) -> None:
    engine = doubler(tmp_path)
    for _ in range(3):
        ((got,), (other,)) = engine.run([[X], [X[:, ::-1]]])
        assert got.tolist() == TWICE
        assert other.tolist() == [TWICE[0][::-1]]


def test_models_compiled_together(tmp_path: Path) -> None:
    doubler(tmp_path / "a", name="first")
    doubler(tmp_path / "b", zero_point=3, name="second")
    first, second = host.engines([tmp_path / "a", tmp_path / "b"], flags=["-O0"])
    for _ in range(2):
        assert first.run([[X]])[0][0].tolist() == TWICE
        assert second.run([[X]])[0][0].tolist() == [[-1, -9, 97, 127]]
    assert first.trace([X]) == {(0, 0): bytes(np.array(TWICE, np.int8))}
    assert second.trace([X]) == {(0, 0): bytes(np.array([-1, -9, 97, 127], np.int8))}
    assert host.engines([]) == []


def test_models_of_one_name_are_not_compiled_together(tmp_path: Path) -> None:
    doubler(tmp_path / "a")
    doubler(tmp_path / "b", zero_point=3)
    with pytest.raises(TflmOptError, match="called 'twice'"):
        host.engines([tmp_path / "a", tmp_path / "b"])


def test_results_do_not_share_memory_with_the_arena(tmp_path: Path) -> None:
    engine = doubler(tmp_path)
    ((first,),) = engine.run([[X]])
    engine.run([[np.zeros_like(X)]])
    assert first.tolist() == TWICE
    first[:] = 9  # writable, and nobody else's
    ((again,),) = engine.run([[X]])
    assert again.tolist() == TWICE


def test_no_samples_no_results(tmp_path: Path) -> None:
    assert doubler(tmp_path).run([]) == []


def test_several_engines_side_by_side(tmp_path: Path) -> None:
    engines = [doubler(tmp_path / str(zero), zero) for zero in (0, 5, -7)]
    for engine, zero in zip(engines, (0, 5, -7), strict=True):
        ((got,),) = engine.run([[X]])
        want = np.clip(2 * X.astype(int) - zero, -128, 127)
        assert got.tolist() == want.tolist()


def test_one_model_from_many_threads(tmp_path: Path) -> None:
    """Two engines of one content share an arena: calls must not mix."""
    engines = [doubler(tmp_path / name) for name in ("a", "b")]
    wrong: list[object] = []

    def work(value: int) -> None:
        x = np.full((1, 4), value, np.int8)
        for i in range(300):
            ((got,),) = engines[i % 2].run([[x]])
            if got.tolist() != [[2 * value] * 4]:
                wrong.append(got)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_traces_hold_every_op(tmp_path: Path) -> None:
    engine = doubler(tmp_path)
    assert engine.trace([X]) == {(0, 0): np.array(TWICE, np.int8).tobytes()}
    assert engine.run([[X]], trace=True) == [engine.trace([X])]
    ((got,),) = engine.run([[X]])  # and the trace is off again
    assert got.tolist() == TWICE


def test_sanitized_results_are_the_same(tmp_path: Path) -> None:
    doubler(tmp_path)
    engine = host.Engine(tmp_path, sanitize=True)
    rows = engine.run([[X], [-X]])
    assert rows[0][0].tolist() == TWICE
    assert rows[1][0].tolist() == [[-2, 6, -100, -128]]
    with pytest.raises(TflmOptError, match="trace"):
        engine.trace([X])


def test_a_fault_is_reported_by_the_sanitizers(tmp_path: Path) -> None:
    doubler(tmp_path)
    source = tmp_path / "src" / "twice.c"
    text = source.read_text()
    source.write_text(text.replace("static uint8_t arena[32]", "static uint8_t arena[17]"))
    text = source.read_text().replace("<= sizeof(arena)", ">= sizeof(arena)")
    source.write_text(text)
    with pytest.raises(ToolFailed, match="AddressSanitizer"):
        host.Engine(tmp_path, sanitize=True).run([[X]])


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ([], "0 arrays"),
        ([X, X], "2 arrays"),
        ([X.astype(np.int16)], "int16"),
        ([X.astype(np.float32)], "float32"),
        ([X[0]], r"shape \[4\]"),
        ([np.zeros((1, 5), np.int8)], r"need int8 of shape \[1, 4\]"),
    ],
)
def test_samples_that_do_not_fit(tmp_path: Path, sample: list[np.ndarray], message: str) -> None:
    with pytest.raises(TflmOptError, match=message):
        doubler(tmp_path).run([[X], sample])


def test_samples_in_any_memory_order(tmp_path: Path) -> None:
    wide = np.zeros((1, 8), np.int8)
    wide[:, ::2] = X
    ((got,),) = doubler(tmp_path).run([[wide[:, ::2]]])
    assert got.tolist() == TWICE


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel):
        host.Engine(tmp_path)


def test_a_folder_without_sources(tmp_path: Path) -> None:
    doubler(tmp_path)
    for path in (tmp_path / "src").rglob("*.c"):
        path.unlink()
    with pytest.raises(InvalidModel, match="no C sources"):
        host.Engine(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"), [('"int8"', '"int7"'), ('"twice"', '"twi ce"'), ('"shape"', '"sha"')]
)
def test_a_damaged_record(tmp_path: Path, old: str, new: str) -> None:
    doubler(tmp_path)
    record = tmp_path / "model.json"
    record.write_text(record.read_text().replace(old, new))
    with pytest.raises(InvalidModel, match=r"model\.json"):
        host.Engine(tmp_path)


def test_code_that_does_not_compile(tmp_path: Path) -> None:
    doubler(tmp_path)
    with open(tmp_path / "src" / "twice.c", "a") as file:
        file.write("this is not C\n")
    with pytest.raises(ToolFailed, match="does not compile"):
        host.Engine(tmp_path)


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingTool, match="apt-get install gcc"):
        host.compiler()
