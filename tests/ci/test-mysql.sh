#!/usr/bin/env bash
# `make test-mysql`: the suites of store, API, ledger reads and crash on Oracle MySQL.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/ci/stages.sh

stage "tools" tests/ci/setup.sh mysql
SAGEAPI_TEST_BIN_DIR="$(tests/ci/target-dir.sh)/debug"
export SAGEAPI_TEST_BIN_DIR SAGEAPI_TEST_DATABASES=mysql
stage "build" cargo build --workspace --all-targets
# --workspace also here: with fewer packages cargo would choose other features, and rebuild everything.
stage "suites of store, API, ledger reads and crash on Oracle MySQL" "$SAGEAPI_TEST_BIN_DIR/sageapi-test-database" mysql -- \
  cargo test --workspace --no-fail-fast --lib --test store_contract --test api \
  --test ledger_reads --test crash
