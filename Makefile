# make demo       run the worker with a test PACS on this machine (no torch, no server to install)
# make test       install what the tests need, and run all tests
# make test-fast  run the unit tests without those of the export, in two minutes
# make bench      measure speed; prints figures and has no limits
# make crashes    break every part at every step (about an hour); writes deploy/CRASHES.md
# make soak       2,000 studies and an archive that fails; prints rates and memory
# make check      style, types and layers

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

# Compiled modules are kept: the tests start hundreds of processes, and each would compile all
# modules of the project again, which takes it a second.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-fast bench crashes soak check clean

demo: $(VENV)/.installed
	$(BIN)/triage demo

# Tests of services wait half of their time, so two processes for each core keep all cores busy.
# One thread for each process: the threads of two processes would wait for each other.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(8, 2 * os.cpu_count()))')
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses

# The tests of a file share servers, so they run in one process; tests/conftest.py orders the files.
test: $(VENV)/.installed-test
	$(PYTEST) $(WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/.installed-test
	$(PYTEST) logical --maxprocesses 8 --dist loadfile tests/unit --ignore=tests/unit/export

bench: $(VENV)/.installed-test
	$(BIN)/pytest --override-ini addopts= --capture=no tests/benchmarks \
	  --ignore=tests/benchmarks/test_crashes.py --ignore=tests/benchmarks/test_soak.py

crashes: $(VENV)/.installed-test
	$(BIN)/pytest --override-ini addopts= --capture=no tests/benchmarks/test_crashes.py

soak: $(VENV)/.installed-test
	$(BIN)/pytest --override-ini addopts= --capture=no tests/benchmarks/test_soak.py

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "On Debian and Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	$(PIP) install --upgrade "pip>=25.1"

$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	@echo "installing into $(VENV) (once; about 700 MB) ..."
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing what tests need, torch among it ..."
	$(PIP) install --editable ".[export,postgres,s3,signatures]" --group test --group check
	@touch $@
