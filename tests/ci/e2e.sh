#!/usr/bin/env bash
# `make e2e`: SageAPI on a real Kubernetes node, in a network namespace of its own; root on Linux.
# One quick profile for everything that runs in it, so that nothing is built twice.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/ci/stages.sh

build() {
  cargo build --locked --profile e2e -p sageapi-server -p sageapi-operator -p sageapi-upstream-sim \
    -p sageapi-test-cluster -p sageapi-e2e
}

images() {
  local binary
  for binary in sageapi-server sageapi-operator sageapi-e2e; do
    "$programs/sageapi-test-cluster" image --folder "$programs/images" "$programs/$binary" || return
  done
}

stage "tools" tests/ci/setup.sh e2e
programs="$(tests/ci/target-dir.sh)/e2e"
stage "build" build
stage "images" images
stage "Kubernetes" "$programs/sageapi-test-cluster" build --node
# shellcheck disable=SC2086
stage "scenario" "$programs/sageapi-test-cluster" run --name e2e -- \
  "$programs/sageapi-e2e" run --node e2e --images "$programs/images" ${ARGS:-}
