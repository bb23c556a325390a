"""Saved models with layers of tensorflow-model-optimization: read under tfmot's own scopes.

Importing tfmot sets TF_USE_LEGACY_KERAS, and before TensorFlow has settled on a Keras that would
switch `tf.keras` for the whole process. So it is settled first, and the variable put back.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import InvalidModel, MissingTool, UnsupportedModel
from . import keras_file

_SWITCH = "TF_USE_LEGACY_KERAS"
_SIGNS = tuple(
    name.encode()
    for name in ("QuantizeWrapper", "QuantizeAnnotate", "PruneLowMagnitude", "ClusterWeights")
)
_METADATA = "keras_metadata.pb"
_SEVEN = "expects 4 weight(s). Received 7 saved weight(s)"
INSTALL = "pip install 'tflm-opt[tfmot]'"


def holds_wrappers(path: Path) -> bool:
    """Whether a file or SavedModel folder names tfmot's classes, told from its config's bytes."""
    try:
        if path.is_dir():
            path = path / _METADATA
            return path.is_file() and _named(path.read_bytes())
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _named(archive.read("config.json"))
        return _named(path.read_bytes())
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _named(content: bytes) -> bool:
    return any(sign in content for sign in _SIGNS)


def load(path: Path) -> Any:
    """The tf_keras model in a `.keras` or `.h5` file or a SavedModel folder.

    Raises:
        MissingTool: tfmot or tf_keras is not installed.
        UnsupportedModel: a class that nobody knows; an `.h5` file of cluster-preserving training.
        InvalidModel: it can't be read.
    """
    tfmot = import_tfmot(f"to read {path}, which holds layers of it")
    import tf_keras

    with scope(tfmot):
        try:
            if zipfile.is_zipfile(path):
                return keras_file.load(path)
            return tf_keras.models.load_model(str(path), compile=False)
        except Exception as error:
            raise _refusal(path, error) from error


def import_tfmot(needed_for: str) -> Any:
    """The module, imported with nothing changed for the process but `sys.modules`.

    Raises:
        MissingTool: it is not installed, or tf_keras isn't.
    """
    import tensorflow as tf

    _ = tf.keras.Model  # settles which Keras this is
    before = os.environ.get(_SWITCH)
    try:
        import tensorflow_model_optimization as tfmot

        return tfmot
    except ImportError as error:
        raise MissingTool(
            "tensorflow-model-optimization", needed_for=needed_for, install=INSTALL
        ) from error
    finally:
        if before is None:
            os.environ.pop(_SWITCH, None)
        else:
            os.environ[_SWITCH] = before


@contextlib.contextmanager
def scope(tfmot: Any) -> Iterator[None]:
    """All of tfmot's classes, known to tf_keras by name."""
    with (
        tfmot.quantization.keras.quantize_scope(),
        tfmot.sparsity.keras.prune_scope(),
        tfmot.clustering.keras.cluster_scope(),
    ):
        yield


def _refusal(path: Path, error: Exception) -> Exception:
    from ..sources import one_line

    text = one_line(error)
    if isinstance(error, keras_file.OtherVariables) or _SEVEN in str(error):
        return UnsupportedModel(
            f"{path.name} holds a model of cluster-preserving training, and tfmot can't read its "
            f"own variables of that from this format ({text})",
            remedy="Save the model as a SavedModel folder, or call tfmot's strip_clustering_cqat "
            "on it before saving",
        )
    if "Unknown " in str(error) or "Could not locate" in str(error):
        return UnsupportedModel(
            f"{path.name} holds classes that neither tf_keras nor tfmot knows: {text}",
            remedy="Load the model yourself with custom_objects and pass the object",
        )
    return InvalidModel(f"tf_keras can't load it: {text}", source=path.name)
