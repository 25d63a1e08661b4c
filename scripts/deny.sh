#!/usr/bin/env bash
# The parts of cargo-deny that need no network: licences, bans, sources. cargo-deny is installed when missing.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo-deny > /dev/null 2>&1; then
  root="${CARGO_TARGET_DIR:-target}/tools"
  PATH="$PWD/$root/bin:$root/bin:$PATH"
  command -v cargo-deny > /dev/null 2>&1 || cargo install cargo-deny --locked --root "$root"
fi
cargo fetch --locked
cargo deny --offline check bans licenses sources
