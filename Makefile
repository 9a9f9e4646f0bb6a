# `make demo` and `make test` are all a newcomer needs: both install what they use into .venv first. `make help` lists the rest.
TORCH ?= torch==2.13.0
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test test-slow lint browser notebooks study-norm clean

help:
	@echo 'make setup            installs the package and what developing needs into .venv'
	@echo 'make demo             a phantom archive, all rivals on it, demo/report.html (8 minutes)'
	@echo 'make test             the tests (16 minutes on two cores)'
	@echo 'make test-slow        the slow tests: a whole demo, two processes, scenes (11 minutes)'
	@echo 'make lint             the linter; make browser: what the tests of the report in a browser need'
	@echo 'make notebooks        runs the notebooks and keeps their outputs in them (2 minutes)'
	@echo 'make study-coverage   how often intervals contain the truth, and verdicts err (an hour)'
	@echo 'make study-demo       the demo on three phantoms: AUROC, effects, verdicts (25 minutes)'
	@echo 'make study-norm       group against batch normalisation in the ResNet-18 of the knee (3 minutes)'
	@echo 'make study-interaction AV-MNIST with a planted interaction, every rival and method (hours)'
	@echo 'make study-synthetic  every method where the interaction is known in closed form (half an hour)'
	@echo 'make study-position   slice position alone, and adjusted for, on three phantoms (10 minutes)'
	@echo 'make clean            removes the demo and builds'

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

# long simulations and whole demos with other seeds: they write pipelines/results, of which the tests recompute a row
study-%: setup
	$(BIN)/python -m pipelines.studies.$*

build/norm/data: | setup
	$(BIN)/knee-i2m2 phantom build/norm/phantom --volumes 240 --slices 12 --matrix 32 --noise 0.03 \
		--strengths.acl .39 --strengths.meniscus .54 --strengths.abnormal '[.3,.36]' --strengths.cartilage '[.54,.54]'
	$(BIN)/knee-i2m2 prepare knee build/norm/phantom --annotations build/norm/phantom/knee.csv --out $@

study-norm: build/norm/data
	$(BIN)/python -m pipelines.studies.norm build/norm/data

# what the tests of the report in a browser need beside a Chromium; without it they are skipped
browser: setup
	$(BIN)/python -m pip install --quiet "playwright>=1.50"

# after a change of a notebook or of what it shows; the tests run each anew and compare the kinds of its outputs
notebooks: setup
	$(BIN)/python -m jupyter execute --inplace notebooks/*.ipynb

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf demo build *.egg-info
