# `make` prints what it can do. Every target that needs the environment installs it first, once.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# One process per core, but four at most, each for whole files; torch in each of them uses several threads again
IN_PARALLEL := -n auto --maxprocesses 4 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help report full demo gpu test test-fast lint bench ui down clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

report: .venv/.runtime ## Build the report on Fashion-MNIST: the course's model and the flagship (about 20 minutes on 2 cores)
	@python -m tasks.config
	@python -m flows.pipeline

full: .venv/.runtime ## Build the report with the experiments of profiles/full.yaml, in builds/full (about 100 minutes on 2 cores)
	@python -m tasks.config full
	@python -m flows.pipeline --profile full

demo: .venv/.runtime ## Build a small report on drawn garments, nothing downloaded (about two minutes)
	@python -m tasks.config demo
	@python -m flows.pipeline --profile demo

gpu: .venv/.runtime ## Build the full-size report on one CUDA GPU, in builds/gpu
	@python -m tasks.config gpu
	@python -m flows.pipeline --profile gpu

test: .venv/.dev ## Run every test (about ten minutes on 2 cores)
	@python -m pytest $(IN_PARALLEL)

test-fast: .venv/.dev ## Run the quick tests (about three minutes on 2 cores)
	@python -m pytest $(IN_PARALLEL) -m "not slow"

lint: .venv/.dev ## Check style and types
	@ruff check .
	@ruff format --check .
	@mypy

bench: .venv/.dev ## Compare the models with those of other libraries, side by side, in a finished build (two to three hours on 2 cores)
	@python -m benchmarks.run

ui: .venv/.runtime ## Start the Prefect and MLflow servers on this machine and print their addresses
	@python -m flows.services up

down: .venv/.runtime ## Stop both servers
	@python -m flows.services down

# The chosen precision stays, since dvc.lock and the cache keep results that were computed in it
clean: ## Remove everything generated; the environment, the caches, the chosen precision and MLflow's records stay
	@if [ -d .work/services ] && [ -x .venv/bin/python ]; then python -m flows.services down; fi
	rm -rf data/raw data/prepared artifacts reports builds
	[ ! -d .work ] || find .work -mindepth 1 -maxdepth 1 ! -name precision.json -exec rm -rf {} +

# Two makes at once must not install into one folder: the second waits for the first, and finds its work done. What
# they lock is this file, which is there.
ALONE := flock Makefile $(SHELL) -c
INSTALL = $(ALONE) '[ $@ -nt $< ] || { python -m pip install --quiet --require-hashes -r $< && touch $@; }'

.venv/.python:
	@$(ALONE) '[ ! -e $@ ] || exit 0; \
	for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	  "$$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null \
	    && "$$python" -m venv .venv && touch $@ && exit 0; \
	done; \
	echo "error: .venv: cannot be made; expected Python 3.11 or newer with its venv module; do install both" >&2; exit 4'

.venv/.runtime: requirements/runtime.lock | .venv/.python
	@echo 'Installing the environment into .venv, once: about 7 GB, in silence for some minutes'
	@mkdir -p -m 700 .work
	@$(INSTALL)

# Its lock holds all of the other, of which nothing is installed again
.venv/.dev: requirements/dev.lock | .venv/.runtime
	@$(INSTALL)
