//! A second job server, written from the description of the behaviour and nothing else: lists, and loops over
//! them. Slow, small and easy to believe. It says what each connection is answered; who is woken when is
//! not its business, except that PRE_SLEEP is answered when there is work.

mod events;
mod reports;
mod tables;

pub(crate) use events::{by_conn, comparable};

use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::{ErrorCode, GrabForm, SubmitKind};
use conveyor_common::{ConnId, JobNumber, Priority};
use conveyor_server::core::{Compat, JobStatus, Reply, Rules};
use std::cmp::Reverse;

/// Replies in the order in which they are sent.
pub(crate) type Replies = Vec<(ConnId, Reply)>;

/// Somebody waits for the job, or nobody does any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Wanted,
    Abandoned,
    Cancelled,
}

/// An unfinished job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) function: Bytes,
    pub(crate) unique: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) reducer: Option<Bytes>,
    pub(crate) priority: Priority,
    pub(crate) background: bool,
    /// Its start time has not come yet. Once it has, setting the clock back changes nothing.
    future: bool,
    pub(crate) when: i64,
    pub(crate) retries: u64,
    /// Numerator and denominator.
    pub(crate) progress: (u32, u32),
    /// Its place in line; renewed when it is lost.
    pub(crate) place: u64,
    /// Who works on it, since which grab, and until when it may.
    pub(crate) worker: Option<(ConnId, u64, Option<u64>)>,
    /// One entry for each foreground submission.
    pub(crate) attached: Vec<ConnId>,
    wish: Wish,
}

/// A connection.
#[derive(Clone, Debug)]
struct Conn {
    id: ConnId,
    client_id: Bytes,
    exceptions: bool,
    /// Newest first, with the limit in milliseconds.
    abilities: Vec<(Bytes, u64)>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    now_ms: u64,
    wall_offset_ms: i64,
    conns: Vec<Conn>,
    functions: Vec<(Bytes, PerPriority<u32>)>,
    pub(crate) jobs: Vec<Job>,
    next_number: u64,
    next_place: u64,
    next_grab: u64,
}

fn error(code: ErrorCode, text: &'static str) -> Reply {
    Reply::Error { code, text }
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            now_ms: 0,
            wall_offset_ms: 0,
            conns: Vec::new(),
            functions: Vec::new(),
            jobs: Vec::new(),
            next_number: 1,
            next_place: 1,
            next_grab: 1,
        }
    }

    fn handle_of(&self, job: &Job) -> Vec<u8> {
        self.rules.prefix.write(JobNumber(job.number)).as_bytes().to_vec()
    }

    fn conn(&mut self, id: ConnId) -> &mut Conn {
        self.conns.iter_mut().find(|conn| conn.id == id).unwrap()
    }

    fn connected(&mut self, id: ConnId) {
        let client_id = Bytes::from_static(b"-");
        self.conns.push(Conn { id, client_id, exceptions: self.rules.exceptions, abilities: Vec::new() });
    }

    /// The server came back: background jobs that somebody wants are there, and nobody else.
    pub(crate) fn restarted(&mut self, last_number: u64) {
        self.conns.clear();
        self.next_number = last_number + 1;
        self.jobs.retain(|job| job.background && job.wish == Wish::Wanted);
        for at in 0..self.jobs.len() {
            let future = self.is_future(self.jobs[at].when);
            let job = &mut self.jobs[at];
            (job.worker, job.progress, job.future) = (None, (0, 0), future);
            job.attached.clear();
        }
    }

    /// What it waited for may be abandoned; what it worked on is lost.
    fn closed(&mut self, id: ConnId) -> Replies {
        for job in &mut self.jobs {
            let before = job.attached.len();
            job.attached.retain(|client| *client != id);
            if before > 0 && job.attached.is_empty() && !job.background && job.wish == Wish::Wanted {
                job.wish = Wish::Abandoned;
            }
        }
        let replies = self.lose_all(id, None);
        self.conns.retain(|conn| conn.id != id);
        replies
    }

    fn know_function(&mut self, name: &Bytes) {
        if !self.functions.iter().any(|(known, _)| known == name) {
            self.functions.push((name.clone(), PerPriority::default()));
        }
    }

    fn can_do(&mut self, id: ConnId, function: &Bytes, timeout_ms: i64) {
        self.know_function(function);
        let limit = if timeout_ms <= 0 { 0 } else { timeout_ms.max(1000) };
        let ability = (function.clone(), u64::try_from(limit).unwrap());
        self.conn(id).abilities.insert(0, ability);
    }

    /// CANT_DO, or RESET_ABILITIES without a function.
    fn cant_do(&mut self, id: ConnId, function: Option<&Bytes>) -> Replies {
        self.conn(id).abilities.retain(|(name, _)| function.is_some_and(|function| function != name));
        self.lose_all(id, function)
    }

    /// The jobs that the connection works on are lost, the last one grabbed first.
    fn lose_all(&mut self, id: ConnId, function: Option<&Bytes>) -> Replies {
        let mut lost: Vec<(u64, u64)> = Vec::new();
        for job in &self.jobs {
            if let Some((worker, grab, _)) = job.worker
                && worker == id
                && function.is_none_or(|function| *function == job.function)
            {
                lost.push((grab, job.number));
            }
        }
        lost.sort_unstable_by_key(|(grab, _)| Reverse(*grab));
        lost.into_iter().flat_map(|(_, number)| self.lose(number)).collect()
    }

    fn lose(&mut self, number: u64) -> Replies {
        let place = self.next_place;
        self.next_place += 1;
        let job = self.jobs.iter_mut().find(|job| job.number == number).unwrap();
        (job.worker, job.progress, job.place) = (None, (0, 0), place);
        job.retries += 1;
        if self.rules.max_losses.is_none_or(|most| job.retries < u64::from(most.get())) {
            return Vec::new();
        }
        let replies = job.attached.iter().map(|client| (*client, Reply::Fail(JobNumber(number)))).collect();
        self.jobs.retain(|job| job.number != number);
        replies
    }

    /// Start times that have come, and jobs over their limit, which are lost.
    fn tick(&mut self) -> Replies {
        let over = |job: &Job| {
            let (_, grab, until) = job.worker?;
            until.filter(|until| *until <= self.now_ms).map(|until| (until, grab, job.number))
        };
        let mut over: Vec<(u64, u64, u64)> = self.jobs.iter().filter_map(over).collect();
        over.sort_unstable();
        let replies = over.into_iter().flat_map(|(_, _, number)| self.lose(number)).collect();
        for at in 0..self.jobs.len() {
            self.jobs[at].future &= self.is_future(self.jobs[at].when);
        }
        replies
    }

    fn is_future(&self, when: i64) -> bool {
        when > 0 && when > (i64::try_from(self.now_ms).unwrap() + self.wall_offset_ms).div_euclid(1000)
    }

    fn submit(
        &mut self,
        id: ConnId,
        kind: &SubmitKind,
        (function, unique, payload): (&Bytes, &Bytes, &Bytes),
    ) -> Replies {
        let (priority, background, when, reducer) = match kind {
            SubmitKind::Job { priority, background } => (*priority, *background, 0, None),
            SubmitKind::Epoch { when } => (Priority::Normal, true, *when, None),
            SubmitKind::Reduce { reducer, background, .. } => {
                (Priority::Normal, *background, 0, Some(reducer.clone()))
            }
        };
        if unique.len() > 64 || reducer.as_ref().is_some_and(|reducer| reducer.len() > 64) {
            return vec![(id, error(ErrorCode::ArgumentTooLarge, "Unique value too large"))];
        }
        self.know_function(function);
        let same = |job: &&mut Job| {
            let same_unique = job.function == *function && job.unique == *unique;
            match unique.as_ref() {
                b"" => false,
                b"-" => {
                    // Nobody joins a job of this kind that was given up: what it had to do is forgotten.
                    same_unique && job.wish == Wish::Wanted && !payload.is_empty() && job.payload == *payload
                }
                _ => same_unique && job.wish != Wish::Cancelled,
            }
        };
        if let Some(job) = self.jobs.iter_mut().find(same) {
            if job.wish == Wish::Abandoned {
                job.wish = Wish::Wanted;
                job.payload = payload.clone();
            }
            job.background |= background;
            if !background {
                job.attached.push(id);
            }
            return vec![(id, Reply::JobCreated(JobNumber(job.number)))];
        }
        let total = self.jobs.iter().filter(|job| job.function == *function).count();
        let (_, limits) = self.functions.iter().find(|(name, _)| name == function).unwrap();
        let limit = *limits.of(priority) as usize;
        if limit > 0 && total >= limit {
            return vec![(id, error(ErrorCode::QueueError, "Job queue is full"))];
        }
        let number = self.next_number;
        self.next_number += 1;
        self.jobs.push(Job {
            number,
            function: function.clone(),
            unique: unique.clone(),
            payload: payload.clone(),
            reducer,
            priority,
            background,
            future: self.is_future(when),
            when,
            retries: 0,
            progress: (0, 0),
            place: self.next_place,
            worker: None,
            attached: if background { Vec::new() } else { vec![id] },
            wish: Wish::Wanted,
        });
        self.next_place += 1;
        vec![(id, Reply::JobCreated(JobNumber(number)))]
    }

    /// The job at the head of a queue: jobs that are not due are passed over, those given up are not.
    fn first(&self, function: &Bytes, priority: Priority) -> Option<&Job> {
        let queued = self.jobs.iter().filter(|job| {
            job.function == *function
                && job.priority == priority
                && job.worker.is_none()
                && (job.wish != Wish::Wanted || !job.future)
        });
        queued.min_by_key(|job| job.place)
    }

    /// Which ability is served next, and with which job. Jobs given up vanish where they are met.
    fn look_up(&mut self, id: ConnId) -> Option<(usize, u64)> {
        let abilities: Vec<Bytes> = self.conn(id).abilities.iter().map(|(name, _)| name.clone()).collect();
        for function in &abilities {
            for priority in Priority::ALL {
                while let Some(job) = self.first(function, priority)
                    && job.wish != Wish::Wanted
                {
                    let number = job.number;
                    self.jobs.retain(|job| job.number != number);
                }
            }
        }
        let at = |at: usize, priority| Some((at, self.first(&abilities[at], priority)?.number));
        match self.rules.compat {
            Compat::V2_0 => Priority::ALL
                .into_iter()
                .find_map(|priority| (0..abilities.len()).find_map(|ability| at(ability, priority))),
            Compat::V1_1 => (0..abilities.len())
                .find_map(|ability| Priority::ALL.into_iter().find_map(|priority| at(ability, priority))),
        }
    }

    /// Jobs a worker could have at once, of any function or of those that the connection can do.
    pub(crate) fn runnable(&self, id: Option<ConnId>) -> usize {
        let conn = self.conns.iter().find(|conn| Some(conn.id) == id);
        let able = |job: &&Job| match conn {
            Some(conn) => conn.abilities.iter().any(|(name, _)| *name == job.function),
            None => id.is_none(),
        };
        let runnable =
            |job: &&Job| job.worker.is_none() && job.wish == Wish::Wanted && !job.future && able(job);
        self.jobs.iter().filter(runnable).count()
    }

    fn pre_sleep(&mut self, id: ConnId) -> Replies {
        self.look_up(id).into_iter().map(|_| (id, Reply::Noop)).collect()
    }

    fn grab(&mut self, id: ConnId, form: GrabForm) -> Replies {
        let Some((at, number)) = self.look_up(id) else { return vec![(id, Reply::NoJob)] };
        let turns = self.rules.round_robin || self.rules.compat == Compat::V2_0;
        let abilities = &mut self.conn(id).abilities;
        let (_, limit_ms) = abilities[at];
        if turns {
            let ability = abilities.remove(at);
            abilities.push(ability);
        }
        let until = (limit_ms > 0).then_some(self.now_ms + limit_ms);
        let grab = self.next_grab;
        self.next_grab += 1;
        let job = self.jobs.iter_mut().find(|job| job.number == number).unwrap();
        job.worker = Some((id, grab, until));
        let form = if form == GrabForm::All && job.reducer.is_none() { GrabForm::Unique } else { form };
        let reply = Reply::Assign {
            form,
            job: JobNumber(number),
            function: job.function.clone(),
            unique: job.unique.clone(),
            reducer: job.reducer.clone().unwrap_or_default(),
            payload: job.payload.clone(),
        };
        vec![(id, reply)]
    }

    fn option(&mut self, id: ConnId, option: &Bytes) -> Replies {
        if option.to_ascii_lowercase() != b"exceptions" {
            return vec![(id, error(ErrorCode::UnknownOption, "Server does not recognize given option"))];
        }
        self.conn(id).exceptions = true;
        vec![(id, Reply::Option(option.clone()))]
    }

    /// Up to 127 bytes are kept, and shown up to the first NUL.
    fn client_id(&mut self, id: ConnId, name: &Bytes) {
        let shown = name.iter().take(127).take_while(|byte| **byte != 0);
        self.conn(id).client_id = shown.copied().collect();
    }

    fn status_of(job: Option<&Job>) -> JobStatus {
        job.map_or_else(JobStatus::default, |job| JobStatus {
            known: true,
            running: job.worker.is_some(),
            numerator: job.progress.0,
            denominator: job.progress.1,
        })
    }

    fn get_status(&self, id: ConnId, handle: &Bytes) -> Replies {
        let job = self.jobs.iter().find(|job| self.handle_of(job) == handle.as_ref());
        vec![(id, Reply::StatusRes { handle: handle.clone(), status: Self::status_of(job) })]
    }

    fn get_status_unique(&self, id: ConnId, unique: &Bytes) -> Replies {
        if unique.len() >= 64 {
            return Vec::new();
        }
        let findable = unique.as_ref() != b"" && unique.as_ref() != b"-";
        let same = |job: &&Job| findable && job.unique == *unique && job.wish != Wish::Cancelled;
        let job = self.jobs.iter().rev().find(same);
        let clients = job.map_or(0, |job| job.attached.len());
        let status = Self::status_of(job);
        vec![(id, Reply::StatusResUnique { unique: unique.clone(), status, clients })]
    }

    fn max_queue(&mut self, function: &Bytes, limits: PerPriority<u32>) -> &'static str {
        for (name, old) in &mut self.functions {
            if name == function {
                *old = limits;
            }
        }
        "OK\r\n"
    }

    fn create_function(&mut self, function: &Bytes) -> &'static str {
        self.know_function(function);
        "OK\r\n"
    }

    fn drop_function(&mut self, asked: &Bytes) -> (Replies, &'static str) {
        let names = || self.functions.iter().map(|(name, _)| name);
        let exact = names().find(|name| *name == asked);
        let found = exact.or_else(|| names().find(|name| name.eq_ignore_ascii_case(asked)));
        let Some(function) = &found.cloned() else {
            return (Vec::new(), "ERR function not found\r\n");
        };
        let able = self.conns.iter().any(|conn| conn.abilities.iter().any(|(name, _)| name == function));
        if able || self.jobs.iter().any(|job| job.function == *function && job.worker.is_some()) {
            return (Vec::new(), "ERR there are still connected workers or executing clients\r\n");
        }
        let mut replies = Vec::new();
        for job in self.jobs.iter().filter(|job| job.function == *function) {
            replies.extend(job.attached.iter().map(|client| (*client, Reply::Fail(JobNumber(job.number)))));
        }
        self.jobs.retain(|job| job.function != *function);
        self.functions.retain(|(name, _)| name != function);
        (replies, "OK\r\n")
    }

    /// A job given up stays where it is until it is met; its clients learn of it once.
    fn cancel(&mut self, handle: &Bytes) -> (Replies, &'static str) {
        let Some(at) = self.jobs.iter().position(|job| self.handle_of(job) == *handle) else {
            return (Vec::new(), "ERR UNKNOWN_JOB\r\n");
        };
        let job = &mut self.jobs[at];
        let number = job.number;
        job.wish = Wish::Cancelled;
        let clients = std::mem::take(&mut job.attached);
        (clients.into_iter().map(|client| (client, Reply::Fail(JobNumber(number)))).collect(), "OK\r\n")
    }
}
