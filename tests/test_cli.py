"""The command line as scripts see it: JSON, exit status, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_models import residual_tflite

from tflm_opt import graph


def run(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tflm_opt", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.tflite"
    path.write_bytes(residual_tflite())
    return path


@pytest.fixture(scope="module")
def optimized(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optimized") / "out"
    run("optimize", model, "-o", folder, "-q")
    return folder


def test_optimize_json(model: Path) -> None:
    data = json.loads(run("optimize", model, "--sram", "20KiB", "--json", "-q").stdout)
    assert data["fits"] is True
    assert data["bit_exact"] is True
    assert data["sram"]["total"] <= 20 * 1024
    assert data["extra_macs"] == 0.0


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
def test_a_keras_model_without_data_warns_once_and_without_source_code(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    path = tmp_path / "net.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    warning = "NO CALIBRATION DATA"
    as_json = run("optimize", path, "-q", "--json", "--no-verify")
    assert warning in json.loads(as_json.stdout)["warnings"][0]
    assert as_json.stderr.count(warning) == 1
    assert as_json.stderr.startswith("tflm-opt: warning: ")
    as_text = run("optimize", path, "-q", "--no-verify")
    assert as_text.stdout.count(warning) == 1
    assert as_text.stderr == ""


def test_progress_goes_to_stderr(model: Path) -> None:
    done = run("optimize", model, "--json")
    json.loads(done.stdout)
    assert "Searching for a schedule" in done.stderr


def test_a_budget_that_cannot_be_met(model: Path, tmp_path: Path) -> None:
    done = run("optimize", model, "--sram", 900, "--json", "-q", "-o", tmp_path / "best", status=3)
    data = json.loads(done.stdout)
    assert data["fits"] is False
    assert data["sram"]["total"] > 900
    assert "bytes too many" in done.stderr
    assert data["misfit"]["need"] == data["sram"]["total"]
    assert data["misfit"]["have"] == 900
    assert data["misfit"]["binding"][0].startswith("stage ")
    assert all(remedy in done.stderr for remedy in data["misfit"]["remedies"])
    assert "misfit" not in json.loads((tmp_path / "best" / "report.json").read_text())
    assert (tmp_path / "best" / "model.tflite").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sram", "lots"], "positive number of bytes"),
        (["--board", "disco_f747ng"], "disco_f746ng"),
        (["--runtime", "tvm"], "Invalid value"),
        (["--calibration", "/nonexistent.npy"], "does not exist"),
        (["--name", "3com"], "3com"),
    ],
)
def test_bad_arguments(model: Path, arguments: list[str], message: str) -> None:
    done = run("optimize", model, "-q", *arguments, status=2)
    assert message in done.stderr
    assert done.stdout == ""


def test_diagnose(model: Path, tmp_path: Path) -> None:
    (source,) = graph.read(model.read_bytes()).inputs
    inputs = np.random.default_rng(0).normal(0, 1, (8, *source.shape[1:])).astype(np.float32)
    np.save(tmp_path / "x.npy", inputs)
    saved = tmp_path / "out"
    done = run("optimize", model, "-q", "--diagnose", tmp_path / "x.npy", "-o", saved)
    assert "layers over 8 samples, worst first" in done.stdout
    assert json.loads((saved / "report.json").read_text())["diagnosis"]["samples"] == 8


def test_diagnose_with_data_that_do_not_fit(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 5), np.float32))
    saved = tmp_path / "out"
    done = run("optimize", model, "-q", "--diagnose", tmp_path / "x.npy", "-o", saved, status=2)
    assert "x.npy: input" in done.stderr
    assert (saved / "model.tflite").is_file()  # what took the time is not lost
    done = run("optimize", model, "-q", "--diagnose", model, status=2)
    assert "not a .npy or .npz file" in done.stderr


def test_bad_files(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.tflite"
    garbage.write_bytes(b"not a model at all, but long enough")
    for path in (garbage, tmp_path / "missing.tflite", tmp_path):
        done = run("optimize", path, "-q", "-o", tmp_path / "out", status=2)
        assert str(path) in done.stderr
    assert not (tmp_path / "out").exists()


def test_output_folder_of_somebody_else(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = run("optimize", model, "-q", "-o", tmp_path, status=2)
    assert "--force" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_verify(model: Path, optimized: Path, tmp_path: Path) -> None:
    data = json.loads(run("verify", model, optimized, "--json", "--vectors", 20).stdout)
    assert data["bit_exact"] is True
    assert data["max_difference"] == 0
    other = tmp_path / "other.tflite"
    other.write_bytes(residual_tflite(seed=1))
    data = json.loads(run("verify", model, other, "--json", "--vectors", 20, status=1).stdout)
    assert data["bit_exact"] is False
    assert data["max_difference"] > 0


def test_verify_finds_a_changed_engine(model: Path, optimized: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(optimized, broken)
    source = next((broken / "src").glob("small.c"))
    text = source.read_text()
    place = text.index("{", text.index("int8_t"))
    number = text[place:].split(",")[1]
    source.write_text(text[:place] + text[place:].replace(f",{number},", ",99,", 1))
    data = json.loads(run("verify", model, broken, "--json", "--vectors", 20, status=1).stdout)
    assert data["bit_exact"] is False


@pytest.mark.qemu
def test_measure(optimized: Path) -> None:
    data = json.loads(run("measure", optimized, "--board", "qemu_m4", "--json").stdout)
    assert data["bit_exact"] is True
    assert data["vectors"] == 16
    assert data["instructions"] > 10_000
    assert 0 < data["stack"] <= data["stack_worst_case"]
    assert data["cycles_estimate"]["cycles"] > 0
    assert "ESTIMATE" in run("measure", optimized).stdout
    assert "ESTIMATE" not in run("measure", optimized, "--no-cycles").stdout
    report = json.loads((optimized / "report.json").read_text())
    assert data["arena"] == report["sram"]["arena"]
    assert data["flash"]["code"] == report["flash"]["code"]
    assert data["flash"]["weights"] == report["flash"]["weights"]


@pytest.mark.qemu
def test_profile(optimized: Path, tmp_path: Path) -> None:
    page = tmp_path / "profile.html"
    data = json.loads(run("profile", optimized, "--html", page, "--json").stdout)
    layers, rest = data["layers"], data["rest"]
    assert sum(part["instructions"] for part in layers + rest) == data["instructions"]
    assert data["cycles_estimate"]["cycles"] > 0
    assert page.read_text().count("<table") == 3
    text = run("profile", optimized, "--board", "nucleo_f446re", "--top", 2).stdout
    assert "counted on qemu_m4" in text
    assert f"and {len(layers) - 2} more" in text


def test_profile_of_something_else(tmp_path: Path) -> None:
    assert "tflm-opt optimize -o" in run("profile", tmp_path, status=2).stderr


def test_measure_of_something_else(tmp_path: Path) -> None:
    assert "tflm-opt optimize -o" in run("measure", tmp_path, status=2).stderr


def test_inspect(model: Path) -> None:
    text = run("inspect", model).stdout
    assert "DEPTHWISE_CONV_2D" in text
    assert max(map(len, text.splitlines())) <= 80
    assert run("inspect", model, "--full").stdout.startswith("graph ")
    data = json.loads(run("inspect", model, "--json").stdout)
    assert f"{len(data['ops'])} ops, {data['macs']:,} MACs" in text
    assert len(data["ops"]) == 8


def test_tables() -> None:
    assert "qemu_m4" in run("boards").stdout
    ids = [board["id"] for board in json.loads(run("boards", "--json").stdout)]
    assert "disco_f746ng" in ids
    assert "CONV_2D" in run("ops").stdout
    kinds = [row["kind"] for row in json.loads(run("ops", "--json").stdout)]
    assert "SOFTMAX" in kinds


def test_help_is_quick() -> None:
    best = min(_seconds("--help") for _ in range(3))
    assert best < 0.5


def test_import_is_quick_and_loads_no_tensorflow() -> None:
    code = (
        "import time, sys; t = time.monotonic(); import tflm_opt; d = time.monotonic() - t; "
        "heavy = {'tensorflow', 'keras', 'ai_edge_litert', 'jinja2', 'rich'} & set(sys.modules); "
        "print(d, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = done.stdout.split(maxsplit=1)
    assert float(seconds) < 0.3
    assert heavy.strip() == "[]"


def _seconds(*arguments: str) -> float:
    began = time.monotonic()
    run(*arguments)
    return time.monotonic() - began


@pytest.mark.parametrize("delay", [0.3, 0.8, 1.2])
def test_interrupt_leaves_nothing(model: Path, tmp_path: Path, delay: float) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tflm_opt", "optimize", str(model), "-o", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    if process.returncode == 0:  # it was done before the signal came
        assert (out / "report.json").is_file()
        return
    assert process.returncode in (130, -signal.SIGINT)
    assert os.listdir(tmp_path) == []
    assert "Traceback" not in error or process.returncode == -signal.SIGINT


def test_termination_cleans_up_like_an_interrupt(model: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "tflm_opt", "optimize", str(model), "-o", str(tmp_path / "o")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(temporary)}
    )
    assert process.stderr is not None
    while not any(temporary.glob("tflm_opt_*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert not list(temporary.glob("tflm_opt_*"))
    assert not (tmp_path / "o").exists()


def test_right_half_without_tensorflow(model: Path, tmp_path: Path) -> None:
    """From `.tflite` to C, proof and figures with TensorFlow and Keras blocked."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'tf_keras', 'tensorflow_model_optimization'):\n"
        "    sys.modules[name] = None\n"
    )
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    code = (
        "import sys, tflm_opt\n"
        "try:\n"
        "    import tensorflow\n"
        "    raise SystemExit('TensorFlow is not blocked')\n"
        "except ImportError:\n"
        "    pass\n"
        f"result = tflm_opt.optimize({str(model)!r}, '20KiB', verbose=0)\n"
        f"result.save({str(tmp_path / 'out')!r})\n"
        f"result.export('platformio', {str(tmp_path / 'project')!r}, board='disco_f746ng')\n"
        "print(result.bit_exact)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_a_keras_file_without_tensorflow_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "net.keras").write_bytes(b"any")
    program = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        f"from tflm_opt.cli import main; main(['optimize', {str(tmp_path / 'net.keras')!r}, '-q'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "TensorFlow is needed to quantize" in done.stderr
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr
