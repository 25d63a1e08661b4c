#!/usr/bin/env bash
# Installs what the tests need and runs them all.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/test-deps.sh

# A seed a run, printed, so that a failure can be replayed.
export CONVEYOR_TEST_SEED="${CONVEYOR_TEST_SEED:-$(date +%s)}"
echo "CONVEYOR_TEST_SEED=$CONVEYOR_TEST_SEED"

cargo test --workspace --locked "$@"
