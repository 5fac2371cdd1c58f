# `make demo` and `make test` work from a fresh clone with Python 3.11, pip, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup develop demo test test-browser test-wheel torture lint docs bench cifar10 clean

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALL := $(PIP) --constraint constraints.txt

# What the demo needs. CPU=1 leaves out the CUDA libraries of FAISS; an index with CPU builds of torch (PIP_INDEX_URL) leaves out those of torch.
setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt constraints-cpu.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "miner needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifdef CPU
	$(INSTALL) torch torchvision
	$(INSTALL) --no-deps --requirement constraints-cpu.txt --editable .
else
	$(INSTALL) --editable .
endif
	touch $@

# The rest, which tests and checks need: every archive has a hash, so that nothing is left to resolve.
develop: $(VENV)/developed

$(VENV)/developed: $(VENV)/installed requirements-develop.txt
	$(PIP) --no-deps --require-hashes --requirement requirements-develop.txt
	touch $@

demo: setup
	$(BIN)/miner run pipelines/demo.yaml

cifar10: setup
	$(BIN)/miner run pipelines/cifar10.yaml

# A process per core. One thread in each: more would wait for each other more than they compute.
test: develop
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

test-browser: develop
	$(BIN)/python -m pytest -rs tests/browser

# The whole journey with the wheel instead of the checkout.
test-wheel: develop
	scripts/check_wheel.sh

# Every stage killed, starved of disk space, run twice at once; every file flipped. `make test` has a sample of it.
torture: develop
	MINER_TORTURE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal tests/torture

lint: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: develop
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: demo
	$(BIN)/python tests/bench/join.py
	$(BIN)/python tests/bench/embed.py

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
