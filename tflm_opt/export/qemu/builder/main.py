"""Build script: compiles the project with the C core beside it, and runs it in QEMU.

pio run -e qemu_m4           builds .pio/build/qemu_m4/firmware.elf
pio run -e qemu_m4 -t run    builds and runs it

Which compiler and which QEMU is in the board's manifest.
"""

# SCons makes its names at run time.
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportOptionalSubscript=false

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from SCons.Script import COMMAND_LINE_TARGETS, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
HERE = Path(env.PioPlatform().get_dir())
CORE = str(HERE / "core")
TIMEOUT = 600  # seconds

TOOLCHAIN = board.get("build.toolchain")
PREFIX = TOOLCHAIN["prefix"]
QEMU = board.manifest["qemu"]

if not shutil.which(PREFIX + "gcc", path=env["ENV"]["PATH"]):
    sys.stderr.write(f"Error: no {PREFIX}gcc. Install it: {TOOLCHAIN['install']}\n")
    env.Exit(1)

flags = board.get("build.machine_flags")
env.Replace(
    AR=PREFIX + "gcc-ar",
    AS=PREFIX + "as",
    CC=PREFIX + "gcc",
    CXX=PREFIX + "g++",
    # Through g++ the link would ask for libstdc++, which C firmware does not need and Debian keeps
    # in a package of its own.
    LINK=PREFIX + "gcc",
    OBJCOPY=PREFIX + "objcopy",
    RANLIB=PREFIX + "gcc-ranlib",
    SIZETOOL=PREFIX + "size",
    ARFLAGS=["rcs"],
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
    SIZEPROGREGEXP=r"^(?:\.vectors|\.text|\.rodata|\.data|\.ARM\.ex\w+|\.init_array)\s+(\d+).*",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.stack)\s+(\d+).*",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
    LDSCRIPT_PATH=str(HERE / "ldscripts" / board.get("build.ldscript_name")),
)
env.Append(
    ASFLAGS=flags,
    ASPPFLAGS=["-x", "assembler-with-cpp"],
    CCFLAGS=[*flags, "-ffunction-sections", "-fdata-sections", "-Wall"],
    CXXFLAGS=["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-use-cxa-atexit"],
    LINKFLAGS=[*flags, *board.get("build.link_flags"), "-Wl,-Map=$BUILD_DIR/firmware.map"],
    CPPDEFINES=board.get("build.defines"),
    CPPPATH=[CORE],
    LIBS=["m"],
)
if not any(str(flag).startswith("-O") for flag in env.get("CCFLAGS", [])):
    env.Append(CCFLAGS=["-O2"])


def qemu_command(elf):
    name = QEMU["program"]
    program = os.environ.get(name.upper().replace("-", "_"), name)  # QEMU_SYSTEM_ARM and the like
    extra = shlex.split(env.GetProjectOption("custom_qemu_flags", ""))
    return [program, *QEMU["arguments"], *extra, "-kernel", elf]


def run_in_qemu(target, source, env):
    """The exit status of the program; it runs in its build folder, where `inputs.bin` may be."""
    elf = os.path.abspath(env.subst(str(source[0])))
    sys.stdout.flush()
    try:
        return subprocess.call(
            qemu_command(elf),
            cwd=env.subst("$BUILD_DIR"),
            stderr=subprocess.STDOUT,  # where QEMU shows what the program prints
            timeout=TIMEOUT,
        )
    except FileNotFoundError:
        sys.stderr.write(f"Error: no {QEMU['program']}. Install it: {QEMU['install']}\n")
        return 1
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"Error: still running after {TIMEOUT} s\n")
        return 1


def write_launcher(target, source, env):
    """`pio test` starts `program` and reads what it prints."""
    launcher = os.path.join(env.subst("$BUILD_DIR"), "program")
    command = qemu_command(os.path.abspath(str(target[0])))
    with open(launcher, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nexec {shlex.join(command)} 2>&1\n")
    os.chmod(launcher, 0o755)


if "nobuild" in COMMAND_LINE_TARGETS:
    program = os.path.join("$BUILD_DIR", "${PROGNAME}.elf")
else:
    # As an object list, not an archive: startup.c replaces weak functions of the C library.
    env.BuildSources(os.path.join("$BUILD_DIR", "core"), CORE)
    program = env.BuildProgram()
    env.AddPostAction(program, env.VerboseAction(write_launcher, "Writing the QEMU launcher"))

env.AddPlatformTarget("buildprog", program, None, "Build")
env.AddPlatformTarget(
    "size", program, env.VerboseAction("$SIZEPRINTCMD", "Sizes of $SOURCE"), "Program size"
)
for name in ("run", "upload"):
    env.AddPlatformTarget(
        name, program, env.VerboseAction(run_in_qemu, "Running $SOURCE in QEMU"), "Run in QEMU"
    )

Default([program])
