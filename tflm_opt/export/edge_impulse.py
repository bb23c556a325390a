"""A C++ library on which applications for Edge Impulse's C++ export build unchanged.

    edge-impulse-sdk/      headers with Edge Impulse's names, and weak porting functions
    model-parameters/      model_metadata.h, model_variables.h
    tflite-model/          the generated code and its kernels, as C++; run_classifier's code
    CMakeLists.txt, README.md

Its headers and sources are our own; only names, numbers and places of files are Edge Impulse's.
The interface is described in Edge Impulse's public documentation of its C++ SDK. Build files of
existing applications compile `tflite-model/*.cpp` and a few named files, so that is where all code
is, in one folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tflm_opt.export import library, program
from tflm_opt.export.impulse import Impulse, describe
from tflm_opt.export.package import Package
from tflm_opt.export.render import write_all

MODEL = "tflite-model"
_PORTING = "edge-impulse-sdk/porting/posix/ei_classifier_porting.cpp"
# Of the application's build we know no flags: these make kernels round as TFLM's do, at its speed.
_OPTIONS = """\
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("O2", "fp-contract=off")
#endif
"""


def fill(package: Package, folder: Path, **options: Any) -> None:
    """Write the library into an empty folder.

    Options:
        sensor: of `impulse.SENSORS`; by default a camera for inputs of [1, h, w, 3], else unknown.
        frequency: of the sensor, in Hz; applications sample by it.
        axes: names of what is sampled at once, in the order of the model's input.
        scaling: of `impulse.SCALINGS`: what training scaled pixels to; by default what the input's
            quantization shows.
        threshold: from which value on a cell of a map is a box.

    Raises:
        UnsupportedModel: more than one input or output, or an output that is no result.
        TflmOptError: an option that doesn't fit the model.
    """
    filled = values(package, describe(package, **options))
    write_tree(package, folder, filled)
    written = [path.relative_to(folder).as_posix() for path in (folder / MODEL).glob("*.cpp")]
    write_all("edge_impulse_cpp", folder, {**filled, "sources": [*sorted(written), _PORTING]})


def values(package: Package, impulse: Impulse) -> dict[str, Any]:
    """What the templates are filled with."""
    flags = [flag for flag in library.flags() if not flag.startswith("-std=")]
    return {**program.values(package), "impulse": impulse, "cxx_flags": flags}


def write_tree(package: Package, folder: Path, filled: dict[str, Any]) -> None:
    """Write what both kinds have in common: headers, and all code but the porting functions."""
    write_all("edge_impulse", folder, filled)
    target = folder / MODEL
    for header in sorted((package.folder / "include").iterdir()):
        (target / header.name).write_bytes(header.read_bytes())
    root = package.folder / "src"
    for source in sorted(root.rglob("*.c")):
        tier = "" if source.parent == root else f"_{source.parent.name}"
        text = _OPTIONS + source.read_text("utf-8")
        (target / f"{source.stem}{tier}.cpp").write_text(text, "utf-8", newline="\n")
