//! Submissions: coalescing, limits, new jobs, start times.

use super::change::{Change, Record};
use super::effect::{Effects, Note, Reply};
use super::event::Event;
use super::functions::FunctionId;
use super::job::{Draft, Job, JobId, Place, Standing, own};
use super::jobs::Key;
use super::journal::STORE_REFUSES;
use super::timers::Timer;
use super::unread::Wait;
use super::watchers::Watcher;
use super::{Core, Durability, MAX_FUNCTIONS};
use bytes::Bytes;
use conveyor_common::limits::UNIQUE_BYTES;
use conveyor_common::protocol::{ErrorCode, Request, SubmitKind};
use conveyor_common::{ConnId, Millis, Priority};

/// A submission, whatever packet it came in.
struct Submission {
    function: Bytes,
    unique: Bytes,
    payload: Bytes,
    priority: Priority,
    background: bool,
    when: i64,
    reducer: Option<Bytes>,
}

impl Submission {
    fn new(kind: SubmitKind, function: Bytes, unique: Bytes, payload: Bytes) -> Self {
        let plain = Self {
            function,
            unique,
            payload,
            priority: Priority::Normal,
            background: false,
            when: 0,
            reducer: None,
        };
        match kind {
            SubmitKind::Job { priority, background } => Self { priority, background, ..plain },
            SubmitKind::Epoch { when } => Self { background: true, when, ..plain },
            SubmitKind::Reduce { reducer, background, .. } => {
                Self { background, reducer: Some(reducer), ..plain }
            }
        }
    }

    fn has_long_argument(&self) -> bool {
        self.unique.len() > UNIQUE_BYTES
            || self.reducer.as_ref().is_some_and(|reducer| reducer.len() > UNIQUE_BYTES)
    }
}

impl Core {
    /// Any SUBMIT packet.
    pub(super) fn submit(
        &mut self,
        now: Millis,
        conn: ConnId,
        kind: SubmitKind,
        (function, unique, payload): (Bytes, Bytes, Bytes),
        fx: &mut Effects,
    ) {
        if self.may_yet_come()
            && let Some(id) = self.may_join_unread(&function, &unique, &payload)
        {
            let request = Request::Submit { kind, function, unique, payload };
            return self.defer(conn, Wait::Uniques(id), Event::Request { conn, request }, fx);
        }
        let submission = Submission::new(kind, function, unique, payload);
        if submission.has_long_argument() {
            let text = "Unique value too large";
            return fx.send(conn, Reply::Error { code: ErrorCode::ArgumentTooLarge, text });
        }
        let Some(function) = self.function_for(conn, &submission.function, fx) else { return };
        let (unique, payload) = (&submission.unique, &submission.payload);
        let key = self.jobs.key(function, unique, payload);
        if let Some(id) = self.jobs.coalesces(key, function, unique, payload) {
            return self.join(now, conn, id, submission, fx);
        }
        if self.queue_is_full(function, submission.priority) || !self.has_room(submission.background) {
            let text = "Job queue is full";
            return fx.send(conn, Reply::Error { code: ErrorCode::QueueError, text });
        }
        if submission.background && (self.journal.has_failed() || !self.can_be_kept(&submission)) {
            return fx.send(conn, STORE_REFUSES);
        }
        self.create_job(now, conn, (function, key), submission, fx);
    }

    /// The function, when the job that the submission would join may be one that is still to come from the store.
    fn may_join_unread(&self, function: &[u8], unique: &[u8], payload: &[u8]) -> Option<FunctionId> {
        let function = self.functions.find(function).filter(|id| self.has_unread_uniques(*id))?;
        let key = self.jobs.key(function, unique, payload);
        let unknown = key.is_some() && self.jobs.coalesces(key, function, unique, payload).is_none();
        unknown.then_some(function)
    }

    /// The function with this name, made if need be; none closes the connection.
    pub(super) fn function_for(
        &mut self,
        conn: ConnId,
        name: &Bytes,
        fx: &mut Effects,
    ) -> Option<FunctionId> {
        if let Some(id) = self.functions.find(name) {
            return Some(id);
        }
        if self.functions.len() >= MAX_FUNCTIONS {
            fx.close(conn, "the server has as many functions as it can hold");
            return None;
        }
        self.append(Change::FunctionCreated { name: own(name.clone()) }, fx);
        Some(self.functions.create(name))
    }

    /// Some of gearmand's stores have no place for a start time; gearmand refuses such jobs too.
    const fn can_be_kept(&self, submission: &Submission) -> bool {
        submission.when <= 0 || self.rules.keeps.start_times
    }

    fn queue_is_full(&self, function: FunctionId, priority: Priority) -> bool {
        self.functions.get(function).is_some_and(|function| {
            let limit = *function.limits.of(priority) as usize;
            limit > 0 && function.total() >= limit
        })
    }

    /// A submission joins the job that is the same. Its payload, priority and time do not matter, unless
    /// the job had been abandoned: then it lives again with what the new submitter sent.
    fn join(&mut self, now: Millis, conn: ConnId, id: JobId, submission: Submission, fx: &mut Effects) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let number = job.number;
        let function = job.function;
        let promoted = submission.background && !job.background;
        if promoted && self.journal.has_failed() {
            return fx.send(conn, STORE_REFUSES);
        }
        job.background |= submission.background;
        let revived = job.standing == Standing::Abandoned;
        job.standing = if revived { Standing::Wanted } else { job.standing };
        let queued = revived && job.place == Place::Ready;
        let priority = job.priority;
        if revived {
            self.jobs.set_payload(id, submission.payload);
        }
        if promoted {
            self.append_job(id, fx);
        }
        if !submission.background {
            self.watch(conn, id);
        }
        let created = Reply::JobCreated(number);
        let change = if self.records() { self.journal.change_of(number) } else { None };
        match change {
            Some(change) if self.rules.durability == Durability::Sync => {
                let broken = if submission.background { STORE_REFUSES } else { created.clone() };
                self.promise(conn, change, (created, broken), fx);
            }
            // The number of a foreground job may not be stored yet.
            _ => match self.told_after(number) {
                0 => fx.send(conn, created),
                change => self.promise(conn, change, (created.clone(), created), fx),
            },
        }
        if queued {
            self.count_stale(function, false);
            if let Some(function) = self.functions.get_mut(function) {
                function.ready.count_runnable(priority, true);
            }
            self.functions.list_runnable(function, priority);
            self.wake_for_new_job(now, function, fx);
        }
    }

    fn create_job(
        &mut self,
        now: Millis,
        conn: ConnId,
        (function, key): (FunctionId, Option<Key>),
        submission: Submission,
        fx: &mut Effects,
    ) {
        let (number, told_after) = self.take_number(fx);
        let background = submission.background;
        let place = match self.rules.durability {
            Durability::Sync if background => Place::Committing,
            _ if self.is_future(now, submission.when) => Place::Scheduled,
            _ => Place::Ready,
        };
        let job = Job::new(Draft {
            number,
            function,
            priority: submission.priority,
            background,
            place,
            order: self.take_order(fx),
            retries: 0,
            when: submission.when.max(0),
            unique: &submission.unique,
            payload: submission.payload,
            reducer: submission.reducer,
        });
        fx.note(Note::JobAccepted { function: submission.function, unique: submission.unique });
        let id = self.jobs.insert(job, key);
        let change = if background { self.append_job(id, fx) } else { 0 };
        if !background {
            self.watch(conn, id);
        }
        let created = Reply::JobCreated(number);
        match (place, told_after) {
            (Place::Committing, _) => self.promise(conn, change, (created, STORE_REFUSES), fx),
            (_, 0) => fx.send(conn, created),
            (_, change) => self.promise(conn, change, (created.clone(), created), fx),
        }
        self.place_queued(id);
        if place == Place::Ready {
            self.wake_for(now, id, fx);
        }
    }

    /// Wakes somebody for a job that has just entered a queue.
    pub(super) fn wake_for(&mut self, now: Millis, id: JobId, fx: &mut Effects) {
        let runnable = self.jobs.get(id).filter(|job| job.is_runnable()).map(|job| job.function);
        if let Some(function) = runnable {
            self.wake_for_new_job(now, function, fx);
        }
    }

    /// Puts a job that is not with a worker into its queue or timer, and counts it.
    pub(super) fn place_queued(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        let Some(function) = self.functions.get_mut(job.function) else { return };
        *function.queued.of_mut(job.priority) += 1;
        self.enter_queue(id);
    }

    /// Puts a job that is counted into the place it is to be in.
    pub(super) fn enter_queue(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        let (function_id, priority, order) = (job.function, job.priority, job.order);
        let wanted = job.standing == Standing::Wanted;
        match job.place {
            Place::Scheduled => {
                let at = self.moment_of(job.when());
                self.timers.set(Timer::Start(id), at);
            }
            Place::Ready if self.has_older_unread(function_id, priority) => {
                self.wait_behind(id, function_id, priority);
            }
            Place::Ready => {
                if let Some(function) = self.functions.get_mut(function_id) {
                    function.ready.push(priority, order, id);
                }
                self.count_ready(function_id, priority, wanted);
            }
            Place::Committing | Place::Behind | Place::Running(_) => {}
        }
    }

    /// The start time of a job has come.
    pub(super) fn start_scheduled(&mut self, now: Millis, id: JobId, fx: &mut Effects) {
        let Some(job) = self.jobs.get(id).filter(|job| job.place == Place::Scheduled) else { return };
        if self.is_future(now, job.when()) {
            let at = self.moment_of(job.when());
            return self.timers.set(Timer::Start(id), at);
        }
        let function = job.function;
        self.make_ready(id);
        self.wake_for_new_job(now, function, fx);
    }

    /// Moves a scheduled job to the ready queue, at the place its submission gave it.
    pub(super) fn make_ready(&mut self, id: JobId) {
        self.timers.cancel(Timer::Start(id));
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.place = Place::Ready;
        let (function_id, priority, order) = (job.function, job.priority, job.order);
        let wanted = job.standing == Standing::Wanted;
        let Some(function) = self.functions.get_mut(function_id) else { return };
        match priority {
            Priority::Normal => function.ready.push_due(order, id),
            // A job whose payload could not be read, and is tried again.
            Priority::High | Priority::Low => function.ready.push(priority, order, id),
        }
        self.count_ready(function_id, priority, wanted);
    }

    /// Counts a job that has just entered a ready queue.
    pub(super) fn count_ready(&mut self, function_id: FunctionId, priority: Priority, wanted: bool) {
        if !wanted {
            return self.count_stale(function_id, true);
        }
        if let Some(function) = self.functions.get_mut(function_id) {
            function.ready.count_runnable(priority, true);
        }
        self.functions.list_runnable(function_id, priority);
    }

    /// Counts a queued job as one that nobody wants, or no longer.
    pub(super) fn count_stale(&mut self, function_id: FunctionId, stale: bool) {
        let Some(function) = self.functions.get_mut(function_id) else { return };
        function.stale = if stale { function.stale + 1 } else { function.stale.saturating_sub(1) };
        self.functions.list_stale(function_id);
    }

    /// gearmand compares whole seconds: a job is runnable as soon as its second has begun.
    pub(super) const fn is_future(&self, now: Millis, when: i64) -> bool {
        when > 0 && when > self.wall_seconds(now)
    }

    /// The wall clock in whole seconds since 1970-01-01 UTC.
    const fn wall_seconds(&self, now: Millis) -> i64 {
        (now.0.cast_signed()).saturating_add(self.wall_offset_ms).div_euclid(1000)
    }

    /// When, on the core's clock, a wall-clock second begins.
    fn moment_of(&self, when: i64) -> Millis {
        let at = when.saturating_mul(1000).saturating_sub(self.wall_offset_ms);
        Millis(u64::try_from(at).unwrap_or(0))
    }

    /// Somebody set the wall clock: start times are elsewhere now.
    pub(super) fn set_wall_clock(&mut self, offset_ms: i64) {
        self.wall_offset_ms = offset_ms;
        let starts: Vec<Timer> =
            self.timers.iter().filter(|timer| matches!(timer, Timer::Start(_))).collect();
        for timer in starts {
            let Timer::Start(id) = timer else { continue };
            if let Some(job) = self.jobs.get(id) {
                self.timers.set(timer, self.moment_of(job.when()));
            }
        }
    }

    /// Attaches a foreground submission of `conn` to a job.
    fn watch(&mut self, conn: ConnId, id: JobId) {
        let Some(client) = self.conns.get_mut(conn) else { return };
        let slot = u32::try_from(client.watching.insert(id)).unwrap_or(u32::MAX);
        if let Some(job) = self.jobs.get_mut(id) {
            job.watchers.push(Watcher { conn, slot });
        }
    }

    /// What must survive of a job.
    pub(super) fn record(&self, id: JobId) -> Option<Record> {
        let job = self.jobs.get(id)?;
        let function = self.functions.get(job.function)?;
        Some(Record {
            number: job.number,
            order: job.order,
            function: function.name.clone(),
            unique: job.unique_bytes(),
            priority: job.priority,
            reducer: job.reducer().cloned(),
            when: job.when(),
            retries: job.retries,
            payload: job.payload_bytes(),
        })
    }
}
