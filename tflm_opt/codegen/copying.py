"""Generated code copied to another folder, and under another name without generating it anew.

A folder that `optimize` wrote holds code with the model's name in what it declares. An export may
want another: two models in one firmware need two.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tflm_opt.codegen.names import check_model_name
from tflm_opt.codegen.sources import RECORD, load_record, own_files
from tflm_opt.errors import InvalidModel

# What follows the name in the identifiers that the templates make, and nothing else: a model may
# be called `int8`, and its code still speaks of int8_t.
_FUNCTIONS = r"(?:init|input|output|invoke|invoke_rows|next_rows|(?:de)?quantize\w*|check_\w+)"
_MACROS = r"(?:H|ARENA|ARENA_SIZE|ARENA_ATTRIBUTE|(?:IN|OUT)PUT(?:\d+_\w+|_COUNT))"


def renamed(text: str, old: str, new: str) -> str:
    """Generated C with the model's name replaced: what `generate` gives for the new name.

    >>> renamed("int net_init(void); int8_t net_x;", "net", "digits")
    'int digits_init(void); int8_t net_x;'
    """
    text = re.sub(rf"\b{old}_(?={_FUNCTIONS}\b)", f"{new}_", text)
    text = re.sub(rf"\b{old.upper()}_(?={_MACROS}\b)", f"{new.upper()}_", text)
    text = re.sub(rf"\b{old}(?=\.[ch]\b)", new, text)
    return re.sub(
        rf"^( \* ){old}(?=: a neural network as C code)", rf"\g<1>{new}", text, flags=re.M
    )


def copy(directory: Path | str, folder: Path, name: str | None = None) -> None:
    """Write the generated folder `directory` into `folder`, its model called `name`.

        copy("out", Path("project/lib/digits"), name="digits")

    Only what code generation wrote there is copied: `model.json` lists it.

    Raises:
        TflmOptError: the name can't start a C identifier.
        InvalidModel: no generated code, or not all of it.
    """
    directory = Path(directory)
    record = load_record(directory)
    old, files = str(record["name"]), own_files(record)
    new = old if name is None else check_model_name(name)
    own = {f"include/{old}.h": f"include/{new}.h", f"src/{old}.c": f"src/{new}.c"}
    for file in files:
        try:
            text = (directory / file).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise InvalidModel(
                f"can't be read ({error}); optimize again", source=str(directory / file)
            ) from error
        target = folder / own.get(file, file)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file in own:
            text = renamed(text, old, new)
        target.write_text(text, "utf-8", newline="\n")
    record |= {"name": new, "files": sorted(own.get(file, file) for file in files)}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8", newline="\n")
