# One environment, .venv, made on demand; stamp files in it say what it holds, so that a second call is instant.
# With another Python: make PYTHON=python3.12 run (after "make clean").

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIN := $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host --no-header --no-annotate
CODE := $(wildcard aionet tests benchmarks examples)
# What is compiled where there is a C compiler: after a change of these the environment is renewed.
NATIVE := setup.py $(shell find aionet -name '*.pyx' -o -name '*.pxd') aionet/core/message_path.py aionet/core/tls_path.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test soak fuzz lint format bench bench-quick bench-peers pins clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Start the four services on loopback; make run ARGS="serve myapp:router" for anything else
	@$(BIN)/python -m aionet $(ARGS)

test: $(VENV)/.dev ## Run the tests; make test ARGS="tests/codecs -x" for some of them
	@sh scripts/install-test-tools.sh
	@$(BIN)/python -m pytest $(ARGS)

soak: $(VENV)/.dev ## Run the long forms of the tests that have one: half an hour, 25 GB of disk
	@AIONET_SOAK=1 $(BIN)/python -m pytest tests/services/files tests/core/test_epoll_random.py -o junit_family=xunit1 $(ARGS)

fuzz: $(VENV)/.dev ## Fuzz each parser for a minute; make fuzz ARGS="matchers --seconds 600" for one of them, longer
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

lint: $(VENV)/.dev ## Check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy $(CODE)

format: $(VENV)/.dev ## Repair what of the style can be repaired
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(VENV)/.peers ## Measure everything beside its peers, in under 40 minutes; make bench ARGS="--only echo,lines"
	@sh scripts/install-bench-peers.sh
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.peers ## Measure what goals are judged by, in under two minutes
	@$(BIN)/python -m benchmarks --quick $(ARGS)

bench-peers: $(VENV)/.peers ## Install who is measured beside us, from the package index and from the distribution
	@sh scripts/install-bench-peers.sh

pins: $(VENV)/.dev ## Pin the newest versions in requirements/dev.txt and peers.txt
	@$(PIN) --extra test --extra dev --output-file requirements/dev.txt pyproject.toml requirements/dev.in
	@$(PIN) --constraint requirements/dev.txt --output-file requirements/peers.txt requirements/peers.in

clean: ## Remove the environment, caches and builds
	@rm -rf $(VENV) build dist *.egg-info aionet/*/*.so aionet/*/*/*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# The interpreter alone. What it lacks is said before anything is made; half an environment is never left behind.
$(VENV)/.made:
	@sh scripts/make-venv.sh '$(PYTHON)' $(VENV)
	@touch $@

# What a user gets: the ranges of pyproject.toml, nothing else. Quick.
$(VENV)/.run: pyproject.toml $(NATIVE) | $(VENV)/.made
	@echo "installing aionet and what it runs on into $(VENV) ..."
	@PYTHONWARNINGS=ignore $(PIP) install -e .
	@touch $@

# What a contributor gets: every version pinned by its hash, the build back-end too.
$(VENV)/.dev: pyproject.toml requirements/dev.txt $(NATIVE) | $(VENV)/.made
	@echo "installing the pinned development environment into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation -e .
	@touch $(VENV)/.run $@

# Beside that the Python packages that are measured. Where they cannot be had they are absent from the tables, no more.
$(VENV)/.peers: requirements/peers.txt $(VENV)/.dev
	@echo "installing the Python peers of the measurements into $(VENV) ..."
	@if $(PIP) install --require-hashes -r requirements/peers.txt; then touch $@; \
		else echo "they could not be installed: those that are not here will be named as absent" >&2; fi
