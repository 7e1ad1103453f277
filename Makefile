# Two commands do all: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-fast check format bench clean

help:
	@echo "make demo       the language ablation of HL-RAC on a local Ray, 8 minutes on two cores"
	@echo "make test       all tests; make test-fast leaves the slow ones out"
	@echo "make check      ruff and pyright"
	@echo "make bench      ratios measured side by side"

demo: $(INSTALLED)
	$(BIN)/flag3d demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow" -n 2

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.hlgcn
	$(BIN)/python -m benchmarks.data_path
	$(BIN)/python -m benchmarks.overhead

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build *.egg-info
