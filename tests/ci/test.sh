#!/usr/bin/env bash
# `make test`: every test except those on Oracle MySQL, Galera and a Kubernetes node. One target directory and one profile:
# the tests start the programs that the build stage left there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/ci/stages.sh

on_mariadb() {
  if [ -n "${SAGEAPI_TEST_MYSQL_URL:-}" ]; then
    echo "SAGEAPI_TEST_MYSQL_URL is set: using that server instead of starting MariaDB"
    "$@"
  else
    "$SAGEAPI_TEST_BIN_DIR/sageapi-test-database" mariadb -- "$@"
  fi
}

stage "tools" tests/ci/setup.sh test
SAGEAPI_TEST_BIN_DIR="$(tests/ci/target-dir.sh)/debug"
export SAGEAPI_TEST_BIN_DIR
stage "format" cargo fmt --all --check
stage "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
stage "build" cargo build --workspace --all-targets
stage "Kubernetes" "$SAGEAPI_TEST_BIN_DIR/sageapi-test-cluster" build
# One API server for the whole run; a namespace for each test.
stage "tests on SQLite, MariaDB and a Kubernetes API server" \
  on_mariadb "$SAGEAPI_TEST_BIN_DIR/sageapi-test-cluster" control-plane -- cargo test --workspace --no-fail-fast
# Only checks that it runs: the speed of a debug build means nothing.
stage "short run of the benchmarks of the ledger and of usage" "$SAGEAPI_TEST_BIN_DIR/sageapi-load" run --quick \
  --only ledger --only usage --on sqlite --bin "$SAGEAPI_TEST_BIN_DIR" --out "$SAGEAPI_TEST_BIN_DIR/../bench/short"
