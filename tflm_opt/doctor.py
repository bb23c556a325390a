"""What is installed, what is missing, and what it is for: `tflm-opt doctor`.

Compilers and emulators are looked for by the functions that use them, so what is found here is what
will be used. Python packages are looked up, not imported: TensorFlow alone would take seconds. The
least versions are those that the installed package asks for.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import MissingTool, TflmOptError

OK, OLD, MISSING = "ok", "too old", "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: of the package or program.
        feature: what it is for.
        state: "ok", "too old" or "missing".
        found: its version or its path; what is wrong with it where it's not "ok"; or "".
        install: the command that installs it.
        required: whether `optimize` of a `.tflite` needs it, as it is without options.
    """

    name: str
    feature: str
    state: str
    found: str
    install: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class _Package:
    """A Python package: its distribution's name, and the module that it brings."""

    name: str
    module: str
    feature: str
    install: str
    required: bool = False


_CORE = "everything"
_PACKAGES = (
    *(
        _Package(name, module, _CORE, f"pip install {name}", True)
        for name, module in (
            ("numpy", "numpy"),
            ("flatbuffers", "flatbuffers"),
            ("ai-edge-litert", "ai_edge_litert"),
            ("jinja2", "jinja2"),
            ("click", "click"),
            ("rich", "rich"),
        )
    ),
    _Package(
        "tflite-micro",
        "tflite_micro",
        "proof of equality (else: --no-verify), memory of stock TFLM",
        "pip install --pre tflite-micro",
        True,
    ),
    _Package("tensorflow", "tensorflow", "Keras models", "pip install 'tflm-opt[keras]'"),
    _Package("keras", "keras", "Keras models", "pip install 'tflm-opt[keras]'"),
    _Package(
        "tensorflow-model-optimization",
        "tensorflow_model_optimization",
        "models trained quantized or pruned",
        "pip install 'tflm-opt[tfmot]'",
    ),
    _Package("tf-keras", "tf_keras", "Keras 2 models", "pip install 'tflm-opt[tfmot]'"),
    _Package("pyelftools", "elftools", "measured flash and stack", "pip install pyelftools"),
    _Package("platformio", "platformio", "to build PlatformIO projects", "pip install platformio"),
    _Package("scons", "SCons", "to build PlatformIO projects", "pip install scons"),
    _Package("optuna", "optuna", "search for nets", "pip install 'tflm-opt[search]'"),
    _Package("matplotlib", "matplotlib", "plots of examples", "pip install matplotlib"),
    _Package("scikit-learn", "sklearn", "data of examples", "pip install scikit-learn"),
    _Package("pytest", "pytest", "tests", "pip install 'tflm-opt[dev]'"),
    _Package("selenium", "selenium", "tests of the report", "pip install 'tflm-opt[dev]'"),
    _Package("jsonschema", "jsonschema", "tests of the report", "pip install 'tflm-opt[dev]'"),
)
_PROGRAMS = (
    ("make", "the project's own Makefile", "apt-get install make"),
    ("cmake", "to build CMake projects", "apt-get install cmake"),
    ("espeak-ng", "spoken words for keyword_spotting", "apt-get install espeak-ng"),
    ("chromium", "tests of the report", "apt-get install chromium"),
    ("chromedriver", "tests of the report", "apt-get install chromium-driver"),
)


def examine() -> tuple[Check, ...]:
    """Look for everything; takes no more than a second or two."""
    return (*_packages(), *_compilers(), *map(_program, *zip(*_PROGRAMS, strict=True)))


def _packages() -> Iterator[Check]:
    least = least_versions()
    for package in _PACKAGES:
        state, found = _package_state(package, least.get(_canonical(package.name)))
        yield Check(package.name, package.feature, state, found, package.install, package.required)


def _package_state(package: _Package, least: str | None) -> tuple[str, str]:
    """Its state, and its version."""
    if importlib.util.find_spec(package.module) is None:
        return MISSING, ""
    try:
        version = importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        return OK, "of an unknown version"
    if least is not None and _numbers(version) < _numbers(least):
        return OLD, f"{version}; {least} or later is needed"
    return OK, version


def least_versions() -> dict[str, str]:
    """The least version of each package that the installed tflm-opt asks for."""
    try:
        lines = importlib.metadata.requires("tflm-opt") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    matches = (re.match(r"([\w.-]+?)\s*>=\s*([\w.]+)", line) for line in lines)
    return {_canonical(m[1]): m[2] for m in matches if m}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...]:
    """`2.18.0` as (2, 18): releases compare by these, and so do dated pre-releases."""
    numbers = [int(n) for n in re.findall(r"\d+", version.split("+")[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _compilers() -> Iterator[Check]:
    """Compilers with their C libraries, and emulators, as those look for them who use them."""
    from . import boards
    from .runtime import host_build, machine, profiler

    yield _sought(
        "C compiler", "predict, verify and the proof of equality", host_build.compiler, True
    )
    emulated = {b.toolchain.id: b for b in reversed(boards.all()) if b.qemu is not None}
    emulated["arm"] = boards.get(machine.DEFAULT_BOARD)
    for board in sorted(emulated.values(), key=lambda b: b.toolchain.id):
        chain, ids = board.toolchain, f"boards like {board.id}"
        yield _sought(
            f"{chain.prefix}gcc",
            f"measured flash and stack: {ids}",
            lambda board=board: machine.compiler("gcc", board),
        )
        yield _sought(
            chain.emulator,
            f"measure and profile: {ids}",
            lambda board=board: machine.qemu_program(board),
        )
    yield _sought("QEMU's plugins", "profile by function, cycles", lambda: _works(profiler.plugin))


def _works(build: Callable[[], object]) -> str:
    build()
    return "compiled and loaded"


def _sought(name: str, feature: str, seek: Callable[[], str], required: bool = False) -> Check:
    try:
        return Check(name, feature, OK, seek(), "", required)
    except MissingTool as error:
        lacks = "" if error.tool == name else f"no {error.tool}"
        return Check(name, feature, MISSING, lacks, error.install, required)
    except (TflmOptError, OSError) as error:
        return Check(name, feature, MISSING, str(error), "", required)


def _program(name: str, feature: str, install: str) -> Check:
    found = shutil.which(name)
    if not found and Path(f"/snap/bin/{name}").exists():
        found = f"/snap/bin/{name}"
    return Check(name, feature, OK if found else MISSING, found or "", install)
