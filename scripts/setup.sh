#!/bin/bash
# Sets up everything that `make demo` and `make test` need: the compilers for Arm and RISC-V and
# QEMU (apt), a virtual environment with the project and its extras, and PlatformIO's build tool.
#
# Safe to interrupt and to repeat: each stamp is written last, and a second run only compares it.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/.tflm_opt-setup
EXTRAS=keras,tfmot,search,verify,firmware,plot,examples,dev
# tflite-micro's releases are pre-releases: naming one takes it, and no other package's. PlatformIO
# and SCons have to match (scripts/bootstrap_platformio.py).
PINNED=(tflite-micro==0.dev20261023182759 platformio==6.2.0 scons==4.11.1)
SYSTEM_PACKAGES=(gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib
    qemu-system-arm) # C++ for applications in the style of Edge Impulse, and stock TFLM
# For the board qemu_rv32 alone: without them its tests are skipped.
RISCV_PACKAGES=(gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc)
# For exported CMake projects; the words that platformio_projects/keyword_spotting learns; `pio check`;
# the report in a browser; kernels on Xtensa cores, which run in qemu-system-misc as RISC-V's do. Each
# is a program, or program=packages where their names differ.
OPTIONAL_TOOLS=(cmake espeak-ng cppcheck chromium chromedriver=chromium-driver
    xtensa-lx106-elf-gcc=gcc-xtensa-lx106,picolibc-xtensa-lx106-elf)
export PLATFORMIO_CORE_DIR="$PWD/.pio-core"

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

missing_tools() {
    for tool in arm-none-eabi-gcc qemu-system-arm cc make; do
        command -v "$tool" >/dev/null || echo "$tool"
    done
    # The compiler is of no use without its C library.
    if command -v arm-none-eabi-gcc >/dev/null &&
        ! echo '#include <string.h>' | arm-none-eabi-gcc -E - >/dev/null 2>&1; then
        echo newlib
    fi
}

missing_riscv_tools() {
    for tool in riscv64-unknown-elf-gcc qemu-system-riscv32; do
        command -v "$tool" >/dev/null || echo "$tool"
    done
    if command -v riscv64-unknown-elf-gcc >/dev/null &&
        ! echo '#include <string.h>' |
            riscv64-unknown-elf-gcc --specs=picolibc.specs -E - >/dev/null 2>&1; then
        echo picolibc
    fi
}

# What gives the right to install: "sudo", or nothing for root. Fails where there is none.
admin() {
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; } && echo sudo
}

apt_install() {
    local right
    right=$(admin) || return 1
    say "installing $*"
    local get=($right env DEBIAN_FRONTEND=noninteractive apt-get install -y -q
        --no-install-recommends)
    "${get[@]}" "$@" >&2 || {
        $right apt-get update -q >&2
        "${get[@]}" "$@" >&2
    }
}

install_system_packages() {
    local missing packages=("${SYSTEM_PACKAGES[@]}")
    missing=$(missing_tools | tr '\n' ' ')
    [ -z "$missing" ] && return
    command -v cc >/dev/null || packages+=(build-essential)
    command -v apt-get >/dev/null ||
        die "missing: $missing. Install an Arm bare-metal GCC with newlib, QEMU for Arm and a C compiler"
    admin >/dev/null || die "missing: $missing. As root: apt-get install ${packages[*]}"
    apt_install "${packages[@]}" ||
        die "apt-get could not install them. As root: apt-get install ${packages[*]}"
    missing=$(missing_tools | tr '\n' ' ')
    [ -z "$missing" ] || die "still missing after installing: $missing"
}

install_riscv_packages() {
    local missing
    missing=$(missing_riscv_tools | tr '\n' ' ')
    [ -z "$missing" ] && return
    if command -v apt-get >/dev/null && apt_install "${RISCV_PACKAGES[@]}"; then
        missing=$(missing_riscv_tools | tr '\n' ' ')
        [ -z "$missing" ] && return
    fi
    say "no board qemu_rv32: missing: $missing. As root: apt-get install ${RISCV_PACKAGES[*]}"
}

# Without one, the tests that need it are skipped.
install_optional_tools() {
    local one tool packages
    for one in "${OPTIONAL_TOOLS[@]}"; do
        tool=${one%%=*}
        IFS=, read -ra packages <<<"${one##*=}"
        command -v "$tool" >/dev/null && continue
        { command -v apt-get >/dev/null && apt_install "${packages[@]}"; } ||
            say "no $tool: what needs it is not tested. As root: apt-get install ${packages[*]}"
    done
}

find_python() {
    # tflite-micro has wheels for these versions only.
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3.10 python3 python; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
                2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.10 to 3.13 found (tflite-micro has wheels for those). apt-get install python3 python3-venv"
}

create_venv() {
    local python
    python=$(find_python)
    say "creating $VENV with $("$python" --version)"
    if ! "$python" -m venv "$VENV" >&2; then
        rm -rf "$VENV"
        die "$python cannot make a virtual environment. apt-get install python3-venv"
    fi
}

venv_is_usable() {
    "$VENV/bin/python" -c \
        'import pip, sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

fingerprint() {
    { cat pyproject.toml scripts/setup.sh scripts/bootstrap_platformio.py; pwd; } | sha256sum
}

install_python_packages() {
    venv_is_usable || { rm -rf "$VENV"; create_venv; }
    say "installing Python packages (2 GB, a few minutes the first time)"
    # The build backend warns of editable installs as such.
    PYTHONWARNINGS=ignore "$VENV/bin/python" -m pip install -q --disable-pip-version-check --upgrade-strategy only-if-needed \
        -e ".[$EXTRAS]" "${PINNED[@]}" >&2
}

main() {
    local now
    mkdir -p "$PLATFORMIO_CORE_DIR"
    if command -v flock >/dev/null; then # one set-up at a time
        exec 9>"$PLATFORMIO_CORE_DIR/.setup-lock"
        flock 9
    fi
    install_system_packages
    install_riscv_packages
    install_optional_tools
    now=$(fingerprint)
    if [ ! -f "$STAMP" ] || [ "$(cat "$STAMP")" != "$now" ] || ! venv_is_usable; then
        rm -f "$STAMP"
        install_python_packages
        echo "$now" >"$STAMP.new"
        mv "$STAMP.new" "$STAMP"
        say "done"
    fi
    "$VENV/bin/python" scripts/bootstrap_platformio.py ||
        say "PlatformIO will have to fetch its build tool from its registry"
}

main "$@"
