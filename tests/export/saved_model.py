"""What exports are made of in tests: a small net, optimized and saved once for all of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from small_models import residual_tflite

import tflm_opt

LABELS = ("zero", "one", 'a "quoted" one', "trois", "vier", "fünf", "six?", "7", "8", "9")
_KEPT: list[TemporaryDirectory[str]] = []  # until the interpreter ends


def result(streamed: bool = False, seed: int = 0, name: str = "small") -> tflm_opt.Result:
    """An optimized residual net: 12x12x3 in, ten scores out."""
    return _result(streamed, seed, name)


def saved(streamed: bool = False, seed: int = 0, name: str = "small") -> Path:
    """Its folder."""
    return kept(_result(streamed, seed, name))


@cache  # by all arguments, given or not
def _result(streamed: bool, seed: int, name: str) -> tflm_opt.Result:
    return tflm_opt.optimize(
        residual_tflite(seed=seed),
        name=name,
        input="streamed" if streamed else "resident",
        board="qemu_m4",
        verbose=0,
    )


@cache
def kept(optimized: tflm_opt.Result) -> Path:
    """The folder of a result, saved where it stays until the interpreter ends."""
    scratch = TemporaryDirectory(prefix="saved-")
    _KEPT.append(scratch)
    return optimized.save(Path(scratch.name) / "out")


def run(
    *command: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: int = 300,
) -> str:
    """What a command prints; its whole output is the message where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
