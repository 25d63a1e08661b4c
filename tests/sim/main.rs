//! The core under random histories, checked after every step, and against a small model of its own.
//!
//! Seeds are printed. `CONVEYOR_TEST_SEED` replays one, `CONVEYOR_SIM_STEPS` sets how many steps are taken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

mod against_model;
mod behaviour;
mod bugs;

mod model;
mod observer;
mod rig;
mod rng;
mod wakeups;
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

/// Steps of an ordinary run.
const STEPS: u64 = 1_000_000;

/// Steps of one world.
const STEPS_PER_WORLD: u64 = 2_000;

/// Seeds that failed once.
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

fn run_world(seed: u64, steps: u64) -> u64 {
    world::World::new(seed).run(steps)
}

#[test]
fn a_million_random_steps_keep_every_invariant() {
    let steps = number_from("CONVEYOR_SIM_STEPS").unwrap_or(STEPS);
    let first = seed().wrapping_mul(1_000_003);
    let mut taken = 0;
    let mut world = 0_u64;
    while taken < steps {
        taken += run_world(first.wrapping_add(world), STEPS_PER_WORLD);
        world += 1;
    }
    println!("{taken} steps in {world} worlds");
}

#[test]
fn seeds_that_failed_before_pass() {
    for line in FAILED_BEFORE.lines().filter(|line| !line.starts_with('#')) {
        run_world(line.trim().parse().unwrap(), STEPS_PER_WORLD);
    }
}
