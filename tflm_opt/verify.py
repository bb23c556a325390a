"""`verify`: do two models compute the same?"""

from __future__ import annotations

from pathlib import Path

from . import graph, proof, saved
from .errors import InvalidModel
from .runtime import vectors
from .runtime.vectors import Difference


def verify(a: Path, b: Path, *, vectors: int = 100, seed: int = 0) -> Difference:
    """Compare two models on the same seeded inputs, in TFLM, byte for byte.

    Example:
        >>> verify(Path("model.tflite"), Path("out")).equal
        True

    Args:
        a, b: `.tflite` files or folders that `Result.save` wrote. The generated C of such a
            folder is run on this computer and compared too.

    Returns:
        The worst difference found.

    Raises:
        InvalidModel: neither a file nor such a folder.
        TflmOptError: inputs or outputs that don't correspond.
    """
    first, second = _tflite(a), _tflite(b)
    for path, data in ((a, first), (b, second)):
        graph.read(data, str(path))  # so that an error names the file
    found = [proof.compare_files(first, second, count=vectors, seed=seed)]
    found += [_engine(first, path, vectors, seed) for path in (a, b) if path.is_dir()]
    return max(found, key=lambda d: (not d.equal, d.maximum))


def _tflite(path: Path) -> bytes:
    if not path.is_dir():
        return path.read_bytes()
    inner = path / saved.TFLITE
    if not inner.is_file():
        raise InvalidModel(
            f"holds no {saved.TFLITE}: give a folder that `tflm-opt optimize -o` wrote",
            source=str(path),
        )
    return inner.read_bytes()


def _engine(reference: bytes, folder: Path, count: int, seed: int) -> Difference:
    """The generated C of a saved folder against TFLM on `reference`."""
    from .runtime.host import Engine

    original = graph.read(reference)
    ours = graph.read((folder / saved.TFLITE).read_bytes())
    samples = vectors.seeded(ours.inputs, count, seed)
    expected = proof.reference(original, reference, ours, samples)
    return vectors.compare(expected, Engine(folder).run(samples))
