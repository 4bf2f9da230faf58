#!/usr/bin/env bash
# Prints the folder that cargo builds into, however it was chosen.
set -euo pipefail
cargo metadata --format-version 1 --no-deps --offline | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
