#!/usr/bin/env bash
# The full counts: 10^8 random steps of the simulator on two threads, 10^5 random histories of the core against
# the model, long fuzz loops, a long storm over real servers, and 500 kills of a server with stored jobs. Overflow
# checks and debug assertions are on (the profile `soak`): a release would not notice. Appends its result, a failure
# too, to docs/soak.md.
set -euo pipefail
cd "$(dirname "$0")/.."

export CONVEYOR_SIM_STEPS="${CONVEYOR_SIM_STEPS:-100000000}"
export CONVEYOR_SIM_THREADS="${CONVEYOR_SIM_THREADS:-2}"
export CONVEYOR_FUZZ_SECONDS="${CONVEYOR_FUZZ_SECONDS:-300}"
export CONVEYOR_STORM_SECONDS="${CONVEYOR_STORM_SECONDS:-600}"
export CONVEYOR_CRASH_KILLS="${CONVEYOR_CRASH_KILLS:-500}"
export CONVEYOR_TEST_SEED="${CONVEYOR_TEST_SEED:-$(date +%s)}"
histories="${PROPTEST_CASES:-100000}"
commit="$(git rev-parse --short HEAD)"
[ -z "$(git status --porcelain -- crates tests)" ] || commit="$commit+changes"

# Built first, so that the times are those of the runs.
cargo test --profile soak --locked --test sim --test wire --test storm --test crash --no-run

result=passed
run() {
  local start
  start="$(date +%s)"
  "$@" || result=FAILED
  took=$(( $(date +%s) - start ))
}

run cargo test --profile soak --locked --test sim -- --nocapture a_million_random_steps
simulated="$took s"
PROPTEST_CASES="$histories" run cargo test --profile soak --locked --test sim as_the_model_does
compared="$took s"
run cargo test --profile soak --locked --test wire fuzz
fuzzed="$took s"
run cargo test --profile soak --locked --test storm -- --nocapture
stormed="$took s"
run cargo test --profile soak --locked --test crash -- --nocapture
crashed="$took s"

row="| $(date +%F) | $commit | $CONVEYOR_TEST_SEED | $CONVEYOR_SIM_STEPS | $simulated"
echo "$row | $histories | $compared | $fuzzed | $stormed | $crashed | $result |" | tee -a docs/soak.md
[ "$result" = passed ]
