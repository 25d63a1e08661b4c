//! What workers report, what clients get to see of it, and what happens to jobs that lose either.

use super::change::Change;
use super::effect::{Effects, JobStatus, Note, Reply};
use super::event::Event;
use super::functions::FunctionId;
use super::job::{Job, JobId, Place, Standing};
use super::timers::Timer;
use super::unread::{Sought, Wait};
use super::{Core, STALE_JOBS_KEPT};
use bytes::Bytes;
use conveyor_common::limits::{DENOMINATOR_BYTES, HANDLE_BYTES};
use conveyor_common::protocol::{ErrorCode, Request};
use conveyor_common::{ConnId, Millis};

/// The refusal of a report, by the kind of report.
const NOT_FOUND_PART: &str = "Job does not exist on server";
const NOT_FOUND_RESULT: &str = "Job given in work result not found";
const NOT_FOUND_EXCEPTION: &str = "An exception was received for a job that does not exist";
const LONG_HANDLE: &str = "Error occurred due to GEARMAND_JOB_HANDLE_SIZE being too small from snprintf";

/// What C code sees of a string: everything up to the first NUL.
pub(super) fn until_nul(bytes: &Bytes) -> Bytes {
    bytes.iter().position(|byte| *byte == 0).map_or_else(|| bytes.clone(), |end| bytes.slice(..end))
}

/// How C's `atoi` reads a number, as the unsigned one that gearmand keeps.
#[expect(clippy::cast_possible_truncation, reason = "what atoi and the assignment to u32 do")]
fn read_progress(text: &[u8]) -> u32 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let number = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    (if negative { -number } else { number }) as u32
}

/// Reports that leave the job running.
pub(super) enum Part {
    Data(Bytes),
    Warning(Bytes),
}

/// Reports that end the job.
pub(super) enum Outcome {
    Complete(Bytes),
    /// Holds the argument as the worker sent it.
    Fail(Bytes),
    Exception(Bytes),
}

impl Core {
    /// The job with this handle, when `conn` works on it.
    fn held_job(&self, conn: ConnId, handle: &[u8]) -> Option<JobId> {
        let id = self.jobs.by_number(self.rules.prefix.parse(handle)?)?;
        self.jobs.run_by(id, conn).map(|_| id)
    }

    /// WORK_DATA and WORK_WARNING.
    pub(super) fn work_part(&self, conn: ConnId, handle: &[u8], part: &Part, fx: &mut Effects) {
        let Some(id) = self.held_job(conn, handle) else {
            return fx.send(conn, Reply::Error { code: ErrorCode::JobNotFound, text: NOT_FOUND_PART });
        };
        let Some(job) = self.jobs.get(id) else { return };
        for watcher in job.watchers.iter() {
            let reply = match part {
                Part::Data(payload) => Reply::Data { job: job.number, payload: payload.clone() },
                Part::Warning(payload) => Reply::Warning { job: job.number, payload: payload.clone() },
            };
            fx.send(watcher.conn, reply);
        }
    }

    /// WORK_STATUS.
    pub(super) fn work_status(
        &mut self,
        conn: ConnId,
        handle: &[u8],
        numerator: &Bytes,
        denominator: &Bytes,
        fx: &mut Effects,
    ) {
        if denominator.len() > DENOMINATOR_BYTES {
            return;
        }
        let Some(id) = self.held_job(conn, handle) else {
            return fx.send(conn, Reply::Error { code: ErrorCode::JobNotFound, text: NOT_FOUND_RESULT });
        };
        self.jobs.set_progress(id, read_progress(numerator), read_progress(denominator));
        let Some(job) = self.jobs.get(id) else { return };
        for watcher in job.watchers.iter() {
            let (numerator, denominator) = (numerator.clone(), denominator.clone());
            fx.send(watcher.conn, Reply::Status { job: job.number, numerator, denominator });
        }
    }

    /// WORK_COMPLETE, WORK_FAIL and WORK_EXCEPTION: the one terminal packet, and the job is over.
    pub(super) fn work_outcome(&mut self, conn: ConnId, handle: &Bytes, outcome: &Outcome, fx: &mut Effects) {
        let text = match outcome {
            Outcome::Fail(_) if handle.len() > HANDLE_BYTES => {
                return fx.send(conn, Reply::Error { code: ErrorCode::ArgumentTooLarge, text: LONG_HANDLE });
            }
            Outcome::Exception(_) => NOT_FOUND_EXCEPTION,
            Outcome::Complete(_) | Outcome::Fail(_) => NOT_FOUND_RESULT,
        };
        let Some(id) = self.held_job(conn, &until_nul(handle)) else {
            return fx.send(conn, Reply::Error { code: ErrorCode::JobNotFound, text });
        };
        self.release(id);
        let Some(job) = self.jobs.get(id) else { return };
        for watcher in job.watchers.iter() {
            let number = job.number;
            let wants_exceptions = || self.conns.get(watcher.conn).is_some_and(|conn| conn.exceptions);
            let reply = match outcome {
                Outcome::Complete(payload) => Reply::Complete { job: number, payload: payload.clone() },
                Outcome::Fail(handle) => Reply::FailAsSent(handle.clone()),
                Outcome::Exception(payload) if wants_exceptions() => {
                    Reply::Exception { job: number, payload: payload.clone() }
                }
                Outcome::Exception(_) => Reply::FailTerminated(number),
            };
            fx.send(watcher.conn, reply);
        }
        self.finish(id, fx);
    }

    /// Takes a running job from its worker. It is in no place until the caller puts it into one.
    pub(super) fn release(&mut self, id: JobId) {
        let Some(run) = self.jobs.stop(id) else { return };
        if run.timed {
            self.timers.cancel(Timer::Expiry(id));
        }
        let function = self.jobs.get(id).map(|job| job.function);
        if let Some(function) = function.and_then(|function| self.functions.get_mut(function)) {
            function.running = function.running.saturating_sub(1);
        }
        if let Some(worker) = self.conns.get_mut(run.conn) {
            worker.held.try_remove(run.slot as usize);
        }
    }

    /// A job that is in no place is over.
    fn finish(&mut self, id: JobId, fx: &mut Effects) {
        self.detach_watchers(id);
        if let Some(job) = self.jobs.remove(id)
            && job.background
            && job.standing != Standing::Cancelled
        {
            let change = self.end_of(&job);
            self.append(change, fx);
        }
    }

    /// That a background job is over.
    fn end_of(&self, job: &Job) -> Change {
        let function = self.functions.get(job.function).map_or_else(Bytes::new, |found| found.name.clone());
        let unique = !job.unique().is_empty();
        Change::Removed { number: job.number, priority: job.priority, function, unique }
    }

    fn detach_watchers(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        for watcher in std::mem::take(&mut job.watchers).iter() {
            if let Some(client) = self.conns.get_mut(watcher.conn) {
                client.watching.try_remove(watcher.slot as usize);
            }
        }
    }

    fn fail_watchers(&mut self, id: JobId, fx: &mut Effects) {
        let Some(job) = self.jobs.get(id) else { return };
        job.watchers.iter().for_each(|watcher| fx.send(watcher.conn, Reply::Fail(job.number)));
        self.detach_watchers(id);
    }

    /// A worker lost jobs: those of one function or all, the last grabbed first.
    pub(super) fn lose_held(
        &mut self,
        now: Millis,
        conn: ConnId,
        only: Option<FunctionId>,
        fx: &mut Effects,
    ) {
        let Some(worker) = self.conns.get(conn) else { return };
        let mut lost: Vec<(u64, JobId)> = worker
            .held
            .iter()
            .filter_map(|(_, id)| {
                let job = self.jobs.get(*id)?;
                let run = self.jobs.run_by(*id, conn)?;
                only.is_none_or(|only| only == job.function).then_some((run.turn, *id))
            })
            .collect();
        lost.sort_unstable_by_key(|(turn, _)| std::cmp::Reverse(*turn));
        lost.into_iter().for_each(|(_, id)| self.lose(now, id, fx));
    }

    /// A running job lost its worker: back to the tail of its queue, unless that was once too often.
    fn lose(&mut self, now: Millis, id: JobId, fx: &mut Effects) {
        self.release(id);
        let order = self.take_order(fx);
        let Some(number) = self.jobs.get(id).map(|job| job.number) else { return };
        let seen = !self.stop_fetching(number, fx);
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.retries += u32::from(seen);
        job.order = order;
        let (function, retries, priority) = (job.function, job.retries, job.priority);
        let unique = job.unique_bytes();
        if seen && self.rules.max_losses.is_some_and(|max| retries >= u32::from(max.get())) {
            self.fail_watchers(id, fx);
            fx.note(Note::JobDropped { job: number, unique });
            return self.finish(id, fx);
        }
        let wanted = job.standing == Standing::Wanted;
        if job.background && wanted {
            self.append(Change::Lost { number, priority, retries, order }, fx);
        }
        self.place_queued(id);
        if wanted {
            self.wake_for(now, id, fx);
        } else {
            self.bound_stale(function);
        }
    }

    /// The limit that CAN_DO_TIMEOUT set on a job has passed. Nobody is told; the worker finds out when it
    /// reports.
    pub(super) fn expire(&mut self, now: Millis, id: JobId, fx: &mut Effects) {
        let Some(job) = self.jobs.get(id) else { return };
        let Some(run) = self.jobs.run(id) else { return };
        fx.note(Note::JobTimedOut { job: job.number, conn: run.conn });
        self.lose(now, id, fx);
    }

    /// A client left: what only it waited for is abandoned.
    pub(super) fn leave_watched(&mut self, conn: ConnId) {
        let Some(client) = self.conns.get_mut(conn) else { return };
        let watched: Vec<JobId> = client.watching.drain().collect();
        for id in watched {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            job.watchers.leave(conn);
            if job.watchers.is_empty() && !job.background && job.standing == Standing::Wanted {
                self.give_up(id, Standing::Abandoned);
            }
        }
    }

    /// An operator gives a job up.
    pub(super) fn cancel(&mut self, id: JobId, fx: &mut Effects) {
        self.fail_watchers(id, fx);
        let number = self.jobs.get(id).map(|job| job.number);
        if number.is_some_and(|number| self.stop_fetching(number, fx)) {
            // The worker never saw it.
            self.release(id);
            self.place_queued(id);
        }
        let Some(job) = self.jobs.get(id).filter(|job| job.standing != Standing::Cancelled) else { return };
        if job.background {
            let change = self.end_of(job);
            self.append(change, fx);
        }
        self.give_up(id, Standing::Cancelled);
    }

    /// Nobody wants a job any more. It stays where it is until a look-up meets it.
    pub(super) fn give_up(&mut self, id: JobId, standing: Standing) {
        let Some(job) = self.jobs.get(id) else { return };
        let (was_wanted, place) = (job.standing == Standing::Wanted, job.place);
        let (function_id, priority) = (job.function, job.priority);
        self.jobs.stand_down(id, standing);
        if !was_wanted {
            return;
        }
        match place {
            // What is to enter a queue does so as what nobody wants.
            Place::Running(_) | Place::Committing | Place::Behind => {}
            Place::Scheduled => self.make_ready(id),
            Place::Ready => {
                self.count_stale(function_id, true);
                if let Some(function) = self.functions.get_mut(function_id) {
                    function.ready.count_runnable(priority, false);
                }
                self.functions.list_runnable(function_id, priority);
            }
        }
        self.bound_stale(function_id);
    }

    /// Keeps what nobody wants from piling up where no worker ever looks.
    fn bound_stale(&mut self, function_id: FunctionId) {
        let Some(function) = self.functions.get(function_id) else { return };
        if function.stale > STALE_JOBS_KEPT && function.stale > function.queued_total() / 2 {
            self.sweep(function_id);
        }
    }

    /// Removes every queued job of a function that nobody wants.
    fn sweep(&mut self, function_id: FunctionId) {
        let jobs = &self.jobs;
        let unwanted = |id: &JobId| jobs.get(*id).is_none_or(|job| job.standing != Standing::Wanted);
        let Some(function) = self.functions.get_mut(function_id) else { return };
        let stale: Vec<JobId> = function.ready.iter().filter(unwanted).collect();
        function.ready.retain(|id| !unwanted(&id));
        for id in stale {
            if let Some(job) = self.jobs.get(id) {
                self.forget_stale(function_id, job.priority, id);
            }
        }
    }

    /// Fails and removes every queued job of a function that goes away.
    pub(super) fn drop_queued(&mut self, function_id: FunctionId, fx: &mut Effects) {
        let queued: Vec<JobId> = self
            .jobs
            .sorted()
            .into_iter()
            .filter(|(_, job)| job.function == function_id)
            .map(|(id, _)| id)
            .collect();
        for id in queued {
            self.timers.cancel(Timer::Start(id));
            self.fail_watchers(id, fx);
            self.finish(id, fx);
        }
    }

    /// GET_STATUS. A handle longer than any handle gets no answer, as in gearmand.
    pub(super) fn get_status(&mut self, conn: ConnId, handle: &Bytes, fx: &mut Effects) {
        if handle.len() > HANDLE_BYTES {
            return;
        }
        let handle = until_nul(handle);
        let number = self.rules.prefix.parse(&handle);
        let id = number.and_then(|number| self.jobs.by_number(number));
        let mut status = self.status_of(id);
        if let (Some(number), None) = (number, id) {
            match self.seek(number) {
                Sought::Nowhere => {}
                Sought::InStore(_) => status.known = true,
                Sought::Unknown => {
                    let event = Event::Request { conn, request: Request::GetStatus { handle } };
                    return self.defer(conn, Wait::Row(number), event, fx);
                }
            }
        }
        fx.send(conn, Reply::StatusRes { handle, status });
    }

    /// GET_STATUS_UNIQUE: the newest job with that unique, whatever its function.
    pub(super) fn get_status_unique(&mut self, conn: ConnId, unique: &Bytes, fx: &mut Effects) {
        if unique.len() > HANDLE_BYTES {
            return;
        }
        let unique = until_nul(unique);
        if self.has_any_unread_uniques() {
            let event = Event::Request { conn, request: Request::GetStatusUnique { unique } };
            return self.defer(conn, Wait::AllUniques, event, fx);
        }
        let id = self.jobs.newest_by_unique(&unique);
        let clients = id.and_then(|id| self.jobs.get(id)).map_or(0, |job| job.watchers.len());
        fx.send(conn, Reply::StatusResUnique { unique, status: self.status_of(id), clients });
    }

    fn status_of(&self, id: Option<JobId>) -> JobStatus {
        let Some(id) = id.filter(|id| self.jobs.get(*id).is_some()) else { return JobStatus::default() };
        let run = self.jobs.run(id);
        JobStatus {
            known: true,
            running: run.is_some(),
            numerator: run.map_or(0, |run| run.numerator),
            denominator: run.map_or(0, |run| run.denominator),
        }
    }
}
