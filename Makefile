# `make help` lists the commands. Everything runs in .venv, which each command builds when it is missing or outdated.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv/bin
# Where the demo keeps Airflow's home, the sandbox's state and the exported files.
DEMO_HOME ?= $(CURDIR)/.demo
# Commands over the ledger work on the Airflow of AIRFLOW_HOME if that is set, else on the demo's.
WITH_AIRFLOW := $(VENV)/python -m tools.with_airflow --home $(DEMO_HOME)/airflow --

export DEMO_HOME

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## build .venv from the pinned files; a second call does nothing
	@python=$$(tools/find-python) && "$$python" tools/setup.py

.PHONY: demo
demo: setup ## sandbox and Airflow, all workflows, then stay up until Ctrl-C; ONCE=1: end by itself; PORT=8080
	@$(VENV)/python -m tools.demo

.PHONY: test
test: browser lint types ## everything a change must pass: lint, types, all everyday tests; PYTEST_ARGS="-k ledger"
ifdef PYTEST_ARGS
	$(VENV)/python -m pytest -q $(PYTEST_ARGS)
else
	@echo "test: two halves at once, some fifteen minutes; each tells at its end"
	+@$(MAKE) --no-print-directory -j 2 --output-sync=target test-airflow test-rest
endif

# A running Airflow waits more than it works: the rest goes on meanwhile.
.PHONY: test-airflow test-rest
test-airflow:
	$(VENV)/python -m pytest -q tests/browser tests/dags
test-rest:
	$(VENV)/python -m pytest -q -n 2 --dist loadfile tests/faults tests/unit tests/sandbox

.PHONY: lint
lint: setup ## ruff: rules and format
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

.PHONY: format
format: setup ## ruff: put files into form, apply safe fixes
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

.PHONY: types
types: setup ## mypy, strict
	$(VENV)/mypy

.PHONY: browser
browser: setup ## find a Chromium for the browser tests; as root on Debian, install it
	@$(VENV)/python -m tools.browser

.PHONY: faults
faults: setup ## the whole fault campaign; SEED=... for other draws, CASE='small/modo.*' for some cases only
	$(VENV)/python -m pytest -q tests/faults tests/unit -m campaign $(PYTEST_ARGS)

.PHONY: bench
bench: setup ## speed and memory next to a baseline, as ratios
	$(VENV)/python -m benchmarks $(ARGS)

.PHONY: doctor
doctor: setup ## check every configured connection, without side effects
	@$(WITH_AIRFLOW) $(VENV)/python -m interchange doctor $(ARGS)

.PHONY: effects
effects: setup ## the ledger: make effects ARGS="list --state unknown"
	@$(WITH_AIRFLOW) $(VENV)/python -m interchange effects $(ARGS)

.PHONY: quarantine
quarantine: setup ## records set aside: make quarantine ARGS="list"
	@$(WITH_AIRFLOW) $(VENV)/python -m interchange quarantine $(ARGS)

.PHONY: sandbox
sandbox: setup ## only the vendors in a box, without Airflow
	@$(VENV)/python -m include.sandbox $(ARGS)

.PHONY: lock
lock: setup ## resolve the pins anew: constraints.txt and Azurite's lock file; ARGS=--upgrade for newer versions
	$(VENV)/uv pip compile --quiet --universal --python-version 3.11 --custom-compile-command "make lock" \
	    $(ARGS) requirements-dev.txt --output-file constraints.txt >/dev/null
	cd tests/emulators && PATH="$(CURDIR)/$(VENV):$$PATH" npm install --package-lock-only \
	    --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --loglevel=error

.PHONY: clean
clean: ## remove .venv, the demo's state and all caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist plugins/*.egg-info
	rm -rf .demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
