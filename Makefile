# Daily commands. Each makes .venv first if need be.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# aeon holds numpy and pandas back
DATASETS := .venv-datasets

# whichever there is; a docker-compose 1.29 will do
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
RECIPE ?= first
WORKERS ?= 2

.PHONY: help install sweep test check bench format clean cluster cluster-down test-cluster test-datasets

help:
	@echo "make sweep    run the recipe 'first' here and print its findings"
	@echo "make test     run the fast tests (slow ones: $(BIN)/pytest -m slow)"
	@echo "make check    format, lint and types"
	@echo "make bench    ratios against torch and the usual way"
	@echo "make cluster  bring up docker-compose.yml and run RECIPE=first on WORKERS=2; make cluster-down stops it"
	@echo "make test-cluster  the cluster while its parts are killed one after the other; needs a Docker engine"
	@echo "make test-datasets  the task aeon, in an environment of its own ($(DATASETS))"
	@echo "make install  make .venv and install with constraints.txt"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

sweep: install
	$(BIN)/rnnlab sweep run first

# by folder: xdist would put the files with the fewest tests last, which are whole sweeps, and one core would idle
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: install
	$(BIN)/python tests/benchmarks/bench.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.env:
	services/deploy/secrets.sh

cluster: .env
	$(COMPOSE) up --detach --build --scale ray-worker=$(WORKERS)
	@grep ^RNNLAB_ADMIN_TOKEN= .env | $(COMPOSE) exec -T service \
	  python -m services.deploy.first $(RECIPE) "$$($(COMPOSE) port service 8000)"

cluster-down:
	$(COMPOSE) down
	@echo "the volumes stay, and with them every sweep: 'make cluster' goes on with them;"
	@echo "'$(COMPOSE) down --volumes' removes them for ever"

test-cluster: install
	$(BIN)/python -m pytest -m cluster tests/cluster

$(DATASETS)/.installed: pyproject.toml constraints-datasets.txt
	$(PYTHON) -m venv $(DATASETS)
	$(DATASETS)/bin/pip install --quiet --disable-pip-version-check --constraint constraints-datasets.txt \
	  --editable '.[datasets,dev]'
	touch $@

test-datasets: $(DATASETS)/.installed
	$(DATASETS)/bin/python -m pytest -m datasets tests

clean:
	rm -rf $(VENV) $(DATASETS) .pytest_cache .mypy_cache .ruff_cache
