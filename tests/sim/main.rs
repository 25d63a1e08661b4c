//! The core under random histories, checked after every step, and against a small model of its own.
//!
//! Seeds are printed. `CONVEYOR_TEST_SEED` replays one, `CONVEYOR_SIM_STEPS` sets how many steps are taken,
//! `CONVEYOR_SIM_THREADS` by how many threads; `CONVEYOR_SIM_WORLD` replays one world and prints it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

mod against_model;
mod behaviour;
mod bugs;
mod committing;

mod details;
mod liveness;
mod model;
mod observer;
mod profile;
mod rig;
mod rng;
mod stored;
mod unread;
mod wakeups;
mod world;

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use world::World;

/// Steps of an ordinary run.
const STEPS: u64 = 1_000_000;

/// Steps of one world.
const STEPS_PER_WORLD: u64 = 2_000;

/// Steps of a world with a store.
const STORED_STEPS: u64 = 1_500;

/// Seeds of worlds with a store that failed once.
const STORED_SEEDS: &[u64] = &[1795556886657535];

/// Seeds of worlds that failed once.
const FAILED_BEFORE: &str = include_str!("seeds.txt");

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// The seed of this run: given, or from the clock; always printed.
fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = number_from("CONVEYOR_TEST_SEED").unwrap_or_else(clock);
    println!("seed {seed} (replay with CONVEYOR_TEST_SEED={seed})");
    seed
}

/// Worlds one after the other, every `stride`th of the sequence that starts at `first`.
fn run_worlds(first: u64, stride: u64, steps: u64) -> u64 {
    let mut taken = 0;
    let mut world = first;
    while taken < steps {
        taken += World::new(world).run(STEPS_PER_WORLD);
        world = world.wrapping_add(stride);
    }
    taken
}

#[test]
fn a_million_random_steps_keep_every_invariant() {
    if let Some(world) = number_from("CONVEYOR_SIM_WORLD") {
        World::new(world).traced().run(STEPS_PER_WORLD);
        return;
    }
    let steps = number_from("CONVEYOR_SIM_STEPS").unwrap_or(STEPS);
    let threads = number_from("CONVEYOR_SIM_THREADS").unwrap_or(1).max(1);
    let first = seed().wrapping_mul(1_000_003);
    let start = Instant::now();
    let taken: u64 = std::thread::scope(|scope| {
        let run = |thread| move || run_worlds(first.wrapping_add(thread), threads, steps / threads);
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(run(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("a world without a fault")).sum()
    });
    println!("{taken} steps in {:.0} s", start.elapsed().as_secs_f64());
}

#[test]
fn seeds_that_failed_before_pass() {
    for line in FAILED_BEFORE.lines().filter(|line| !line.starts_with('#')) {
        World::new(line.trim().parse().unwrap()).run(STEPS_PER_WORLD);
    }
}

#[test]
fn what_is_accepted_is_done_whatever_the_store_does() {
    let worlds = number_from("CONVEYOR_SIM_STEPS").unwrap_or(STEPS / 4) / STORED_STEPS;
    let first = seed().wrapping_mul(1_000_003);
    let mut sum = stored::Counts::default();
    for world in STORED_SEEDS.iter().copied().chain((0..worlds).map(|n| first.wrapping_add(n))) {
        let counts = stored::run(world, STORED_STEPS);
        sum.lives += counts.lives;
        sum.accepted += counts.accepted;
        sum.refused += counts.refused;
        sum.failures += counts.failures;
        sum.fetched += counts.fetched;
        sum.deferred += counts.deferred;
        sum.found += counts.found;
        sum.done += counts.done;
    }
    println!("{sum:?}");
    // A world in which nothing of a kind happens would prove nothing about it.
    for (what, count) in [
        ("lives", sum.lives),
        ("accepted", sum.accepted),
        ("refused", sum.refused),
        ("failures", sum.failures),
        ("fetched", sum.fetched),
        ("deferred", sum.deferred),
        ("found", sum.found),
        ("done", sum.done),
    ] {
        assert!(count > worlds, "{count} {what} in {worlds} worlds");
    }
}
