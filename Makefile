# LLM-Sentinel. `make help` lists what there is. Everything lives in .venv and .sentinel; nothing outside the checkout is changed,
# except for the caches of uv and of the jars (~/.cache).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast bench lint fmt lock schemas protos clean

# Behind a proxy that signs with a company's own CA pip works, since it trusts what the system trusts; uv must be told to.
export UV_SYSTEM_CERTS ?= true

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(STAMP) ## Make .venv with the sentinel command in it (again only when the lock or pyproject.toml changed)

$(STAMP): requirements.lock pyproject.toml
	@if [ ! -x $(BIN)/python ]; then \
	  python=$$(command -v python3.11 || command -v python3.12 || true); \
	  if [ -z "$$python" ]; then echo "setup: neither python3.11 nor python3.12 is on the PATH; PyFlink 2.3 needs one of them." >&2; exit 1; fi; \
	  echo "setup 1/4: virtual environment with $$($$python --version)" >&2; \
	  $$python -m venv $(VENV) >/dev/null || { rm -rf $(VENV); echo "setup: $$python cannot make virtual environments; install its venv package." >&2; exit 1; }; \
	fi
	@echo "setup 2/4: uv" >&2
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<1'
	@echo "setup 3/4: locked packages (about 1.9 GB on disk)" >&2
	@# Compiled once: where Python may not write bytecode, every worker would compile a thousand modules before it starts.
	@$(BIN)/uv pip sync --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@echo "setup 4/4: the sentinel command" >&2
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $(STAMP)

demo: setup ## Start everything, replay traffic with injected trouble, show what is found (ONCE=1: stop afterwards and fail on a miss)
	@$(BIN)/sentinel demo $(if $(filter 1,$(ONCE)),--once)

test: setup lint ## Lint, type-check and run every test
	@$(BIN)/pytest

test-fast: setup ## Run the tests that need no running stack
	@$(BIN)/pytest -m "not stack and not recovery"

bench: setup ## Measure throughput, latency and memory
	@$(BIN)/python -m bench

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

fmt: setup ## Format the code
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

lock: setup ## Resolve requirements*.in into requirements.lock, and the jars into services/stack/jars.lock
	@$(BIN)/uv pip compile --quiet requirements-dev.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	@$(BIN)/python -m services.stack.lock_jars

schemas: setup ## Write schemas/json from the contract's models
	@$(BIN)/python -m sentinel.contract.generate

protos: setup ## Write schemas/pb from schemas/proto
	@$(BIN)/python -m schemas.generate_protos

clean: ## Stop the stack; delete its data, the environment and every generated file
	@[ ! -x $(BIN)/sentinel ] || $(BIN)/sentinel down
	@rm -rf .sentinel $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
