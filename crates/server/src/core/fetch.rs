//! Jobs whose payload is in the store: read when a worker takes them, and a little ahead of that.

use super::Core;
use super::effect::{Effects, Note, Reply};
use super::functions::FunctionId;
use super::job::{JobId, Place};
use super::timers::Timer;
use bytes::Bytes;
use conveyor_common::protocol::GrabForm;
use conveyor_common::{ConnId, JobNumber, Millis, Priority};
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Payloads read ahead of need, of one queue.
const AHEAD: usize = 16;

/// Payloads larger than this are read one by one.
const AHEAD_BYTES: usize = 64 * 1024;

/// How long a job rests whose payload could not be read.
const REST_MS: u64 = 60_000;

/// Who waits for a payload.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// A worker, with a place kept in what is queued for it.
    Worker { conn: ConnId, ticket: u64, form: GrabForm },
    /// Nobody yet.
    Soon,
}

/// Payloads asked for. Never iterated.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    needs: HashMap<JobNumber, Need, FixedState>,
}

impl Core {
    /// A worker took a job whose payload is in the store: its answer has to wait.
    pub(super) fn fetch_for(&mut self, conn: ConnId, id: JobId, form: GrabForm, fx: &mut Effects) {
        let Some(job) = self.jobs.get(id) else { return };
        let (number, priority) = (job.number, job.priority);
        let ticket = self.journal.next_ticket();
        fx.hold(conn, ticket);
        let asked = self.fetches.needs.insert(number, Need::Worker { conn, ticket, form }).is_some();
        if !asked {
            fx.fetch(number, priority);
        }
    }

    /// A worker that waits for a payload loses the job: its GRAB is answered, and the loss does not count.
    pub(super) fn stop_fetching(&mut self, number: JobNumber, fx: &mut Effects) -> bool {
        let Some(Need::Worker { conn, ticket, .. }) = self.fetches.needs.get(&number).copied() else {
            return false;
        };
        self.fetches.needs.insert(number, Need::Soon);
        self.answer(conn, ticket, Reply::NoJob, fx);
        true
    }

    /// A payload was read, or cannot be.
    pub(super) fn fetched(
        &mut self,
        now: Millis,
        number: JobNumber,
        payload: Option<Bytes>,
        fx: &mut Effects,
    ) {
        let Some(need) = self.fetches.needs.remove(&number) else { return };
        let Some(id) = self.jobs.by_number(number) else { return };
        let Some(job) = self.jobs.get(id).filter(|job| job.spilled) else { return };
        let (function, priority) = (job.function, job.priority);
        match (need, payload) {
            (Need::Worker { conn, ticket, form }, Some(payload)) => {
                let small = payload.len() <= AHEAD_BYTES;
                if let Some(reply) = self.assignment(id, form, payload) {
                    self.answer(conn, ticket, reply, fx);
                }
                if small {
                    self.fetch_ahead(function, priority, fx);
                }
            }
            (Need::Soon, Some(payload)) => self.jobs.set_payload(id, payload),
            // It is tried again, and complained about, when a worker takes the job.
            (Need::Soon, None) => {}
            (Need::Worker { conn, ticket, .. }, None) => {
                self.park(now, id);
                self.answer(conn, ticket, Reply::NoJob, fx);
                fx.note(Note::PayloadLost { job: number });
            }
        }
    }

    /// JOB_ASSIGN in one of its forms.
    pub(super) fn assignment(&self, id: JobId, form: GrabForm, payload: Bytes) -> Option<Reply> {
        let job = self.jobs.get(id)?;
        let function = self.functions.get(job.function)?;
        let form = match (form, job.reducer()) {
            (GrabForm::All, None) => GrabForm::Unique,
            (form, _) => form,
        };
        Some(Reply::Assign {
            form,
            job: job.number,
            function: function.name.clone(),
            unique: job.unique_bytes(),
            reducer: job.reducer().cloned().unwrap_or_default(),
            payload,
        })
    }

    fn fetch_ahead(&mut self, function: FunctionId, priority: Priority, fx: &mut Effects) {
        let Some(function) = self.functions.get(function) else { return };
        for id in function.ready.head(priority, AHEAD) {
            let Some(job) = self.jobs.get(id).filter(|job| job.spilled && job.is_runnable()) else {
                continue;
            };
            if let Entry::Vacant(entry) = self.fetches.needs.entry(job.number) {
                entry.insert(Need::Soon);
                fx.fetch(job.number, priority);
            }
        }
    }

    /// Puts a job whose payload cannot be read aside for a while.
    fn park(&mut self, now: Millis, id: JobId) {
        self.release(id);
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.place = Place::Scheduled;
        let (function, priority) = (job.function, job.priority);
        if let Some(function) = self.functions.get_mut(function) {
            *function.queued.of_mut(priority) += 1;
        }
        self.timers.set(Timer::Start(id), now.plus(REST_MS));
    }
}
