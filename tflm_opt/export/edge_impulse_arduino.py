"""The same library as `edge_impulse`, for the Arduino IDE: `<name>_inferencing`.

library.properties, README.md
src/                          <name>_inferencing.h, and the tree of `edge_impulse`
examples/static_buffer/       a sketch that runs the model on numbers in memory
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tflm_opt.export.edge_impulse import values, write_tree
from tflm_opt.export.impulse import describe
from tflm_opt.export.package import Package
from tflm_opt.export.render import write_all


def fill(package: Package, folder: Path, **options: Any) -> None:
    """Write the library into an empty folder; see `edge_impulse.fill`."""
    filled = values(package, describe(package, **options))
    write_tree(package, folder / "src", filled)
    write_all("edge_impulse_arduino", folder, filled)
