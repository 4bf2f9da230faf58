#!/usr/bin/env bash
# `make chaos`: the long form of the chaos and crash tests. ROUNDS and SEED choose others.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/ci/stages.sh

stage "tools" tests/ci/setup.sh test
SAGEAPI_TEST_BIN_DIR="$(tests/ci/target-dir.sh)/debug"
export SAGEAPI_TEST_BIN_DIR
export SAGEAPI_TEST_CHAOS_ROUNDS="${ROUNDS:-100}" SAGEAPI_TEST_CRASH_ROUNDS="${ROUNDS:-100}"
export SAGEAPI_TEST_CHAOS_SEED="${SEED:-1}" SAGEAPI_TEST_CRASH_SEED="${SEED:-1}"
stage "build" cargo build --workspace --all-targets
stage "20,000 simulated histories" env SAGEAPI_TEST_SIMULATIONS=20000 \
  cargo test --workspace --lib -- nothing_that_was_acknowledged_is_lost
stage "$SAGEAPI_TEST_CHAOS_ROUNDS rounds of trouble" \
  cargo test --workspace --no-fail-fast --test chaos --test crash -- --nocapture --test-threads 1
