#!/usr/bin/env bash
# Builds the images for a test node from the debug build, stripped of debug information.
set -euo pipefail
cd "$(dirname "$0")/../.."

target="$(tests/ci/target-dir.sh)"
mkdir -p "$target/node-images"
for binary in sageapi-server sageapi-operator sageapi-e2e; do
  strip --strip-all -o "$target/node-images/$binary" "$target/debug/$binary"
  "$target/debug/sageapi-test-cluster" image --folder "$target/node-images" "$target/node-images/$binary"
done
