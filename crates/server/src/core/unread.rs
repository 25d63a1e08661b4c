//! Jobs that are still in the store alone: how many there are, which of them is asked for, who waits for them.

use super::Core;
use super::change::Change;
use super::effect::Effects;
use super::event::{Count, Event, Row, Unread};
use super::functions::FunctionId;
use super::job::{JobId, Place};
use conveyor_common::priority::PerPriority;
use conveyor_common::{ConnId, JobNumber, Millis, Priority};
use std::collections::{BTreeMap, HashSet};

/// What has to be known before a question can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    /// All jobs of a function that have a unique.
    Uniques(FunctionId),
    /// All jobs of a function.
    Jobs(FunctionId),
    /// All jobs with a unique.
    AllUniques,
    /// Whether the store has a job with this number.
    Row(JobNumber),
}

/// What is still to come.
#[derive(Debug)]
pub(super) struct Loading {
    /// Jobs beyond this number are of this process.
    last: JobNumber,
    /// Jobs up to this one were read.
    at: (Priority, JobNumber),
    /// All jobs before this priority were read.
    next: Priority,
    /// Jobs that were read so far.
    pub(super) read: u64,
    /// Jobs that are still to be read, as far as counts tell.
    left: Count,
    /// Jobs that wait for older ones of their priority and function.
    behind: BTreeMap<(Priority, FunctionId), Vec<JobId>>,
    /// What cannot be answered yet, in the order of asking.
    waiting: BTreeMap<Wait, Vec<(ConnId, Event)>>,
    /// Jobs that were cancelled before they were read. Never iterated.
    cancelled: HashSet<JobNumber>,
    /// Functions and priorities of which the last job, or the last one with a unique, has just been read.
    freed: Vec<(Priority, FunctionId)>,
    /// What was found out about a number, while those who asked are answered.
    found: Option<(JobNumber, Option<Row>)>,
}

impl Loading {
    pub(super) fn behind(&self) -> impl Iterator<Item = (Priority, FunctionId, JobId)> + '_ {
        let all = self.behind.iter();
        all.flat_map(|((priority, function), ids)| ids.iter().map(|id| (*priority, *function, *id)))
    }

    pub(super) fn waits(&self) -> impl Iterator<Item = Wait> + '_ {
        self.waiting.keys().copied()
    }

    pub(super) const fn left(&self) -> Count {
        self.left
    }

    pub(super) const fn note_read(&mut self, priority: Priority, number: JobNumber) {
        self.at = (priority, number);
    }

    /// Whether a job was cancelled before it was read. Asked once for each.
    pub(super) fn take_cancelled(&mut self, number: JobNumber) -> bool {
        self.cancelled.remove(&number)
    }

    fn was_read(&self, priority: Priority, number: JobNumber) -> bool {
        priority < self.next || (priority, number) <= self.at
    }
}

/// What is known of a job that is not among those in memory.
pub(super) enum Sought {
    /// It does not exist.
    Nowhere,
    /// It is in the store alone.
    InStore(Row),
    /// The store must be asked.
    Unknown,
}

impl Core {
    /// The store has these jobs.
    pub(super) fn start_loading(&mut self, unread: &[Unread]) {
        let mut left = Count::default();
        for Unread { function: name, counts } in unread {
            let function = match self.functions.find(name) {
                Some(id) => id,
                None => self.functions.create(name),
            };
            for priority in Priority::ALL {
                let Count { jobs, uniques } = *counts.of(priority);
                left = Count {
                    jobs: left.jobs.saturating_add(jobs),
                    uniques: left.uniques.saturating_add(uniques),
                };
            }
            if let Some(function) = self.functions.get_mut(function)
                && *counts != PerPriority::default()
            {
                function.unread = Some(Box::new(*counts));
            }
        }
        self.loading = Some(Loading {
            last: JobNumber(self.next_number.0.saturating_sub(1)),
            at: (Priority::High, JobNumber(0)),
            next: Priority::High,
            read: 0,
            left,
            behind: BTreeMap::new(),
            waiting: BTreeMap::new(),
            cancelled: HashSet::new(),
            freed: Vec::new(),
            found: None,
        });
    }

    /// How many jobs were read from the store; none when all of them are here.
    pub(super) fn loading_so_far(&self) -> Option<u64> {
        self.loading.as_ref().map(|loading| loading.read)
    }

    /// Whether a job that is not known here may yet come from the store.
    pub(super) const fn may_yet_come(&self) -> bool {
        self.loading.is_some()
    }

    /// Whether jobs of the function are in the store alone.
    pub(super) fn is_unread(&self, function: FunctionId) -> bool {
        self.functions.get(function).is_some_and(|function| function.unread.is_some())
    }

    /// Whether jobs of the function that have a unique are in the store alone.
    pub(super) fn has_unread_uniques(&self, function: FunctionId) -> bool {
        let function = self.functions.get(function).filter(|function| function.unread.is_some());
        function.is_some_and(|function| {
            Priority::ALL.into_iter().any(|priority| function.unread_at(priority).uniques > 0)
        })
    }

    /// Whether jobs with a unique are in the store alone.
    pub(super) fn has_any_unread_uniques(&self) -> bool {
        self.loading.as_ref().is_some_and(|loading| loading.left.uniques > 0)
    }

    /// Whether older jobs of the function and priority are in the store alone.
    pub(super) fn has_older_unread(&self, function: FunctionId, priority: Priority) -> bool {
        self.functions.get(function).is_some_and(|function| function.unread_at(priority).jobs > 0)
    }

    /// What the jobs that are in the store alone will take in memory, about, in bytes.
    pub(super) fn unread_bytes(&self) -> usize {
        let jobs = self.loading.as_ref().map_or(0, |loading| loading.left.jobs);
        usize::try_from(jobs).unwrap_or(usize::MAX).saturating_mul(super::jobs::RECORD_BYTES)
    }

    /// A job waits for older ones.
    pub(super) fn wait_behind(&mut self, id: JobId, function: FunctionId, priority: Priority) {
        if let (Some(loading), Some(job)) = (self.loading.as_mut(), self.jobs.get_mut(id)) {
            job.place = Place::Behind;
            loading.behind.entry((priority, function)).or_default().push(id);
        }
    }

    /// Something cannot be answered yet: nothing else is taken from its connection until it is.
    pub(super) fn defer(&mut self, conn: ConnId, wait: Wait, event: Event, fx: &mut Effects) {
        let Some(loading) = &mut self.loading else { return };
        let waiting = loading.waiting.entry(wait).or_default();
        if let (Wait::Row(number), true) = (wait, waiting.is_empty()) {
            fx.find(number);
        }
        waiting.push((conn, event));
        fx.pause(conn);
    }

    /// What is known of a number that no job in memory has.
    pub(super) fn seek(&self, number: JobNumber) -> Sought {
        let Some(loading) = &self.loading else { return Sought::Nowhere };
        if number > loading.last || loading.cancelled.contains(&number) {
            return Sought::Nowhere;
        }
        match &loading.found {
            Some((found, row)) if *found == number => match row {
                Some(row) if !loading.was_read(row.priority, number) => Sought::InStore(row.clone()),
                _ => Sought::Nowhere,
            },
            _ => Sought::Unknown,
        }
    }

    /// It was found out whether the store has a job.
    pub(super) fn found(&mut self, now: Millis, number: JobNumber, row: Option<Row>, fx: &mut Effects) {
        let Some(loading) = &mut self.loading else { return };
        let waiting = loading.waiting.remove(&Wait::Row(number)).unwrap_or_default();
        for (conn, event) in waiting {
            if let Some(loading) = &mut self.loading {
                loading.found = Some((number, row.clone()));
            }
            self.go_on_with(now, Vec::new(), vec![(conn, event)], fx);
        }
        if let Some(loading) = &mut self.loading {
            loading.found = None;
        }
    }

    /// An operator gives up a job that is in the store alone. Should it be on its way already, it is not taken in.
    pub(super) fn cancel_unread(&mut self, now: Millis, number: JobNumber, row: Row, fx: &mut Effects) {
        let Row { priority, function: name, unique } = row;
        self.append(Change::Removed { number, priority, function: name.clone(), unique }, fx);
        if let Some(loading) = &mut self.loading {
            loading.cancelled.insert(number);
        }
        self.count_read(priority, &name, unique);
        self.release_freed(now, fx);
    }

    /// A job is no longer in the store alone.
    pub(super) fn count_read(&mut self, priority: Priority, name: &[u8], unique: bool) {
        let Some(loading) = &mut self.loading else { return };
        let Some(id) = self.functions.find(name) else { return };
        let Some(function) = self.functions.get_mut(id) else { return };
        let Some(counts) = &mut function.unread else { return };
        let count = counts.of_mut(priority);
        let before = *count;
        count.jobs = before.jobs.saturating_sub(1);
        count.uniques = before.uniques.saturating_sub(u64::from(unique));
        loading.left.jobs -= before.jobs - count.jobs;
        loading.left.uniques -= before.uniques - count.uniques;
        let freed = |before: u64, now: u64| before > 0 && now == 0;
        if freed(before.jobs, count.jobs) || freed(before.uniques, count.uniques) {
            loading.freed.push((priority, id));
        }
        if **counts == PerPriority::default() {
            function.unread = None;
        }
    }

    /// All jobs before a priority were read, or simply all: what counts say beyond that is wrong.
    pub(super) fn end_counts_before(&mut self, next: Option<Priority>) {
        let Some(loading) = &mut self.loading else { return };
        if next == Some(loading.next) {
            return;
        }
        let ended = |priority: &Priority| next.is_none_or(|next| *priority < next);
        for (id, function) in self.functions.iter_mut() {
            let Some(counts) = &mut function.unread else { continue };
            for priority in Priority::ALL.into_iter().filter(ended) {
                let Count { jobs, uniques } = std::mem::take(counts.of_mut(priority));
                loading.left.jobs -= jobs;
                loading.left.uniques -= uniques;
                if jobs > 0 || uniques > 0 {
                    loading.freed.push((priority, id));
                }
            }
            if **counts == PerPriority::default() {
                function.unread = None;
            }
        }
        loading.next = next.unwrap_or(loading.next);
    }

    /// Whatever waited for what has been read goes on.
    pub(super) fn release_freed(&mut self, now: Millis, fx: &mut Effects) {
        let freed = self.loading.as_mut().map(|loading| std::mem::take(&mut loading.freed));
        for (priority, id) in freed.unwrap_or_default() {
            let older = self.has_older_unread(id, priority);
            let (uniques, jobs) = (self.has_unread_uniques(id), self.is_unread(id));
            let Some(loading) = &mut self.loading else { return };
            let behind = if older { None } else { loading.behind.remove(&(priority, id)) };
            let joining = if uniques { None } else { loading.waiting.remove(&Wait::Uniques(id)) };
            let dropping = if jobs { None } else { loading.waiting.remove(&Wait::Jobs(id)) };
            let waiting = [joining, dropping].into_iter().flatten().flatten().collect();
            self.go_on_with(now, behind.unwrap_or_default(), waiting, fx);
        }
        if let Some(loading) = &mut self.loading
            && loading.left.uniques == 0
            && let Some(waiting) = loading.waiting.remove(&Wait::AllUniques)
        {
            self.go_on_with(now, Vec::new(), waiting, fx);
        }
    }

    /// All jobs are here.
    pub(super) fn end_loading(&mut self, now: Millis, fx: &mut Effects) {
        let Some(loading) = self.loading.take() else { return };
        let behind = loading.behind.into_values().flatten().collect();
        let waiting = loading.waiting.into_values().flatten().collect();
        self.go_on_with(now, behind, waiting, fx);
    }

    fn go_on_with(
        &mut self,
        now: Millis,
        behind: Vec<JobId>,
        waiting: Vec<(ConnId, Event)>,
        fx: &mut Effects,
    ) {
        for id in behind {
            if let Some(job) = self.jobs.get_mut(id)
                && job.place == Place::Behind
            {
                job.place = Place::Ready;
                self.enter_queue(id);
                self.wake_for(now, id, fx);
            }
        }
        for (conn, event) in waiting {
            fx.resume(conn);
            self.handle(now, event, fx);
        }
    }
}
