# What people and CI call. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-mysql test-galera e2e cluster cluster-down images bench chaos fuzz audit generate

# Where cargo builds to; asked for only by the targets that use it.
target_dir = $(shell tests/ci/target-dir.sh)

help: ## List the targets
	@echo "Two commands to begin with: make run, make test"
	@echo
	@sed -n 's/^\([a-z0-9-]*\): ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r target text; do printf '  make %-12s %s\n' "$$target" "$$text"; done

# A debug build: it is there in a fraction of a release build's time, and a tour asks little of it.
run: ## Build, bring SageAPI up beside a simulated platform in ./run/, show requests (ONCE=1: then end)
	@tests/ci/setup.sh build
	@echo "Building (the first time takes some minutes: it compiles SQLite and the cryptography too)"
	@cargo build -p sageapi-demo -p sageapi-server -p sageapi-upstream-sim
	@$(target_dir)/debug/sageapi-demo $(if $(filter-out 0,$(ONCE)),--once)

test: ## Format, clippy, and every test, on SQLite, a real MariaDB and a real Kubernetes API server
	@tests/ci/test.sh

test-mysql: ## The suites of store, API, ledger reads and crash on Oracle MySQL (root; brings it in by debootstrap, once)
	@tests/ci/test-mysql.sh

test-galera: ## Bookings on a Galera cluster of three nodes that are killed and cut off (root, or MariaDB with galera-4)
	@tests/ci/test-galera.sh

e2e: ## SageAPI on a real Kubernetes node, helm install to deletion (root on Linux, no Docker)
	@tests/ci/e2e.sh

cluster: ## A Kubernetes node with operator and examples, left up for you (root on Linux, no Docker)
	@tests/ci/cluster.sh

cluster-down: ## Remove it, also after a kill -9
	@tests/ci/cluster.sh down

images: ## OCI archives in target/images/, without Docker or a registry
	@tests/ci/images.sh

bench: ## Benchmarks of a release build against bare components; ARGS="--quick" for a short run
	@tests/ci/setup.sh build
	cargo build --release -p sageapi-server -p sageapi-upstream-sim -p sageapi-load
	@$(target_dir)/release/sageapi-load run $(ARGS)

chaos: ## 100 rounds of kills, cuts, lost answers and full disks under load, on SQLite, MariaDB and Galera (root)
	@tests/ci/chaos.sh

fuzz: ## Fuzz decimals, cursors, NDJSON and pricing data; SECONDS_EACH=600 for longer (needs cargo-fuzz)
	@tests/ci/fuzz.sh

audit: ## Licences, sources, banned and doubled crates, known vulnerabilities (deny.toml)
	@tests/ci/audit.sh

generate: ## Write anew what is generated: docs/openapi.json, docs/errors.md, docs/CONFIGURATION.md, README's routes, the CRD, docs/OPERATOR.md
	@tests/ci/generate.sh
