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

step() { printf '\n==> %s/5 %s\n' "$1" "$2"; }

# What a cluster needs, and no test. Both builds name all of it: cargo chooses features by what is named, and would
# otherwise compile what they share twice.
packages=(-p sageapi-test-cluster -p sageapi-server -p sageapi-operator -p sageapi-upstream-sim -p sageapi-e2e)

step 1 "tools"
tests/ci/setup.sh e2e
cargo build --locked "${packages[@]}" --bin sageapi-test-cluster

# Side by side, because each is for long stretches busy on one core only.
step 2 "SageAPI and Kubernetes from source; the first time takes minutes"
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
