#!/usr/bin/env bash
# `make e2e`: SageAPI on a real Kubernetes node, in a network namespace of its own; root on Linux.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/ci/stages.sh

target="$(tests/ci/target-dir.sh)"
programs="$target/debug"

stage "tools" tests/ci/setup.sh e2e
# The same build as `make test`, so that nothing is compiled twice.
stage "build" cargo build --locked --workspace --all-targets
stage "images" tests/ci/node-images.sh
stage "Kubernetes" "$programs/sageapi-test-cluster" build --node
# shellcheck disable=SC2086
stage "scenario" "$programs/sageapi-test-cluster" run --name e2e -- \
  "$programs/sageapi-e2e" run --node e2e --images "$target/node-images" ${ARGS:-}
