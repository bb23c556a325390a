"""tfmot's training with quantization, in a child process: this process keeps its Keras.

A folder holds all that goes over: `request.json`, the weights, the data as raw files, and what the
original model says to a few samples. The child writes the int8 `.tflite` there, and on its standard
output one JSON object a line: progress, an error of ours, or that it is done. It ends by itself
when its standard input closes, so it never outlives this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import errors
from ...errors import MissingTool, TflmOptError, ToolFailed, UnsupportedModel
from ..floatmodel import FloatModel
from . import data, files, portable

TOOL = "the training with tensorflow-model-optimization"
CHECKED = 8  # samples on which the rebuilt model is compared with the original
_LAST_LINES = 15
_NO_TFMOT = 3  # exit status of the child


@dataclass(frozen=True, slots=True)
class Trained:
    """The int8 file, and what its training had to say."""

    tflite: bytes
    remarks: tuple[str, ...]


def train(
    model: FloatModel,
    data_set: Any,
    *,
    epochs: int = 3,
    io: str = "int8",
    clustered: bool = False,
    seed: int = 0,
    tick: Callable[[float], None] = lambda fraction: None,
) -> Trained:
    """Train a copy of a model with tfmot's quantization, and convert it to full int8.

    Example:
        >>> train(view(model, Source.KERAS), (x_train, y_train)).tflite[4:8]
        b'TFL3'

    Args:
        model: of a Keras 3 or tf_keras model; never changed.
        data_set: as `data.write` takes it.
        clustered: keep the clusters that its weights form. Zeros are kept where there are many.
        tick: called with the fraction of batches done.

    Raises:
        UnsupportedModel: a layer or loss that tf_keras or tfmot doesn't know, named.
        CalibrationError: bad data.
        MissingTool: tfmot is not installed.
        ToolFailed: the child failed; its last words are in `output`.
    """
    if epochs < 1:
        raise TflmOptError(f"{epochs} epochs: at least one is needed")
    with tempfile.TemporaryDirectory(prefix="tflm_opt_", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        request = _request(model, data_set, folder)
        request |= {"epochs": epochs, "io": io, "clustered": clustered, "seed": seed}
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        remarks = _run(folder, tick)
        return Trained((folder / "model.tflite").read_bytes(), remarks)


def _request(model: FloatModel, data_set: Any, folder: Path) -> dict[str, Any]:
    origin = model.origin
    is_tf_keras = any(base.__module__.startswith("tf_keras.") for base in type(origin).__mro__)
    if not is_tf_keras and not hasattr(origin, "layers"):
        raise UnsupportedModel(
            "a SavedModel holds no layers that could be trained with quantization",
            remedy="Give the Keras model, or its .keras or .h5 file",
        )
    made = portable.from_tf_keras(origin) if is_tf_keras else portable.from_keras_3(origin)
    written = data.write(data_set, model.inputs, model.outputs, folder)
    loss = portable.loss_of(origin, [column.shape for column in written.labels])
    np.savez(folder / "weights.npz", *made.weights)
    _write_expected(model, written, folder)
    return {"model": made.record, "data": written.record(), "loss": loss}


def _write_expected(model: FloatModel, written: data.Written, folder: Path) -> None:
    count = min(CHECKED, written.inputs[0].rows)
    columns = [
        np.fromfile(folder / c.file, c.dtype, count * int(np.prod(c.shape))).reshape(
            count, *c.shape
        )
        for c in written.inputs
    ]
    outputs = model.predict([[column[row] for column in columns] for row in range(count)])
    arrays = [np.stack([row[i] for row in outputs]) for i in range(len(outputs[0]))]
    np.savez(folder / "expected.npz", *arrays)


def _run(folder: Path, tick: Callable[[float], None]) -> tuple[str, ...]:
    """Start the child and follow it to its end; it is killed on any error here, Ctrl-C too."""
    with (
        (folder / "stderr.txt").open("wb") as words,
        subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.child", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env={**_environment(), "TMPDIR": str(folder)},  # what a killed one leaves goes with it
            start_new_session=True,
        ) as child,
    ):
        try:
            assert child.stdout is not None
            done = _follow(child.stdout, tick)
            status = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
    if status == _NO_TFMOT:
        raise MissingTool(
            "tensorflow-model-optimization",
            needed_for='for quantize="tfmot"',
            install=files.INSTALL,
        )
    if status or done is None:
        text = (folder / "stderr.txt").read_text("utf-8", "replace").strip()
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise ToolFailed(
            TOOL, f"its process {how}", output="\n".join(text.splitlines()[-_LAST_LINES:])
        )
    return tuple(done)


def _follow(lines: Any, tick: Callable[[float], None]) -> Sequence[str] | None:
    """Read the child's reports; its remarks when it is done, None if it stopped without a word."""
    done: Sequence[str] | None = None
    for line in lines:
        try:
            report = json.loads(line)
        except ValueError:
            continue  # somebody's print
        if "fraction" in report:
            tick(report["fraction"])
        elif "error" in report:
            raise _error(report)
        elif "remarks" in report:
            done = report["remarks"]
    return done


def _error(report: dict[str, Any]) -> TflmOptError:
    if report["error"] == "UnsupportedModel":
        return UnsupportedModel(report["text"], remedy=report["remedy"])
    if report["error"] == "ToolFailed":
        return ToolFailed(TOOL, report["text"])
    kind = getattr(errors, report["error"], TflmOptError)
    return kind(report["text"]) if kind is errors.CalibrationError else TflmOptError(report["text"])


def _environment() -> dict[str, str]:
    """This process's, with legacy Keras, and this package on the path."""
    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "TF_USE_LEGACY_KERAS": "1",
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
    }
