# `make help` lists the commands. Only python3.11, make and git are needed.
PYTHON ?= python3.11
JOBS ?= 1
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Off for every dependency, before any of them is imported.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export BENTOML_DO_NOT_TRACK := True
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help env up down test test-compose drill check repro readme bench load lock

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## make the environment .venv from its lock
	@$(PYTHON) infra/environment/environment.py install

up: env ## train the starters on their real data, then serve them
	@$(BIN)/slipway up

down: ## stop what `make up` started
	@$(BIN)/slipway down

test: env ## run every test
	@$(BIN)/python -m pytest --ignore=tests/containers

test-compose: env ## build the images and run them; needs a Docker engine
	@$(BIN)/python -m pytest tests/containers

drill: env ## publish bad versions under load, and see them rolled back; some minutes
	@$(BIN)/python -m pytest -s tests/drills

check: env ## lint, types, and what falls short in the projects
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/slipway check

repro: env ## bring every project up to date; JOBS=2 trains two side by side
	@$(BIN)/slipway repro --jobs $(JOBS)

readme: env ## write the last runs' figures and pictures into the READMEs
	@$(BIN)/slipway readme

bench: env ## measure the model server beside others; an idle machine, 15 minutes
	@$(BIN)/python -m benchmarks

load: env ## load what `make up` started, and hold it to limits; under a minute
	@$(BIN)/python -m infra.locust

lock: ## resolve pyproject.toml into the locks again
	@$(PYTHON) infra/environment/environment.py lock
