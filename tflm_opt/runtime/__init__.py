"""Run an artifact and measure it: TFLM, the engine on this host, and the engine in QEMU."""
