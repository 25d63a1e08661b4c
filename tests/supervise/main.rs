//! The worker-manager's pure machine: its rules one by one, and random histories of a made-up world.
//!
//! Seeds are printed. `CONVEYOR_TEST_SEED` replays a run, `CONVEYOR_SIM_STEPS` sets how many steps are taken,
//! `CONVEYOR_SIM_WORLD` replays one world and prints it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

mod batch;
mod bench;
mod gearman_manager;
mod observer;
mod resident;
#[path = "../sim/rng.rs"]
mod rng;
mod world;

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use world::{Counts, World};

/// Steps of an ordinary run.
const STEPS: u64 = 1_000_000;

/// Steps of one world, before it becomes calm.
const STEPS_PER_WORLD: u64 = 1_500;

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

#[test]
fn a_million_random_steps_keep_every_rule_and_what_is_wanted_comes_about() {
    if let Some(world) = number_from("CONVEYOR_SIM_WORLD") {
        World::new(world).traced().run(STEPS_PER_WORLD);
        return;
    }
    let steps = number_from("CONVEYOR_SIM_STEPS").unwrap_or(STEPS);
    let start = Instant::now();
    let mut world = seed().wrapping_mul(1_000_003);
    let mut sum = Counts::default();
    while sum.steps < steps {
        sum.add(&World::new(world).run(STEPS_PER_WORLD));
        world = world.wrapping_add(1);
    }
    println!("{sum:?} in {:.1} s", start.elapsed().as_secs_f64());
    // Worlds in which nothing of a kind happens would prove nothing about it.
    for (what, count) in sum.rows() {
        assert!(count * 20 >= sum.worlds, "{count} {what} in {} worlds", sum.worlds);
    }
}

#[test]
fn seeds_that_failed_before_pass() {
    for line in FAILED_BEFORE.lines().filter(|line| !line.starts_with('#')) {
        World::new(line.trim().parse().unwrap()).run(STEPS_PER_WORLD);
    }
}
