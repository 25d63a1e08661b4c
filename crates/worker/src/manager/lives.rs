//! How performers begin and end.

use super::Manager;
use super::effect::{About, Effect, Note, State, What};
use super::event::{Exit, GroupId, Slot};
use super::slots::{Performer, Reason};

impl Manager {
    pub(super) fn spawn_failed(&mut self, slot: Slot, why: &str, effects: &mut Vec<Effect>) {
        if let Some(performer) = self.bury(slot, effects) {
            let how = format!("its command cannot be started: {why}");
            self.crashed(&performer, true, &how, effects);
        }
    }

    /// A process has ended.
    pub(super) fn exited(&mut self, slot: Slot, how: Exit, effects: &mut Vec<Effect>) {
        let Some(performer) = self.bury(slot, effects) else { return };
        let well = how == Exit::Code(0);
        if let Some(batch) = &mut self.batch {
            let by_itself = performer.ending.is_none() && well;
            if by_itself || performer.has_served() {
                batch.finished = batch.finished.saturating_add(1);
                self.came_to_a_good_end(&performer);
                return;
            }
        }
        match performer.ending {
            // It had its time, and a new one may do no better.
            Some(reason @ Reason::NoHello) => self.crashed(&performer, true, reason.words(), effects),
            Some(_) => {}
            None => {
                let life = self.now.since(performer.born);
                let starts_ms = self.group(slot.group).map_or(0, |group| group.starts_ms);
                if well && (life >= starts_ms || performer.has_served()) {
                    self.came_to_a_good_end(&performer);
                } else {
                    self.crashed(&performer, false, &how.to_string(), effects);
                }
            }
        }
    }

    /// A performer is gone.
    fn bury(&mut self, slot: Slot, effects: &mut Vec<Effect>) -> Option<Performer> {
        let performer = self.performers.remove(&slot)?;
        self.timers.forget(slot);
        effects.push(Effect::SetState { slot, state: State::Gone });
        Some(performer)
    }

    fn came_to_a_good_end(&mut self, performer: &Performer) {
        if let Some(crew) = self.crews.get_mut(&performer.slot.group) {
            crew.retry.lived(performer.slot.generation);
        }
    }

    fn crashed(&mut self, performer: &Performer, early: bool, how: &str, effects: &mut Vec<Effect>) {
        let slot = performer.slot;
        let note = |about, what, why| Effect::Note(Note { about, what, why });
        effects.push(note(About::Performer(slot), What::Crashed, how.to_owned()));
        let Some(crew) = self.crews.get_mut(&slot.group) else { return };
        let settings = &crew.group.retry;
        let early = early || self.now.since(performer.born) < settings.healthy_ms;
        if crew.retry.crashed(self.now, (slot.generation, self.generation), early, settings, how) {
            let why = crew.retry.given_up().cloned().unwrap_or_default();
            effects.push(note(About::Group(slot.group), What::GivenUp, why));
        }
    }

    /// A performer has lived for a while: its group can start.
    pub(super) fn has_lived(&mut self, slot: Slot) {
        let Some(performer) = self.performers.get(&slot) else { return };
        if let Some(crew) = self.crews.get_mut(&slot.group).filter(|_| performer.is_up()) {
            crew.retry.lived(slot.generation);
        }
    }

    pub(super) fn job_ended(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let batch = self.batch.is_some();
        self.with(
            slot,
            |performer, now, group, out| {
                performer.busy = false;
                performer.jobs = performer.jobs.saturating_add(1);
                if let Some(reason) = performer.leaving {
                    performer.end(now, reason, group, out);
                } else if !batch && group.most_jobs.is_some_and(|most| performer.jobs >= most) {
                    performer.end(now, Reason::Jobs, group, out);
                }
            },
            effects,
        );
    }

    /// What the server says about a group's queue.
    pub(super) fn queue(&mut self, id: GroupId, said: (u32, u32, u64), effects: &mut Vec<Effect>) {
        let Some(crew) = self.crews.get_mut(&id) else { return };
        let before = crew.scale.count(&crew.group);
        let (queued, running, oldest_age_ms) = said;
        crew.scale.queue(self.now, &crew.group, queued, running, oldest_age_ms);
        let after = crew.scale.count(&crew.group);
        if before != after {
            let why = format!("from {before} to {after}: {queued} jobs queued, {running} under way");
            effects.push(Effect::Note(Note { about: About::Group(id), what: What::Scaled, why }));
        }
    }
}
