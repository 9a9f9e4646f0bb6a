# `make demo` and `make test` are all a newcomer needs: both install what they use into .venv first.
TORCH ?= torch==2.13.0
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-slow lint browser clean

setup: .venv/.ready

# torch first, so that nothing brings another build; fastmri without its dependencies, of which torchvision replaces torch
.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	$(BIN)/python -m pip install --quiet runstats requests tqdm
	$(BIN)/python -m pip install --quiet --no-deps "fastmri>=0.3"
	touch $@

demo: setup
	$(BIN)/knee-i2m2 demo --out demo

# two processes, a file of tests stays in one of them; each has one thread (tests/conftest.py)
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

test: setup
	$(PYTEST) -m "not slow"

test-slow: setup
	$(PYTEST) -m slow --durations=10

# what the tests of the report in a browser need beside a Chromium; without it they are skipped
browser: setup
	$(BIN)/python -m pip install --quiet "playwright>=1.50"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf demo build *.egg-info
