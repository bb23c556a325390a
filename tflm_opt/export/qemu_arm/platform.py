"""PlatformIO platform for emulated Cortex-M boards: local to the project, nothing to download."""

import shutil

from platformio.platform.base import PlatformBase


class Qemu_armPlatform(PlatformBase):
    def is_embedded(self):
        # There is nothing to upload to: `pio test` then runs the built `program` and reads it.
        return False

    def configure_default_packages(self, options, targets):
        # A compiler on PATH wins; without one PlatformIO fetches its own.
        on_path = bool(shutil.which("arm-none-eabi-gcc"))
        self.packages["toolchain-gccarmnoneeabi"]["optional"] = on_path
        super().configure_default_packages(options, targets)
