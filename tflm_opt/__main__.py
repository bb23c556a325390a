"""`python -m tflm_opt` is `tflm-opt`."""

from .cli import main

if __name__ == "__main__":
    main()
