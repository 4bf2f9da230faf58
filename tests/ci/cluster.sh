#!/usr/bin/env bash
# `make cluster`: starts a Kubernetes node with the operator and the examples, and keeps it running; root on Linux.
# `cluster.sh down` removes it, even after it was killed.
set -euo pipefail
cd "$(dirname "$0")/../.."

target="$(tests/ci/target-dir.sh)"
programs="$target/debug"
if [ "${1:-up}" = down ]; then
  [ -x "$programs/sageapi-test-cluster" ] || { echo "no cluster to remove: make cluster has not been run"; exit 0; }
  exec "$programs/sageapi-test-cluster" down demo
fi

step() { printf '\n==> %s/5 %s\n' "$1" "$2"; }

# The packages that a cluster needs, without tests. Both builds name all of them: cargo selects features by the packages
# named, and would otherwise compile shared dependencies twice.
packages=(-p sageapi-test-cluster -p sageapi-server -p sageapi-operator -p sageapi-upstream-sim -p sageapi-e2e)

step 1 "tools"
tests/ci/setup.sh e2e
cargo build --locked "${packages[@]}" --bin sageapi-test-cluster

# In parallel, because each build uses only one core for long stretches.
step 2 "building SageAPI and Kubernetes from source; the first time takes minutes"
"$programs/sageapi-test-cluster" build --node > >(sed -u 's/^/[Kubernetes] /') 2>&1 &
kubernetes=$!
trap 'kill "$kubernetes" 2>/dev/null || true' EXIT
cargo build --locked "${packages[@]}" --bins
wait "$kubernetes"
trap - EXIT

step 3 "images"
tests/ci/node-images.sh
step 4 "the node"
"$programs/sageapi-test-cluster" up demo
step 5 "operator and examples"
"$programs/sageapi-test-cluster" enter --name demo -- \
  "$programs/sageapi-e2e" install --node demo --images "$target/node-images"
