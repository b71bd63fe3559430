# Daily commands. Each makes .venv first if need be.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install sweep test check bench format clean

help:
	@echo "make sweep    run the recipe 'first' here and print its findings"
	@echo "make test     run the fast tests (slow ones: $(BIN)/pytest -m slow)"
	@echo "make check    format, lint and types"
	@echo "make bench    ratios against torch and the usual way"
	@echo "make install  make .venv and install with constraints.txt"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

sweep: install
	$(BIN)/rnnlab sweep run first

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: install
	$(BIN)/python tests/benchmarks/updates.py --keep

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
