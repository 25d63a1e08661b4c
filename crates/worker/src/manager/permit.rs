//! Whether a performer may be started: what the policy says, how old that is, and the pace.

use super::group::{Policy, Settings};
use super::load::{Adaptive, Legacy, Plan, Snapshot, Why};
use conveyor_common::Millis;
use std::fmt;

/// Why a group that is short of performers gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The manager ends, or its job is over.
    Over,
    /// There is no manager's job yet.
    NoTask,
    /// The group is drained.
    Drained,
    /// The group is paused.
    Paused,
    /// The group is given up.
    GivenUp,
    /// Its performers crash; until then.
    BackOff(Millis),
    /// Its performers crash; the newest has yet to live for a while, or enough were replaced in the last minute.
    Crashes,
    /// There are as many performers as the manager may have.
    Most,
    /// Nothing is known about the load of the machine.
    Unknown,
    /// The policy says so.
    Policy(Why),
    /// One was started only just now.
    Pace,
    /// An old performer has to end first.
    OldOne,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Over => "the manager ends, or its job is over",
            Self::NoTask => "there is no job for the manager yet",
            Self::Drained => "the group is drained; resume it to end that",
            Self::Paused => "the group is paused; resume it to end that",
            Self::GivenUp => "the group is given up; restart it when the cause is gone",
            Self::BackOff(_) => "its performers crash: it waits before it tries again",
            Self::Crashes => "its performers crash: it waits until one has lived for a while",
            Self::Most => "there are as many performers as the manager may have",
            Self::Unknown => "the load of the machine is not known",
            Self::Policy(why) => return write!(f, "{why}"),
            Self::Pace => "one was started only just now",
            Self::OldOne => "an old one has to end first",
        })
    }
}

#[derive(Clone, Debug)]
enum Decider {
    Fixed,
    Adaptive(Box<Adaptive>),
    Legacy(Box<Legacy>),
}

/// Permission to start.
#[derive(Clone, Debug)]
pub(super) struct Permits {
    decider: Decider,
    /// Starts that the last plan permits and that were not made.
    left: u32,
    /// Why it permits none.
    why: Why,
    /// When something was measured last; the time of the first event at first.
    measured: Option<Millis>,
    /// What could not be measured since.
    failed: Option<String>,
    /// It was said that nothing can be measured.
    pub(super) blind: bool,
    /// When the starts so far are paid for.
    paid: Millis,
}

impl Permits {
    pub(super) fn new(policy: &Policy) -> Self {
        let decider = match policy {
            Policy::Fixed => Decider::Fixed,
            Policy::Adaptive(settings) => Decider::Adaptive(Box::new(Adaptive::new(settings.clone()))),
            Policy::Legacy(legacy) => Decider::Legacy(legacy.clone()),
        };
        let paid = Millis::default();
        Self { decider, left: 0, why: Why::Pace, measured: None, failed: None, blind: false, paid }
    }

    pub(super) const fn is_fixed(&self) -> bool {
        matches!(self.decider, Decider::Fixed)
    }

    /// The first event has come: from now on measurements are expected.
    pub(super) fn begin(&mut self, now: Millis) {
        self.measured.get_or_insert(now);
    }

    /// What follows from a measurement. `wanted` more are wanted, the next of `kind`.
    pub(super) fn decide(&mut self, now: Millis, snapshot: &Snapshot, wanted: u32, kind: u16) -> Plan {
        (self.measured, self.failed, self.blind) = (Some(now), None, false);
        let plan = match &mut self.decider {
            Decider::Fixed => return Plan::default(),
            Decider::Adaptive(policy) => policy.decide(now, snapshot, wanted, kind),
            Decider::Legacy(policy) => policy.decide(snapshot, wanted == 0).into(),
        };
        self.left = plan.start.min(wanted);
        self.why = plan.why.unwrap_or(Why::Pace);
        plan
    }

    /// Nothing could be measured.
    pub(super) fn unknown(&mut self, why: String) {
        self.failed = Some(why);
    }

    /// When somebody has to look at the sensors again.
    pub(super) fn next(&self, settings: &Settings) -> Option<Millis> {
        let measured = self.measured.filter(|_| !self.is_fixed() && !self.blind)?;
        let stale = measured.plus(settings.stale_ms);
        Some(if self.failed.is_some() { measured.plus(settings.blind_ms) } else { stale })
    }

    /// The sensors are looked at: whether nothing was measured for so long that it is an error, and what failed.
    pub(super) fn look(&mut self, now: Millis, settings: &Settings) -> Option<String> {
        let measured = self.measured.filter(|_| !self.is_fixed())?;
        if self.failed.is_none() && now.since(measured) >= settings.stale_ms {
            self.unknown("no measurement came".to_owned());
        }
        let failed = self.failed.clone()?;
        if self.blind || now.since(measured) < settings.blind_ms {
            return None;
        }
        self.blind = true;
        Some(failed)
    }

    /// Whether one may be started now.
    pub(super) fn may_start(&self, now: Millis, settings: &Settings) -> Result<(), Blocked> {
        if !self.is_fixed() {
            if self.failed.is_some() {
                return Err(Blocked::Unknown);
            }
            if self.left == 0 {
                return Err(Blocked::Policy(self.why));
            }
        }
        if now < self.paid_in_part(settings) { Err(Blocked::Pace) } else { Ok(()) }
    }

    /// When the next start is not too soon.
    pub(super) fn paid_in_part(&self, settings: &Settings) -> Millis {
        let ahead = settings.start_every_ms.saturating_mul(u64::from(settings.burst.saturating_sub(1)));
        self.paid.minus(ahead)
    }

    /// One was started.
    pub(super) fn started(&mut self, now: Millis, settings: &Settings) {
        self.left = self.left.saturating_sub(1);
        self.paid = self.paid.max(now).plus(settings.start_every_ms);
    }
}
