"""A folder as a zip file: whole or not at all, the same bytes each time, nobody's file replaced."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tflm_opt.errors import OutputExists
from tflm_opt.export.folder import MANIFEST, atomic_folder, failing_as

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can say


@contextmanager
def atomic_archive(path: Path | str, *, force: bool = False, top: str = "") -> Iterator[Path]:
    """A new empty folder to fill, which becomes the zip file `path` if the block ends well.

        with atomic_archive("digits.zip", top="digits") as folder:
            (folder / "library.properties").write_text(text)

    Args:
        force: replace any file; without, only one that this function wrote.
        top: the folder that everything is in, inside the zip; by default none.

    Raises:
        OutputExists: another file, or a folder, is there. Nothing was written.
    """
    target = check_archive(path, force=force)
    with failing_as(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            work, packed = Path(scratch) / "new", Path(scratch) / "new.zip"
            with atomic_folder(work) as folder:
                yield folder
            _pack(work, packed, top)
            check_archive(target, force=force)
            os.replace(packed, target)


def check_archive(path: Path | str, *, force: bool = False) -> Path:
    """Raise `OutputExists` now if `atomic_archive` would; else the absolute path."""
    target = Path(path).expanduser().resolve()
    if target.is_dir() or (target.exists() and not force and not _is_ours(target)):
        raise OutputExists(str(target))
    return target


def _pack(folder: Path, target: Path, top: str) -> None:
    files = sorted(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            place = path.relative_to(folder).as_posix()
            entry = zipfile.ZipInfo(f"{top}/{place}" if top else place, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = (0o755 if os.access(path, os.X_OK) else 0o644) << 16
            archive.writestr(entry, path.read_bytes())


def _is_ours(path: Path) -> bool:
    """Whether a zip file is as `_pack` wrote it, by the manifest inside."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            (manifest,) = [name for name in names if name.rsplit("/", 1)[-1] == MANIFEST]
            top = manifest.removesuffix(MANIFEST)
            wanted = json.loads(archive.read(manifest))["files"]
            found = {
                name.removeprefix(top): hashlib.sha256(archive.read(name)).hexdigest()
                for name in names
                if name != manifest
            }
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile):
        return False
    return found == wanted
