#!/usr/bin/env bash
# `make audit`: what deny.toml demands of the crates we depend on.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! cargo deny --version >/dev/null 2>&1; then
  echo "cargo-deny is missing; install it with: cargo install --locked cargo-deny" >&2
  exit 1
fi
cargo deny check bans licenses sources

# The database of advisories is fetched over the network. Whether it can be had decides between "not
# checked", which is said, and a failed check, which fails.
if cargo deny fetch db >/dev/null 2>&1; then
  cargo deny check --disable-fetch advisories
else
  echo "advisories: NOT CHECKED, the advisory database cannot be reached from here"
fi
