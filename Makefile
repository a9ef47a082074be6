# `make help` lists the commands. Only Python 3.11, make and git are needed.
# PYTHON=/path/to/python3.11 overrides the Python that the script finds. It is expanded in recipes only,
# so that targets without an environment run without Python 3.11.
find_python = $$(PYTHON="$(PYTHON)" sh infra/environment/python.sh)
JOBS ?= 1
# Test workers: many tests wait more than they compute.
PROCESSES ?= 3
# How the tests are run; .ci/run sets `-m tests.rerun`, which repeats failed tests.
RUNNER ?= -m pytest
# tests/groups.py assigns groups of tests to workers, in the order of collection.
WORKERS = --numprocesses=$(PROCESSES) --dist=loadscope --no-loadscope-reorder
BIN := .venv/bin
DOCKERFILES = $(shell git ls-files --cached --others --exclude-standard -- '*Dockerfile*')
WORKFLOWS = $(wildcard .github/workflows/*.yml)
ACTIONS = $(wildcard .github/actions/*/action.yml)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Turns off the telemetry of every dependency before it is imported.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export BENTOML_DO_NOT_TRACK := True
export DVC_NO_ANALYTICS := 1
# Docker engines before 23 use BuildKit only if this is set.
export DOCKER_BUILDKIT := 1
# Otherwise every process compiles torch again, in 3 to 4 s: its wheel contains no bytecode.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env up down test test-fast test-all test-compose drill chaos check repro readme docs bench load lock \
	affected retrain report gate comment targets images sbom contents audit scan approver promote \
	history

# Parameters of the delivery targets; recipes read them as shell variables, so that no value is run
# as a command.
SINCE ?= origin/main
REPORT ?= report.md
PICTURES ?=
TARGETS ?=
TAG ?= latest
export SINCE REPORT PICTURES TARGETS TAG

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## install the environment .venv from its lock
	@python=$(find_python) && "$$python" infra/environment/environment.py install

up: env ## train the starters on their real data, then serve them
	@$(BIN)/slipway up

down: ## stop what `make up` started
	@$(BIN)/slipway down

test: env ## run the tests for every change, PROCESSES=3 workers; needs no Docker engine
	@SLIPWAY_TEST_TIER=$${SLIPWAY_TEST_TIER:-test} \
		$(BIN)/python $(RUNNER) $(WORKERS) --ignore=tests/containers

test-fast: env ## run only the unit tests: no server, no training; under a minute
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

drill: env ## publish bad versions under load and check their rollback; some minutes
	@$(BIN)/python -m pytest -s tests/drills

chaos: env ## inject faults into the containers under load; needs a Docker engine, 20 minutes
	@$(BIN)/python -m infra.chaos

check: env ## lint, check types, and check every project
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/hadolint $(DOCKERFILES)
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions $(ACTIONS)
	@$(BIN)/zizmor --offline --quiet --pedantic .github
	@$(BIN)/slipway check

repro: env ## bring every project up to date; JOBS=2 trains two at a time
	@$(BIN)/slipway repro --jobs $(JOBS)

readme: env ## write the last runs' metrics and pictures into the READMEs
	@$(BIN)/slipway readme

docs: env ## build the documentation as a site, in .slipway/documentation/site
	@$(BIN)/python -m infra.documentation.build

bench: env ## compare the model server with others; an idle machine, 15 minutes
	@$(BIN)/python -m benchmarks

load: env ## load the services of `make up` and check limits; under a minute
	@$(BIN)/python -m infra.locust

lock: ## resolve pyproject.toml into the locks
	@python=$(find_python) && "$$python" infra/environment/environment.py lock

affected: env ## list the projects that DVC would retrain for the changes since SINCE
	@$(BIN)/slipway affected --since "$$SINCE"

retrain: env ## train the affected projects
	@projects=$$($(BIN)/slipway affected --since "$$SINCE") \
	&& if [ -n "$$projects" ]; then $(BIN)/slipway repro --jobs $(JOBS) $$projects; \
	else echo "no project is affected"; fi

report: env ## write what the change does to the models into REPORT, as Markdown
	@$(BIN)/slipway report --since "$$SINCE" --file "$$REPORT" --link "$$PICTURES"

gate: env ## fail if a model of the change would not be promoted
	@$(BIN)/slipway report --since "$$SINCE" --strict

comment: ## post REPORT on the pull request PULL; needs gh, logged in
	@gh pr comment "$$PULL" --body-file "$$REPORT" --edit-last --create-if-none

targets: env ## list the images
	@$(BIN)/slipway images list $(if $(GITHUB_OUTPUT),--export)

images: env ## build the images TARGETS, or all
	@$(BIN)/slipway images build --tag "$$TAG" $$TARGETS

sbom: env ## write each image's bill of materials into .slipway/sbom
	@$(BIN)/slipway images sbom --tag "$$TAG" $$TARGETS

contents: env ## list what an image must not contain
	@$(BIN)/slipway images contents --tag "$$TAG" $$TARGETS

audit: env ## look up known vulnerabilities of the locked packages; needs the network
	@$(BIN)/slipway audit

scan: contents audit ## check the contents of images, and their packages for vulnerabilities

approver: env ## print who approved the workflow run of this step
	@$(BIN)/slipway approver --export

promote: env ## make VERSION of PROJECT champion immediately, for a REASON
	@$(BIN)/slipway promote --now --reason "$$REASON" -- "$$PROJECT" "$$VERSION"

history: env ## print the promotions of PROJECT with authors and reasons
	@$(BIN)/slipway history -- "$$PROJECT"
