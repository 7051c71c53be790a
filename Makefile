# make demo    see the whole way on this machine (no torch, no server to install)
# make test    install what the tests need, and run them all
# make bench   time what is worth timing; prints figures, bounds nothing
# make crashes break everything at every step (half an hour); writes deploy/CRASHES.md
# make soak    2,000 studies and an archive that fails; prints rates and memory
# make check   style, types and layers

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: demo test bench crashes soak check clean

demo: $(VENV)/.installed
	$(BIN)/triage demo

# Most tests wait for servers and processes. A file's tests stay together: they share what is dear.
# As they stand the long ones come first, so that no process waits in the end for another.
test: $(VENV)/.installed-test
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

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
	$(PIP) install --editable ".[export,postgres,s3]" --group test --group check
	@touch $@
