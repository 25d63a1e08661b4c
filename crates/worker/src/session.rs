//! What to say to one server: which of GRAB and PRE_SLEEP is next, given slots and what the server says.
//!
//! Pure: [`crate::link`] owns the socket and the slots. At most one GRAB is under way, and it holds a slot
//! from before it is sent until the job it brought has ended, so that a server is never asked for a job that
//! nobody could start. What the server hands out is always done, while draining too: it is the answer to a
//! GRAB of ours, which cannot be taken back.

use crate::job::Assignment;
use bytes::Bytes;
use conveyor_common::protocol::{GrabForm, Request, Response};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There may be a job: a GRAB is due as soon as there is a slot. A NOOP that comes meanwhile says nothing new.
    Hungry,
    /// A GRAB is under way. A NOOP that comes now was sent before the server read it, and so before its answer.
    Asking,
    /// PRE_SLEEP was sent: a NOOP will follow if there is a job, be it there already.
    Asleep,
}

/// What to do after a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Nothing,
    /// There is no job: give the slot back and send this, if anything.
    GiveBack(Option<Request>),
    /// Start this job in the slot of the GRAB.
    Start(Assignment),
    /// The server broke the protocol: close.
    Close(&'static str),
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    draining: bool,
    paused: bool,
}

impl Session {
    /// A new connection, whose server may have jobs already.
    pub(crate) const fn new() -> Self {
        Self { state: State::Hungry, draining: false, paused: false }
    }

    /// Whether a slot would be used.
    pub(crate) fn wants_slot(&self) -> bool {
        self.state == State::Hungry && !self.draining && !self.paused
    }

    /// Whether the server owes an answer.
    pub(crate) fn is_asking(&self) -> bool {
        self.state == State::Asking
    }

    /// Uses a slot; only when [`Session::wants_slot`].
    pub(crate) fn take_slot(&mut self) -> Request {
        debug_assert!(self.wants_slot(), "a slot nobody asked for");
        self.state = State::Asking;
        Request::Grab(GrabForm::All)
    }

    /// Asks for no further job.
    pub(crate) const fn drain(&mut self) {
        self.draining = true;
    }

    /// Asks for no job for a while, or again. Meanwhile the server could do nothing: what it has to say about jobs is asked
    /// for again.
    pub(crate) fn pause(&mut self, paused: bool) {
        if self.paused && !paused && self.state == State::Asleep {
            self.state = State::Hungry;
        }
        self.paused = paused;
    }

    /// Takes what the server says.
    pub(crate) fn receive(&mut self, response: Response) -> Step {
        match response {
            Response::Noop => {
                if self.state == State::Asleep {
                    self.state = State::Hungry;
                }
                Step::Nothing
            }
            Response::NoJob if self.is_asking() => {
                self.state = State::Asleep;
                // Who drains or pauses wants no NOOP, which another worker may then get.
                Step::GiveBack((!self.draining && !self.paused).then_some(Request::PreSleep))
            }
            Response::NoJob => Step::Close("NO_JOB where nothing was asked"),
            Response::JobAssign { handle, function, payload } => {
                let (unique, reducer) = (Bytes::new(), Bytes::new());
                self.assigned(Assignment { handle, function, unique, reducer, payload })
            }
            Response::JobAssignUniq { handle, function, unique, payload } => {
                self.assigned(Assignment { handle, function, unique, reducer: Bytes::new(), payload })
            }
            Response::JobAssignAll { handle, function, unique, reducer, payload } => {
                self.assigned(Assignment { handle, function, unique, reducer, payload })
            }
            Response::Error { code, text } => {
                // Reports on a job that was cancelled or given to another are refused; that is all.
                tracing::debug!(?code, ?text, "the server refused a packet");
                Step::Nothing
            }
            other => {
                tracing::debug!(packet = ?other.opcode(), "not for a worker");
                Step::Nothing
            }
        }
    }

    fn assigned(&mut self, assignment: Assignment) -> Step {
        if !self.is_asking() {
            return Step::Close("a job where none was asked for");
        }
        self.state = State::Hungry;
        Step::Start(assignment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn a_job() -> Response {
        let name = Bytes::from_static(b"x");
        Response::JobAssign { handle: name.clone(), function: name.clone(), payload: name }
    }

    #[test]
    fn a_wake_up_while_all_slots_are_taken_is_answered_when_one_frees() {
        let mut session = Session::new();
        session.take_slot();
        assert_eq!(session.receive(Response::NoJob), Step::GiveBack(Some(Request::PreSleep)));
        assert!(!session.wants_slot(), "asleep");
        assert_eq!(session.receive(Response::Noop), Step::Nothing);
        assert!(session.wants_slot(), "and stays so until a slot is there");
        assert_eq!(session.receive(Response::Noop), Step::Nothing);
        assert_eq!(session.take_slot(), Request::Grab(GrabForm::All));
    }

    #[test]
    fn a_job_that_arrives_while_draining_is_done_and_no_other_is_asked_for() {
        let mut session = Session::new();
        session.take_slot();
        session.drain();
        assert!(session.is_asking());
        assert!(matches!(session.receive(a_job()), Step::Start(_)));
        assert!(!session.wants_slot() && !session.is_asking());
    }

    #[test]
    fn who_goes_on_after_a_pause_asks_again_whatever_was_said_before_it() {
        let mut session = Session::new();
        session.take_slot();
        session.pause(true);
        assert_eq!(session.receive(Response::NoJob), Step::GiveBack(None));
        assert_eq!(session.receive(Response::Noop), Step::Nothing);
        assert!(!session.wants_slot());
        session.pause(false);
        assert!(session.wants_slot());
        session.take_slot();
        session.pause(true);
        session.pause(false);
        assert!(!session.wants_slot(), "the answer is still to come");
        assert_eq!(session.receive(Response::NoJob), Step::GiveBack(Some(Request::PreSleep)));
    }

    #[test]
    fn a_job_nobody_asked_for_closes_the_connection() {
        assert!(matches!(Session::new().receive(a_job()), Step::Close(_)));
        assert!(matches!(Session::new().receive(Response::NoJob), Step::Close(_)));
    }

    /// A worker with slots and a server, with packets under way in both directions.
    struct World {
        session: Session,
        slots: usize,
        free: usize,
        running: usize,
        queued: usize,
        asleep: bool,
        to_server: VecDeque<Request>,
        to_worker: VecDeque<Response>,
    }

    impl World {
        /// One of the things that can happen, if it can.
        fn step(&mut self, what: u8) -> bool {
            let happened = match what {
                0 => self.server_reads(),
                1 => self.worker_reads(),
                2 if self.free > 0 && self.session.wants_slot() => {
                    self.free -= 1;
                    self.to_server.push_back(self.session.take_slot());
                    true
                }
                3 if self.running > 0 => {
                    self.running -= 1;
                    self.free += 1;
                    true
                }
                4 => {
                    self.queued += 1;
                    if std::mem::take(&mut self.asleep) {
                        self.to_worker.push_back(Response::Noop);
                    }
                    true
                }
                _ => false,
            };
            let asking = usize::from(self.session.is_asking());
            assert_eq!(self.free + self.running + asking, self.slots, "a GRAB has a slot of its own");
            happened
        }

        fn server_reads(&mut self) -> bool {
            match self.to_server.pop_front() {
                None => return false,
                Some(Request::PreSleep) if self.queued > 0 => self.to_worker.push_back(Response::Noop),
                Some(Request::PreSleep) => self.asleep = true,
                Some(_) if self.queued > 0 => {
                    self.asleep = false;
                    self.queued -= 1;
                    self.to_worker.push_back(a_job());
                }
                Some(_) => self.to_worker.push_back(Response::NoJob),
            }
            true
        }

        fn worker_reads(&mut self) -> bool {
            let Some(response) = self.to_worker.pop_front() else { return false };
            match self.session.receive(response) {
                Step::Nothing => {}
                Step::GiveBack(request) => {
                    self.free += 1;
                    self.to_server.extend(request);
                }
                Step::Start(_) => self.running += 1,
                Step::Close(why) => panic!("{why}"),
            }
            true
        }
    }

    proptest! {
        #[test]
        fn no_order_of_events_leaves_a_job_waiting(
            slots in 1..4_usize,
            steps in prop::collection::vec(0..5_u8, 0..200),
            drain_at in prop::option::of(0..200_usize),
        ) {
            let mut world = World {
                session: Session::new(), slots, free: slots, running: 0, queued: 0, asleep: false,
                to_server: VecDeque::new(), to_worker: VecDeque::new(),
            };
            for (number, step) in steps.into_iter().enumerate() {
                if Some(number) == drain_at {
                    world.session.drain();
                }
                world.step(step);
            }
            while (0..4).any(|step| world.step(step)) {}
            prop_assert_eq!(world.free, world.slots, "everything handed out has been done");
            prop_assert!(world.queued == 0 || !world.session.wants_slot() && world.session.draining);
        }
    }
}
