//! The table of functions: names, counters, limits and who can do them.

use super::ready::Ready;
use super::wake::CrewId;
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use std::collections::HashMap;

/// Names a function inside the core. Never used again after a `drop function`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FunctionId(pub(super) u32);

/// One function.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) name: Bytes,
    pub(super) ready: Ready,
    /// Jobs with a worker.
    pub(super) running: usize,
    /// Jobs not with a worker, by priority: ready, scheduled and given up.
    pub(super) queued: PerPriority<usize>,
    /// Jobs given up that still stand in a ready queue.
    pub(super) stale: usize,
    /// CAN_DO registrations; a worker that registers twice counts twice.
    pub(super) workers: usize,
    /// Most jobs for a submission of each priority to be accepted; 0 is no limit.
    pub(super) limits: PerPriority<u32>,
    /// Sets of abilities that hold this function and have members.
    pub(super) crews: Vec<CrewId>,
    /// Which crew is woken first next time.
    pub(super) crew_turn: usize,
    /// How many sleepers were woken when patience last ran out; 0 when a woken worker took a job since.
    pub(super) escalation: usize,
    /// Somebody looks every now and then whether a job was taken.
    pub(super) watched: bool,
    /// A job was taken since that look.
    pub(super) taken: bool,
    /// Position in [`Functions::runnable`].
    runnable_at: Option<usize>,
}

impl Function {
    /// Queued and running jobs, as `status` and `maxqueue` count them.
    pub(super) const fn total(&self) -> usize {
        self.queued_total() + self.running
    }

    pub(super) const fn queued_total(&self) -> usize {
        self.queued.high + self.queued.normal + self.queued.low
    }
}

/// All functions, in the order of their creation.
#[derive(Debug, Default)]
pub(super) struct Functions {
    table: Vec<Option<Function>>,
    by_name: HashMap<Bytes, FunctionId>,
    /// Functions with a runnable job: nearly always few, whatever the number of functions.
    runnable: Vec<FunctionId>,
}

impl Functions {
    pub(super) fn find(&self, name: &[u8]) -> Option<FunctionId> {
        self.by_name.get(name).copied()
    }

    /// The oldest function whose name is `name` but for upper and lower case.
    pub(super) fn find_ignoring_case(&self, name: &[u8]) -> Option<FunctionId> {
        self.find(name).or_else(|| {
            self.iter().find(|(_, function)| function.name.eq_ignore_ascii_case(name)).map(|(id, _)| id)
        })
    }

    /// Adds a function that does not exist yet.
    pub(super) fn create(&mut self, name: &[u8]) -> FunctionId {
        let id = FunctionId(u32::try_from(self.table.len()).unwrap_or(u32::MAX));
        let name = Bytes::copy_from_slice(name);
        self.by_name.insert(name.clone(), id);
        self.table.push(Some(Function { name, ..Function::default() }));
        id
    }

    pub(super) fn remove(&mut self, id: FunctionId) -> Option<Function> {
        let function = self.table.get_mut(id.0 as usize)?.take()?;
        self.by_name.remove(&function.name);
        if let Some(at) = function.runnable_at {
            self.unlist(at);
        }
        Some(function)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, id: FunctionId) -> Option<&Function> {
        self.table.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: FunctionId) -> Option<&mut Function> {
        self.table.get_mut(id.0 as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FunctionId, &Function)> {
        (0_u32..).zip(&self.table).filter_map(|(id, slot)| Some((FunctionId(id), slot.as_ref()?)))
    }

    /// Functions with a runnable job, in no meaningful but a reproducible order.
    pub(super) fn runnable(&self) -> &[FunctionId] {
        &self.runnable
    }

    /// Brings the list of functions with a runnable job up to date with the queues of `id`.
    pub(super) fn list_runnable(&mut self, id: FunctionId) {
        let at = self.runnable.len();
        let Some(function) = self.get_mut(id) else { return };
        match (function.ready.runnable_total() > 0, function.runnable_at) {
            (true, None) => {
                function.runnable_at = Some(at);
                self.runnable.push(id);
            }
            (false, Some(at)) => {
                function.runnable_at = None;
                function.escalation = 0;
                self.unlist(at);
            }
            _ => {}
        }
    }

    fn unlist(&mut self, at: usize) {
        if at >= self.runnable.len() {
            return;
        }
        self.runnable.swap_remove(at);
        if let Some(moved) = self.runnable.get(at).copied()
            && let Some(function) = self.get_mut(moved)
        {
            function.runnable_at = Some(at);
        }
    }
}
