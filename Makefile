# Fresh machine: `make demo` installs the core and runs the main job; `make test` installs everything and runs all tests.
# Needs git, make and Python 3.11 or later; `make test` also Debian's packages named below (installed if they are missing).
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check lint types contract format system clean help

help: ## Show what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/core ## Install the core and play the demo (90 seconds, no key, no network)
	$(BIN)/freehold demo

test: .venv/dev system ## Install everything and run all tests
	$(BIN)/pytest

check: lint types contract ## Lint, types, import contract, declared dependencies

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/pyright

contract: .venv/dev
	$(BIN)/lint-imports
	$(BIN)/deptry src

format: .venv/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

system: ## Install Debian's packages that tests need (PostgreSQL, Chromium, Node.js), if they are missing
	@missing=""; ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v npm >/dev/null || missing="$$missing nodejs npm"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	if [ -n "$$missing" ]; then \
	  sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  echo "Installing$$missing from Debian"; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

.venv/core: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Freehold needs Python 3.11 or later; set PYTHON=…" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

# Without a GPU torch comes first, and alone: else its largest build is installed, with gigabytes that nothing uses.
.venv/dev: .venv/core
	command -v nvidia-smi >/dev/null || $(PIP) torch==2.13.0
	$(PIP) --editable '.[dev,harness,keyring,otel,pii,postgres,ray,sbom,serve,signing,train]'
	@touch $@

clean: ## Remove what was installed and built
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf tests/conformance/node/node_modules tests/conformance/litellm_client/.packages
