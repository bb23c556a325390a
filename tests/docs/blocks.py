"""The fenced blocks of a page, and how each language's are run.

All blocks of a page share a folder, in which `model.tflite` is a small net and `out` what
`tflm-opt optimize` makes of it, and the Python blocks one namespace. What a `console` block shows
behind its commands is compared as doctest does: `...` stands for anything.
`<!-- run by: tests/file.py::test -->` above a block leaves it to a test, which must name the words
of its commands (`unnamed`); words behind a comma say what differs. The home folder is the page's.
"""

from __future__ import annotations

import ast
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

from tflm_opt import boards, cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(
    r"(?:^<!-- run by: (?P<by>[^\s,]+)[^\n]* -->\n)?^```(?P<language>[\w-]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_CHECKER = doctest.OutputChecker()
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """`line` is where it begins; `by` the test that runs it, or "" where `run` does."""

    language: str
    text: str
    line: int
    by: str


def blocks(page: str) -> Iterator[Block]:
    for found in _FENCE.finditer(page):
        line = page.count("\n", 0, found.start()) + 1
        yield Block(found["language"], found["text"], line, found["by"] or "")


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
        env={**os.environ, "PATH": path, "HOME": str(_home(folder))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return done.stdout


def _home(folder: Path) -> Path:
    home = folder / "home"
    (home / ".config" / "fish" / "completions").mkdir(parents=True, exist_ok=True)
    return home


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


def unnamed(block: Block) -> list[str]:
    """Words of a block's commands that the test it is left to doesn't name; all if there is none.

    Places and comments are the reader's own. Uploading needs a board on the desk: of that, the env
    must be one of the table's. Of Python, what is called and its keywords must be named; of TOML,
    the keys.
    """
    said, used = _said(*block.by.split("::"))
    if block.language == "python":
        return sorted(_called(block.text) - used)
    if block.language == "toml":
        keys = re.findall(r"^(\w+) =", block.text, re.MULTILINE)
        return [key for key in keys if not any(key in one for one in said)]
    missing = []
    for command, _ in commands(block.text):
        words = command.partition("#")[0].split()
        if words[-2:] == ["-t", "upload"]:
            at = words.index("-e") + 1
            missing += [w for w in words[at : at + 1] if boards.get(w).platformio is None]
            continue
        for word in (words[0], *words) if not said else words[1:]:
            emulated = word.startswith("qemu_") and boards.get(word).qemu and "-e" in said
            if _must_be_named(word, words) and not emulated and not _names(said, word):
                missing.append(word)
    return missing


def _must_be_named(word: str, words: list[str]) -> bool:
    before = words[words.index(word) - 1]
    place = before in ("-d", "--project-conf", "--photos") or word == "-d"
    return not place and not word.endswith(".c")


def _names(said: set[str], word: str) -> bool:
    option, equals, _ = word.partition("=")
    return any(one == word or one == option + equals or one.endswith(f"/{word}") for one in said)


def _defined(path: Path) -> dict[str, ast.AST]:
    """Functions of a module, and its constants."""
    found: dict[str, ast.AST] = {}
    for node in ast.parse(path.read_text("utf-8")).body if path.is_file() else ():
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {one.id: node.value for one in node.targets if isinstance(one, ast.Name)}
    return found


def _called(text: str) -> set[str]:
    """Functions and methods that a block calls, and the keywords that it gives them."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    keywords = {keyword.arg for call in calls for keyword in call.keywords if keyword.arg}
    methods = {call.func.attr for call in calls if isinstance(call.func, ast.Attribute)}
    return keywords | methods


def _said(file: str, test: str) -> tuple[set[str], set[str]]:
    """The strings in a test, and in what it uses of its file and of those beside it; and names."""
    path = ROOT / file
    defined = {**_defined(path.parent / "projects.py"), **_defined(path)}
    found: set[str] = set()
    used: set[str] = set()
    open_, seen = [test], set()
    while open_:
        name = open_.pop()
        if name in seen or name not in defined:
            continue
        seen.add(name)
        for node in ast.walk(defined[name]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.Name):
                open_.append(node.id)
            elif isinstance(node, ast.Attribute):
                open_.append(node.attr)
                used.add(node.attr)
            elif isinstance(node, (ast.arg, ast.keyword)) and node.arg:
                open_ += [node.arg] if isinstance(node, ast.arg) else []  # a fixture
                used.add(node.arg)
    return found, used


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
