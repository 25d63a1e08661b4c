# What CI runs.
check:
    ./.ci/run

# Everything the README's test command does.
test *ARGS:
    ./scripts/test.sh {{ARGS}}

fmt:
    cargo fmt --all

clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# 10^8 random steps, long fuzz loops and storms; adds a line to docs/soak.md.
soak:
    ./scripts/soak.sh

# A parser under cargo-fuzz: frame, request, response, text, php, payload or performer.
fuzz TARGET SECONDS:
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}}

# Beside gearmand, where it is installed.
bench:
    cargo bench --bench e2e

# Our client and worker beside libgearman's.
bench-clients:
    cargo bench --bench clients

# The parts by themselves: all, or those whose name holds ARGS.
micro *ARGS:
    cargo bench --bench micro -- {{ARGS}}

# Whether the core, the decoder and outboxes still take as many instructions as recorded; needs valgrind.
instructions:
    cargo bench --bench instructions --locked

# Records how many they take now.
instructions-save:
    cargo bench --bench instructions --locked -- --save
