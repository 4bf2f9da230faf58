#!/usr/bin/env bash
# `make audit`: checks the dependencies against deny.toml.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! cargo deny --version >/dev/null 2>&1; then
  echo "cargo-deny is missing; install it with: cargo install --locked cargo-deny" >&2
  exit 1
fi
cargo deny check bans licenses sources

# The advisory database is fetched over the network. If it cannot be fetched, the check is reported as skipped and does
# not fail.
if cargo deny fetch db >/dev/null 2>&1; then
  cargo deny check --disable-fetch advisories
else
  echo "advisories: NOT CHECKED, the advisory database could not be fetched"
fi
