PYTHON ?= python3
PROFILE ?= quick
PIP_FLAGS ?=
MINUTES ?= 60

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(PIP_FLAGS)

.PHONY: help setup reproduce tables paper-gpu smoke test verify lint check docs clean
.DEFAULT_GOAL := help

help:
	@echo "make reproduce  set up, run the paper's experiments (PROFILE=smoke|quick|paper), write the report"
	@echo "make tables     the same of the paper's image experiments, which need data (see nfbench data ls)"
	@echo "make paper-gpu  set up, run the missing rows of Table 2 at full budget on a GPU for MINUTES=60"
	@echo "make test       set up, check style and types, run all tests and the benchmarks as tests"
	@echo "make verify     set up, prove every registered family right by the long searches of 'nfbench verify --strict'"
	@echo "make smoke      the smallest run of every experiment, into build/smoke"
	@echo "make docs       set up, build the documentation into build/docs, warnings are errors"
	@echo "make lint       set up, repair style where that can be done"
	@echo "make clean      remove the environment and everything built"

# Two stamps: the long installation follows the lock, the short one the package's own facts.
$(VENV)/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nfbench needs Python 3.11 or newer, found " + sys.version)'
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) -r requirements.lock
	@touch $@

$(VENV)/installed: $(VENV)/locked pyproject.toml nfbench/__init__.py
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(VENV)/installed

reproduce: setup
	$(BIN)/nfbench reproduce figure1 figure3 digits --profile $(PROFILE)

tables: setup
	$(BIN)/nfbench data get binarized-mnist:static
	$(BIN)/nfbench data get cifar10-patches:first4000
	$(BIN)/nfbench reproduce table2 figure4 table3 --profile $(PROFILE)

paper-gpu: setup
	$(BIN)/python benchmarks/paper_gpu.py --minutes $(MINUTES)

smoke: setup
	$(BIN)/nfbench reproduce all --profile smoke --results build/smoke/results --out build/smoke/reports

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A process a core, with one thread each: tensors are small. The slowest tests are printed, so that they stay few.
test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist worksteal --durations 20
	OMP_NUM_THREADS=1 $(BIN)/pytest benchmarks --benchmark-disable --numprocesses auto --dist worksteal

# At D = 2 and 5 and the families' own K; the tests look at D = 3.
verify: setup
	OMP_NUM_THREADS=1 $(BIN)/nfbench verify --strict

docs: setup
	$(BIN)/python -m sphinx -E -W --keep-going --quiet -b html docs build/docs

lint: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find nfbench tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
