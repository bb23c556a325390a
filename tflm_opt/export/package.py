"""What every export is made from: a folder that `Result.save` wrote, read and checked.

with package.open_saved("out", name="digits", labels=["zero", "one"]) as found:
    cmake.fill(found, folder)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tflm_opt import saved
from tflm_opt.boards import Board
from tflm_opt.errors import InvalidModel, TflmOptError
from tflm_opt.runtime.firmware import Interface, Port, read_interface

Vector = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]  # a sample, and its outputs

VECTORS = 4  # that a project stores: they cost flash
_LONGEST_LABEL = 64


@dataclass(frozen=True, slots=True)
class Package:
    """A model ready to be exported.

    Attributes:
        folder: its code, as codegen laid it out: `model.json`, `src/`, `include/`.
        interface: what `model.json` says.
        vectors: samples with TFLM's outputs, arrays of the model's dtypes and shapes, for the
            program that checks them; at least one.
        labels: what the values of output 0 stand for, or none.
        tflite: the file for stock TFLM; b"" where there is none.
        report: the figures of the result; empty where there are none.
    """

    folder: Path
    interface: Interface
    vectors: tuple[Vector, ...]
    labels: tuple[str, ...] = ()
    tflite: bytes = b""
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.vectors:
            raise InvalidModel("an export needs at least one test vector", source=str(self.folder))
        for sample, expected in self.vectors:
            _check_arrays(sample, self.interface.inputs, "inputs")
            _check_arrays(expected, self.interface.outputs, "outputs")
        _check_labels(self.labels, self.interface.outputs[0])

    @property
    def name(self) -> str:
        """What the model's C identifiers start with."""
        return self.interface.name


@contextmanager
def open_saved(
    directory: Path | str, *, name: str | None = None, labels: Sequence[str] = ()
) -> Iterator[Package]:
    """A folder that `Result.save` or `tflm-opt optimize -o` wrote, as a package.

    Args:
        name: another name for the model's C identifiers.
        labels: what the values of output 0 stand for; one each, or none at all.

    Raises:
        InvalidModel: the folder is something else, or damaged.
        TflmOptError: a bad name or bad labels.
    """
    from tflm_opt import codegen

    directory = Path(directory)
    report = saved.load_report(directory)
    samples, expected = saved.load_vectors(directory)
    if not expected:
        raise InvalidModel(
            "no test vectors: optimize with verify=True (without --no-verify) to export",
            source=str(directory),
        )
    with tempfile.TemporaryDirectory(prefix="tflm_opt-") as scratch:
        folder = Path(scratch)
        codegen.copy(directory, folder, name)
        yield Package(
            folder=folder,
            interface=read_interface(folder),
            vectors=tuple(zip(samples, expected, strict=True))[:VECTORS],
            labels=tuple(labels),
            tflite=_tflite(directory),
            report=report,
        )


def check_board(package: Package, board: Board) -> None:
    """Raise `TflmOptError` if a board has too little SRAM or flash for the model.

    The figures are the result's: measured on the core that was optimized for.
    """
    for what, has in (("sram", board.sram), ("flash", board.flash)):
        needs = package.report.get(what, {}).get("total", 0)
        if needs > has:
            raise TflmOptError(
                f"{board.id} is too small for {package.name}: the model needs {needs:,} bytes of "
                f"{'SRAM' if what == 'sram' else what} and the board has {has:,}. Name a larger "
                f"board (`tflm-opt boards` lists them)"
                + (f', or optimize with sram="{has}"' if what == "sram" else "")
            )


def _tflite(directory: Path) -> bytes:
    try:
        return (directory / saved.TFLITE).read_bytes()
    except OSError as error:
        raise InvalidModel(
            f"no {saved.TFLITE} ({error.strerror}); optimize again", source=str(directory)
        ) from error


def _check_arrays(arrays: Sequence[np.ndarray], ports: Sequence[Port], what: str) -> None:
    found = [(str(np.asarray(a).dtype), np.asarray(a).shape) for a in arrays]
    wanted = [(port.dtype, port.shape) for port in ports]
    if found != wanted:
        raise InvalidModel(f"a test vector's {what} are {found}, and the model has {wanted}")


def _check_labels(labels: Sequence[str], output: Port) -> None:
    if not labels:
        return
    count = output.shape[-1] if output.shape else 1
    if len(labels) != count:
        raise TflmOptError(
            f"{len(labels)} labels ({', '.join(labels[:4])}{', …' if len(labels) > 4 else ''}) "
            f"for an output of {count} values ({output.dtype}{list(output.shape)}): give one each"
        )
    for label in labels:
        if not label.strip() or not label.isprintable() or len(label) > _LONGEST_LABEL:
            raise TflmOptError(
                f"{label!r} can't be a label: give 1 to {_LONGEST_LABEL} printable characters"
            )
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise TflmOptError(f"the label {twice[0]!r} is there more than once: make them differ")
