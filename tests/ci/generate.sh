#!/usr/bin/env bash
# `make generate`: writes the files generated from the code. The tests check that they are up to date.
set -euo pipefail
cd "$(dirname "$0")/../.."

# --workspace: with fewer packages cargo would select other features and rebuild everything.
cargo build --quiet --workspace --bin sageapi-server
server="$(tests/ci/target-dir.sh)/debug/sageapi-server"
# Through a variable, so that a failing command does not leave an empty file.
write() { local text; text=$("$server" "${@:2}"); printf '%s\n' "$text" >"$1"; echo "$1"; }
write docs/openapi.json openapi
write docs/CONFIGURATION.md config docs
# Written by the tests that check them.
export UPDATE=1
cargo test --quiet --workspace --lib -- the_committed_table_is_up_to_date >/dev/null
echo docs/errors.md
cargo test --quiet --workspace --test documentation -- the_readme_lists_every_route >/dev/null
echo "README.md: the table of routes"
cargo test --quiet --workspace --test manifest --test reference -- the_committed_manifest_is_up_to_date the_reference_of_fields_is_up_to_date >/dev/null
echo crds/sageapi.io_sageapis.yaml
cp crds/sageapi.io_sageapis.yaml charts/sageapi-operator/files/sageapi.io_sageapis.yaml
echo charts/sageapi-operator/files/sageapi.io_sageapis.yaml
echo "docs/OPERATOR.md: the fields"
