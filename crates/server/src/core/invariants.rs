//! What must hold after every step, checked by brute force. Every test of the core and every step of the
//! simulator runs this; the server does not.

use super::conns::{Conn, Nap};
use super::event::Count;
use super::functions::{Function, FunctionId};
use super::job::{Job, JobId, Place, Standing};
use super::timers::Timer;
use super::unread::Wait;
use super::{Core, wake::CrewId};
use conveyor_common::Priority;
use std::collections::{BTreeMap, HashMap, HashSet};

impl Core {
    /// Checks every invariant.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        self.check_places()?;
        self.check_indexes()?;
        self.check_functions()?;
        self.check_uniques()?;
        self.check_unread()?;
        self.check_links()?;
        self.check_crews()?;
        self.check_wakeups()
    }

    /// A job is in exactly one place.
    fn check_places(&self) -> Result<(), String> {
        let mut places: HashMap<JobId, usize> = HashMap::new();
        for (_, function) in self.functions.iter() {
            for id in function.ready.iter() {
                let job = self.jobs.get(id).ok_or_else(|| format!("{id:?} is queued but gone"))?;
                ensure(job.place == Place::Ready, || {
                    format!("{:?} is queued as {:?}", job.number, job.place)
                })?;
                *places.entry(id).or_default() += 1;
            }
        }
        let behind = self.loading.iter().flat_map(|loading| loading.behind());
        let behind = behind.map(|(.., id)| (id, Place::Behind));
        let waiting = self.journal.unstored().map(|id| (id, Place::Committing)).chain(behind);
        for (id, place) in waiting {
            if self.jobs.get(id).is_some_and(|job| job.place == place) {
                *places.entry(id).or_default() += 1;
            }
        }
        for conn in self.conns.iter() {
            for (slot, id) in &conn.held {
                let run = self.jobs.run_by(*id, conn.id);
                ensure(run.is_some_and(|run| run.slot as usize == slot), || {
                    format!("{:?} holds {id:?} which does not run there", conn.id)
                })?;
                *places.entry(*id).or_default() += 1;
            }
        }
        for timer in self.timers.iter() {
            match timer {
                Timer::Start(id) => {
                    let scheduled = self.jobs.get(id).is_some_and(|job| job.place == Place::Scheduled);
                    ensure(scheduled, || format!("{id:?} has a start time but is not scheduled"))?;
                    *places.entry(id).or_default() += 1;
                }
                Timer::Expiry(id) => {
                    let timed = self.jobs.run(id).is_some_and(|run| run.timed);
                    ensure(timed, || format!("{id:?} has an expiry but does not run under a limit"))?;
                }
            }
        }
        for (id, job) in self.jobs.iter() {
            let count = places.get(&id).copied().unwrap_or(0);
            ensure(count == 1, || format!("{:?} is in {count} places, says {:?}", job.number, job.place))?;
            if let Some(run) = self.jobs.run(id) {
                ensure(run.timed == self.timers.contains(Timer::Expiry(id)), || {
                    format!("{:?} runs under a limit without a timer", job.number)
                })?;
            }
        }
        let running = self.jobs.iter().filter(|(_, job)| matches!(job.place, Place::Running(_))).count();
        ensure(self.jobs.runs() == running, || {
            format!("{running} jobs run, workers hold {}", self.jobs.runs())
        })?;
        ensure(places.len() == self.jobs.len(), || "a place holds a job that is gone".to_owned())
    }

    /// Every id in an index is in the job table, and the reverse.
    fn check_indexes(&self) -> Result<(), String> {
        let (numbers, holders, payloads) = self.jobs.index_sizes();
        ensure(numbers == self.jobs.len(), || format!("{numbers} numbers, {} jobs", self.jobs.len()))?;
        let mut expected = (0, 0);
        for (id, job) in self.jobs.iter() {
            let found = self.jobs.by_number(job.number) == Some(id);
            ensure(found, || format!("{:?} is not found by its number", job.number))?;
            if !joinable(job) {
                continue;
            }
            let key = self.jobs.key_of(job);
            let twin = self.jobs.coalesces(key, job.function, job.unique(), job.payload());
            ensure(twin == Some(id), || format!("{:?} is not found by its unique", job.number))?;
            if job.unique() == b"-" { expected.1 += 1 } else { expected.0 += 1 }
        }
        ensure((holders, payloads) == expected, || {
            format!("unique index holds {holders} and {payloads} jobs, expected {expected:?}")
        })
    }

    /// Counters of functions are what counting gives.
    fn check_functions(&self) -> Result<(), String> {
        for (id, function) in self.functions.iter() {
            let jobs: Vec<&Job> =
                self.jobs.iter().map(|(_, job)| job).filter(|job| job.function == id).collect();
            let running = jobs.iter().filter(|job| matches!(job.place, Place::Running(_))).count();
            ensure(function.running == running, || format!("running {} not {running}", function.running))?;
            for priority in Priority::ALL {
                let queued = jobs
                    .iter()
                    .filter(|job| job.priority == priority && !matches!(job.place, Place::Running(_)))
                    .count();
                let counted = *function.queued.of(priority);
                ensure(counted == queued, || format!("{priority:?} queued {counted} not {queued}"))?;
                let runnable =
                    jobs.iter().filter(|job| job.priority == priority && job.is_runnable()).count();
                let counted = function.ready.runnable(priority);
                ensure(counted == runnable, || format!("{priority:?} runnable {counted} not {runnable}"))?;
            }
            let stale = jobs
                .iter()
                .filter(|job| job.place == Place::Ready && job.standing != Standing::Wanted)
                .count();
            ensure(function.stale == stale, || format!("stale {} not {stale}", function.stale))?;
            let able = |conn: &Conn| conn.abilities.iter().filter(|ability| ability.function == id).count();
            let workers: usize = self.conns.iter().map(able).sum();
            ensure(function.workers == workers, || format!("workers {} not {workers}", function.workers))?;
            let listed = |list: &[FunctionId], belongs: bool| {
                let listed = list.iter().filter(|other| **other == id).count();
                ensure(listed == usize::from(belongs), || {
                    format!("{:?} is listed {listed} times, belongs there: {belongs}", function.name)
                })
            };
            listed(self.functions.runnable(), function.ready.runnable_total() > 0)?;
            listed(self.functions.stale(), function.stale > 0)?;
            for priority in Priority::ALL {
                listed(self.functions.runnable_at(priority), function.ready.runnable(priority) > 0)?;
            }
        }
        let text = self
            .jobs
            .iter()
            .fold((0, 0), |sum, (_, job)| (sum.0 + job.unique().len(), sum.1 + job.payload().len()));
        ensure(self.jobs.text_bytes() == text, || format!("text {:?} not {text:?}", self.jobs.text_bytes()))?;
        for (_, job) in self.jobs.iter().filter(|(_, job)| job.spilled) {
            let stored = job.background && self.journal.change_of(job.number).is_none();
            ensure(stored && job.payload().is_empty() && job.standing == Standing::Wanted, || {
                format!("the payload of {:?} is nowhere", job.number)
            })?;
        }
        let dangling = self.jobs.iter().find(|(_, job)| self.functions.get(job.function).is_none());
        ensure(dangling.is_none(), || format!("{dangling:?} belongs to no function"))
    }

    /// What is to be read is counted, and only what has to waits for it.
    fn check_unread(&self) -> Result<(), String> {
        let Some(loading) = &self.loading else {
            let left = self.functions.iter().find(|(id, _)| self.is_unread(*id));
            return ensure(left.is_none(), || format!("{left:?} waits for jobs that never come"));
        };
        let counts = self
            .functions
            .iter()
            .flat_map(|(_, function)| Priority::ALL.into_iter().map(|priority| function.unread_at(priority)));
        let (jobs, uniques) = counts.fold((0, 0), |sum, one| (sum.0 + one.jobs, sum.1 + one.uniques));
        ensure(loading.left() == Count { jobs, uniques }, || {
            format!("{:?} are to be read, not {jobs} and {uniques}", loading.left())
        })?;
        let idle = loading.behind().find(|(priority, function, id)| {
            let waits = self.jobs.get(*id).is_some_and(|job| job.place == Place::Behind);
            waits && !self.has_older_unread(*function, *priority)
        });
        ensure(idle.is_none(), || format!("{idle:?} waits behind nothing"))?;
        let idle = loading.waits().find(|wait| match wait {
            Wait::Uniques(function) => !self.has_unread_uniques(*function),
            Wait::Jobs(function) => !self.is_unread(*function),
            Wait::AllUniques => uniques == 0,
            Wait::Row(_) => false,
        });
        ensure(idle.is_none(), || format!("somebody waits for nothing: {idle:?}"))
    }

    /// A unique maps to at most one live job of its function.
    fn check_uniques(&self) -> Result<(), String> {
        let mut seen = HashSet::new();
        for (_, job) in self.jobs.iter().filter(|(_, job)| joinable(job)) {
            let dash = job.unique() == b"-";
            let payload = if dash { job.payload() } else { &[] };
            ensure(seen.insert((job.function, job.unique(), payload)), || {
                format!("two live jobs with unique {:?}", job.unique_bytes())
            })?;
        }
        Ok(())
    }

    /// Clients and jobs point at each other.
    fn check_links(&self) -> Result<(), String> {
        let mut watched = 0;
        for (id, job) in self.jobs.iter() {
            for watcher in job.watchers.iter() {
                let client = self.conns.get(watcher.conn);
                let linked =
                    client.and_then(|client| client.watching.get(watcher.slot as usize)) == Some(&id);
                ensure(linked, || format!("{:?} is watched by nobody", job.number))?;
                watched += 1;
            }
            let wanted = job.background || !job.watchers.is_empty();
            ensure(job.standing != Standing::Wanted || wanted, || {
                format!("{:?} is wanted by nobody", job.number)
            })?;
            ensure(job.standing == Standing::Wanted || job.watchers.is_empty(), || {
                format!("{:?} was given up but somebody waits", job.number)
            })?;
        }
        let watching: usize = self.conns.iter().map(|conn| conn.watching.len()).sum();
        ensure(watching == watched, || format!("clients watch {watching}, jobs have {watched}"))
    }

    /// Crews count their members, sleepers and expected-back members right.
    fn check_crews(&self) -> Result<(), String> {
        let mut counts: BTreeMap<CrewId, (usize, usize, usize)> = BTreeMap::new();
        for conn in self.conns.iter() {
            let Some(crew) = conn.crew else {
                ensure(conn.nap == Nap::Awake, || format!("{:?} naps without a crew", conn.id))?;
                continue;
            };
            let count = counts.entry(crew).or_default();
            count.0 += 1;
            count.1 += usize::from(conn.nap == Nap::Asleep);
            count.2 += usize::from(conn.nap == Nap::Woken { fresh: true });
        }
        let mut crews = 0;
        for (crew, members) in self.crews.members() {
            let (asleep, pending) = self.crews.counts(crew);
            let expected = counts.get(&crew).copied().unwrap_or_default();
            ensure((members, asleep, pending) == expected, || {
                format!("{crew:?} counts {:?}, expected {expected:?}", (members, asleep, pending))
            })?;
            crews += 1;
        }
        ensure(crews == counts.len(), || "a connection is in a crew that is gone".to_owned())
    }

    /// No lost wake-up: enough are expected back, or nobody able is asleep.
    fn check_wakeups(&self) -> Result<(), String> {
        let wakeup = |id: FunctionId, function: &Function| {
            let able = |conn: &&Conn| conn.abilities.iter().any(|ability| ability.function == id);
            let count = |nap| self.conns.iter().filter(able).filter(|conn| conn.nap == nap).count();
            let (pending, asleep) = (count(Nap::Woken { fresh: true }), count(Nap::Asleep));
            let runnable = function.ready.runnable_total();
            ensure(function.watched || !self.waits_for_sleepers(id), || {
                format!("{:?} has jobs and sleepers and nobody watches", function.name)
            })?;
            ensure(pending >= runnable || asleep == 0, || {
                let name = &function.name;
                format!("{name:?}: {runnable} runnable, {pending} expected back, {asleep} still asleep")
            })
        };
        self.functions.iter().try_for_each(|(id, function)| wakeup(id, function))
    }
}

/// Whether a submission can join the job.
fn joinable(job: &Job) -> bool {
    match job.unique() {
        b"" => false,
        b"-" => job.standing == Standing::Wanted && !job.payload().is_empty(),
        _ => job.standing != Standing::Cancelled,
    }
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}
