"""The C kernel library and its table."""
