"""The front end as C: its tables and one source, for any compiler of C99."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tflm_opt.audio.mel import LOG_STEPS, PEAK, MelFrontEnd
from tflm_opt.codegen.names import check_model_name

_TEMPLATES = Path(__file__).resolve().parent / "templates"


def write_c(mel: MelFrontEnd, folder: Path | str, name: str = "mel") -> tuple[Path, Path]:
    """Write `<name>.h` and `<name>.c` into a folder, which is made if there is none.

        write_c(MelFrontEnd(), "lib/mel/src")

    Returns: their paths, the header's first.

    Raises:
        TflmOptError: the name can't start a C identifier.
    """
    import jinja2

    check_model_name(name)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    first, lower, weight = mel.bins
    values = {
        "name": name,
        "upper": name.upper(),
        "rate": mel.rate,
        "window": mel.window,
        "stride": mel.stride,
        "bands": mel.bands,
        "size": mel.size,
        "peak": PEAK,
        "first": first,
        "bins": lower.size,
        "hann": _lines(mel.hann),
        "twiddles": _lines(mel.twiddles.ravel()),
        "lower": _lines(lower),
        "weight": _lines(weight),
        "log_table": range(LOG_STEPS + 1),
        "logs": _lines(mel.log_table),
        "middle": mel.middle,
        "shift": mel.shift,
        "round": 1 << mel.shift >> 1,
    }
    paths = []
    for suffix in ("h", "c"):
        path = Path(folder) / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = environment.get_template(f"front_end.{suffix}").render(values)
        path.write_text(text, "utf-8", newline="\n")
        paths.append(path)
    return paths[0], paths[1]


def _lines(numbers: Sequence[int] | object, a_line: int = 12) -> str:
    words = [str(int(number)) for number in numbers]  # type: ignore[attr-defined]
    rows = (words[at : at + a_line] for at in range(0, len(words), a_line))
    return "\n".join(f"    {', '.join(row)}," for row in rows)
