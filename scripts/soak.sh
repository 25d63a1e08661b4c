#!/usr/bin/env bash
# The full counts: 10^8 random steps of the simulator and long fuzz loops. Appends its result to docs/soak.md.
set -euo pipefail
cd "$(dirname "$0")/.."

steps="${CONVEYOR_SIM_STEPS:-100000000}"
fuzz="${CONVEYOR_FUZZ_SECONDS:-300}"
seed="${CONVEYOR_TEST_SEED:-$(date +%s)}"
commit="$(git rev-parse --short HEAD)"
[ -z "$(git status --porcelain -- crates tests)" ] || commit="$commit+changes"

start="$(date +%s)"
CONVEYOR_SIM_STEPS="$steps" CONVEYOR_TEST_SEED="$seed" \
  cargo test --release --locked --test sim a_million_random_steps
sim=$(( $(date +%s) - start ))

start="$(date +%s)"
CONVEYOR_FUZZ_SECONDS="$fuzz" CONVEYOR_TEST_SEED="$seed" cargo test --release --locked --test wire fuzz
fuzzed=$(( $(date +%s) - start ))

echo "| $(date +%F) | $commit | $seed | $steps | $sim s | $fuzzed s | passed |" | tee -a docs/soak.md
