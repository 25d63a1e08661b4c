//! How many performers there are, how many there are to be, and what follows.

use super::effect::{About, Effect, Note, What};
use super::event::{GroupId, Slot};
use super::permit::Blocked;
use super::slots::{Out, Performer, Reason};
use super::timers::Timer;
use super::{Crew, Manager};

/// Performers of a group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// All that are not gone.
    pub(super) live: u32,
    /// Of these, neither ending nor about to.
    pub(super) staying: u32,
    /// Of these, through with their start.
    pub(super) up: u32,
    /// Of the staying ones, those to be replaced.
    outdated: u32,
    /// Staying, not to be replaced, and not through with their start.
    coming: u32,
    /// The generation of the youngest.
    newest: Option<u64>,
}

impl Manager {
    pub(super) fn of_group(&self, id: GroupId) -> impl DoubleEndedIterator<Item = &Performer> {
        let first = Slot { group: id, number: 0, generation: 0 };
        let last = Slot { group: id, number: u32::MAX, generation: u64::MAX };
        self.performers.range(first..=last).map(|(_, performer)| performer)
    }

    pub(super) fn count(&self, id: GroupId) -> Count {
        let mut count = Count::default();
        for performer in self.of_group(id) {
            count.live += 1;
            count.newest = count.newest.max(Some(performer.slot.generation));
            if performer.stays() {
                count.staying += 1;
                count.up += u32::from(performer.is_up());
                count.outdated += u32::from(performer.outdated);
                count.coming += u32::from(!performer.outdated && !performer.is_up());
            }
        }
        count
    }

    /// How many performers a group is to have.
    pub(super) fn desired(&self, crew: &Crew) -> u32 {
        if crew.removed || crew.drained && self.batch.is_none() || self.stopping {
            return 0;
        }
        match &self.batch {
            None => crew.scale.count(&crew.group),
            Some(batch) => batch
                .task
                .filter(|_| !batch.over)
                .map_or(0, |task| task.at_once.max(1).min(task.total.saturating_sub(batch.finished))),
        }
    }

    /// How many performers a group may have: one more while it replaces some, so that the new one comes first.
    pub(super) fn limit(&self, crew: &Crew, count: &Count) -> u32 {
        let desired = self.desired(crew);
        let replaces = self.batch.is_none() && count.outdated > 0 && count.staying >= desired && desired > 0;
        desired + u32::from(replaces)
    }

    /// How many of a group may be started now, as far as the group is concerned; or why none.
    fn shortage(&self, id: GroupId, crew: &Crew) -> Result<u32, Option<Blocked>> {
        let count = self.count(id);
        let missing = self.limit(crew, &count).saturating_sub(count.live);
        if self.stopping || self.batch.as_ref().is_some_and(|batch| batch.over) {
            return Err(Some(Blocked::Over));
        }
        if self.batch.as_ref().is_some_and(|batch| batch.task.is_none()) {
            return Err(Some(Blocked::NoTask));
        }
        if crew.drained {
            return Err(Some(Blocked::Drained));
        }
        if missing == 0 {
            let short = count.staying < self.desired(crew);
            return Err(short.then_some(Blocked::OldOne));
        }
        if crew.paused {
            return Err(Some(Blocked::Paused));
        }
        if self.performers.len() >= self.settings.most as usize {
            return Err(Some(Blocked::Most));
        }
        let settings = &crew.group.retry;
        let permits = crew.retry.permits(self.now, missing, count.newest, settings);
        if permits > 0 {
            return Ok(permits);
        }
        Err(Some(match crew.retry.next(self.now, settings) {
            _ if crew.retry.given_up().is_some() => Blocked::GivenUp,
            Some(until) => Blocked::BackOff(until),
            None => Blocked::Crashes,
        }))
    }

    /// How many performers are wanted now, and of which group the next one.
    pub(super) fn wanted(&self) -> (u32, Option<GroupId>) {
        let mut wanted = 0_u32;
        let mut next: Option<(u64, GroupId)> = None;
        for (id, crew) in &self.crews {
            let Ok(permits) = self.shortage(*id, crew) else { continue };
            wanted = wanted.saturating_add(permits);
            // The group that has the smallest part of what it is to have.
            let part = u64::from(self.count(*id).live) * 1000 / u64::from(self.desired(crew).max(1));
            if next.is_none_or(|(least, _)| part < least) {
                next = Some((part, *id));
            }
        }
        let room =
            self.settings.most.saturating_sub(u32::try_from(self.performers.len()).unwrap_or(u32::MAX));
        (wanted.min(room), next.map(|(_, id)| id))
    }

    /// Starts what may be started.
    pub(super) fn start(&mut self, effects: &mut Vec<Effect>) {
        while self.permits.may_start(self.now, &self.settings).is_ok() {
            let (_, Some(id)) = self.wanted() else { break };
            self.spawn(id, effects);
        }
        for id in self.crews.keys().copied().collect::<Vec<_>>() {
            self.explain(id, effects);
        }
    }

    fn spawn(&mut self, id: GroupId, effects: &mut Vec<Effect>) {
        let count = self.count(id);
        let number = self.free_number(id);
        let Some(crew) = self.crews.get(&id) else { return };
        let missing = self.limit(crew, &count).saturating_sub(count.live);
        self.generation += 1;
        let slot = Slot { group: id, number, generation: self.generation };
        let (now, seed) = (self.now, self.settings.seed);
        let Some(crew) = self.crews.get_mut(&id) else { return };
        crew.starts += 1;
        crew.retry.started(now, missing, &crew.group.retry);
        self.permits.started(now, &self.settings);
        effects.push(Effect::Spawn { slot, attempt: crew.starts });
        let timers = &mut self.timers;
        if let Some(lifetime) = crew.group.lifetime_ms {
            let splay = spread(seed, slot) % crew.group.splay_ms.saturating_add(1).max(1);
            timers.set(Timer::Lifetime(slot), now.plus(lifetime).plus(splay));
        }
        timers.set(Timer::Healthy(slot), now.plus(crew.group.retry.healthy_ms));
        let performer = Performer::new(slot, now, &mut Out { effects, timers });
        self.performers.insert(slot, performer);
    }

    fn free_number(&self, id: GroupId) -> u32 {
        let mut number = 0;
        for performer in self.of_group(id) {
            if performer.slot.number > number {
                break;
            }
            number = performer.slot.number + 1;
        }
        number
    }

    /// Why a group gets no performer: kept for the status, told when it changes, and looked at again in time.
    fn explain(&mut self, id: GroupId, effects: &mut Vec<Effect>) {
        let Some(crew) = self.crews.get(&id) else { return };
        let blocked = match self.shortage(id, crew) {
            Ok(_) => self.permits.may_start(self.now, &self.settings).err(),
            Err(blocked) => blocked,
        };
        match blocked {
            Some(Blocked::Pace) => {
                self.timers.set(Timer::Pace, self.permits.paid_in_part(&self.settings));
            }
            Some(Blocked::BackOff(until)) => self.timers.set(Timer::Retry(id), until),
            _ => {}
        }
        let Some(crew) = self.crews.get_mut(&id) else { return };
        if crew.blocked == blocked {
            return;
        }
        crew.blocked = blocked;
        // What passes by itself within a second is of no interest to anybody.
        let passes = matches!(blocked, Some(Blocked::Pace | Blocked::OldOne | Blocked::Over));
        if let Some(blocked) = blocked.filter(|_| !passes) {
            let about = About::Group(id);
            effects.push(Effect::Note(Note { about, what: What::NotStarted, why: blocked.to_string() }));
        }
    }

    /// Ends what is too much, and what is replaced by something that is ready.
    pub(super) fn trim(&mut self, id: GroupId, effects: &mut Vec<Effect>) {
        let Some(crew) = self.crews.get(&id) else { return };
        // A batch has as many as were started; they end by themselves.
        if self.batch.is_some() {
            return;
        }
        let desired = self.desired(crew);
        let count = self.count(id);
        if count.outdated == 0 || count.staying <= desired && count.up <= crew.group.least_ready {
            self.timers.cancel(Timer::Patience(id));
        }
        let replacing = count.outdated > 0 && desired > 0;
        let spare = desired + u32::from(replacing);
        let reason = if crew.removed || crew.drained { Reason::Drained } else { Reason::TooMany };
        for slot in self.victims(id, count.staying.saturating_sub(spare)) {
            self.leave(slot, reason, effects);
        }
        if replacing {
            self.replace(id, desired, effects);
        }
    }

    /// Ends an old performer once its replacement is ready.
    fn replace(&mut self, id: GroupId, desired: u32, effects: &mut Vec<Effect>) {
        let count = self.count(id);
        let Some(crew) = self.crews.get(&id) else { return };
        let oldest = self.of_group(id).filter(|performer| performer.stays() && performer.outdated);
        let Some(oldest) = oldest.min_by_key(|performer| (performer.is_up(), performer.born)) else { return };
        let slot = oldest.slot;
        if count.staying > desired {
            // The new one is there; it has to be ready, unless what it replaces never was.
            if count.coming == 0 || !oldest.is_up() {
                self.timers.cancel(Timer::Patience(id));
                self.leave(slot, Reason::Replaced, effects);
            }
            return;
        }
        if count.live > count.staying || count.coming > 0 || count.up <= crew.group.least_ready {
            return;
        }
        // There is no room for one more: after a while an old one makes room.
        if !self.timers.contains(Timer::Patience(id)) {
            self.timers.set(Timer::Patience(id), self.now.plus(self.settings.patience_ms));
        }
    }

    /// A replacement has found no room for long.
    pub(super) fn lose_patience(&mut self, id: GroupId, effects: &mut Vec<Effect>) {
        let count = self.count(id);
        let Some(crew) = self.crews.get(&id) else { return };
        let stuck = crew.paused || crew.retry.crashes() > 0 || crew.retry.given_up().is_some();
        if stuck || count.up <= crew.group.least_ready {
            return;
        }
        let old = self.of_group(id).filter(|performer| performer.stays() && performer.outdated);
        if let Some(slot) = old.min_by_key(|performer| performer.born).map(|performer| performer.slot) {
            self.leave(slot, Reason::Replaced, effects);
        }
    }

    /// Who ends when there are too many: those to be replaced, those that do nothing, the newest.
    fn victims(&self, id: GroupId, number: u32) -> Vec<Slot> {
        if number == 0 {
            return Vec::new();
        }
        let mut staying: Vec<&Performer> = self.of_group(id).filter(|performer| performer.stays()).collect();
        staying.sort_by_key(|performer| {
            (!performer.outdated, performer.busy, std::cmp::Reverse(performer.slot.generation))
        });
        staying.iter().take(number as usize).map(|performer| performer.slot).collect()
    }
}

/// A number that is different for each life, and the same for the same seed.
fn spread(seed: u64, slot: Slot) -> u64 {
    let mut mixed = seed ^ (u64::from(slot.group.0) << 48) ^ (u64::from(slot.number) << 32) ^ slot.generation;
    mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
