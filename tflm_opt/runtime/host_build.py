"""Generated C compiled for this machine, each source once.

Objects are kept by content in a temporary folder that goes when the process ends, so models that
call the same kernels share them, and a model that was built is not built again.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tflm_opt.errors import InvalidModel, MissingTool, ToolFailed

FLAGS = ("-std=c99", "-O2", "-fPIC", "-ffp-contract=off", "-DTFLM_OPT_TRACE")


def compiler() -> str:
    """The host's C compiler. Raises MissingTool."""
    for name in ("gcc", "clang", "cc"):
        found = shutil.which(name)
        if found:
            return found
    raise MissingTool(
        "a C compiler (gcc or clang)",
        needed_for="to run the engine on this machine",
        install="apt-get install gcc",
    )


def build(
    directories: Sequence[Path],
    extra: Sequence[Path],
    suffix: str,
    *,
    flags: Sequence[str] = (),
    own: Sequence[str] = (),
    link: Sequence[str] = (),
) -> Path:
    """Compile what generated models hold, and link it into one file: its path.

    Args:
        directories: what `codegen.write` left, one a model; their names must differ.
        extra: more sources, which may include the models' headers.
        suffix: of the file.
        flags: of the compiler, beside `FLAGS`; `own`: more, but not for kernels.
        link: flags of the linker.

    Raises:
        InvalidModel: a folder holds no generated model.
        MissingTool: no C compiler.
        ToolFailed: the C does not compile.
    """
    found = [_objects(directory, flags, own) for directory in directories]
    include = [f"-I{directory / 'include'}" for directory in directories]
    seen = digest(*(headers(directory / "include").encode() for directory in directories))
    alone = [_object(source, include, seen, flags) for source in extra]
    objects = list(dict.fromkeys((*(path for paths in found for path in paths), *alone)))
    product = folder() / (digest(*(p.name.encode() for p in objects), repr(link).encode()) + suffix)
    if not product.exists():
        partial = product.with_suffix(f".tmp{suffix}")
        _compile([*link, *map(str, objects), "-o", str(partial)])
        partial.rename(product)
    return product


def source_of(text: str) -> Path:
    """A C source with this text."""
    path = folder() / f"{digest(text.encode())}.c"
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    return path


@cache
def folder() -> Path:
    """Where everything compiled lies, as long as this process lives."""
    path = Path(tempfile.mkdtemp(prefix="tflm_opt_host_"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def digest(*parts: bytes) -> str:
    """A name for contents."""
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest()[:32]


def _objects(directory: Path, flags: Sequence[str], own: Sequence[str]) -> list[Path]:
    sources = sorted((directory / "src").glob("*.c"))
    if not sources or not (directory / "include").is_dir():
        raise InvalidModel("no C sources in src/ and include/", source=str(directory))
    library = headers(directory / "include", "tflm_opt_")
    every = headers(directory / "include")
    include = (f"-I{directory / 'include'}",)
    return [
        _object(source, include, library, flags)
        if is_kernel(source)
        else _object(source, include, every, (*flags, *own))
        for source in sources
    ]


def headers(folder: Path, start: str = "") -> str:
    """What the headers of a folder hold whose names start so, as a digest."""
    paths = sorted(folder.glob(f"{start}*.h"))
    return digest(*(path.name.encode() + path.read_bytes() for path in paths))


def is_kernel(path: Path) -> bool:
    """Whether a source of a generated model is the library's, and not the model's own."""
    return path.name.startswith(("tflm_opt_", "arm_"))


def _object(source: Path, include: Sequence[str], seen: str, flags: Sequence[str]) -> Path:
    key = digest(source.read_bytes(), seen.encode(), repr(flags).encode())
    path = folder() / f"{key}.o"
    if not path.exists():
        partial = path.with_suffix(".tmp.o")
        _compile([*FLAGS, *flags, *include, "-c", str(source), "-o", str(partial)])
        partial.rename(path)
    return path


def _compile(arguments: Sequence[str]) -> None:
    tool = compiler()
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[:30])
        raise ToolFailed(tool, "the generated C does not compile", output=tail)
