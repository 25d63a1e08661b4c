//! What one connection can do, in the order in which it is offered work.
//!
//! Most have a handful of registrations, and scanning those is the quickest way. Some have a hundred thousand: for
//! them an index by function finds a job without a scan, and taking a registration out of the middle moves
//! nothing.

use super::functions::FunctionId;
use std::collections::{BTreeSet, VecDeque};

/// More registrations than this are indexed.
const FEW: usize = 32;

/// A CAN_DO registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ability {
    pub(super) function: FunctionId,
    /// Limit on each job in milliseconds; 0 is none.
    pub(super) timeout_ms: u64,
}

/// Names a registration of a connection, until it is moved or taken back: the smaller, the earlier it is
/// offered work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(i64);

/// The registrations of a connection: the newest first, and round-robin moves the chosen one to the end.
#[derive(Debug, Default)]
pub(super) struct Abilities {
    /// By rank. With an index, those that left the middle stay until they are half of it.
    list: VecDeque<Registration>,
    gone: usize,
    index: Option<BTreeSet<(FunctionId, Rank)>>,
}

#[derive(Debug)]
struct Registration {
    rank: Rank,
    timeout_ms: u64,
    function: FunctionId,
    gone: bool,
}

impl Registration {
    const fn ability(&self) -> Ability {
        Ability { function: self.function, timeout_ms: self.timeout_ms }
    }
}

impl Abilities {
    pub(super) fn len(&self) -> usize {
        self.list.len() - self.gone
    }

    /// The registrations in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Ability> + '_ {
        self.list.iter().filter(|one| !one.gone).map(Registration::ability)
    }

    pub(super) fn get(&self, rank: Rank) -> Option<Ability> {
        self.list.get(self.position(rank)?).map(Registration::ability)
    }

    fn position(&self, rank: Rank) -> Option<usize> {
        let at = self.list.binary_search_by_key(&rank, |one| one.rank).ok()?;
        self.list.get(at).filter(|one| !one.gone).map(|_| at)
    }

    /// Adds a registration before all others.
    pub(super) fn push_front(&mut self, ability: Ability) {
        let rank = self.list.front().map_or(Rank(0), |first| Rank(first.rank.0 - 1));
        self.list.push_front(Registration {
            rank,
            timeout_ms: ability.timeout_ms,
            function: ability.function,
            gone: false,
        });
        match &mut self.index {
            Some(index) => {
                index.insert((ability.function, rank));
            }
            None if self.list.len() > FEW => {
                self.index = Some(self.list.iter().map(|one| (one.function, one.rank)).collect());
            }
            None => {}
        }
    }

    /// Moves a registration behind all others.
    pub(super) fn rotate(&mut self, rank: Rank) {
        if self.len() < 2 {
            return;
        }
        let last = self.list.back().map_or(Rank(0), |last| last.rank);
        let Some(ability) = self.take(rank) else { return };
        let rank = Rank(last.0 + 1);
        self.list.push_back(Registration {
            rank,
            timeout_ms: ability.timeout_ms,
            function: ability.function,
            gone: false,
        });
        if let Some(index) = &mut self.index {
            index.insert((ability.function, rank));
        }
    }

    /// Takes a registration out.
    fn take(&mut self, rank: Rank) -> Option<Ability> {
        let at = self.position(rank)?;
        let Some(index) = &mut self.index else {
            return self.list.remove(at).map(|one| one.ability());
        };
        let one = self.list.get_mut(at)?;
        let ability = one.ability();
        one.gone = true;
        self.gone += 1;
        index.remove(&(ability.function, rank));
        while self.list.pop_front_if(|one| one.gone).is_some() {
            self.gone -= 1;
        }
        if self.gone > self.list.len() / 2 {
            self.list.retain(|one| !one.gone);
            self.gone = 0;
        }
        Some(ability)
    }

    /// Takes every registration of a function out, and says how many there were.
    pub(super) fn drop_function(&mut self, function: FunctionId) -> usize {
        let before = self.len();
        if self.index.is_none() {
            self.list.retain(|one| one.function != function);
        }
        while let Some(rank) = self.first_rank(function) {
            self.take(rank);
        }
        before - self.len()
    }

    /// The first registration of a function; only the index knows it.
    fn first_rank(&self, function: FunctionId) -> Option<Rank> {
        let first = (function, Rank(i64::MIN));
        let (found, rank) = self.index.as_ref()?.range(first..).next()?;
        (*found == function).then_some(*rank)
    }

    /// The first registration whose function is one of `listed`, which are exactly those for which
    /// `is_listed` holds. Costs what the shorter way does: along the registrations, or along the list.
    pub(super) fn first_of(
        &self,
        listed: &[FunctionId],
        is_listed: impl Fn(FunctionId) -> bool,
    ) -> Option<Rank> {
        if listed.is_empty() {
            return None;
        }
        let scanned = if self.index.is_some() { 4 * listed.len() } else { self.list.len() };
        let mut first = self.list.iter().take(scanned);
        if let Some(found) = first.find(|one| !one.gone && is_listed(one.function)) {
            return Some(found.rank);
        }
        if scanned >= self.list.len() {
            return None;
        }
        listed.iter().filter_map(|function| self.first_rank(*function)).min()
    }

    /// The functions of `listed` that are among the registrations, some perhaps twice, by the shorter way.
    pub(super) fn among(
        &self,
        listed: &[FunctionId],
        is_listed: impl Fn(FunctionId) -> bool,
    ) -> Vec<FunctionId> {
        if listed.is_empty() {
            return Vec::new();
        }
        if self.index.is_some() && listed.len() < self.list.len() {
            return listed.iter().copied().filter(|function| self.first_rank(*function).is_some()).collect();
        }
        self.iter().map(|ability| ability.function).filter(|function| is_listed(*function)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Abilities, Ability, FEW, FunctionId};
    use proptest::prelude::*;
    use std::collections::{BTreeSet, VecDeque};

    #[derive(Clone, Debug)]
    enum Op {
        Push(u32),
        /// Chooses for these functions, and rotates.
        Choose(Vec<u32>),
        /// Rotates any.
        Rotate(usize),
        Drop(u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => (0..90_u32).prop_map(Op::Push),
            4 => prop::collection::vec(0..100_u32, 0..3).prop_map(Op::Choose),
            1 => prop::collection::vec(0..100_u32, 0..60).prop_map(Op::Choose),
            4 => any::<usize>().prop_map(Op::Rotate),
            1 => (0..90_u32).prop_map(Op::Drop),
        ]
    }

    proptest! {
        #[test]
        fn the_choice_is_that_of_a_scan(history in prop::collection::vec(op(), 0..500)) {
            let mut abilities = Abilities::default();
            let mut model: VecDeque<Ability> = VecDeque::new();
            for (turn, op) in (0..).zip(history) {
                match op {
                    Op::Push(function) => {
                        let ability = Ability { function: FunctionId(function), timeout_ms: turn };
                        abilities.push_front(ability);
                        model.push_front(ability);
                    }
                    Op::Choose(listed) => {
                        let set: BTreeSet<FunctionId> = listed.into_iter().map(FunctionId).collect();
                        let listed: Vec<FunctionId> = set.iter().rev().copied().collect();
                        let has = |function: FunctionId| set.contains(&function);
                        let found = abilities.first_of(&listed, has);
                        let at = model.iter().position(|ability| has(ability.function));
                        let chosen = found.and_then(|rank| abilities.get(rank));
                        prop_assert_eq!(chosen, at.map(|at| model[at]));
                        let among: BTreeSet<FunctionId> = abilities.among(&listed, has).into_iter().collect();
                        let able: BTreeSet<FunctionId> = model.iter().map(|one| one.function).collect();
                        prop_assert_eq!(among, &able & &set);
                        if let (Some(rank), Some(at)) = (found, at) {
                            abilities.rotate(rank);
                            let ability = model.remove(at).unwrap();
                            model.push_back(ability);
                        }
                    }
                    Op::Rotate(at) if !model.is_empty() => {
                        let at = at % model.len();
                        let rank = abilities.list.iter().filter(|one| !one.gone).nth(at).unwrap().rank;
                        abilities.rotate(rank);
                        let ability = model.remove(at).unwrap();
                        model.push_back(ability);
                    }
                    Op::Rotate(_) => {}
                    Op::Drop(function) => {
                        let before = model.len();
                        model.retain(|one| one.function != FunctionId(function));
                        prop_assert_eq!(abilities.drop_function(FunctionId(function)), before - model.len());
                    }
                }
                prop_assert_eq!(abilities.iter().collect::<VecDeque<_>>(), model.clone());
                prop_assert_eq!(abilities.len(), model.len());
                prop_assert!(abilities.gone <= abilities.list.len() / 2 + 1);
                prop_assert!(abilities.index.is_some() || abilities.gone == 0);
                let indexed = abilities.index.as_ref().map_or(model.len(), BTreeSet::len);
                prop_assert_eq!(indexed, model.len());
                prop_assert!(abilities.index.is_some() || model.len() <= FEW);
            }
        }
    }
}
