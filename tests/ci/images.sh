#!/usr/bin/env bash
# `make images`: builds OCI archives of server and operator, without a container engine or a registry.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(tests/ci/target-dir.sh)
tests/ci/setup.sh build
echo "building (the first build takes a few minutes)"
cargo build --locked --release -p sageapi-server -p sageapi-operator
cargo build --locked -p sageapi-test-cluster
for binary in sageapi-server sageapi-operator; do
  "$target/debug/sageapi-test-cluster" image --folder "$target/images" "$target/release/$binary"
done
