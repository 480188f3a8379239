# make run and make test need Python 3.11, make and git, and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
BIN := .venv/bin
# Compiled at install, so that the first run does not pay for it step by step.
INSTALL = $(BIN)/uv pip install --quiet --require-hashes --compile-bytecode --python $(BIN)/python -r

# Seconds that sandbox-env waits for a sandbox: its first start installs.
SANDBOX_WAIT ?= 120
LOCK = --quiet --generate-hashes --no-header --no-annotate --python-version 3.11

.PHONY: help install install-cloud install-dev run test check spec-diff format lock ui containers containers-ci sandbox sandbox-env bench clean \
	audit sbom ci-docker ci-build ci-push ci-compile ci-data ci-upload ci-submit ci-smoke

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { echo 'Python 3.11 is needed: install it, or name it with make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@echo 'making .venv'
	@$(PYTHON) -m venv .venv

# The project itself is a .pth file and its scripts: no build step, nothing fetched that the lock does not name.
.venv/.installed: .venv/pyvenv.cfg requirements/uv.txt requirements/local.txt pyproject.toml
	@echo 'installing what the local run needs (requirements/local.txt, hashes checked)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(INSTALL) requirements/local.txt
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

.venv/.installed-cloud: .venv/.installed requirements/cloud.txt
	@echo 'installing the SDKs of the clouds (requirements/cloud.txt, hashes checked)'
	@$(INSTALL) requirements/cloud.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements/dev.txt
	@echo 'installing what the tests and checks need (requirements/dev.txt, hashes checked)'
	@$(INSTALL) requirements/dev.txt
	@touch $@

install: .venv/.installed  ## make .venv with what the local run needs
install-cloud: .venv/.installed-cloud  ## the same, and the SDKs of Vertex AI and SageMaker
install-dev: .venv/.installed-dev  ## the same, and what the tests and checks need

run: install  ## install, compile, and train, gate and deploy locally on the embedded data
	@$(BIN)/churn data fetch cdnow
	@$(BIN)/python compile.py
	@$(BIN)/submit training --target local

test: install-dev  ## install, and run the tests
	@$(BIN)/churn data fetch cdnow
	@$(BIN)/python -m pytest tests

check: install-dev  ## ruff, types, who imports whom, dead code, spec policy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/vulture
	@$(BIN)/python compile.py --check --out .cache/specs-checked >/dev/null
	@$(BIN)/python -m pytest tests/pipelines/test_spec_policy.py

spec-diff: install-dev  ## what a change does to the compiled specs, for a reviewer (exit 1 where something changes)
	@$(BIN)/python -m tests.pipelines.golden --diff

format: install-dev  ## sort imports and format
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

lock: install  ## resolve the dependencies again, with hashes, naming no registry
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-header --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	@$(BIN)/uv pip compile $(LOCK) --extra dev pyproject.toml -o requirements/dev.txt
	@for set in cloud local; do $(BIN)/uv pip compile $(LOCK) --extra $$set -c requirements/dev.txt pyproject.toml -o requirements/$$set.txt; done
	@for group in data train; do $(BIN)/uv pip compile $(LOCK) --extra $$group -c requirements/dev.txt pyproject.toml -o requirements/$$group.txt; done
	@$(BIN)/uv pip compile $(LOCK) --extra deploy --extra vertex --extra sagemaker -c requirements/dev.txt pyproject.toml -o requirements/deploy.txt
	@$(BIN)/uv pip compile $(LOCK) -c requirements/dev.txt requirements/server.in -o requirements/server.txt

ui: install  ## open the tracked runs: MLflow on 127.0.0.1:5000
	@$(BIN)/churn ui

containers: install-dev  ## build the four images with the docker engine that is there, run the pipeline in them, and probe the server
	@$(BIN)/python -m containers.build
	@$(BIN)/python -m containers.prove

containers-ci:  ## the same on a bare Debian machine, as root: with an engine and a base image of its own
	@bash containers/ci.sh

sandbox: install-dev  ## Vertex AI, Cloud Storage and SageMaker on loopback, until Ctrl-C: the cloud commands with no account
	@$(BIN)/python -m tests.sandbox

# With nothing but a shell: it may wait for a sandbox that is starting in another one.
sandbox-env:  ## the shell lines that point a program at the sandbox: eval "$$(make -s sandbox-env)"
	@for second in $$(seq $(SANDBOX_WAIT)); do [ -f .cache/sandbox/env ] && break; sleep 1; done; \
	[ -f .cache/sandbox/env ] || { echo 'no sandbox is running here; start one in another shell: make sandbox' >&2; exit 1; }; \
	cat .cache/sandbox/env

bench: install  ## the local runner against the same functions in one plain process
	@$(BIN)/churn data fetch cdnow
	@$(BIN)/python benchmarks/orchestration.py

audit: install-dev  ## the locks: known vulnerabilities, and the platforms that they install on; what nobody answered is said
	@$(BIN)/python -m tools.audit
	@$(BIN)/python -m tools.platforms

sbom: install-dev  ## a bill of materials for each lock (CycloneDX), in build/sbom/
	@$(BIN)/python -m tools.sbom

# -- What both CIs call: cloudbuild.yaml and .github/workflows have no logic of their own. Settings are CHURN_* variables (configs/environments/vertex.yaml).
# CHURN_IMAGE_REPOSITORY: where images are pushed. COMMIT: what is built. SPEC: a pipeline, a spec's file or its address. PARAMS: an environment's own
# values, a YAML file. REASON is read from the environment only: make would evaluate a text of its command line.
SPEC ?= training
PARAMS ?=
COMMIT ?= $(shell git rev-parse HEAD)
GIVEN = $(SPEC) --target vertex $(if $(PARAMS),--params $(PARAMS)) --param git_commit=$(COMMIT)

ci-docker:  ## a docker client, where there is none
	@command -v docker >/dev/null || { apt-get update -qq && apt-get install -qq --yes --no-install-recommends docker-cli docker-buildx >/dev/null; }

ci-build: install ci-docker  ## build the images of COMMIT, with those of the last build as cache
	@$(BIN)/python -m containers.build --tag $(COMMIT) --cache-from

ci-push: install ci-docker  ## push the images of COMMIT; images.json has the digests
	@$(BIN)/python -m containers.build --tag $(COMMIT) --push --images images.json

ci-compile: install  ## compile with the digests that were pushed, and check every rule
	@$(BIN)/python compile.py --images images.json --check

ci-data: install
	@$(if $(PARAMS),true,$(BIN)/churn data fetch cdnow)

ci-upload: install-cloud ci-data  ## put the spec into the KFP repository
	@$(BIN)/submit $(GIVEN) --upload

ci-submit: install-cloud ci-data  ## run it in the environment, and wait: exit 1 where the gate stays closed
	@[ -n "$${REASON:-}" ] || { echo 'say why: REASON="new prices" make ci-submit' >&2; exit 2; }
	@$(BIN)/submit $(GIVEN) --require-gate --reason "$$REASON"

ci-smoke: install-cloud  ## what is live: every link from its spec to its endpoint, which answers rows of known score
	@$(BIN)/churn provenance --target vertex

clean:  ## remove the environment, the cache and the compiled specs; keep runs, releases and tracked runs
	@rm -rf .venv .cache specs build *.egg-info
