//! What a bystander who sees only packets can hold against the core: an independent account of who waits for
//! what, who holds what and who sleeps.

use conveyor_common::{ConnId, JobNumber};
use conveyor_server::core::{Effect, Note, Reply};
use std::collections::{BTreeMap, BTreeSet};

/// The account.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    live: BTreeSet<ConnId>,
    /// Foreground submissions that wait for their end, by client and job.
    waiting: BTreeMap<(ConnId, JobNumber), usize>,
    /// Who works on what.
    pub(crate) held: BTreeMap<JobNumber, ConnId>,
    /// Connections that said PRE_SLEEP and got no NOOP since.
    asleep: BTreeSet<ConnId>,
}

/// What the connection that acted expects to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A submission.
    Submit { foreground: bool },
    /// A GRAB.
    Grab,
    /// PRE_SLEEP.
    PreSleep,
    /// Something else, or nobody acted.
    Other,
}

impl Observer {
    pub(crate) fn connected(&mut self, conn: ConnId) {
        self.live.insert(conn);
    }

    /// The server came back: nobody is connected, nobody waits, nobody works.
    pub(crate) fn restarted(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn closed(&mut self, conn: ConnId) {
        self.live.remove(&conn);
        self.asleep.remove(&conn);
        self.waiting.retain(|(client, _), _| *client != conn);
        self.held.retain(|_, worker| *worker != conn);
    }

    /// The connection gave the jobs back that `given_back` names.
    pub(crate) fn gave_back(&mut self, conn: ConnId, given_back: impl Fn(JobNumber) -> bool) {
        self.held.retain(|job, worker| *worker != conn || !given_back(*job));
    }

    /// The connection reported the end of a job; whether it may is known here.
    pub(crate) fn ended(&mut self, conn: ConnId, job: JobNumber) -> bool {
        let may = self.held.get(&job) == Some(&conn);
        if may {
            self.held.remove(&job);
        }
        may
    }

    /// Enters what followed from an act of `actor` into the account.
    pub(crate) fn see(&mut self, actor: Option<ConnId>, act: Act, effects: &[Effect]) {
        if let Some(actor) = actor {
            match act {
                Act::Grab => drop(self.asleep.remove(&actor)),
                Act::PreSleep => drop(self.asleep.insert(actor)),
                Act::Submit { .. } | Act::Other => {}
            }
        }
        let mut answers = 0;
        for effect in effects {
            match effect {
                Effect::Send { conn, reply } => {
                    assert!(self.live.contains(conn), "{reply:?} goes to {conn:?}, which is closed");
                    let own = actor == Some(*conn);
                    answers += usize::from(own && self.answers(act, reply));
                    self.see_reply(*conn, own, act, reply);
                }
                Effect::Note(Note::JobTimedOut { job, conn }) => {
                    assert_eq!(self.held.remove(job), Some(*conn), "{job:?} timed out elsewhere");
                }
                Effect::Append(_) | Effect::Close { .. } | Effect::Note(_) => {}
                Effect::Hold { .. }
                | Effect::Fill { .. }
                | Effect::Fetch { .. }
                | Effect::Find { .. }
                | Effect::Pause { .. }
                | Effect::Resume { .. } => {
                    panic!("nothing waits for the store here: {effect:?}")
                }
            }
        }
        if matches!(act, Act::Grab | Act::Submit { .. }) {
            assert_eq!(answers, 1, "{act:?} gets one answer, not {effects:?}");
        }
    }

    fn answers(&self, act: Act, reply: &Reply) -> bool {
        match act {
            Act::Grab => matches!(reply, Reply::Assign { .. } | Reply::NoJob),
            Act::Submit { .. } => matches!(reply, Reply::JobCreated(_) | Reply::Error { .. }),
            Act::PreSleep | Act::Other => false,
        }
    }

    fn see_reply(&mut self, conn: ConnId, own: bool, act: Act, reply: &Reply) {
        match reply {
            Reply::JobCreated(job) => {
                let Act::Submit { foreground } = act else { panic!("JOB_CREATED without a submission") };
                assert!(own, "JOB_CREATED goes to somebody else");
                if foreground {
                    *self.waiting.entry((conn, *job)).or_default() += 1;
                }
            }
            Reply::Assign { job, .. } => {
                assert!(own && act == Act::Grab, "JOB_ASSIGN without GRAB_JOB");
                assert_eq!(self.held.insert(*job, conn), None, "{job:?} was handed out twice");
            }
            Reply::NoJob => assert!(own && act == Act::Grab, "NO_JOB without GRAB_JOB"),
            Reply::Noop => assert!(self.asleep.remove(&conn), "NOOP to {conn:?}, which does not sleep"),
            Reply::Status { job, .. } | Reply::Data { job, .. } | Reply::Warning { job, .. } => {
                assert!(
                    self.waiting.contains_key(&(conn, *job)),
                    "{reply:?} to {conn:?}, which does not wait"
                );
            }
            Reply::Complete { job, .. }
            | Reply::Exception { job, .. }
            | Reply::Fail(job)
            | Reply::FailTerminated(job) => self.terminal(conn, *job),
            Reply::FailAsSent(handle) => {
                let prefix = conveyor_common::HandlePrefix::new(crate::rig::PREFIX);
                self.terminal(conn, prefix.parse(handle).expect("a handle of this server"));
            }
            Reply::Error { .. }
            | Reply::StatusRes { .. }
            | Reply::StatusResUnique { .. }
            | Reply::Echo(_)
            | Reply::Option(_)
            | Reply::Text(_) => assert!(own, "{reply:?} goes to somebody else"),
        }
    }

    fn terminal(&mut self, conn: ConnId, job: JobNumber) {
        let left = self.waiting.get_mut(&(conn, job));
        let left = left.unwrap_or_else(|| panic!("{conn:?} learns of the end of {job:?} once too often"));
        *left -= 1;
        if *left == 0 {
            self.waiting.remove(&(conn, job));
        }
    }

    /// Submissions that still wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.values().sum()
    }
}
