"""Write a folder or a file whole or not at all, and never over somebody else's folder.

The content is built in a new folder beside the target and renamed into place at the end, so an
error, a full disk or Ctrl-C leaves what was there before. Each folder gets a manifest,
`.tflm_opt`, with a digest of every file in it. That is how we know our own: a folder is replaced
without being asked only if everything in it is as we left it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tflm_opt.errors import OutputExists

MANIFEST = ".tflm_opt"
_BUILD_OUTPUT = {".pio", ".pio-core", "__pycache__"}  # made from our files: theirs to lose
_TOP_OUTPUT = {"build"}  # what our Makefiles and presets make, which is so only at the top


@contextmanager
def atomic_folder(path: Path | str, *, force: bool = False) -> Iterator[Path]:
    """A new empty folder to fill, which becomes `path` if the block ends without an error.

        with atomic_folder("out") as folder:
            (folder / "model.tflite").write_bytes(data)

    What may be there before: nothing, an empty folder, or a folder that this function wrote and
    nobody changed since. With `force`, any folder; but never one that holds the current
    directory or the user's home.

    Raises:
        OutputExists: something else is there. Nothing was written.
    """
    target = check_folder(path, force=force)
    with failing_as(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            work = scratch / "new"
            work.mkdir()
            yield work
            _write_manifest(work)
            check_folder(target, force=force)  # the block may have taken minutes
            _swap(work, target, scratch / "old")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def failing_as(target: Path) -> Iterator[None]:
    """Name the target, not a temporary name beside it or none at all, where writing fails."""
    beside = str(target.parent / f".{target.name}.")
    try:
        yield
    except OSError as error:
        if error.errno and (error.filename is None or str(error.filename).startswith(beside)):
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
        raise


def write_file(path: Path, text: str) -> None:
    """Write one file whole or not at all, over any that is there: under another name first."""
    with failing_as(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(temporary, 0o666 & ~mask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def mask() -> int:
    """The bits that new files don't get; asking for it means setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def is_ours(path: Path | str) -> bool:
    """True if `path` is a folder that `atomic_folder` wrote, and nothing in it changed since."""
    folder = Path(path)
    try:
        record = json.loads((folder / MANIFEST).read_text("utf-8"))
        return record["files"] == _digests(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_folder(path: Path | str, *, force: bool = False) -> Path:
    """Raise `OutputExists` now if `atomic_folder` would; else the absolute path."""
    target = Path(path).expanduser().resolve()
    if not target.exists():
        return target
    if not target.is_dir() or _is_precious(target):
        raise OutputExists(str(target))
    if not force and any(target.iterdir()) and not is_ours(target):
        raise OutputExists(str(target))
    return target


def _is_precious(target: Path) -> bool:
    """The file system's root, a home, or a folder around the current directory."""
    inside = [Path.cwd().resolve()]
    with suppress(RuntimeError):  # a user of no name has no home
        inside.append(Path.home().resolve())
    return any(place == target or target in place.parents for place in inside)


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by its path in the folder, build output left out."""
    digests = {}
    for root, directories, files in os.walk(folder):
        output = _BUILD_OUTPUT | (_TOP_OUTPUT if Path(root) == folder else set())
        directories[:] = [name for name in directories if name not in output]
        for name in files:
            file = Path(root) / name
            place = file.relative_to(folder).as_posix()
            if place != MANIFEST:
                digests[place] = hashlib.sha256(file.read_bytes()).hexdigest()
    return dict(sorted(digests.items()))


def _write_manifest(folder: Path) -> None:
    record = {"note": "written by tflm_opt; see its export/folder.py", "files": _digests(folder)}
    (folder / MANIFEST).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _swap(work: Path, target: Path, aside: Path) -> None:
    """Put `work` in the place of `target`; on any failure `target` is what it was."""
    if not target.exists():
        os.rename(work, target)
        return
    try:
        os.rename(target, aside)
        os.rename(work, target)
    except BaseException:
        if aside.exists() and not target.exists():
            os.rename(aside, target)
        raise
