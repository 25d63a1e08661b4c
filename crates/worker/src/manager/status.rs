//! What there is to see.

use super::Manager;
use super::effect::State;
use super::event::{GroupId, Slot};
use super::permit::Blocked;
use conveyor_common::Millis;

/// A group as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Which.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// How many performers there are to be.
    pub wanted: u32,
    /// How many are not gone.
    pub live: u32,
    /// Of these, how many are starting.
    pub starting: u32,
    /// How many take jobs.
    pub ready: u32,
    /// How many pause, are about to, or are about to go on.
    pub paused: u32,
    /// How many are to end.
    pub ending: u32,
    /// How many were ever started.
    pub starts: u64,
    /// Crashes in a row.
    pub crashes: usize,
    /// Why no performer is started, where some are wanted.
    pub blocked: Option<Blocked>,
    /// Why it is given up.
    pub given_up: Option<String>,
}

/// A performer as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerformerStatus {
    /// Which.
    pub slot: Slot,
    /// Its process; none while it is being started.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: State,
    /// When its start was asked for.
    pub since: Millis,
    /// Whether it has a job, where it reports jobs.
    pub busy: bool,
    /// Jobs it has answered, where it reports jobs.
    pub jobs: u32,
    /// It does not answer when it is asked whether it is still there.
    pub silent: bool,
    /// It is to be replaced.
    pub outdated: bool,
}

impl Manager {
    /// All groups.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupStatus> {
        let status = |(id, crew): (&GroupId, &super::Crew)| {
            let number = |of: fn(State) -> bool| {
                let found = self.of_group(*id).filter(|performer| of(performer.state)).count();
                u32::try_from(found).unwrap_or(u32::MAX)
            };
            GroupStatus {
                id: *id,
                name: crew.group.name.clone(),
                wanted: self.desired(crew),
                live: number(|_| true),
                starting: number(|state| state == State::Starting),
                ready: number(|state| state == State::Ready),
                paused: number(|state| matches!(state, State::Pausing | State::Paused | State::Resuming)),
                ending: number(|state| matches!(state, State::Ending(_))),
                starts: crew.starts,
                crashes: crew.retry.crashes(),
                blocked: crew.blocked,
                given_up: crew.retry.given_up().cloned(),
            }
        };
        self.crews.iter().map(status).collect()
    }

    /// All performers that are not gone, by group and number.
    #[must_use]
    pub fn performers(&self) -> Vec<PerformerStatus> {
        let status = |performer: &super::Performer| PerformerStatus {
            slot: performer.slot,
            pid: performer.pid,
            state: performer.state,
            since: performer.born,
            busy: performer.busy,
            jobs: performer.jobs,
            silent: performer.silent,
            outdated: performer.outdated,
        };
        self.performers.values().map(status).collect()
    }
}
