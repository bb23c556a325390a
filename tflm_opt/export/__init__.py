"""Projects made from what `optimize` left: PlatformIO, with real and emulated boards."""
