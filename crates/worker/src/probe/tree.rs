//! Which processes belong to whom, and the CPU time they use.
//!
//! All processes are looked at when somebody new is watched and every now and then; in between only those that belong to
//! somebody, and new ones: whoever belongs to nobody can come to belong to somebody only when it is the child of a process
//! that ended below one that adopts.

use super::files::Files;
use super::parse::{self, Stat};
use conveyor_common::Millis;
use std::collections::{HashMap, HashSet};
use std::io;

/// Every so many measurements all processes are looked at.
const FULL: u32 = 16;

/// A watched process and all that descends from it, as far as it does not descend from another watched one.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) members: Vec<(u32, Stat)>,
    /// CPU time since the measurement before, in clock ticks.
    pub(super) used: u64,
}

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// Members of trees.
    members: HashMap<u32, Stat>,
    /// Processes of nobody.
    others: HashSet<u32>,
    watched: HashSet<u32>,
    passes: u32,
    at: Option<Millis>,
}

impl Trees {
    /// Milliseconds since the measurement before; none at the first.
    pub(super) fn since(&self, now: Millis) -> Option<u64> {
        self.at.map(|at| now.since(at))
    }

    /// Whether a process belonged to somebody.
    pub(super) fn has(&self, pid: u32) -> bool {
        self.members.contains_key(&pid)
    }

    /// The trees of `watched` processes, each with its start time if known, in that order; none for those that have ended.
    pub(super) fn look(
        &mut self,
        files: &mut Files,
        now: Millis,
        watched: &[(u32, Option<u64>)],
    ) -> io::Result<Vec<Option<Tree>>> {
        let pids = files.processes()?;
        let new = watched.iter().any(|(pid, _)| !self.watched.contains(pid));
        let full = new || self.passes.is_multiple_of(FULL);
        let mut seen: HashMap<u32, Stat> = HashMap::with_capacity(self.members.len() + 16);
        for pid in &pids {
            if full || !self.others.contains(pid) {
                // Who ends meanwhile is gone.
                let stat = files.bytes(&format!("/proc/{pid}/stat")).ok().and_then(parse::stat);
                seen.extend(stat.map(|stat| (*pid, stat)));
            }
        }
        let mut trees = grow(&seen, watched);
        let members: HashMap<u32, Stat> =
            trees.iter().flatten().flat_map(|tree| tree.members.iter().copied()).collect();
        let others = pids.into_iter().filter(|pid| !members.contains_key(pid)).collect();
        if self.at.is_some() {
            let waited = self.waited(&seen, &members);
            for tree in trees.iter_mut().flatten() {
                let used = |(pid, stat): &(u32, Stat)| {
                    self.used(*pid, stat).saturating_add(waited.get(pid).copied().unwrap_or(0))
                };
                tree.used = tree.members.iter().map(used).fold(0, u64::saturating_add);
            }
        }
        let watched = watched.iter().map(|(pid, _)| *pid).collect();
        *self = Self { members, others, watched, passes: self.passes.wrapping_add(1), at: Some(now) };
        Ok(trees)
    }

    /// Whether it is the process that was a member then.
    fn before(&self, pid: u32, stat: &Stat) -> Option<&Stat> {
        self.members.get(&pid).filter(|old| old.start_time == stat.start_time)
    }

    /// CPU time of a member since then, without that of its children.
    fn used(&self, pid: u32, stat: &Stat) -> u64 {
        match self.before(pid, stat) {
            Some(old) => stat.used.saturating_sub(old.used),
            // It was there, but nobody looked at it.
            None if self.others.contains(&pid) => 0,
            None => stat.used,
        }
    }

    /// CPU time of children that have ended since then, by the process that waited for them. What they had used before was
    /// counted while they were there.
    fn waited(&self, seen: &HashMap<u32, Stat>, members: &HashMap<u32, Stat>) -> HashMap<u32, u64> {
        let mut waited: HashMap<u32, u64> = HashMap::with_capacity(members.len());
        for (pid, stat) in members {
            let ticks = match self.before(*pid, stat) {
                Some(old) => stat.waited.saturating_sub(old.waited),
                None if self.others.contains(pid) => 0,
                None => stat.waited,
            };
            waited.insert(*pid, ticks);
        }
        let lives = |pid: u32, old: &Stat| seen.get(&pid).is_some_and(|now| now.start_time == old.start_time);
        for (pid, ended) in self.members.iter().filter(|(pid, old)| !lives(**pid, old)) {
            let counted = ended.used.saturating_add(ended.waited);
            let mut parent = ended.parent;
            // Whoever waited for it may have ended as well: its own parent has the time then.
            for _ in 0..self.members.len() {
                let Some(old) = self.members.get(&parent).filter(|_| parent != *pid) else { break };
                if lives(parent, old) {
                    if let Some(ticks) = waited.get_mut(&parent) {
                        *ticks = ticks.saturating_sub(counted);
                    }
                    break;
                }
                parent = old.parent;
            }
        }
        waited
    }
}

/// Everybody belongs to the nearest watched ancestor.
fn grow(seen: &HashMap<u32, Stat>, watched: &[(u32, Option<u64>)]) -> Vec<Option<Tree>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, stat) in seen {
        children.entry(stat.parent).or_default().push(*pid);
    }
    let is_there = |(pid, start_time): &(u32, Option<u64>)| {
        let stat = seen.get(pid).filter(|stat| !stat.has_ended());
        stat.is_some_and(|stat| start_time.is_none_or(|start| stat.start_time == start))
    };
    let roots: HashSet<u32> = watched.iter().filter(|one| is_there(one)).map(|(pid, _)| *pid).collect();
    let mut taken: HashSet<u32> = HashSet::new();
    watched
        .iter()
        .map(|one| {
            let (root, _) = *one;
            if !is_there(one) || !taken.insert(root) {
                return None;
            }
            let mut tree = Tree::default();
            let mut next = vec![root];
            while let Some(pid) = next.pop() {
                tree.members.extend(seen.get(&pid).map(|stat| (pid, *stat)));
                let below = children.get(&pid).map(Vec::as_slice).unwrap_or_default();
                next.extend(below.iter().filter(|child| !roots.contains(child) && taken.insert(**child)));
            }
            Some(tree)
        })
        .collect()
}
