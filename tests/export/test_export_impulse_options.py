"""What Edge Impulse exports say of a model, and which models and options they take."""

from __future__ import annotations

import shlex
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from impulse_models import DOCS, dots, in_docs, macros, sounds
from saved_model import LABELS, files, kept, result, saved

from tflm_opt import cli
from tflm_opt.errors import TflmOptError, UnsupportedModel
from tflm_opt.export import export_saved, impulse
from tflm_opt.export.impulse import SCALINGS, Port, describe
from tflm_opt.export.package import open_saved
from tflm_opt.graph import Quantization
from tflm_opt.runtime import vectors


@pytest.mark.parametrize("kind", ["edge-impulse", "edge-impulse-arduino"])
def test_same_bytes_whatever_came_before(kind: str, tmp_path: Path) -> None:
    for turn in ("one", "two"):
        export_saved(saved(), kind, tmp_path / turn / "z.zip", labels=LABELS, scaling="-1..1")
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_the_commands_in_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(in_docs("python"), {"result": result()})
    assert (tmp_path / "model" / "tflite-model" / "small.cpp").is_file()
    with zipfile.ZipFile("digits_inferencing.zip") as whole:
        assert "digits_inferencing/src/digits_inferencing.h" in whole.namelist()
    lines = [line.strip() for line in DOCS.read_text("utf-8").splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("tflm-opt ")]
    assert len(commands) == 2
    for words in commands:
        cli.main([str(kept(sounds())) if word == "out" else word for word in words])
    assert "SENSOR_MICROPHONE" in macros(tmp_path / "model")["EI_CLASSIFIER_SENSOR"]
    assert (tmp_path / "gestures.zip").is_file()


def test_what_the_macros_say(tmp_path: Path) -> None:
    export_saved(
        *(kept(sounds()), "edge-impulse", tmp_path / "a"),
        sensor="accelerometer",
        frequency=62.5,
        axes=["accX", "accY", "accZ"],
    )
    found = macros(tmp_path / "a")
    wanted = {
        "RAW_SAMPLE_COUNT": "32",
        "RAW_SAMPLES_PER_FRAME": "3",
        "NN_INPUT_FRAME_SIZE": "96",
        "INPUT_WIDTH": "0",
        "INTERVAL_MS": "16",
        "FREQUENCY": "62.5",
        "SENSOR": "EI_CLASSIFIER_SENSOR_ACCELEROMETER",
        "FUSION_AXES_STRING": '"accX + accY + accZ"',
        "LABEL_COUNT": "4",
        "OBJECT_DETECTION": "0",
    }
    assert {key: found[f"EI_CLASSIFIER_{key}"] for key in wanted} == wanted
    export_saved(kept(dots()), "edge-impulse", tmp_path / "b")
    found = macros(tmp_path / "b")
    wanted = {
        "RAW_SAMPLE_COUNT": "384",
        "RAW_SAMPLES_PER_FRAME": "1",
        "INPUT_WIDTH": "24",
        "INPUT_HEIGHT": "16",
        "LABEL_COUNT": "2",
        "OBJECT_DETECTION": "1",
        "OBJECT_DETECTION_LAST_LAYER": "EI_CLASSIFIER_LAST_LAYER_FOMO",
        "NN_OUTPUT_COUNT": "72",
    }
    assert {key: found[f"EI_CLASSIFIER_{key}"] for key in wanted} == wanted


def test_pixels_by_scaling(tmp_path: Path) -> None:
    """The table of each scaling is what quantizing its formula gives."""
    channel = np.arange(256, dtype=np.float64)
    formulas = {
        "0..1": [channel / 255],
        "0..255": [channel],
        "-1..1": [channel / 127.5 - 1],
        "-128..127": [channel - 128],
        "torch": [
            (channel / 255 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
        ],
        "bgr-mean": [channel - mean for mean in (103.939, 116.779, 123.68)],
    }
    assert formulas.keys() == SCALINGS.keys()
    for name, wanted in formulas.items():
        found = SCALINGS[name].values()
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == np.float32
            assert np.allclose(one, other, rtol=1e-6, atol=1e-5)
    export_saved(saved(), "edge-impulse", tmp_path / "p", scaling="torch")
    text = (tmp_path / "p" / "tflite-model" / "tflm_opt_impulse.cpp").read_text("utf-8")
    table = text.split("channel_codes[3][256] = {")[1].split("};")[0]
    codes = np.array(table.replace("{", "").replace("}", "").replace(",", " ").split(), int)
    quant = Quantization.per_tensor(1 / 128, 0)
    for index, values in enumerate(SCALINGS["torch"].values()):
        assert np.array_equal(codes[256 * index :][:256], vectors.quantize(values, quant))


def test_codes_are_rounded_as_the_generated_code_does() -> None:
    """The number just below a half plus a half is 1 in float32; the code is 0 all the same."""
    below = np.nextafter(np.float32(0.5), np.float32(0))
    one = Quantization.per_tensor(1.0, 0)
    values = np.array([below, 0.5, -below, -0.5, 1.5, 300, -300], np.float32)
    assert vectors.quantize(values, one).tolist() == [0, 1, 0, -1, 2, 127, -128]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sensor": "lidar"}, "no sensor 'lidar'; there is camera"),
        ({"sensor": "microphone"}, "give its frequency"),
        ({"sensor": "microphone", "frequency": -1.0}, "the frequency is -1 Hz"),
        ({"sensor": "microphone", "frequency": float("nan")}, "the frequency is nan Hz"),
        ({"sensor": "microphone", "frequency": 1.0, "scaling": "0..1"}, "scaling is for cameras"),
        ({"frequency": 10.0}, "a camera has no frequency"),
        ({"axes": ["x"]}, "a camera has no axes"),
        ({"scaling": "0..2"}, "no scaling '0..2'; there is 0..1"),
        ({"scaling": "0..255"}, "hardly told apart by a model that takes -1 to"),
        ({"threshold": 1.5}, "the threshold is 1.5"),
        ({"sensor": "fusion", "frequency": 9.0, "axes": ["a"] * 2}, "an axis is there twice"),
        ({"sensor": "fusion", "frequency": 9.0, "axes": list("abcdefg")}, "no multiple of 7 axes"),
        ({"sensor": "fusion", "frequency": 9.0, "axes": ['"+']}, "can't name an axis"),
        ({"board": "pico"}, "no option 'board'"),
    ],
)
def test_bad_options_write_nothing(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    for kind in ("edge-impulse", "edge-impulse-arduino"):
        with pytest.raises(TflmOptError, match=message):
            export_saved(saved(), kind, tmp_path / "out.zip", **given)
    assert list(tmp_path.iterdir()) == []


def test_models_that_are_no_impulse(monkeypatch: pytest.MonkeyPatch) -> None:
    """More inputs or outputs, types and shapes that a result has no place for."""
    from tflm_opt import codegen

    def refused(message: str, record: dict[str, Any]) -> None:
        with open_saved(saved()) as package:
            monkeypatch.setattr(codegen, "load_record", lambda _: record)
            with pytest.raises(UnsupportedModel, match=message):
                describe(package, sensor="camera")
            monkeypatch.undo()

    def port(*shape: int, dtype: str = "int8") -> dict[str, Any]:
        return {"shape": list(shape), "dtype": dtype, "scale": 1 / 128, "zero_point": 0}

    image, some = port(1, 8, 8, 3), port(1, 4)
    refused("has 2 outputs", {"inputs": [image], "outputs": [some, some]})
    refused("has 2 inputs", {"inputs": [image, some], "outputs": [some]})
    refused("output is int32", {"inputs": [image], "outputs": [port(1, 4, dtype="int32")]})
    refused("is a map", {"inputs": [image], "outputs": [port(1, 4, 4, 1)]})
    refused("neither one value", {"inputs": [image], "outputs": [port(1, 7, 4)]})


def test_scaling_is_seen_or_asked_for() -> None:
    with open_saved(saved()) as package:
        assert describe(package).scaling.name == "-1..1"
    with open_saved(kept(dots())) as package:
        assert describe(package).scaling.name == "0..1"
        assert describe(package).sensor == "camera"
    one = Port("int8", (1, 49, 10, 1), 1 / 128, 0)
    assert impulse._sensor(None, one, Port("int8", (1, 12), 1 / 256, -128)) == "unknown"
    floats = Port("float32", (1, 8, 8, 3), None, 0)
    with pytest.raises(TflmOptError, match="what did training scale pixels to"):
        impulse._scaling(None, floats, 3)
    assert impulse._scaling("0..255", floats, 3).macro == "0_255"


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sounds.zip"
    arguments = ["export", "edge-impulse-arduino", str(kept(sounds())), "-o", str(out)]
    cli.main([*arguments, "--sensor", "fusion", "--frequency", "50", "--axes", "ax, ay,az"])
    assert "Add .ZIP Library" in capsys.readouterr().out
    with zipfile.ZipFile(out) as whole:
        where = "sounds_inferencing/src/model-parameters/model_metadata.h"
        assert '"ax + ay + az"' in whole.read(where).decode()
    with pytest.raises(SystemExit) as stopped:
        cli.main([*arguments, "--sensor", "microphone"])
    assert stopped.value.code == cli.BAD_INPUT
    assert "frequency" in capsys.readouterr().err
