"""An Arduino library: a folder, or the zip file that the IDE takes.

    digits/
      library.properties, keywords.txt
      src/                       the generated C, its headers and its kernels
      examples/self_test/        a sketch that runs stored vectors

The IDE compiles with flags of its own; `tflm_opt_tier.h` sets those that matter.
"""

from __future__ import annotations

from pathlib import Path

from tflm_opt.export import library, program
from tflm_opt.export.package import Package
from tflm_opt.export.render import write_all


def fill(package: Package, folder: Path) -> None:
    """Write the library into an empty folder."""
    values = library.values(package)
    sketch = folder / "examples" / "self_test"
    library.write_for_arduino(package, folder)
    program.write(package, sketch, values)
    (sketch / "main.c").unlink()  # the sketch is the program
    write_all("arduino", folder, values)
