#!/usr/bin/env bash
# `make test-galera`: three servers on a three-node Galera cluster, each fault once.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/ci/stages.sh

stage "tools" tests/ci/setup.sh galera
SAGEAPI_TEST_BIN_DIR="$(tests/ci/target-dir.sh)/debug"
export SAGEAPI_TEST_BIN_DIR SAGEAPI_TEST_GALERA=1
stage "build" cargo build --workspace --all-targets
stage "bookings on a Galera cluster" cargo test --workspace --test galera -- --nocapture --test-threads 1
