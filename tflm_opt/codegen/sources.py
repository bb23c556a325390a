"""Generated code as text, and how it is laid out in a folder.

<dir>/include/<name>.h, the kernels' headers
<dir>/src/<name>.c, the kernels that the model uses, their faster tiers in src/dsp/ and src/mve/
<dir>/model.json    what it is, for tools
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tflm_opt.errors import InvalidModel
from tflm_opt.kernels import table

RECORD = "model.json"
_FOLDERS = ("include", "src", *(f"src/{tier}" for tier in table.TIERS if tier != "portable"))


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a generated model.

    Attributes:
        name: the tensor's name in the file.
        bytes: its size in memory.
        scale, zero_point: None if the tensor is not quantized per tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True, slots=True)
class Sources:
    """A generated model.

    Attributes:
        files: text by path, "include/<name>.h" and "src/<name>.c".
        arena: bytes of RAM for tensors and scratch.
        weights: bytes of constants in flash (weights, biases, multipliers, tables).
        kernels: functions called, directly or by other kernels, sorted.
        streamed: whether the rows of the input come by callback (`<name>_invoke_rows`).
    """

    files: Mapping[str, str]
    name: str
    arena: int
    weights: int
    kernels: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    streamed: bool = False


def record(sources: Sources, files: list[str]) -> str:
    """The text of `model.json`."""

    def port(p: Port) -> dict[str, object]:
        return {field: getattr(p, field) for field in Port.__slots__}

    content = {
        "name": sources.name,
        "arena": sources.arena,
        "weights": sources.weights,
        "streamed": sources.streamed,
        "inputs": [port(p) for p in sources.inputs],
        "outputs": [port(p) for p in sources.outputs],
        "kernels": list(sources.kernels),
        "files": files,
    }
    return json.dumps(content, indent=1) + "\n"


def write(sources: Sources, directory: str | Path) -> tuple[Path, ...]:
    """Lay a generated model out in a folder, with the kernels it uses: the paths written.

    Files that an earlier call left there and that this model no longer has are removed (they
    are known from `model.json`); all other files stay. Kernels come with the sources of all their
    tiers, and the compiler's macros say which are used (`tflm_opt_tier.h`).
    """
    root = Path(directory)
    texts = dict(sources.files)
    for header in table.headers():
        texts[f"include/{header.name}"] = header.read_text(encoding="utf-8")
    for kernel in table.closure(sources.kernels):
        for tier in kernel.tiers:
            folder = "src" if tier == "portable" else f"src/{tier}"
            text = table.source(kernel, tier).read_text(encoding="utf-8")
            texts[f"{folder}/{kernel.file}"] = text
    names = sorted(texts)
    for stale in set(_written_before(root)) - set(names):
        (root / stale).unlink(missing_ok=True)
    texts[RECORD] = record(sources, names)
    for name in [*names, RECORD]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name], encoding="utf-8", newline="\n")
    return tuple(root / name for name in [*names, RECORD])


def load_record(directory: str | Path) -> dict[str, object]:
    """The content of a folder's `model.json`.

    Raises: InvalidModel if there is none, or it is damaged.
    """
    path = Path(directory) / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content["name"], str) or not isinstance(content["files"], list):
            raise ValueError("no name or files in it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidModel(
            f"not a folder of generated code ({error}). `tflm-opt optimize MODEL -o DIR` makes one",
            source=str(path),
        ) from error
    return content


def own_files(record: Mapping[str, object]) -> list[str]:
    """The files of a `model.json` that lie where `write` puts files, and no others."""
    listed = record["files"]
    assert isinstance(listed, list)
    return [
        name
        for name in listed
        if isinstance(name, str)
        and PurePosixPath(name).parent.as_posix() in _FOLDERS
        and ".." not in name
    ]


def _written_before(root: Path) -> list[str]:
    """Files of an earlier `write`, as far as they lie where `write` puts files."""
    if not (root / RECORD).exists():
        return []
    try:
        return own_files(load_record(root))
    except InvalidModel:
        return []
