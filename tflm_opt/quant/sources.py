"""What a user's model is, told without importing TensorFlow, and how to load it.

An object is judged by the modules of its classes, a file by its first bytes and a folder by
what it holds; a suffix counts only where the content leaves a doubt. So `api.optimize` can
take anything, and only a Keras thing costs the import of TensorFlow.
"""

from __future__ import annotations

import enum
import importlib
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from ..errors import InvalidModel, MissingTool, TflmOptError, UnsupportedModel
from .tfmot import files as tfmot_files

_H5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURE = b"PK\x03\x04"
_TFLITE_IDENTIFIER = b"TFL3"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_KERAS_CLASSES = frozenset({"Model", "Sequential", "Functional"})


class Source(enum.Enum):
    """What a model comes as."""

    KERAS = "a Keras 3 model"
    TF_KERAS = "a tf_keras model"
    KERAS_FILE = "a .keras file"
    H5_FILE = "an .h5 file"
    SAVED_MODEL = "a SavedModel folder"
    TFLITE_FILE = "a .tflite file"
    TFLITE_BYTES = "the bytes of a .tflite file"
    UNKNOWN = "nothing that we know"


def is_keras(model: Any) -> bool:
    """Whether `model` is something that `quantize` takes, loading neither Keras nor TensorFlow.

        >>> is_keras(b"....TFL3")
        False

    Args:
        model: a model object, a path (`str` or path-like), or bytes.

    Returns:
        True for a Keras 3 or tf_keras model and for the path of a `.keras` file, a Keras `.h5`
        file or a SavedModel folder; False for anything else, also for paths that do not exist
        and have none of Keras's suffixes.
    """
    return detect(model) in _LOADERS


def detect(model: Any) -> Source:
    """Tell what `model` is, by its class, its content, and its suffix last."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        is_tflite = bytes(model[4:8]) == _TFLITE_IDENTIFIER
        return Source.TFLITE_BYTES if is_tflite else Source.UNKNOWN
    if isinstance(model, (str, os.PathLike)):
        return _detect_path(Path(os.fsdecode(model)))
    return _detect_object(model)


def _detect_object(model: Any) -> Source:
    for base in type(model).__mro__:
        if base.__name__ in _KERAS_CLASSES:
            root = base.__module__.partition(".")[0]
            if root == "keras":
                return Source.KERAS
            if root == "tf_keras":
                return Source.TF_KERAS
    return Source.UNKNOWN


def _detect_path(path: Path) -> Source:
    if path.is_dir():
        holds_graph = any((path / f"saved_model.{end}").is_file() for end in ("pb", "pbtxt"))
        return Source.SAVED_MODEL if holds_graph else Source.UNKNOWN
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(8)
        if head[4:8] == _TFLITE_IDENTIFIER:
            return Source.TFLITE_FILE
        if head == _H5_SIGNATURE:
            return Source.H5_FILE
        if head[:4] == _ZIP_SIGNATURE and _is_keras_zip(path):
            return Source.KERAS_FILE
    return {
        ".keras": Source.KERAS_FILE,
        ".h5": Source.H5_FILE,
        ".hdf5": Source.H5_FILE,
        ".tflite": Source.TFLITE_FILE,
    }.get(path.suffix.lower(), Source.UNKNOWN)


def _is_keras_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "config.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def load(model: Any, source: Source) -> Any:
    """The model object behind `model`: itself, or what its file or folder holds.

    Returns:
        A Keras 3 or tf_keras model, or for a SavedModel the object `tf.saved_model.load` gives.

    Raises:
        InvalidModel: no such file, or it is damaged.
        UnsupportedModel: it is not a Keras thing, or needs classes that are not registered.
        MissingTool: it needs a Keras that is not installed.
    """
    if source not in _LOADERS:
        raise UnsupportedModel(
            f"{_describe(model)} is {source.value}, and no Keras model can be read from it",
            remedy="Give a Keras 3 or tf_keras model, a .keras or .h5 file, or a SavedModel folder",
        )
    if source in (Source.KERAS_FILE, Source.H5_FILE, Source.SAVED_MODEL):
        path = _existing(model)
        if tfmot_files.holds_wrappers(path):
            return tfmot_files.load(path)
    return _LOADERS[source](model)


def _describe(model: Any) -> str:
    if isinstance(model, (str, os.PathLike)):
        return os.fsdecode(model)
    return f"an object of {type(model).__module__}.{type(model).__qualname__}"


def _existing(model: Any) -> Path:
    path = Path(os.fsdecode(model))
    if not path.exists():
        raise InvalidModel("there is no such file", source=str(path))
    return path


def _load_keras_file(model: Any) -> Any:
    path = _existing(model)
    version = _keras_version(path)
    try:
        if version.startswith("2."):
            return _tf_keras(f"to read {path}, saved by Keras {version}").models.load_model(
                path, compile=False
            )
        import keras

        importlib.import_module(".qat.layers", __package__)  # so that Keras knows them
        return keras.saving.load_model(path, compile=False)
    except TflmOptError:
        raise
    except Exception as error:
        raise _refusal(path, error) from error


def _keras_version(path: Path) -> str:
    """The version of Keras that wrote a `.keras` file, "" if it does not say."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
    except KeyError:
        return ""
    except (zipfile.BadZipFile, OSError, ValueError, AttributeError) as error:
        raise InvalidModel(
            f"not a .keras file, or a damaged one, for it is no whole zip: {one_line(error)}",
            source=str(path),
        ) from error


def _load_h5(model: Any) -> Any:
    import keras

    path = _existing(model)
    with path.open("rb") as file:
        if file.read(8) != _H5_SIGNATURE:
            raise InvalidModel("not an HDF5 file: truncated, or another kind", source=str(path))
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        keras_3_error = error
    # Not to tf_keras with these: it would fail too, or run code that Keras 3 refuses to.
    signs = (_is_missing_class, _is_python_code, lambda e: "No model config" in str(e))
    if isinstance(keras_3_error, OSError) or any(sign(keras_3_error) for sign in signs):
        raise _refusal(path, keras_3_error) from keras_3_error
    tf_keras = _tf_keras(f"to read {path}, which Keras 3 can't ({one_line(keras_3_error)})")
    try:
        return tf_keras.models.load_model(path, compile=False)
    except Exception as error:
        raise _refusal(path, keras_3_error) from error


def _tf_keras(needed_for: str) -> Any:
    try:
        import tf_keras
    except ImportError as error:
        raise MissingTool(
            "tf_keras", needed_for=needed_for, install="pip install tf-keras"
        ) from error
    return tf_keras


def _load_saved_model(model: Any) -> Any:
    import tensorflow as tf

    path = _existing(model)
    try:
        return tf.saved_model.load(str(path))
    except Exception as error:
        raise InvalidModel(
            f"TensorFlow can't load this SavedModel: {one_line(error)}", source=str(path)
        ) from error


def _refusal(path: Path, error: Exception) -> Exception:
    reason = one_line(error)
    if _is_missing_class(error):
        return UnsupportedModel(
            f"{path} holds classes that Keras does not know here: {reason}",
            remedy="Load the model yourself with custom_objects and pass the object",
        )
    if "No model config" in str(error):
        return UnsupportedModel(
            f"{path} holds weights only, and no model",
            remedy="Build the model, call model.load_weights(path), and pass the object",
        )
    if _is_python_code(error):
        return UnsupportedModel(
            f"{path} holds Python code (a Lambda layer): {reason}",
            remedy="If you trust the file, load it yourself and pass the model object",
        )
    return InvalidModel(f"Keras can't load it: {reason}", source=str(path))


def _is_missing_class(error: Exception) -> bool:
    return any(sign in str(error) for sign in ("Could not locate", "Unknown layer"))


def _is_python_code(error: Exception) -> bool:
    return "safe_mode" in str(error) or "Lambda" in str(error)


def one_line(error: BaseException, limit: int = 300) -> str:
    """An error's text as one line of at most `limit` characters, for a message of ours."""
    text = " ".join(_ANSI.sub("", str(error)).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


_LOADERS = {
    Source.KERAS: lambda model: model,
    Source.TF_KERAS: lambda model: model,
    Source.KERAS_FILE: _load_keras_file,
    Source.H5_FILE: _load_h5,
    Source.SAVED_MODEL: _load_saved_model,
}
