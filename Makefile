# make demo     Keras model -> firmware -> runs on an emulated Cortex-M4
# make test     runs the tests
# make fuzz     runs thousands of random nets under random schedules against TFLM
# make setup    only the set-up, which both call
# make lint     what the code has to pass besides the tests

PYTHON := .venv/bin/python
export PLATFORMIO_CORE_DIR := $(CURDIR)/.pio-core
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: demo test fuzz setup lint

setup:
	@./scripts/setup.sh

demo: setup
	@$(PYTHON) examples/demo.py

# Workers share two cores: more threads than one in each only get in each other's way.
test: setup
	@OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
		$(PYTHON) -m pytest -n 2 --dist worksteal -q $(PYTEST_ARGS)

fuzz: setup
	@OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR) $(PYTHON) tests/fuzz/run.py

lint: setup
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m pyright --pythonpath $(PYTHON)
