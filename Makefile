# `make help` lists the commands. Only Python 3.11, make and git are needed.
# PYTHON=/path/to/python3.11 names another Python than the one that the script finds; a command uses
# it in the recipe, so that a target that needs no environment runs without any Python 3.11.
find_python = $$(PYTHON="$(PYTHON)" sh infra/environment/python.sh)
JOBS ?= 1
# Workers of the tests: many tests wait more than they compute.
PROCESSES ?= 3
# What runs the tests; .ci/run puts `-m tests.rerun` there, which repeats what failed.
RUNNER ?= -m pytest
# tests/groups.py says what goes to one worker, in the order in which it was collected.
WORKERS = --numprocesses=$(PROCESSES) --dist=loadscope --no-loadscope-reorder
BIN := .venv/bin
DOCKERFILES = $(shell git ls-files --cached --others --exclude-standard -- '*Dockerfile*')
WORKFLOWS = $(wildcard .github/workflows/*.yml)
ACTIONS = $(wildcard .github/actions/*/action.yml)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Off for every dependency, before any of them is imported.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export BENTOML_DO_NOT_TRACK := True
export DVC_NO_ANALYTICS := 1
# Engines before 23 build without BuildKit unless they are told.
export DOCKER_BUILDKIT := 1
# Else every process compiles torch again, 3 to 4 s each: its wheel comes without bytecode.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env up down test test-fast test-all test-compose drill chaos check repro readme bench load lock \
	affected retrain report gate comment targets images sbom contents audit scan approver promote \
	history

# What the targets of delivery are told; recipes read them as variables of the shell, so no value
# is taken for a command.
SINCE ?= origin/main
REPORT ?= report.md
PICTURES ?=
TARGETS ?=
TAG ?= latest
export SINCE REPORT PICTURES TARGETS TAG

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## make the environment .venv from its lock
	@python=$(find_python) && "$$python" infra/environment/environment.py install

up: env ## train the starters on their real data, then serve them
	@$(BIN)/slipway up

down: ## stop what `make up` started
	@$(BIN)/slipway down

test: env ## run what each change needs, PROCESSES=3 workers; needs no Docker engine
	@SLIPWAY_TEST_TIER=$${SLIPWAY_TEST_TIER:-test} \
		$(BIN)/python $(RUNNER) $(WORKERS) --ignore=tests/containers

test-fast: env ## run the unit tests alone: no server, no training; under a minute
	@$(BIN)/python $(RUNNER) $(WORKERS) --durations=0 --durations-min=5 \
		$$($(BIN)/python -m tests.tiers fast)

test-all: env ## run every test, drill, container and README; needs a Docker engine, some hours
	@status=0; \
	SLIPWAY_TEST_ALL=1 SLIPWAY_TEST_TIER=test-all $(MAKE) test || status=1; \
	$(MAKE) drill || status=1; \
	$(MAKE) test-compose || status=1; \
	exit $$status

test-compose: env ## build the images and run them; needs a Docker engine
	@$(BIN)/python -m pytest tests/containers

drill: env ## publish bad versions under load, and see them rolled back; some minutes
	@$(BIN)/python -m pytest -s tests/drills

chaos: env ## break the containers under load, and say what callers saw; needs a Docker engine, 20 minutes
	@$(BIN)/python -m infra.chaos

check: env ## lint, types, and what falls short in the projects
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/hadolint $(DOCKERFILES)
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions $(ACTIONS)
	@$(BIN)/zizmor --offline --quiet --pedantic .github
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
	@python=$(find_python) && "$$python" infra/environment/environment.py lock

affected: env ## the projects that what changed since SINCE makes DVC train again
	@$(BIN)/slipway affected --since "$$SINCE"

retrain: env ## train those, and leave the others as they are
	@projects=$$($(BIN)/slipway affected --since "$$SINCE") \
	&& if [ -n "$$projects" ]; then $(BIN)/slipway repro --jobs $(JOBS) $$projects; \
	else echo "no project is affected"; fi

report: env ## what the change does to the models, as Markdown in REPORT
	@$(BIN)/slipway report --since "$$SINCE" --file "$$REPORT" --link "$$PICTURES"

gate: env ## fail if a model of the change would not be promoted
	@$(BIN)/slipway report --since "$$SINCE" --strict

comment: ## put REPORT on the pull request PULL; needs gh, logged in
	@gh pr comment "$$PULL" --body-file "$$REPORT" --edit-last --create-if-none

targets: env ## the images that there are
	@$(BIN)/slipway images list $(if $(GITHUB_OUTPUT),--export)

images: env ## build the images, TARGETS or all
	@$(BIN)/slipway images build --tag "$$TAG" $$TARGETS

sbom: env ## write each image's bill of materials into .slipway/sbom
	@$(BIN)/slipway images sbom --tag "$$TAG" $$TARGETS

contents: env ## say what an image holds that it must not
	@$(BIN)/slipway images contents --tag "$$TAG" $$TARGETS

audit: env ## ask for known vulnerabilities of what the locks pin; needs the network
	@$(BIN)/slipway audit

scan: contents audit ## look at the images, and ask for vulnerabilities of what they are made of

approver: env ## who approved the workflow run that this is a step of
	@$(BIN)/slipway approver --export

promote: env ## make VERSION of PROJECT champion at once, for a REASON
	@$(BIN)/slipway promote --now --reason "$$REASON" -- "$$PROJECT" "$$VERSION"

history: env ## what was promoted of PROJECT, by whom and why
	@$(BIN)/slipway history -- "$$PROJECT"
