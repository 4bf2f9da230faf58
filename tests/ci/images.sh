#!/usr/bin/env bash
# `make images`: OCI archives of server and operator, without a container engine or a registry.
# PROFILE=e2e builds in a fraction of the time, for tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${PROFILE:-release}
target=$(tests/ci/target-dir.sh)
tests/ci/setup.sh build
echo "building with profile $profile (the first time takes some minutes)"
cargo build --locked --profile "$profile" -p sageapi-server -p sageapi-operator
cargo build --locked -p sageapi-test-cluster
for binary in sageapi-server sageapi-operator; do
  "$target/debug/sageapi-test-cluster" image --folder "$target/images" "$target/$profile/$binary"
done
