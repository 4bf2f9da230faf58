# Entry points for people and CI. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-mysql test-galera e2e cluster cluster-down images bench chaos fuzz audit generate

# Cargo's target directory; evaluated only by the targets that use it.
target_dir = $(shell tests/ci/target-dir.sh)

help: ## List the targets
	@echo "Start with: make run, make test"
	@echo
	@sed -n 's/^\([a-z0-9-]*\): ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r target text; do printf '  make %-12s %s\n' "$$target" "$$text"; done

# A debug build takes a fraction of a release build's time and is fast enough for the demo.
run: ## Build, start SageAPI and a simulated platform in ./run/, show requests (ONCE=1: then exit)
	@tests/ci/setup.sh build
	@echo "Building (the first build takes a few minutes: it includes SQLite and the cryptography)"
	@cargo build -p sageapi-demo -p sageapi-server -p sageapi-upstream-sim
	@$(target_dir)/debug/sageapi-demo $(if $(filter-out 0,$(ONCE)),--once)

test: ## Formatting, clippy and every test, on SQLite, a real MariaDB and a real Kubernetes API server
	@tests/ci/test.sh

test-mysql: ## Store, API, ledger-read and crash suites on Oracle MySQL (root; installed once by debootstrap)
	@tests/ci/test-mysql.sh

test-galera: ## Bookings on a three-node Galera cluster with killed and isolated nodes (root, or MariaDB with galera-4)
	@tests/ci/test-galera.sh

e2e: ## SageAPI on a real Kubernetes node, from helm install to deletion (root on Linux, no Docker)
	@tests/ci/e2e.sh

cluster: ## Start a Kubernetes node with the operator and the examples, and keep it (root on Linux, no Docker)
	@tests/ci/cluster.sh

cluster-down: ## Remove the node of `make cluster`, even after a kill -9
	@tests/ci/cluster.sh down

images: ## Write OCI archives to target/images/, without Docker or a registry
	@tests/ci/images.sh

bench: ## Benchmarks of a release build against bare components; ARGS="--quick" for a short run
	@tests/ci/setup.sh build
	cargo build --release -p sageapi-server -p sageapi-upstream-sim -p sageapi-load
	@$(target_dir)/release/sageapi-load run $(ARGS)

chaos: ## 100 rounds of kills, network cuts, lost answers and full disks under load, on SQLite, MariaDB and Galera (root)
	@tests/ci/chaos.sh

fuzz: ## Fuzz decimals, cursors, NDJSON and pricing data; SECONDS_EACH=600 for longer (needs cargo-fuzz)
	@tests/ci/fuzz.sh

audit: ## Check licences, sources, banned and duplicate crates, known vulnerabilities (deny.toml)
	@tests/ci/audit.sh

generate: ## Regenerate docs/openapi.json, docs/errors.md, docs/CONFIGURATION.md, README's routes, the CRD, docs/OPERATOR.md
	@tests/ci/generate.sh
