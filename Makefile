# What people use: `make` lists the targets, and .ci/run calls the same. What needs the set-up does it first.
# Without make: `bash scripts/setup`, then the command under the target with .venv/bin/python.
VENV := $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.dreamduck-setup

.PHONY: help setup format lint type test test-slim test-slow test-browser page demo bench media results \
  check-results docs gallery reproduce clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## system GL libraries where that is allowed, then everything from pip into .venv or the active environment
	bash scripts/setup
	@touch $(STAMP)

$(STAMP): pyproject.toml constraints.txt scripts/setup
	bash scripts/setup
	@touch $@

format: $(STAMP)  ## rewrite the sources in the project's format
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lint: $(STAMP)  ## check format and style
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

type: $(STAMP)  ## check types
	$(PYTHON) -m mypy

test: $(STAMP)  ## the quick tests, on up to four processors
	$(PYTHON) -m pytest -n logical --maxprocesses 4 --dist loadfile

test-slim:  ## the small install in a fresh environment, with its tests; PYTHON=python3.13 names another Python
	bash scripts/test_slim $(PYTHON)

test-slow: $(STAMP)  ## parity on many maps, training quality: an hour or so
	$(PYTHON) -m pytest -m slow

test-browser: $(STAMP) page  ## the page, in a real Chromium (which the system must have)
	$(PYTHON) -m pytest -m browser

VENDOR := dreamduck/web/page/vendor
RUNTIME := node_modules/onnxruntime-web/dist
page:  ## what the dream as one file needs from npm, into the package
	npm ci --ignore-scripts --no-audit --no-fund
	mkdir -p $(VENDOR)
	cp $(RUNTIME)/ort.wasm.bundle.min.mjs $(RUNTIME)/ort-wasm-simd-threaded.wasm $(VENDOR)/

demo: $(STAMP)  ## the whole pipeline at a small size, in under 10 minutes; writes demo/
	$(PYTHON) scripts/demo.py

bench: $(STAMP)  ## every benchmark; writes benchmarks/results/*.json
	$(PYTHON) -m benchmarks

media: $(STAMP)  ## make the images of README and docs again from the running system
	$(PYTHON) scripts/media.py

results: $(STAMP)  ## fill the tables of README and docs from the files that commands wrote
	$(PYTHON) -m scripts.results

check-results: $(STAMP)  ## say whether these tables are up to date
	$(PYTHON) -m scripts.results --check

docs: $(STAMP)  ## build the documentation into site/, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

gallery: docs page  ## build the documentation and the gallery, site/gallery, for any static host
	$(PYTHON) scripts/gallery.py site/gallery

reproduce: $(STAMP)  ## from nothing to a controller trained in the dream, or the paper's: ENV=doom, ENV=carracing; resumes
	$(PYTHON) -m dreamduck reproduce $(if $(ENV),--recipe $(ENV))

clean:  ## remove what tools leave behind
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache
