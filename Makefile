# `make demo` and `make test` work from a fresh clone with Python 3.11, pip, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-browser test-wheel torture lint docs bench cifar10 clean

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "miner needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/miner run pipelines/demo.yaml

cifar10: setup
	$(BIN)/miner run pipelines/cifar10.yaml

# A process per core. One thread in each: more would wait for each other more than they compute.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

test-browser: setup
	$(BIN)/python -m pytest -rs tests/browser

# The whole journey with the wheel instead of the checkout.
test-wheel: setup
	scripts/check_wheel.sh

# Every stage killed, starved of disk space, run twice at once; every file flipped. `make test` has a sample of it.
torture: setup
	MINER_TORTURE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal tests/torture

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: demo
	$(BIN)/python tests/bench/join.py
	$(BIN)/python tests/bench/embed.py

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
