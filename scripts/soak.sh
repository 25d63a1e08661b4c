#!/bin/sh
# The long run: the simulator for 10^8 steps on two threads, the model for 100 000 histories, and every test
# with "fuzz" in its name for longer than usual. Appends one line to docs/soak.md. Environment:
#   CONVEYOR_SIM_STEPS     steps of the simulator (100000000)
#   CONVEYOR_SIM_THREADS   threads of the simulator (2)
#   CONVEYOR_TEST_SEED     seed of the simulator (the time)
#   PROPTEST_CASES         histories for the model (100000)
#   CONVEYOR_FUZZ_SECONDS  seconds of each fuzz loop (300)
set -eu
cd "$(dirname "$0")/.."

export CONVEYOR_SIM_STEPS="${CONVEYOR_SIM_STEPS:-100000000}"
export CONVEYOR_SIM_THREADS="${CONVEYOR_SIM_THREADS:-2}"
export CONVEYOR_TEST_SEED="${CONVEYOR_TEST_SEED:-$(date +%s)}"
export CONVEYOR_FUZZ_SECONDS="${CONVEYOR_FUZZ_SECONDS:-300}"
cases="${PROPTEST_CASES:-100000}"
commit="$(git rev-parse --short HEAD)"
test -z "$(git status --porcelain --untracked-files=no)" || commit="$commit+changes"

# Build first, so that the time is that of the run.
cargo test --profile soak --workspace --no-run

start="$(date +%s)"
result=passed
cargo test --profile soak --test sim -- --nocapture a_million_random_steps || result="FAILED: simulator"
PROPTEST_CASES="$cases" cargo test --profile soak --test sim -- --nocapture as_the_model_does \
    || result="FAILED: model"
cargo test --profile soak --workspace -- fuzz || result="FAILED: fuzz"
seconds=$(($(date +%s) - start))

echo "| $(date -u +%Y-%m-%d) | $commit | $CONVEYOR_TEST_SEED | $CONVEYOR_SIM_STEPS | $cases | $CONVEYOR_FUZZ_SECONDS s | $result | $seconds s |" \
    | tee -a docs/soak.md
test "$result" = passed
