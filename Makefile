# Needs nothing but make and Python 3.11 or newer. Set-up runs by itself, once; `make help` lists the targets.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq --no-input
COMPILE := CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--annotation-style=line --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
# before anything runs in parallel: else each process of the tests would compile the kernels
WARM_UP = echo 'kernels'; $(BIN)/python -c 'from kernels.warmup import warm_up, warm_up_portfolio as rest; warm_up(forbid=False); rest()'
SOURCES := config kernels connectors monitor grafana tests bench

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup setup-test setup-bench demo test test-kernels test-connectors test-alerts check parity bench dashboards e2e screenshot lock clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22
	@echo '  Variables: PYTHON=python3.12 (interpreter for the set-up), ARGS="..." (passed on to the command).'

demo: setup ## run the monitor against simulated venues on this machine
	@$(BIN)/marginwatch demo $(ARGS)

test: setup-test ## whole test suite but the end-to-end tests, on two cores, and test-kernels beside it
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT && \
		{ $(MAKE) --no-print-directory test-kernels >"$$log" 2>&1 & beside=$$!; \
		$(WARM_UP) && \
		$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS); tests=$$?; \
		wait $$beside; checked=$$?; cat "$$log"; test $$tests -eq 0 && test $$checked -eq 0; }

test-kernels: setup-test ## kernel tests with the JIT off, then with bounds checks
	@echo 'kernel tests, JIT off'
	@NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q tests/kernels
	@echo 'kernel tests, bounds checks'
	@# code in the usual cache was compiled without the checks
	@cache=$$(mktemp -d) && trap 'rm -rf "$$cache"' EXIT && \
		NUMBA_BOUNDSCHECK=1 MARGINWATCH_CACHE_DIR="$$cache" $(BIN)/python -m pytest -q tests/kernels

test-connectors: setup-test ## tests of the connectors and simulators
	@echo 'connectors'
	@# 5: a selection in ARGS that names none of them
	@$(BIN)/python -m pytest -q tests/connectors $(ARGS) || test $$? -eq 5

test-alerts: setup-test ## tests of the alerts' policy, outbox and receivers
	@echo 'alerts'
	@$(BIN)/python -m pytest -q tests/monitor/alerts $(ARGS) || test $$? -eq 5

check: setup-test ## lint, format, types and floors
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_floors.py tests/test_repository.py

parity: setup-test ## our figures against recorded and published ones
	@$(BIN)/python -m tests.parity $(ARGS)

bench: setup-bench ## benchmarks, beside the usual libraries
	@$(BIN)/python -m bench $(ARGS)

dashboards: setup-test ## write the dashboards of Grafana from their source (grafana/*.py)
	@$(BIN)/python -m grafana

e2e: setup-test ## end-to-end tests: the whole program and real servers
	@$(WARM_UP)
	@$(BIN)/python -m pytest -m e2e -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
	@ls e2e-artefacts/*.png 2>/dev/null || true
	@cat e2e-artefacts/*.txt 2>/dev/null || true

screenshot: setup-test ## the picture of the page in the README, out of a crash (needs chromium)
	@$(WARM_UP)
	@$(BIN)/python -m pytest -q -m e2e tests/e2e/test_e2e_page_crash.py
	@mkdir -p docs/images && cp e2e-artefacts/page.png docs/images/page.png

setup: $(VENV)/.package
	@:

setup-test: $(VENV)/.package $(VENV)/.test
	@:

setup-bench: setup-test $(VENV)/.bench
	@:

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'marginwatch needs Python 3.11 or newer and "$(PYTHON)" is none: name one, as in "make PYTHON=python3.12 ..."' >&2; exit 1; }
	@echo 'set-up: creating $(VENV)'
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo '"$(PYTHON) -m venv" failed: install the venv module (Debian, Ubuntu: apt-get install python3-venv) and try again' >&2; exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements/build.txt requirements/run.txt
	@echo 'set-up: installing the pinned packages of requirements/run.txt (a minute the first time)'
	@$(PIP) --require-hashes -r requirements/build.txt -r requirements/run.txt
	@touch $@

$(VENV)/.package: $(VENV)/.run pyproject.toml
	@echo 'set-up: installing marginwatch itself'
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements/test.txt
	@echo 'set-up: installing the pinned packages of requirements/test.txt'
	@$(PIP) --require-hashes -r requirements/test.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.test requirements/bench.txt
	@echo 'set-up: installing the pinned packages of requirements/bench.txt'
	@$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

lock: setup-test ## pin the newest allowed versions into requirements/
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo 'lock with the oldest supported Python, whose pins suit the newer ones too: "make clean lock PYTHON=python3.11"' >&2; exit 1; }
	@echo 'lock: requirements/build.txt'
	@$(COMPILE) --upgrade --build-deps-for editable --only-build-deps -o requirements/build.txt pyproject.toml
	@echo 'lock: requirements/run.txt'
	@$(COMPILE) --upgrade -o requirements/run.txt pyproject.toml
	@echo 'lock: requirements/test.txt'
	@$(COMPILE) --upgrade --extra test --extra dev -c requirements/build.txt -c requirements/run.txt -o requirements/test.txt pyproject.toml
	@echo 'lock: requirements/bench.txt'
	@$(COMPILE) --upgrade --extra bench -c requirements/run.txt -c requirements/test.txt -o requirements/bench.txt pyproject.toml

clean: ## remove the set-up and every cache
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
