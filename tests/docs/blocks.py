"""The fenced blocks of a page, and how each language's are run.

All blocks of a page share a folder, in which `model.tflite` is a small net and `out` what
`tflm-opt optimize` makes of it, and the Python blocks one namespace. What a `console` block shows
behind its commands is compared as doctest does: `...` stands for anything.
`<!-- not run: why -->` above a block leaves it out.
"""

from __future__ import annotations

import configparser
import contextlib
import doctest
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflm_opt import cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>.+) -->\n)?^```(?P<language>[\w-]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_CHECKER = doctest.OutputChecker()
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """`line` is where it begins; `why` it is not run, or "" if it is."""

    language: str
    text: str
    line: int
    why: str


def blocks(page: str) -> Iterator[Block]:
    for found in _FENCE.finditer(page):
        line = page.count("\n", 0, found.start()) + 1
        yield Block(found["language"], found["text"], line, found["why"] or "")


def run(block: Block, folder: Path, names: dict[str, Any]) -> None:
    """Run a block in the folder of its page; AssertionError where it is not as the page says."""
    RUNNERS[block.language](block, folder, names)


def _python(block: Block, folder: Path, names: dict[str, Any]) -> None:
    with _within(folder):
        exec(compile("\n" * block.line + block.text, "page", "exec"), names)


@contextlib.contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _pycon(block: Block, folder: Path, names: dict[str, Any]) -> None:
    examples = doctest.DocTestParser().get_doctest(block.text, names, "page", None, block.line)
    examples.globs = names
    said = io.StringIO()
    with _within(folder):
        failed, _ = doctest.DocTestRunner(optionflags=_FLAGS).run(
            examples, out=said.write, clear_globs=False
        )
    assert not failed, said.getvalue()


def _console(block: Block, folder: Path, names: dict[str, Any]) -> None:
    for command, shown in commands(block.text):
        printed = _typed(command, folder)
        if shown:
            got = "\n".join(line.rstrip() for line in printed.splitlines()) + "\n"
            assert _CHECKER.check_output(shown, got, _FLAGS), f"$ {command}\n{got}"


def commands(text: str) -> list[tuple[str, str]]:
    """Commands behind "$ ", a backslash at the end goes on, and what is shown behind each."""
    found: list[tuple[str, str]] = []
    for line in text.replace("\\\n", "").splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].strip(), ""))
        else:
            assert found, f"no command before {line!r}"
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def _typed(command: str, folder: Path) -> str:
    """What a command prints to both streams."""
    words = command.partition("#")[0].split()
    if words[0] == "tflm-opt" and not set("|&;<>*$'\"") & set(command):
        return _in_process(words[1:], folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return done.stdout


def _in_process(arguments: list[str], folder: Path) -> str:
    """What it prints; of the other stream errors alone, since progress is for who waits."""
    said, aside = io.StringIO(), io.StringIO()
    status = 0
    with _within(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(aside):
        try:
            cli.main(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
    at = aside.getvalue().find("tflm-opt: ")
    assert (status == 0) == (at < 0), f"status {status}\n{aside.getvalue()}"
    return said.getvalue() + ("" if at < 0 else aside.getvalue()[at:])


def _c(block: Block, folder: Path, names: dict[str, Any]) -> None:
    """Compiled as C99 against the headers of `out`, and of models that the page made."""
    includes = re.findall(r"^#include.*\n", block.text, re.MULTILINE)
    body = re.sub(r"^#include.*\n", "", block.text, flags=re.MULTILINE)
    if not re.search(r"^\w[\w *]*\(.*\)\n?\{", body, re.MULTILINE):
        body = f"void page(void)\n{{\n{body}}}\n"
    headers = [f"-I{path}" for path in sorted({p.parent for p in folder.rglob("*.h")})]
    command = ["gcc", "-std=c99", "-Wall", "-Wno-unused", "-Werror", "-fsyntax-only", *headers]
    source = "#include <string.h>\n" + "".join(includes) + names.get("c_before", "") + body
    done = subprocess.run(
        [*command, "-xc", "-"], input=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _ini(block: Block, folder: Path, names: dict[str, Any]) -> None:
    configparser.ConfigParser(interpolation=None, strict=True).read_string(block.text)


def _json(block: Block, folder: Path, names: dict[str, Any]) -> None:
    json.loads(block.text)


def _toml(block: Block, folder: Path, names: dict[str, Any]) -> None:
    tomllib.loads(block.text)


def _nothing(block: Block, folder: Path, names: dict[str, Any]) -> None:
    """Text to look at."""


RUNNERS = {
    "python": _python,
    "pycon": _pycon,
    "console": _console,
    "c": _c,
    "ini": _ini,
    "json": _json,
    "toml": _toml,
    "text": _nothing,
}
NEEDS = {"c": "gcc", "pio": "pio", "cmake": "cmake", "make": "make"}


def lacking(block: Block) -> str:
    """A tool that a block needs and this computer has not, or ""."""
    words = {line.split()[1] for line in block.text.splitlines() if line.startswith("$ ")}
    wanted = [NEEDS[word] for word in {*words, block.language} & set(NEEDS)]
    return next((tool for tool in wanted if not shutil.which(tool)), "")
