//! Who is told that there is work: no wake-up is lost, and no herd is woken.
//!
//! The rule, restored after every event: for every function, the connections that were woken and are still
//! expected back are at least as many as its runnable jobs, or nobody able is asleep.
//!
//! Sleepers are kept by *crew*: the connections with one set of abilities. A fleet of a thousand equal
//! workers is one crew, so falling asleep and waking cost the same whatever the number of workers and
//! functions.
//!
//! A worker that does not answer its NOOP within [`NOOP_PATIENCE_MS`] is not expected back any more: it stays
//! woken, but somebody else is woken in its place, then more and more of them, so that frozen sleepers cost
//! milliseconds and not a job's life. The same happens to a function from which nobody took a job for that
//! long, whoever is expected: workers that answer every NOOP by dying, or by going to sleep again, must not keep
//! its jobs from the one that would work.

use super::conns::Nap;
use super::effect::{Effects, Reply};
use super::functions::FunctionId;
use super::{Core, Wakeup};
use conveyor_common::{ConnId, Millis};
use slab::Slab;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// How long a woken worker may take to come back before others are woken instead.
pub const NOOP_PATIENCE_MS: u64 = 20;

/// How many the first unanswered NOOP wakes; each further one doubles it.
const FIRST_ESCALATION: usize = 2;

/// Names a crew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CrewId(usize);

/// The connections with one set of abilities that have ever slept with it.
#[derive(Debug)]
pub(super) struct Crew {
    /// Sorted, each once.
    functions: Box<[FunctionId]>,
    members: usize,
    /// Longest asleep first. Entries of connections that came back by themselves stay until met.
    sleepers: VecDeque<(ConnId, u64)>,
    asleep: usize,
    /// Woken and expected back any moment.
    pending: usize,
}

/// All crews, and the NOOPs that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Crews {
    table: Slab<Crew>,
    by_functions: HashMap<Box<[FunctionId]>, CrewId>,
    /// NOOPs in the order in which they were sent, those with an answer among them.
    unanswered: VecDeque<(Millis, ConnId, u64)>,
    /// Functions with jobs and sleepers, and since when they are watched for somebody to take a job. Each is
    /// here once: see [`super::functions::Function::watched`].
    watched: VecDeque<(Millis, FunctionId)>,
}

impl Crews {
    fn get_mut(&mut self, id: CrewId) -> Option<&mut Crew> {
        self.table.get_mut(id.0)
    }

    /// Asleep and expected-back connections of a crew, for the invariants.
    pub(super) fn counts(&self, id: CrewId) -> (usize, usize) {
        self.table.get(id.0).map_or((0, 0), |crew| (crew.asleep, crew.pending))
    }

    /// Members of every crew, for the invariants.
    pub(super) fn members(&self) -> impl Iterator<Item = (CrewId, usize)> {
        self.table.iter().map(|(id, crew)| (CrewId(id), crew.members))
    }
}

impl Core {
    /// When patience runs out, with a worker or with a function.
    pub(super) fn next_noop_deadline(&self) -> Option<Millis> {
        let unanswered = self.crews.unanswered.front().map(|(sent, ..)| *sent);
        let watched = self.crews.watched.front().map(|(since, _)| *since);
        let oldest = unanswered.into_iter().chain(watched).min();
        oldest.map(|since| since.plus(NOOP_PATIENCE_MS))
    }

    /// PRE_SLEEP: told to come at once when there is work, else put to sleep.
    pub(super) fn pre_sleep(&mut self, now: Millis, id: ConnId, fx: &mut Effects) {
        let Some(conn) = self.conns.get(id) else { return };
        let came_back_empty_handed = matches!(conn.nap, Nap::Woken { .. });
        let asleep = conn.nap == Nap::Asleep;
        let work = self.choose(id).is_some();
        if asleep && !work {
            // It keeps its place among the sleepers.
            return;
        }
        self.rouse(id);
        self.join_crew(id);
        if work {
            // Whoever answers a NOOP with PRE_SLEEP need not mean to work: do not count on it twice.
            self.set_nap(now, id, Nap::Woken { fresh: !came_back_empty_handed });
            fx.send(id, Reply::Noop);
        } else {
            self.set_nap(now, id, Nap::Asleep);
        }
        self.restore_wakeups_for(now, id, fx);
    }

    /// The connection is back, or gone: it neither sleeps nor is it expected.
    pub(super) fn rouse(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let nap = std::mem::replace(&mut conn.nap, Nap::Awake);
        let Some(crew) = conn.crew.and_then(|crew| self.crews.get_mut(crew)) else { return };
        match nap {
            Nap::Asleep => crew.asleep = crew.asleep.saturating_sub(1),
            Nap::Woken { fresh: true } => crew.pending = crew.pending.saturating_sub(1),
            Nap::Woken { fresh: false } | Nap::Awake => {}
        }
        if crew.sleepers.len() > 2 * crew.asleep + 64 {
            let conns = &self.conns;
            crew.sleepers.retain(|(id, count)| {
                conns.get(*id).is_some_and(|conn| conn.nap == Nap::Asleep && conn.nap_count == *count)
            });
        }
    }

    fn set_nap(&mut self, now: Millis, id: ConnId, nap: Nap) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(crew) = conn.crew.and_then(|crew| self.crews.table.get_mut(crew.0)) else { return };
        conn.nap = nap;
        conn.nap_count += 1;
        match nap {
            Nap::Asleep => {
                crew.asleep += 1;
                crew.sleepers.push_back((id, conn.nap_count));
            }
            Nap::Woken { fresh } => {
                if fresh {
                    crew.pending += 1;
                    self.crews.unanswered.push_back((now, id, conn.nap_count));
                }
            }
            Nap::Awake => {}
        }
    }

    /// The abilities of a connection change: it leaves its crew. `nap` is what it was doing.
    pub(super) fn leave_crew(&mut self, id: ConnId) -> Nap {
        let nap = self.conns.get(id).map_or(Nap::Awake, |conn| conn.nap);
        self.rouse(id);
        let Some(crew_id) = self.conns.get_mut(id).and_then(|conn| conn.crew.take()) else { return nap };
        let Some(crew) = self.crews.get_mut(crew_id) else { return nap };
        crew.members -= 1;
        if crew.members == 0 {
            let crew = self.crews.table.remove(crew_id.0);
            self.crews.by_functions.remove(&crew.functions);
            for function in &crew.functions {
                if let Some(function) = self.functions.get_mut(*function) {
                    function.crews.retain(|other| *other != crew_id);
                }
            }
        }
        nap
    }

    /// Goes on with the nap of before under the new abilities: CAN_DO while asleep must not lose a job.
    pub(super) fn resume_nap(&mut self, now: Millis, id: ConnId, nap: Nap, fx: &mut Effects) {
        if nap == Nap::Awake {
            return;
        }
        // Whoever answers a NOOP with a change of its abilities is not counted on, or it could keep a job
        // from everybody else by doing so for ever.
        let nap = if nap == Nap::Asleep { nap } else { Nap::Woken { fresh: false } };
        self.join_crew(id);
        self.set_nap(now, id, nap);
        self.restore_wakeups_for(now, id, fx);
    }

    fn join_crew(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.crew.is_some() {
            return;
        }
        let functions: BTreeSet<FunctionId> = conn.abilities.iter().map(|ability| ability.function).collect();
        let functions: Box<[FunctionId]> = functions.into_iter().collect();
        let crew_id = match self.crews.by_functions.get(&functions) {
            Some(crew_id) => *crew_id,
            None => {
                let crew = Crew {
                    functions: functions.clone(),
                    members: 0,
                    sleepers: VecDeque::new(),
                    asleep: 0,
                    pending: 0,
                };
                let crew_id = CrewId(self.crews.table.insert(crew));
                for function in &functions {
                    if let Some(function) = self.functions.get_mut(*function) {
                        function.crews.push(crew_id);
                    }
                }
                self.crews.by_functions.insert(functions, crew_id);
                crew_id
            }
        };
        conn.crew = Some(crew_id);
        if let Some(crew) = self.crews.get_mut(crew_id) {
            crew.members += 1;
        }
    }

    /// A job of `function` became runnable.
    pub(super) fn wake_for_new_job(&mut self, now: Millis, function: FunctionId, fx: &mut Effects) {
        let wanted = match self.rules.wakeup {
            Wakeup::AsNeeded => 0,
            Wakeup::All => usize::MAX,
            Wakeup::Count(count) => usize::from(count),
        };
        let missing = self.missing(function).max(wanted);
        self.wake(now, function, missing, fx);
        self.watch_function(now, function);
    }

    /// How many more have to be woken for `function`.
    fn missing(&self, function: FunctionId) -> usize {
        let Some(function) = self.functions.get(function) else { return 0 };
        let runnable = function.ready.runnable_total();
        if runnable == 0 {
            return 0;
        }
        let pending: usize = function.crews.iter().map(|crew| self.crews.counts(*crew).1).sum();
        runnable.saturating_sub(pending)
    }

    /// Restores the rule for one function.
    pub(super) fn restore_wakeups(&mut self, now: Millis, function: FunctionId, fx: &mut Effects) {
        let missing = self.missing(function);
        self.wake(now, function, missing, fx);
        self.watch_function(now, function);
    }

    /// Whether jobs of the function wait while somebody who could do them sleeps.
    pub(super) fn waits_for_sleepers(&self, function: FunctionId) -> bool {
        self.functions.get(function).is_some_and(|function| {
            let asleep = |crew: &CrewId| self.crews.counts(*crew).0 > 0;
            function.ready.runnable_total() > 0 && function.crews.iter().any(asleep)
        })
    }

    /// Sees to it that somebody takes a job of the function, unless that is being done.
    fn watch_function(&mut self, now: Millis, id: FunctionId) {
        if self.functions.get(id).is_none_or(|function| function.watched) || !self.waits_for_sleepers(id) {
            return;
        }
        if let Some(function) = self.functions.get_mut(id) {
            function.watched = true;
            function.taken = false;
            self.crews.watched.push_back((now, id));
        }
    }

    /// Restores the rule for every function that `id` could have worked on and does not.
    pub(super) fn restore_wakeups_for(&mut self, now: Millis, id: ConnId, fx: &mut Effects) {
        if self.functions.runnable().is_empty() {
            return;
        }
        let Some(crew) = self.conns.get(id).and_then(|conn| conn.crew) else { return };
        for function in self.runnable_of(crew) {
            self.restore_wakeups(now, function, fx);
        }
    }

    /// The functions of a crew that have runnable jobs: looked up from the shorter of the two lists.
    pub(super) fn runnable_of(&self, crew: CrewId) -> Vec<FunctionId> {
        let Some(crew) = self.crews.table.get(crew.0) else { return Vec::new() };
        let runnable = self.functions.runnable();
        let has_job = |function: &FunctionId| {
            self.functions.get(*function).is_some_and(|function| function.ready.runnable_total() > 0)
        };
        if crew.functions.len() <= runnable.len() {
            crew.functions.iter().copied().filter(has_job).collect()
        } else {
            runnable.iter().copied().filter(|id| crew.functions.binary_search(id).is_ok()).collect()
        }
    }

    /// Sends NOOP to up to `count` sleepers of `function`, those asleep longest first.
    fn wake(&mut self, now: Millis, function_id: FunctionId, count: usize, fx: &mut Effects) {
        if count == 0 {
            return;
        }
        let Some(function) = self.functions.get_mut(function_id) else { return };
        let crews = function.crews.len();
        let start = function.crew_turn.checked_rem(crews).unwrap_or(0);
        function.crew_turn = start + 1;
        let mut left = count;
        for turn in 0..crews {
            let at = (start + turn) % crews;
            let Some(crew) =
                self.functions.get(function_id).and_then(|function| function.crews.get(at).copied())
            else {
                return;
            };
            while left > 0
                && let Some(sleeper) = self.next_sleeper(crew)
            {
                self.rouse(sleeper);
                self.set_nap(now, sleeper, Nap::Woken { fresh: true });
                fx.send(sleeper, Reply::Noop);
                left -= 1;
            }
        }
    }

    fn next_sleeper(&mut self, crew: CrewId) -> Option<ConnId> {
        let crew = self.crews.table.get_mut(crew.0)?;
        while crew.asleep > 0 {
            let (id, count) = crew.sleepers.pop_front()?;
            let asleep = |conn: &super::conns::Conn| conn.nap == Nap::Asleep && conn.nap_count == count;
            if self.conns.get(id).is_some_and(asleep) {
                return Some(id);
            }
        }
        None
    }

    /// Counts on somebody else where patience ran out, twice as many each time.
    pub(super) fn escalate(&mut self, now: Millis, fx: &mut Effects) {
        let mut functions = self.stop_expecting(now);
        functions.extend(self.neglected(now));
        for function in functions {
            let step = match self.functions.get_mut(function) {
                Some(function) => {
                    function.escalation = function.escalation.saturating_mul(2).max(FIRST_ESCALATION);
                    function.escalation
                }
                None => 0,
            };
            let count = self.missing(function).max(step);
            self.wake(now, function, count, fx);
        }
    }

    /// Stops expecting those whose NOOP has gone without an answer, and returns the functions with jobs that
    /// they could do.
    fn stop_expecting(&mut self, now: Millis) -> BTreeSet<FunctionId> {
        let mut functions = BTreeSet::new();
        while let Some((sent, id, count)) = self.crews.unanswered.front().copied() {
            let conn = self.conns.get(id);
            let open =
                conn.is_some_and(|conn| conn.nap_count == count && conn.nap == (Nap::Woken { fresh: true }));
            if open && now.since(sent) < NOOP_PATIENCE_MS {
                break;
            }
            self.crews.unanswered.pop_front();
            let Some(conn) = self.conns.get_mut(id).filter(|_| open) else { continue };
            conn.nap = Nap::Woken { fresh: false };
            let Some(crew_id) = conn.crew else { continue };
            if let Some(crew) = self.crews.get_mut(crew_id) {
                crew.pending = crew.pending.saturating_sub(1);
            }
            functions.extend(self.runnable_of(crew_id));
        }
        functions
    }

    /// Functions with jobs and sleepers from which nobody took a job for as long as patience lasts.
    fn neglected(&mut self, now: Millis) -> Vec<FunctionId> {
        let mut neglected = Vec::new();
        while let Some((since, id)) = self.crews.watched.front().copied()
            && now.since(since) >= NOOP_PATIENCE_MS
        {
            self.crews.watched.pop_front();
            let goes_on = self.waits_for_sleepers(id);
            let Some(function) = self.functions.get_mut(id) else { continue };
            function.watched = goes_on;
            if goes_on {
                if !std::mem::take(&mut function.taken) {
                    neglected.push(id);
                }
                self.crews.watched.push_back((now, id));
            }
        }
        neglected
    }
}
