"""A supernet's directory: what it is (`supernet.json`) and how far its training is (`state.npz`).

The state is one file, which is written under another name and takes the old one's place when it is
whole: a process that is killed, or a full disk, leaves the state that was there before.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..export.folder import failing_as, write_file

FORMAT = 3
SETTINGS, STATE = "supernet.json", "state.npz"


def digest(*arrays: np.ndarray) -> str:
    """A short name of data."""
    hashed = hashlib.blake2b(digest_size=8)
    for array in arrays:
        hashed.update(f"{array.dtype} {array.shape} ".encode())
        hashed.update(np.ascontiguousarray(array).data)
    return hashed.hexdigest()


def open_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the directory one of these settings, or see that it is.

    Raises:
        ValueError: it is of other settings; says which differ.
    """
    settings = json.loads(json.dumps({"format": FORMAT, **settings}))
    found = read_settings(folder)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / SETTINGS, json.dumps(settings, indent=1, sort_keys=True) + "\n")
    elif found != settings:
        differ = [k for k in sorted({*found, *settings}) if found.get(k) != settings.get(k)]
        raise ValueError(
            f"{folder} holds a supernet with another {', '.join(differ)}: "
            "take another directory, or delete that one"
        )


def read_settings(folder: Path) -> dict[str, Any] | None:
    """What `open_folder` wrote; None if there is nothing.

    Raises:
        ValueError: damaged, or of a format that this version doesn't know.
    """
    path = folder / SETTINGS
    try:
        settings = json.loads(path.read_text("utf-8"))
        version = settings["format"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete {folder}, and train again") from None
    if version != FORMAT:
        raise ValueError(
            f"{path} has the format {version}, this version of tflm_opt reads {FORMAT}: "
            "use the version that wrote it, or another directory"
        )
    return settings


def save_state(folder: Path, state: Mapping[str, np.ndarray]) -> None:
    """Replace the state, whole or not at all."""
    path = folder / STATE
    with failing_as(path):
        temporary = folder / f".{STATE}.{os.getpid()}"
        try:
            with open(temporary, "wb") as file:
                np.savez(file, **state)  # pyright: ignore[reportArgumentType]
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_state(folder: Path) -> dict[str, np.ndarray] | None:
    """What `save_state` wrote last; None if it never did.

    Raises:
        ValueError: damaged.
    """
    path = folder / STATE
    try:
        # Opened here, since numpy leaves a file open that it can't read.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, and train again") from error
