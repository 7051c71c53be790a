# make demo       run the worker with a test PACS on this machine (no torch, no server to install);
#                 ARGS=--real sends a real heart instead of a drawn one: scores, no flags
# make test       install what the tests need, and run all tests
# make test-fast  run the unit tests without those of the export, in two minutes
# make bench      measure speed; prints figures and has no limits
# make crashes    break every part at every step (about an hour); writes deploy/CRASHES.md
# make fuzz       malformed input to every interface; SECONDS=120 for each
# make soak       2,000 studies and an archive that fails; prints rates and memory
# make check      style, types and layers
# make lock       resolve all dependencies again, with hashes: deploy/ and tests/requirements.lock

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

# Compiled modules are kept: the tests start hundreds of processes, and each would compile all
# modules of the project again, which takes it a second.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-fast bench crashes fuzz soak check lock clean

demo: $(VENV)/.installed
	$(BIN)/triage demo $(ARGS)

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

FUZZERS := tests/unit/fuzz tests/integration/stow_receiver/test_fuzz.py tests/acceptance/test_fuzz.py
SECONDS ?= 120
fuzz: $(VENV)/.installed-test
	$(BIN)/pytest --override-ini addopts= --capture=no --fuzz-seconds $(SECONDS) --timeout 3600 $(FUZZERS)

soak: $(VENV)/.installed-test
	$(BIN)/pytest --override-ini addopts= --capture=no tests/benchmarks/test_soak.py

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# setuptools builds the package, in the image without an environment of its own. The lock of the tests
# is for CI (Linux on x86-64, Python 3.11) and lacks torch: its CPU file, named by PIP_FIND_LINKS, is not
# on the registry, and its CUDA file needs gigabytes.
lock: $(BIN)/pip
	$(PIP) install "uv>=0.9,<1"
	echo "setuptools>=77" | $(BIN)/uv pip compile pyproject.toml - --extra postgres --extra s3 \
	  --extra signatures --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --default-index https://pypi.org/simple --upgrade --quiet \
	  --custom-compile-command "make lock" --output-file deploy/requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra export --extra postgres --extra s3 \
	  --extra signatures --group test --group check --constraint deploy/requirements.lock \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-annotate \
	  --no-emit-package torch $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) \
	  --no-emit-find-links --default-index https://pypi.org/simple --upgrade --quiet \
	  --custom-compile-command "make lock" --output-file tests/requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "On Debian and Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	$(PIP) install --upgrade "pip>=25.1"

# With the lock, its setuptools builds the package; else pip fetches one that no hash bounds.
BUILD = $(if $(LOCKED),--no-build-isolation)

# LOCKED=1, as in CI: exactly the versions and files of the lock, as the image has them.
$(VENV)/.installed: pyproject.toml deploy/requirements.lock | $(BIN)/pip
	@echo "installing into $(VENV) (once; about 700 MB) ..."
ifdef LOCKED
	$(PIP) install --require-hashes --requirement deploy/requirements.lock
endif
	$(PIP) install $(BUILD) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed tests/requirements.lock
	@echo "installing what tests need, torch among it ..."
ifdef LOCKED
	$(PIP) install --require-hashes --requirement tests/requirements.lock
endif
	$(PIP) install $(BUILD) --editable ".[export,postgres,s3,signatures]" --group test --group check
	@touch $@
