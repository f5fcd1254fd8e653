# Every command of the README. `make` alone lists them. Needs python3 (3.11 or newer), make and pip wheels;
# what else a target uses (npm, Go, Docker) is found or installed by the scripts in tools/.

VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
NODES ?= 4
ROUNDS ?=
SEED ?= 0
CHAIN ?= embedded
MODEL ?= torch
SEEDS ?= 100
COUNT ?= 400
MINUTES ?= 120
NAME ?= digits/pyt
PATHS ?= tests
ARGS ?=
CODE := services sdk tests contracts examples tools

# Compiled modules are kept: without them every process of a swarm compiles the same 2,000 files at its start.
unexport PYTHONDONTWRITEBYTECODE

# A misspelt variable would be ignored without a word.
KNOWN := VENV ABREAST KEY NODES ROUNDS SEED CHAIN MODEL SEEDS COUNT MINUTES NAME PATHS ARGS PYTHON SWARM_% SN_% PIP_% UV_%
GIVEN := $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $v))),$v))
UNKNOWN := $(filter-out $(KNOWN) MAKE% SHELL,$(GIVEN))
$(if $(UNKNOWN),$(error unknown variable $(UNKNOWN); known are: $(KNOWN)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo example wheel test test-slow check check-style check-unit check-sim sim mutants fix compat bench slither clean distclean images sbom bundle certs setup setup-dev
# One thing after the other, whatever -j says; only the parts of `check` stand on their own.
ifeq ($(filter check-%,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

help:  ## list the commands
	@awk -F':.*##  *' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- what is installed -------------------------------------------------------------------------

$(STAMPS)/base: requirements/base.txt requirements/uv.txt pyproject.toml sdk/pyproject.toml tools/venv.sh
	@tools/venv.sh $(VENV) base editable
	@mkdir -p $(@D) && touch $@

$(STAMPS)/dev $(STAMPS)/torch $(STAMPS)/tensorflow $(STAMPS)/frameworks: $(STAMPS)/%: requirements/%.txt $(STAMPS)/base
	@tools/venv.sh $(VENV) $*
	@touch $@

contracts/node_modules/.stamp: contracts/package.json contracts/package-lock.json
	@if command -v npm >/dev/null; then cd contracts && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error && touch node_modules/.stamp; \
	 else echo "npm not found: contracts cannot be compiled and anvil is not there (install Node 18 or newer)"; fi

build/slither/.stamp: requirements/slither.txt tools/venv.sh
	@tools/venv.sh build/slither slither && touch $@

setup-dev: $(STAMPS)/base $(STAMPS)/dev contracts/node_modules/.stamp
# What cannot be had here (no Go, no Docker) is not an error yet: the tests say what they miss, or fail for it.
setup: setup-dev $(STAMPS)/torch $(STAMPS)/frameworks $(STAMPS)/tensorflow
	@tools/geth.sh >/dev/null || true
	@if docker version >/dev/null 2>&1; then tools/docker-base-images.sh || true; fi

# ---- what a user runs --------------------------------------------------------------------------

demo: $(STAMPS)/base $(if $(filter torch pytorch,$(MODEL)),$(STAMPS)/torch) $(if $(filter keras,$(MODEL)),$(STAMPS)/tensorflow)  ## four sites train one model on this machine (CHAIN=embedded|geth NODES= ROUNDS= SEED= MODEL=torch|keras|plain)
	@$(if $(filter geth,$(CHAIN)),SN_GETH_BIN=$$(tools/geth.sh) && export SN_GETH_BIN && )$(BIN)/swarm demo --chain $(CHAIN) --nodes $(NODES) $(if $(ROUNDS),--rounds $(ROUNDS)) --seed $(SEED) --model $(MODEL) $(ARGS)

example: $(STAMPS)/base $(if $(findstring keras,$(NAME)),$(STAMPS)/tensorflow) $(if $(filter %/pyt %/lightning %/full %/peft,$(NAME)),$(STAMPS)/torch) $(if $(filter %/lightning %/full %/peft,$(NAME)),$(STAMPS)/frameworks)  ## train an example in a swarm (NAME=digits/pyt|keras|sklearn|lightning manual-text/full|peft breast-cancer/keras; NODES= SEED=)
	@$(BIN)/swarm demo --examples examples/$(patsubst %/,%,$(dir $(NAME))) --program train_$(notdir $(NAME)).py --nodes $(NODES) $(if $(ROUNDS),--rounds $(ROUNDS)) --seed $(SEED) $(ARGS)

certs:  ## a throw-away CA and certificates for docker-compose.yml, in certs/generated
	@deploy/docker/certs.sh

images:  ## build the Docker images of docker-compose.yml
	@tools/docker-base-images.sh
	@deploy/docker/build.sh

sbom:  ## what is in each node image, as SPDX in dist/sbom/ (after make images)
	@tools/sbom.sh

# Task files of the original install the wheel by this name, which pip takes below 24.1 (it names no version).
TASK_WHEEL := dist/swarmlearning-client-py3-none-manylinux_2_24_x86_64.whl
wheel: $(STAMPS)/base  ## the SDK as a wheel in dist/, also under the file name that the original's task files install
	@cd sdk && $(abspath $(BIN))/python -m hatchling build -t wheel -d ../dist
	@cp "$$(ls -t dist/swarmlearning-[0-9]*-py3-none-any.whl | head -n 1)" $(TASK_WHEEL) && echo $(TASK_WHEEL)

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
KEY ?= dist/bundle-key.pem
bundle: $(STAMPS)/base images sbom wheel  ## all that a host without registries needs, as one signed archive in dist/ (KEY=)
	@rm -rf build/bundle && mkdir -p build/bundle
	@$(BIN)/python -m hatchling build -t wheel -d build/bundle >/dev/null && cp dist/swarmlearning-$(VERSION)-py3-none-any.whl build/bundle/
	@$(BIN)/python -m pip download --quiet --require-hashes --only-binary :all: -r requirements/base.txt -d build/bundle
	@$(BIN)/python tools/bundle.py --version $(VERSION) --wheels build/bundle --sbom dist/sbom --key $(KEY) --out dist

# ---- what a developer runs ---------------------------------------------------------------------

# Tests mostly wait: files run abreast, each worker with a network of its own, where this user may make one.
ABREAST ?= $(shell unshare --net ip link set lo up 2>/dev/null && echo 3 || echo 0)
PYTEST := $(BIN)/python -m pytest -n $(ABREAST) --dist loadfile --no-loadscope-reorder --durations=15

test: setup  ## everything; SWARM_REQUIRE=geth,docker turns a missing tool into a failure (PATHS= ARGS= ABREAST=)
	@SWARM_SIM_SEEDS=$(or $(SWARM_SIM_SEEDS),500) $(PYTEST) $(PATHS) $(ARGS)

test-slow: setup  ## what `make test` leaves out: long runs, and the oldest stacks (PATHS= ARGS= ABREAST=)
	@SWARM_SLOW=1 $(PYTEST) -m slow $(PATHS) $(ARGS)

QUICK := $(BIN)/python -m pytest -q -m "not torch and not keras" $(ARGS)
check: setup-dev  ## format, lint, types, imports, spelling, unit and simulation tests: under two minutes
	@$(MAKE) --no-print-directory -j2 --output-sync=target check-style check-unit check-sim
check-style:
	@$(BIN)/ruff format --check --quiet $(wildcard $(CODE)) || { echo "run 'make fix'"; exit 1; }
	@$(BIN)/ruff check --quiet $(wildcard $(CODE))
	@$(BIN)/mypy services/swarm sdk/src/swarmlearning
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
check-unit:
	@$(QUICK) tests/unit
check-sim:
	@SWARM_SIM_SEEDS=$(or $(SWARM_SIM_SEEDS),50) $(QUICK) tests/sim

sim: setup-dev  ## simulate whole swarms on bad days, from seed 0 on (SEEDS=100 ARGS="--seed 7 --trace")
	@$(BIN)/python tests/sim --seeds $(SEEDS) $(ARGS)

mutants: setup-dev  ## which small changes do the tests not notice: a seeded sample (SEED=0 COUNT=400 MINUTES=120)
	@$(BIN)/python tools/mutants --seed $(SEED) --count $(COUNT) --minutes $(MINUTES) $(ARGS)

fix: setup-dev  ## format, and apply the lint fixes that are safe
	@$(BIN)/ruff format $(wildcard $(CODE))
	@$(BIN)/ruff check --fix $(wildcard $(CODE))

compat: setup  ## run the tests that prove rows of the compatibility table, and count the rows (PATHS= ARGS=--markdown)
	@$(BIN)/python tests/compat/report.py $(ARGS) $(PATHS)

bench: $(STAMPS)/base $(STAMPS)/dev  ## benchmarks: prints JSON (ARGS= for a selection)
	@SN_GETH_BIN=$$(tools/geth.sh) && export SN_GETH_BIN && $(BIN)/python tests/bench $(ARGS)

slither: setup-dev build/slither/.stamp  ## static analysis of the contracts
	@$(BIN)/python tools/slither.py

clean:  ## remove what was built (distclean: the venv and node_modules too)
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find services sdk tests examples contracts -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	@rm -rf $(VENV) contracts/node_modules
