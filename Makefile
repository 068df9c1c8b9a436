# Everything runs in .venv, which is made and filled when it is needed and left alone while pyproject.toml is unchanged.

PYTHON ?= python3
SCENARIO ?= scenarios/llm10.toml
ARGS ?=
WORKERS ?= auto
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: simulate test test-slow test-nightly bench lint figures docs clean
.DEFAULT_GOAL := test
# With matrices as small as ours, more threads only wait for one another.
test test-slow test-nightly: export OPENBLAS_NUM_THREADS ?= 1

simulate: $(INSTALLED)  ## the ten regions; SCENARIO=... and ARGS="--policy cost" choose otherwise
	$(BIN)/glbdes simulate $(SCENARIO) $(ARGS)

test: $(INSTALLED)  ## the quick tests, on all cores; WORKERS=0 for one process
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal $(ARGS)

test-slow: $(INSTALLED)  ## the long ones: queueing theory, thousands of random worlds
	$(BIN)/python -m pytest -m slow $(ARGS)

test-nightly: $(INSTALLED)  ## 100,000 random worlds on which the two request-level engines must agree
	GLBDES_WORLDS=100_000 $(BIN)/python -m pytest -m slow tests/engine/test_fast.py $(ARGS)

bench: $(INSTALLED)  ## speed, and agreement with real hardware
	@set -e; for bench in bench/*.py; do echo "== $$bench"; $(BIN)/python $$bench; done

lint: $(INSTALLED)  ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

figures: $(INSTALLED)  ## every figure of docs/ anew, most of an hour; ARGS="front duals" chooses
	$(BIN)/python docs/scripts/make_figures.py $(ARGS)

docs: $(VENV)/.documented  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet $(ARGS)

$(VENV)/.documented: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "glbdes needs Python 3.11 or later; say make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@
