#!/usr/bin/env bash
# `make cluster`: a Kubernetes node with operator and examples, left up for a person; root on Linux.
# `cluster.sh down` removes it, also when it was killed.
set -euo pipefail
cd "$(dirname "$0")/../.."

target="$(tests/ci/target-dir.sh)"
programs="$target/debug"
if [ "${1:-up}" = down ]; then
  [ -x "$programs/sageapi-test-cluster" ] || { echo "there is no cluster: make cluster was not run"; exit 0; }
  exec "$programs/sageapi-test-cluster" down demo
fi

tests/ci/setup.sh e2e
echo "building (the first time takes some minutes)"
cargo build --locked --workspace --all-targets
tests/ci/node-images.sh
"$programs/sageapi-test-cluster" build --node
"$programs/sageapi-test-cluster" up demo
"$programs/sageapi-test-cluster" enter --name demo -- \
  "$programs/sageapi-e2e" install --node demo --images "$target/node-images"
