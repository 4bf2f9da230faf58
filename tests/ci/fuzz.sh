#!/usr/bin/env bash
# `make fuzz`: runs every target of fuzz/ for SECONDS_EACH seconds, starting from the committed corpora.
# New inputs go to fuzz/target/corpus; a failing input is saved in fuzz/artifacts and its path printed.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds="${SECONDS_EACH:-60}"
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "cargo-fuzz is missing; install it with: cargo install --locked cargo-fuzz" >&2
  exit 1
fi
# The sanitizers need nightly compiler flags; RUSTC_BOOTSTRAP lets a stable compiler accept them.
rustc --version | grep -q nightly || export RUSTC_BOOTSTRAP=1

for target in decimals cursors ndjson pricing_data; do
  printf '\n==> %s for %s s\n' "$target" "$seconds"
  mkdir -p "fuzz/target/corpus/$target"
  cargo fuzz run "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -print_final_stats=1
done
