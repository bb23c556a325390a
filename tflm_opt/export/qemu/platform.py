"""PlatformIO platform for emulated boards: local to the project, nothing to download."""

import shutil

from platformio.platform.base import PlatformBase


class QemuPlatform(PlatformBase):
    def is_embedded(self):
        # There is nothing to upload to: `pio test` then runs the built `program` and reads it.
        return False

    def configure_default_packages(self, options, targets):
        # A compiler on PATH wins; without one PlatformIO fetches its own, where it has any.
        if options.get("board"):
            toolchain = self.board_config(options["board"]).get("build.toolchain", {})
            if toolchain["package"]:
                on_path = bool(shutil.which(toolchain["prefix"] + "gcc"))
                self.packages[toolchain["package"]]["optional"] = on_path
        super().configure_default_packages(options, targets)
