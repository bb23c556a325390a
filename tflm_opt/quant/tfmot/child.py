"""The child process of `training`: builds the model in tf_keras, trains it with tfmot, converts it.

Started as a module with one argument, the folder that `training` fills. It runs with legacy Keras.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TflmOptError, ToolFailed, UnsupportedModel
from ..sources import one_line
from . import files, rebuilt, wrappers

NO_TFMOT = 3
RATE = 1e-4
BATCH = 32
PRUNED = 0.3  # share of zeros from which on they are kept in training
_RANGED = 200  # samples that activation ranges begin with


def main(folder: Path) -> int:
    report = _reporter()
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    try:
        report(remarks=_work(folder, report))
    except UnsupportedModel as error:
        report(error="UnsupportedModel", text=error.reason, remedy=error.remedy)
    except TflmOptError as error:
        report(error=type(error).__name__, text=str(error))
    return 0


def _reporter() -> Callable[..., None]:
    """Writes a JSON object to what was standard output; whatever else is printed goes to stderr."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(**fields: Any) -> None:
        pipe.write(json.dumps(fields) + "\n")
        pipe.flush()

    return report


def _end_with_parent(folder: Path) -> None:
    """Standard input closes when the parent is gone, however it went: clean up in its place."""
    os.read(0, 1)  # not through sys.stdin, whose lock would hold up the end of the process
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _work(folder: Path, report: Callable[..., None]) -> list[str]:
    try:
        import tf_keras

        tfmot = files.import_tfmot("for training")
    except (ImportError, TflmOptError):
        os._exit(NO_TFMOT)
    from ..ptq import quantize

    request = json.loads((folder / "request.json").read_text("utf-8"))
    tf_keras.utils.set_random_seed(request["seed"])
    inputs, labels, weights = (
        [_mapped(folder, one) for one in request["data"][role]]
        for role in ("inputs", "labels", "weights")
    )
    with files.scope(tfmot):
        model = rebuilt.model(request["model"], _arrays(folder / "weights.npz"))
        rebuilt.require_same(model, inputs, _arrays(folder / "expected.npz"))
        quantized, remarks = _quantized(tfmot, model, request["clustered"])
        _begin_ranges(quantized, inputs)
        _fit(quantized, (inputs, labels, weights), request, report)
        made = quantize(quantized, io=request["io"])
    (folder / "model.tflite").write_bytes(made.tflite)
    return [*remarks, *made.warnings]


def _arrays(path: Path) -> list[np.ndarray]:
    with np.load(path) as stored:
        return [stored[f"arr_{i}"] for i in range(len(stored.files))]


def _mapped(folder: Path, column: dict[str, Any]) -> np.ndarray:
    shape = tuple(column["shape"])
    return np.memmap(folder / column["file"], column["dtype"], "r", shape=shape)


def _quantized(tfmot: Any, model: Any, clustered: bool) -> tuple[Any, list[str]]:
    """The model as tfmot prepares it, with zeros or clusters kept where it has them."""
    if wrappers.is_quantized(model):
        return model, []
    quantization = tfmot.quantization.keras
    share = wrappers.zero_share(model)
    combine, scheme, remarks = tfmot.experimental.combine, None, []
    if clustered:
        scheme = combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=share >= PRUNED)
        remarks = ["clusters of weights were kept in training"]
    elif share >= PRUNED:
        scheme = combine.Default8BitPrunePreserveQuantizeScheme()
        remarks = [f"zero weights ({share:.0%}) were kept in training"]
    try:
        annotated = quantization.quantize_annotate_model(model)
        if scheme is None:
            return quantization.quantize_apply(annotated), remarks
        return quantization.quantize_apply(annotated, scheme), remarks
    except (ValueError, RuntimeError) as error:
        raise UnsupportedModel(
            f"tensorflow-model-optimization can't quantize the model: {one_line(error)}",
            remedy='Train a Keras 3 model with quantize="qat", which knows more layers',
        ) from error


def _begin_ranges(model: Any, inputs: list[np.ndarray]) -> None:
    """Set activation ranges to those of the float activations.

    tfmot begins with -6 to 6 and moves by a thousandth a step, which suits long trainings only.
    """
    if not wrappers.is_untrained(model):
        return
    batch = [np.array(column[:_RANGED]) for column in inputs]
    with _recording():
        model(batch if len(batch) > 1 else batch[0], training=False)


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    """While open, tfmot's quantizers pass values through, and those of activations note ranges."""
    from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

    def note(values: Any, low: Any, high: Any, *_: Any, **__: Any) -> Any:
        low.assign(np.minimum(values.numpy().min(), 0.0))
        high.assign(np.maximum(values.numpy().max(), 0.0))
        return values

    def through(values: Any, *_: Any, **__: Any) -> Any:
        return values

    patched = {"MovingAvgQuantize": note, "AllValuesQuantize": note, "LastValueQuantize": through}
    before = {name: getattr(quant_ops, name) for name in patched}
    try:
        for name, function in patched.items():
            setattr(quant_ops, name, function)
        yield
    finally:
        for name, function in before.items():
            setattr(quant_ops, name, function)


def _fit(
    model: Any, columns: tuple[list[Any], ...], request: dict[str, Any], report: Callable[..., None]
) -> None:
    import tf_keras

    batches = _batches(columns, request["seed"])
    total = len(batches) * request["epochs"]
    done = [0]

    def after(batch: int, logs: Any = None) -> None:
        done[0] += 1
        report(fraction=done[0] / total)

    schedule: Any = tf_keras.optimizers.schedules.CosineDecay(RATE, total)
    model.compile(tf_keras.optimizers.Adam(schedule), _losses(request["loss"]))
    try:
        history = model.fit(
            batches,
            epochs=request["epochs"],
            verbose=0,
            callbacks=[tf_keras.callbacks.LambdaCallback(on_train_batch_end=after)],
        )
    except (ValueError, TypeError) as error:
        raise ToolFailed("tf_keras", f"the model can't be fitted: {one_line(error)}") from error
    if not np.isfinite(history.history["loss"]).all():
        raise ToolFailed(
            "tf_keras", "the loss became NaN or infinite: check labels and loss of the model"
        )


def _losses(loss: Any) -> Any:
    import tf_keras

    if isinstance(loss, list):
        return [_losses(one) for one in loss]
    return tf_keras.losses.get(loss) if isinstance(loss, dict) else loss


def _batches(columns: tuple[list[Any], ...], seed: int) -> Any:
    import tf_keras

    class Batches(tf_keras.utils.Sequence):
        """Shuffled batches out of mapped files, in another order each epoch."""

        def __init__(self) -> None:
            self.rng = np.random.default_rng(seed)
            self.count = len(columns[0][0])
            self.order = self.rng.permutation(self.count)

        def __len__(self) -> int:
            return -(-self.count // BATCH)

        def __getitem__(self, index: int) -> tuple[Any, ...]:
            rows = np.sort(self.order[index * BATCH : (index + 1) * BATCH])
            taken = [[np.array(one[rows]) for one in role] for role in columns if role]
            return tuple(role if len(role) > 1 else role[0] for role in taken)

        def on_epoch_end(self) -> None:
            self.order = self.rng.permutation(self.count)

    return Batches()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
