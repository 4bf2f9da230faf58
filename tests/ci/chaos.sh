#!/usr/bin/env bash
# `make chaos`: long runs of the booking engine's randomized tests. ROUNDS and SEED select how many and which.
# SAGEAPI_TEST_DATABASES=mysql runs them on Oracle MySQL instead of MariaDB and SQLite (root).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/ci/stages.sh

case "${SAGEAPI_TEST_DATABASES:-}" in
  mysql) vendor=mysql tools=mysql ;;
  *) vendor=mariadb tools=test ;;
esac

# With a database server of our own, unless SAGEAPI_TEST_MYSQL_URL names one.
on_server() {
  if [ -n "${SAGEAPI_TEST_MYSQL_URL:-}" ]; then
    "$@"
  else
    "$SAGEAPI_TEST_BIN_DIR/sageapi-test-database" "$vendor" -- "$@"
  fi
}

stage "tools" tests/ci/setup.sh "$tools"
SAGEAPI_TEST_BIN_DIR="$(tests/ci/target-dir.sh)/debug"
export SAGEAPI_TEST_BIN_DIR
export SAGEAPI_TEST_CHAOS_ROUNDS="${ROUNDS:-100}" SAGEAPI_TEST_CRASH_ROUNDS="${ROUNDS:-100}"
export SAGEAPI_TEST_CHAOS_SEED="${SEED:-1}" SAGEAPI_TEST_CRASH_SEED="${SEED:-1}"
# By default the model test draws a new seed each time.
[ -z "${SEED:-}" ] || export SAGEAPI_TEST_MODEL_SEED="$SEED"
stage "build" cargo build --workspace --all-targets
# Seeds a million apart, so that neither another SEED nor `make test` runs the same histories.
stage "20,000 simulated histories" \
  env SAGEAPI_TEST_SIMULATIONS=20000 SAGEAPI_TEST_SIMULATION_SEED="$((${SEED:-1} * 1000000))" \
  cargo test --workspace --lib -- nothing_that_was_acknowledged_is_lost --nocapture
stage "200 model test cases on each database" on_server env SAGEAPI_TEST_MODEL_CASES=200 \
  cargo test --workspace --test store_contract -- any_sequence_of_requests_comes_to_what_the_model_says
stage "$SAGEAPI_TEST_CHAOS_ROUNDS rounds of faults" on_server \
  cargo test --workspace --no-fail-fast --test chaos --test crash -- --nocapture --test-threads 1
# A killed node copies all data when it rejoins: a round takes ten seconds or more.
if [ "$vendor" = mariadb ]; then
  stage "tools for Galera" tests/ci/setup.sh galera
  stage "$((SAGEAPI_TEST_CHAOS_ROUNDS / 4 + 4)) rounds of faults on Galera" \
    env SAGEAPI_TEST_GALERA=1 SAGEAPI_TEST_GALERA_ROUNDS="$((SAGEAPI_TEST_CHAOS_ROUNDS / 4 + 4))" \
    cargo test --workspace --test galera -- --nocapture --test-threads 1
fi
