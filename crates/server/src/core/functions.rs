//! The table of functions: names, counters, limits and who can do them.

use super::event::Count;
use super::ready::Ready;
use super::wake::CrewId;
use bytes::Bytes;
use conveyor_common::Priority;
use conveyor_common::priority::PerPriority;
use std::collections::HashMap;
use std::num::NonZeroU32;

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
    /// Jobs that are still to be read from the store; none when there are none.
    pub(super) unread: Option<Box<PerPriority<Count>>>,
    /// Where it stands on each list.
    spots: Lists<Spot>,
}

impl Function {
    /// Queued and running jobs, those not read yet included, as `status` and `maxqueue` count them.
    pub(super) fn total(&self) -> usize {
        let unread = Priority::ALL.map(|priority| self.unread_at(priority).jobs);
        self.queued_total() + self.running + unread.iter().sum::<u64>() as usize
    }

    /// Jobs of a priority that are still to be read from the store.
    pub(super) fn unread_at(&self, priority: Priority) -> Count {
        self.unread.as_ref().map_or_else(Count::default, |unread| *unread.of(priority))
    }

    pub(super) const fn queued_total(&self) -> usize {
        self.queued.high + self.queued.normal + self.queued.low
    }
}

/// Which of the lists of functions.
#[derive(Clone, Copy, Debug)]
enum Which {
    Runnable,
    RunnableAt(Priority),
    Stale,
}

/// Something for each list of functions.
#[derive(Debug, Default)]
struct Lists<T> {
    runnable: T,
    runnable_at: PerPriority<T>,
    stale: T,
}

impl<T> Lists<T> {
    const fn of_mut(&mut self, which: Which) -> &mut T {
        match which {
            Which::Runnable => &mut self.runnable,
            Which::RunnableAt(priority) => self.runnable_at.of_mut(priority),
            Which::Stale => &mut self.stale,
        }
    }
}

/// A place on a list, counted from 1, or none.
#[derive(Clone, Copy, Debug, Default)]
struct Spot(Option<NonZeroU32>);

impl Spot {
    fn new(at: usize) -> Self {
        Self(u32::try_from(at + 1).ok().and_then(NonZeroU32::new))
    }

    fn get(self) -> Option<usize> {
        self.0.map(|place| place.get() as usize - 1)
    }
}

/// All functions, in the order of their creation.
#[derive(Debug, Default)]
pub(super) struct Functions {
    table: Vec<Option<Function>>,
    by_name: HashMap<Bytes, FunctionId>,
    /// Nearly always short, whatever the number of functions.
    lists: Lists<Vec<FunctionId>>,
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
        let runnable_at = Priority::ALL.map(Which::RunnableAt);
        for which in runnable_at.into_iter().chain([Which::Runnable, Which::Stale]) {
            self.list(id, which, false);
        }
        let function = self.table.get_mut(id.0 as usize)?.take()?;
        self.by_name.remove(&function.name);
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

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (FunctionId, &mut Function)> {
        (0_u32..).zip(&mut self.table).filter_map(|(id, slot)| Some((FunctionId(id), slot.as_mut()?)))
    }

    /// Functions with a runnable job, in no meaningful but a reproducible order.
    pub(super) fn runnable(&self) -> &[FunctionId] {
        &self.lists.runnable
    }

    /// Functions with a runnable job of this priority, in such an order.
    pub(super) fn runnable_at(&self, priority: Priority) -> &[FunctionId] {
        self.lists.runnable_at.of(priority)
    }

    /// Functions with queued jobs that nobody wants, in such an order.
    pub(super) fn stale(&self) -> &[FunctionId] {
        &self.lists.stale
    }

    /// Brings the lists of functions with a runnable job up to date with the queue of `id` for `priority`.
    pub(super) fn list_runnable(&mut self, id: FunctionId, priority: Priority) {
        let Self { table, lists, .. } = self;
        let Some(function) = table.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let (ready, spots) = (&function.ready, &mut function.spots);
        let total = ready.runnable_total();
        if total == 0 && spots.runnable.get().is_some() {
            function.escalation = 0;
        }
        let moved = settle(&mut lists.runnable, &mut spots.runnable, id, total > 0);
        let (list, spot) = (lists.runnable_at.of_mut(priority), spots.runnable_at.of_mut(priority));
        let moved_at = settle(list, spot, id, ready.runnable(priority) > 0);
        self.note_move(Which::Runnable, moved);
        self.note_move(Which::RunnableAt(priority), moved_at);
    }

    /// Brings the list of functions with jobs that nobody wants up to date.
    pub(super) fn list_stale(&mut self, id: FunctionId) {
        let stale = self.get(id).is_some_and(|function| function.stale > 0);
        self.list(id, Which::Stale, stale);
    }

    /// Puts a function on a list or takes it off.
    fn list(&mut self, id: FunctionId, which: Which, belongs: bool) {
        let Self { table, lists, .. } = self;
        let Some(function) = table.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let moved = settle(lists.of_mut(which), function.spots.of_mut(which), id, belongs);
        self.note_move(which, moved);
    }

    /// What stands at `at` on a list has moved there.
    fn note_move(&mut self, which: Which, at: Option<usize>) {
        if let Some(at) = at
            && let Some(id) = self.lists.of_mut(which).get(at).copied()
            && let Some(function) = self.get_mut(id)
        {
            *function.spots.of_mut(which) = Spot::new(at);
        }
    }
}

/// Puts `id` on a list or takes it off, where the last one takes its place: returns that place.
fn settle(list: &mut Vec<FunctionId>, spot: &mut Spot, id: FunctionId, belongs: bool) -> Option<usize> {
    match (belongs, spot.get()) {
        (true, None) => {
            *spot = Spot::new(list.len());
            list.push(id);
            None
        }
        (false, Some(at)) => {
            *spot = Spot::default();
            if at >= list.len() {
                return None;
            }
            list.swap_remove(at);
            (at < list.len()).then_some(at)
        }
        _ => None,
    }
}
