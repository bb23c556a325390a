"""`optimize` and its result: budgets, figures, arrays in and out, saving, bad input."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from small_models import Net, residual_net, residual_tflite

import tflm_opt
from tflm_opt import api, errors, graph, loading, saved
from tflm_opt.errors import DoesNotFit, InvalidModel, TflmOptError, UnknownBoard
from tflm_opt.runtime import tflm, vectors


@pytest.fixture(scope="module")
def tflite() -> bytes:
    return residual_tflite()


@pytest.fixture(scope="module")
def result(tflite: bytes) -> tflm_opt.Result:
    return tflm_opt.optimize(tflite, name="small", max_slowdown=math.inf, verbose=0)


def test_figures_add_up(result: tflm_opt.Result) -> None:
    sram = result.sram
    assert sram.total == sram.arena + sram.runtime + sram.stack + sram.reserve
    assert sram.estimated == ()
    assert result.flash.code is not None
    assert result.flash.total == result.flash.weights + result.flash.code
    assert result.fits
    assert result.budget is None
    assert result.extra_macs == 0.0
    assert result.bit_exact is True


def test_json_contract(result: tflm_opt.Result) -> None:
    data = json.loads(result.to_json())
    assert {"fits", "sram", "flash", "macs", "extra_macs", "bit_exact", "tflm"} <= set(data)
    assert {"total", "arena", "runtime", "stack", "reserve"} <= set(data["sram"])
    assert {"total", "weights", "code"} <= set(data["flash"])
    assert [layer["index"] for layer in data["layers"]] == list(range(data["ops"]))
    assert sum(layer["macs"] for layer in data["layers"]) == data["macs"]
    for side in ("before", "after"):
        assert set(data["tflm"][side]) == {"head", "tail", "total"}


def test_a_file_for_stock_tflm_has_no_code_to_profile(result: tflm_opt.Result) -> None:
    with pytest.raises(TflmOptError, match="no generated code to profile"):
        dataclasses.replace(result, runtime="tflm").profile("qemu_m4")


def test_summary_names_the_figures(result: tflm_opt.Result) -> None:
    text = str(result)
    assert f"{result.sram.total:,}" in text
    assert "bit-exact with TFLM" in text
    assert "yes, over 16 samples" in text


@pytest.mark.parametrize(
    ("spelling", "size"),
    [(300_000, 300_000), ("300_000", 300_000), ("300 kB", 300_000), ("293KiB", 293 * 1024)],
)
def test_budget_spellings(tflite: bytes, spelling: object, size: int) -> None:
    assert tflm_opt.optimize(tflite, spelling, verify=False, verbose=0).budget == size  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0, -5, "", "many", "3 parsecs", 2.5, True, "0.3"])
def test_bad_budgets(tflite: bytes, bad: object) -> None:
    with pytest.raises(TflmOptError, match="positive number of bytes"):
        tflm_opt.optimize(tflite, bad, verbose=0)  # type: ignore[arg-type]


def test_exact_budget_fits_and_one_byte_less_does_not(
    tflite: bytes, result: tflm_opt.Result
) -> None:
    need = result.sram.total
    assert tflm_opt.optimize(tflite, need, name="small", verbose=0).fits
    with pytest.raises(DoesNotFit) as caught:
        tflm_opt.optimize(tflite, need - 1, name="small", verbose=0)
    error = caught.value
    assert (error.need, error.have, error.what) == (need, need - 1, "sram")
    assert error.best.sram.total == need
    assert not error.best.fits
    assert error.best.bit_exact is True
    assert error.binding
    assert error.remedies


def test_reserve_counts(tflite: bytes, result: tflm_opt.Result) -> None:
    with_reserve = tflm_opt.optimize(
        tflite, reserve="1KiB", max_slowdown=math.inf, verify=False, name="small", verbose=0
    )
    assert with_reserve.sram.total == result.sram.total + 1024


def test_board_limits(tflite: bytes) -> None:
    result = tflm_opt.optimize(tflite, board="nucleo_f446re", verify=False, verbose=0)
    assert result.budget == result.board.sram
    assert result.board.core == "cortex-m4"


def test_stock_tflm_runtime(tflite: bytes) -> None:
    result = tflm_opt.optimize(tflite, runtime="tflm", verbose=0)
    assert result.tflm is not None
    assert result.sram.arena == result.tflm.after.head
    assert result.sram.runtime == result.tflm.after.tail
    assert set(result.sram.estimated) == {"runtime", "stack"}
    assert result.flash.code is None
    assert result.bit_exact is True


def test_recomputation_keeps_within_its_limit() -> None:
    data = residual_tflite(size=48)
    none = tflm_opt.optimize(data, runtime="tflm", verbose=0)
    some = tflm_opt.optimize(data, runtime="tflm", max_extra_macs=0.5, verbose=0)
    assert none.extra_macs == 0.0
    assert 0.0 <= some.extra_macs <= 0.5
    assert some.bit_exact is True
    assert some.tflm is not None
    assert none.tflm is not None
    assert some.tflm.after.total <= none.tflm.after.total <= none.tflm.before.total
    assert tflm_opt.optimize(data, max_extra_macs=0.5, verify=False, verbose=0).extra_macs == 0.0
    with pytest.raises(TflmOptError, match="not a fraction"):
        tflm_opt.optimize(data, max_extra_macs=-0.1, verbose=0)


def test_kernels_of_stock_tflm() -> None:
    """A depthwise convolution of 5x5 needs scratch with the DSP extension, and none without."""
    net = Net((1, 12, 12, 16))
    tflite = graph.write(net.graph(net.depthwise(net.input, 5)))
    plain, dsp, c = (
        tflm_opt.optimize(
            tflite, runtime="tflm", kernels=kernels, board=board, verify=False, verbose=0
        )
        for kernels, board in (
            ("reference", "qemu_m4"),
            ("cmsis_nn", "qemu_m4"),
            ("cmsis_nn", "qemu_m3"),
        )
    )
    assert [r.tflm.kernels for r in (plain, dsp, c) if r.tflm is not None] == [
        "reference",
        "cmsis_nn_dsp",
        "cmsis_nn_c",
    ]
    assert plain.sram.arena == c.sram.arena == dsp.sram.arena - 2 * 16 * 25
    assert "the scratch of CMSIS-NN (dsp)" in str(dsp)
    assert "CMSIS-NN (" not in str(plain)
    with pytest.raises(TflmOptError, match="cmsis_nn"):
        tflm_opt.optimize(tflite, kernels="cmsis", verbose=0)


def test_the_plan_in_the_file_is_what_tflm_takes(result: tflm_opt.Result) -> None:
    assert result.tflm is not None
    assert tflm.allocations(result.tflite).head == result.tflm.after.head


def test_same_input_same_output(tflite: bytes, result: tflm_opt.Result) -> None:
    again = tflm_opt.optimize(tflite, name="small", max_slowdown=math.inf, verbose=0)
    assert again.sources.files == result.sources.files
    assert again.tflite == result.tflite
    assert again.to_json() == result.to_json()


class TestPredict:
    def test_codes(self, result: tflm_opt.Result, tflite: bytes) -> None:
        samples = vectors.seeded(result.graph.inputs, 5, seed=3)
        batch = np.concatenate([s[0] for s in samples])
        wanted = np.concatenate([row[0] for row in tflm.run(tflite, samples)])
        given = result.predict(batch)
        assert given.dtype == np.int8
        np.testing.assert_array_equal(given, wanted)

    def test_floats(self, result: tflm_opt.Result) -> None:
        images = np.random.default_rng(0).uniform(-1, 1, (4, 12, 12, 3)).astype(np.float32)
        given = result.predict(images)
        assert given.shape == (4, 10)
        assert given.dtype == np.float32
        assert np.all((given >= 0) & (given <= 1))
        np.testing.assert_array_equal(given, result.predict([images]))
        np.testing.assert_array_equal(given, result.predict({"image": images}))
        np.testing.assert_array_equal(given[2:3], result.predict(images[2]))

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (np.zeros((2, 11, 12, 3), np.float32), "takes"),
            ([np.zeros((1, 12, 12, 3)), np.zeros((1, 12, 12, 3))], "takes"),
            ({"picture": np.zeros((1, 12, 12, 3))}, "no array for input image"),
            (np.zeros((1, 12, 12, 3), np.int64), "give int8 codes or floats"),
        ],
    )
    def test_bad_arrays(self, result: tflm_opt.Result, bad: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            result.predict(bad)

    def test_evaluate(self, result: tflm_opt.Result) -> None:
        images = np.random.default_rng(1).uniform(-1, 1, (20, 12, 12, 3)).astype(np.float32)
        labels = result.predict(images).argmax(axis=1)
        labels[:5] = (labels[:5] + 1) % 10
        judged = result.evaluate(images, labels)
        assert judged.engine == judged.int8 == 0.75
        assert judged.float is None
        assert judged.samples == 20
        one_hot = np.eye(10)[labels]
        assert result.evaluate(images, one_hot) == judged
        with pytest.raises(ValueError, match="3 labels for 20 samples"):
            result.evaluate(images, labels[:3])


class TestSave:
    def test_files(self, result: tflm_opt.Result, tmp_path: Path) -> None:
        folder = result.save(tmp_path / "out")
        assert (folder / "model.tflite").read_bytes() == result.tflite
        assert json.loads((folder / "report.json").read_text()) == result.to_dict()
        assert "<svg" in (folder / "plan.svg").read_text()
        samples, expected = saved.load_vectors(folder)
        assert vectors.compare(result.expected, expected).equal
        assert vectors.compare(result.samples, samples).equal

    def test_saving_again_is_fine_but_not_over_others(
        self, result: tflm_opt.Result, tmp_path: Path
    ) -> None:
        result.save(tmp_path / "out")
        result.save(tmp_path / "out")
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        (theirs / "thesis.txt").write_text("the only copy")
        with pytest.raises(errors.OutputExists):
            result.save(theirs)
        assert (theirs / "thesis.txt").read_text() == "the only copy"
        assert [p.name for p in theirs.iterdir()] == ["thesis.txt"]

    def test_nothing_is_left_when_writing_fails(
        self, result: tflm_opt.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full_disk(*_: object) -> bytes:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(saved, "pack_vectors", full_disk)
        with pytest.raises(OSError, match="No space left"):
            result.save(tmp_path / "out")
        assert list(tmp_path.iterdir()) == []


class TestBadModels:
    @pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 64, b"\x1c\0\0\0TFL3" + b"\xff" * 60])
    def test_bytes(self, data: bytes) -> None:
        with pytest.raises(TflmOptError):
            tflm_opt.optimize(data, verbose=0)

    def test_missing_file(self) -> None:
        with pytest.raises(InvalidModel, match=r"nowhere\.tflite"):
            tflm_opt.optimize("nowhere.tflite", verbose=0)

    def test_not_a_model(self) -> None:
        with pytest.raises(InvalidModel, match="type dict is not a model"):
            tflm_opt.optimize({}, verbose=0)

    def test_truncated(self, tflite: bytes) -> None:
        with pytest.raises(TflmOptError):
            tflm_opt.optimize(tflite[: len(tflite) // 2], verbose=0)

    def test_unknown_names(self, tflite: bytes) -> None:
        with pytest.raises(UnknownBoard, match="qemu_m4"):
            tflm_opt.optimize(tflite, board="qemu_m40", verbose=0)
        with pytest.raises(TflmOptError, match="runtime 'tvm' is not one of engine, tflm"):
            tflm_opt.optimize(tflite, runtime="tvm", verbose=0)


def test_float_input_and_output_stay_on_request() -> None:
    data = graph.write(with_float_borders(residual_net()))
    kept = tflm_opt.optimize(data, io="float32", verbose=0)
    assert [t.dtype for t in (*kept.graph.inputs, *kept.graph.outputs)] == ["float32"] * 2
    made_int8 = tflm_opt.optimize(data, verbose=0)
    assert [t.dtype for t in (*made_int8.graph.inputs, *made_int8.graph.outputs)] == ["int8"] * 2
    assert kept.bit_exact is True
    assert made_int8.bit_exact is True
    images = np.random.default_rng(2).uniform(-1, 1, (3, 12, 12, 3)).astype(np.float32)
    np.testing.assert_array_equal(kept.predict(images), made_int8.predict(images))


def with_float_borders(g: graph.Graph) -> graph.Graph:
    (source,), (sink,) = g.inputs, g.outputs
    given = graph.Tensor("float_in", source.shape, "float32")
    made = graph.Tensor("float_out", sink.shape, "float32")
    ops = (
        graph.Op("QUANTIZE", (given,), (source,)),
        *g.ops,
        graph.Op("DEQUANTIZE", (sink,), (made,)),
    )
    return graph.Graph(ops, (given,), (made,))


def test_missing_arm_compiler_is_an_estimate_and_says_so(
    tflite: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tflm_opt.runtime import machine

    def none(tool: str = "gcc", board: object = None) -> str:
        raise errors.MissingTool(tool, needed_for="to build firmware", install="apt-get install x")

    monkeypatch.setattr(machine, "compiler", none)
    result = tflm_opt.optimize(tflite, verbose=0)
    assert set(result.sram.estimated) == {"runtime", "stack", "code"}
    assert "(estimate)" in str(result)
    assert any("apt-get install" in warning for warning in result.warnings)


@pytest.mark.parametrize("install", ["", "apt-get install x"])
def test_the_remedy_for_a_missing_tool_is_never_empty(
    install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no command installs it, no sentence ends with a colon."""
    from types import SimpleNamespace
    from typing import Any, cast

    from tflm_opt.runtime import footprint

    error = errors.MissingTool("some-gcc", needed_for="to build firmware", install=install)
    sources = cast("Any", SimpleNamespace(kernels=("a", "b"), weights=9))
    (note,) = footprint._estimate(sources, 3, error).notes
    for text in (str(error), note):
        assert "some-gcc" in text
        assert text.endswith((install,) if install else ("not found", "not installed"))


def test_our_kernels_under_stock_tflm_get_their_scratch(tflite: bytes) -> None:
    from tflm_opt.arena import tflm_scratch

    made = {
        kernels: tflm_opt.optimize(
            tflite, runtime="tflm", kernels=kernels, board="qemu_m4", verify=False, verbose=0
        )
        for kernels in ("reference", "tflm_opt")
    }
    plain, ours = made["reference"].tflm, made["tflm_opt"].tflm
    assert plain is not None
    assert ours is not None
    assert ours.kernels == "tflm_opt_dsp"
    most = max(tflm_scratch.tflm_scratch(op, ours.kernels) for op in made["tflm_opt"].graph.ops)
    assert most > 0
    assert ours.after.head >= most
    assert ours.after.head > plain.after.head
    assert "the scratch of tflm_opt's kernels (dsp)" in str(made["tflm_opt"])


def test_missing_wheel_is_an_error_with_the_remedy(
    tflite: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tflm, "available", lambda: False)
    with pytest.raises(errors.MissingTool, match="pip install --pre tflite-micro"):
        tflm_opt.optimize(tflite, verbose=0)
    result = tflm_opt.optimize(tflite, verify=False, verbose=0)
    assert result.bit_exact is None
    assert result.tflm is None
    assert result.board.id == api.DEFAULT_BOARD


def test_a_wrong_kernel_is_never_called_exact(
    tflite: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tflm_opt import proof

    right = proof.run_engine

    def off_by_one(*arguments: object) -> list[list[np.ndarray]]:
        outputs = right(*arguments)  # type: ignore[arg-type]
        outputs[7][0].flat[3] ^= 1
        return outputs

    monkeypatch.setattr(proof, "run_engine", off_by_one)
    with pytest.raises(proof.NotEqual, match="sample 7"):
        tflm_opt.optimize(tflite, verbose=0)


def test_summary_of_long_names_and_warnings_fits_a_terminal(result: tflm_opt.Result) -> None:
    told = dataclasses.replace(result, name="n" * 40, warnings=("a few words " * 20,))
    lines = str(told).splitlines()
    assert lines[0] == "n" * 40
    assert lines[1].strip().startswith("engine on cortex-m4")
    assert max(map(len, lines)) <= 80
    assert str(told).count("! ") == 1


def test_summary_says_which_budget_is_exceeded(tflite: bytes) -> None:
    board = dataclasses.replace(tflm_opt.boards.get("nucleo_f446re"), flash=1000)
    with pytest.raises(DoesNotFit) as caught:
        tflm_opt.optimize(tflite, board=board, verbose=0, verify=False)
    text = str(caught.value.best)
    assert "bytes of SRAM: fits" in text
    assert "total of 1,000: does NOT fit" in text


def test_long_tensor_names_are_shortened_in_the_verdict(tflite: bytes) -> None:
    read = graph.read(tflite)
    renamed = {t: dataclasses.replace(t, name="x/" * 200) for op in read.ops for t in op.outputs}
    with pytest.raises(DoesNotFit) as caught:
        tflm_opt.optimize(graph.write(graph.edit.replace(read, renamed)), 900, verbose=0)
    assert all(len(line) < 100 for line in caught.value.binding)


def test_calibration_of_a_tflite_is_told_to_be_of_no_use(tflite: bytes) -> None:
    told = tflm_opt.optimize(tflite, calibration=np.zeros((4, 4)), verbose=0, verify=False)
    assert told.warnings == (loading.UNUSED_CALIBRATION,)


def test_an_empty_batch_and_labels_that_are_no_classes(result: tflm_opt.Result) -> None:
    shape = result.graph.inputs[0].shape[1:]
    with pytest.raises(ValueError, match="batch is empty"):
        result.predict(np.zeros((0, *shape), np.float32))
    for label in (-1, 10_000):
        with pytest.raises(ValueError, match="class numbers from 0 to"):
            result.evaluate(np.zeros((1, *shape), np.float32), [label])


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_a_dict_of_inputs_by_the_keras_models_own_keys() -> None:
    keras = pytest.importorskip("keras")
    first, second = keras.Input((4,), name="za"), keras.Input((6,), name="ab")
    joined = keras.layers.Concatenate()([keras.layers.Dense(3)(first), second])
    net = keras.Model({"k1": first, "k0": second}, keras.layers.Dense(2)(joined))
    rng = np.random.default_rng(0)
    data = {"k1": rng.random((30, 4), np.float32), "k0": rng.random((30, 6), np.float32)}
    made = tflm_opt.optimize(net, calibration=data, verbose=0, verify=False)
    by_key = made.predict(data)
    by_name = made.predict({"za": data["k1"], "ab": data["k0"]})
    np.testing.assert_array_equal(by_key, by_name)
    np.testing.assert_allclose(by_key, net.predict(data, verbose=0), atol=0.1)
    with pytest.raises(ValueError, match="no array for input"):
        made.predict({"k1": data["k1"]})
