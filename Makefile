# What people use: `make` lists the targets, and .ci/run calls the same. Without make, `make -n TARGET` on any
# machine prints the commands.
PYTHON := $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV)/bin/python,.venv/bin/python)
NICE ?=

.PHONY: help setup format lint type test test-slow test-browser page demo bench media results check-results docs \
  reproduce slim clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## system GL libraries where that is allowed, then everything from pip into .venv or the active environment
	bash scripts/setup

format:  ## rewrite the sources in the project's format
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lint:  ## check format and style
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

type:  ## check types
	$(PYTHON) -m mypy

test:  ## the quick tests
	$(PYTHON) -m pytest

test-slow:  ## parity on many maps, training quality: an hour or so
	$(PYTHON) -m pytest -m slow

test-browser: page  ## the page, in a real Chromium (which the system must have)
	$(PYTHON) -m pytest -m browser

VENDOR := dreamduck/web/page/vendor
RUNTIME := node_modules/onnxruntime-web/dist
page:  ## what the dream as one file needs from npm, into the package
	npm ci --ignore-scripts --no-audit --no-fund
	mkdir -p $(VENDOR)
	cp $(RUNTIME)/ort.wasm.bundle.min.mjs $(RUNTIME)/ort-wasm-simd-threaded.wasm $(VENDOR)/

demo:  ## the whole way, small, in under 10 minutes: writes demo/
	$(PYTHON) scripts/demo.py

bench:  ## every benchmark; writes benchmarks/results/*.json
	$(PYTHON) -m benchmarks

media:  ## make the pictures of README and docs anew from the running system
	$(PYTHON) scripts/media.py

results:  ## fill the tables of README and docs from the files that commands wrote
	$(PYTHON) scripts/results.py

check-results:  ## say whether these tables are up to date
	$(PYTHON) scripts/results.py --check

docs:  ## build the documentation into site/, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

reproduce:  ## from nothing to a controller trained in the dream; goes on where it was
	$(PYTHON) -m dreamduck reproduce

PYTHON_SLIM ?= python3
slim:  ## the small install in a fresh environment of PYTHON_SLIM, and a few steps of each environment there
	bash scripts/slim_install $(PYTHON_SLIM)

clean:  ## remove what tools leave behind
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache
