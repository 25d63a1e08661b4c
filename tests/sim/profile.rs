//! What kind of world it is.

use crate::rig;
use crate::rng::Rng;
use bytes::Bytes;
use conveyor_server::core::{Compat, Durability, Keeps, Rules, Wakeup};
use std::num::NonZeroU8;

/// What can happen, and how often in a world without preferences.
const COMMON: [(Step, usize); 12] = [
    (Step::Submit, 22),
    (Step::Grab, 20),
    (Step::Report, 14),
    (Step::PreSleep, 10),
    (Step::CanDo, 10),
    (Step::CantDo, 2),
    (Step::PassTime, 8),
    (Step::SetClock, 1),
    (Step::Close, 4),
    (Step::Command, 5),
    (Step::Cancel, 2),
    (Step::Ask, 4),
];

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Submit,
    Grab,
    Report,
    PreSleep,
    CanDo,
    CantDo,
    PassTime,
    SetClock,
    Close,
    Command,
    Cancel,
    Ask,
}

/// The kind of a world.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) rules: Rules,
    pub(crate) functions: Vec<Bytes>,
    pub(crate) uniques: Vec<Bytes>,
    pub(crate) most_conns: usize,
    /// Invariants are checked after every so many steps: after each one where the world is small.
    pub(crate) check_every: u64,
    /// The server is killed and comes back.
    pub(crate) restarts: bool,
    steps: Vec<Step>,
}

fn random_rules(rng: &mut Rng) -> Rules {
    Rules {
        compat: *rng.pick(&[Compat::V1_1, Compat::V2_0]),
        round_robin: rng.chance(50),
        max_losses: *rng.pick(&[None, None, NonZeroU8::new(1), NonZeroU8::new(3)]),
        wakeup: *rng.pick(&[
            Wakeup::AsNeeded,
            Wakeup::AsNeeded,
            Wakeup::All,
            Wakeup::Count(1),
            Wakeup::Count(3),
        ]),
        exceptions: rng.chance(20),
        durability: if rng.chance(85) { Durability::Relaxed } else { Durability::Memory },
        keeps: Keeps::default(),
        queue_bytes: usize::MAX,
        ..rig::rules()
    }
}

impl Profile {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let rules = random_rules(rng);
        let big = rng.chance(4);
        let (functions, names, conns) = if big { (60, 40, 80) } else { (5, 3, 8) };
        let functions = (0..1 + rng.below(functions)).map(|number| Bytes::from(format!("f{number}")));
        let odd = ["", "", "-"].map(Bytes::from).into_iter();
        let long = [63, 64, 65].map(|length| Bytes::from(vec![b'u'; length]));
        let plain = (0..1 + rng.below(names)).map(|number| Bytes::from(format!("u{number}")));
        let mut steps = Vec::new();
        for (step, weight) in COMMON {
            // Each world likes some things and avoids others.
            let weight = weight * rng.pick(&[1, 4, 4, 4, 12]);
            steps.extend(std::iter::repeat_n(step, weight));
        }
        Self {
            functions: functions.collect(),
            uniques: odd.chain(plain).chain(long).collect(),
            most_conns: 2 + rng.below(conns),
            check_every: if big { 40 } else { 1 },
            restarts: rules.durability != Durability::Memory && rng.chance(30),
            rules,
            steps,
        }
    }

    pub(crate) fn step(&self, rng: &mut Rng) -> Step {
        *rng.pick(&self.steps)
    }
}
