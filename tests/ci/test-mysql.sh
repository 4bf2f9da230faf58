#!/usr/bin/env bash
# `make test-mysql`: the store, API, ledger-read and crash suites on Oracle MySQL.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/ci/stages.sh

stage "tools" tests/ci/setup.sh mysql
SAGEAPI_TEST_BIN_DIR="$(tests/ci/target-dir.sh)/debug"
export SAGEAPI_TEST_BIN_DIR SAGEAPI_TEST_DATABASES=mysql
stage "build" cargo build --workspace --all-targets
on_mysql() { "$SAGEAPI_TEST_BIN_DIR/sageapi-test-database" mysql -- "$@"; }

# --workspace here too: with fewer packages cargo would select other features and rebuild everything. Of the unit tests
# only the store's use a database server.
stage "unit tests of the store on Oracle MySQL" on_mysql \
  cargo test --workspace --no-fail-fast --lib -- store::
stage "store, API, ledger-read and crash suites on Oracle MySQL" on_mysql \
  cargo test --workspace --no-fail-fast --test store_contract --test api --test ledger_reads --test crash
