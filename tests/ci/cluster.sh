#!/usr/bin/env bash
# `make cluster`: a Kubernetes node with operator and examples, left up for a person; root on Linux.
# `cluster.sh down` removes it, also when it was killed.
set -euo pipefail
cd "$(dirname "$0")/../.."

programs="$(tests/ci/target-dir.sh)/e2e"
if [ "${1:-up}" = down ]; then
  [ -x "$programs/sageapi-test-cluster" ] || { echo "there is no cluster: make cluster was not run"; exit 0; }
  exec "$programs/sageapi-test-cluster" down demo
fi

tests/ci/setup.sh e2e
echo "building (the first time takes some minutes)"
cargo build --locked --profile e2e -p sageapi-server -p sageapi-operator -p sageapi-upstream-sim \
  -p sageapi-test-cluster -p sageapi-e2e
for binary in sageapi-server sageapi-operator sageapi-e2e; do
  "$programs/sageapi-test-cluster" image --folder "$programs/images" "$programs/$binary"
done
"$programs/sageapi-test-cluster" build --node
"$programs/sageapi-test-cluster" up demo
"$programs/sageapi-test-cluster" enter --name demo -- \
  "$programs/sageapi-e2e" install --node demo --images "$programs/images"
