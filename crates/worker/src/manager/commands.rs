//! What people want.

use super::Manager;
use super::effect::{About, Effect, Note, What};
use super::event::{Command, GroupId, Slot, Stop, Target};
use super::group::Group;
use super::slots::{Out, Performer, Reason};
use super::timers::Timer;
use conveyor_common::Millis;

impl Manager {
    pub(super) fn command(&mut self, command: Command, effects: &mut Vec<Effect>) {
        match command {
            Command::Scale { group, count } => self.scale(group, count, effects),
            Command::Pause(target) => self.hold(target, true, effects),
            Command::Resume(target) => {
                for id in self.groups_of(target) {
                    if let Some(crew) = self.crews.get_mut(&id) {
                        crew.drained = false;
                    }
                }
                self.hold(target, false, effects);
            }
            Command::Drain(target) => self.drain(target, effects),
            Command::Restart(target) => self.restart(target, "somebody asked for it", effects),
            Command::Reload(groups) => self.reload(groups, effects),
            Command::Stop(stop) => self.stop(stop, effects),
        }
    }

    pub(super) fn ignored(&self, what: &str, effects: &mut Vec<Effect>) {
        let why = what.to_owned();
        effects.push(Effect::Note(Note { about: About::Manager, what: What::Ignored, why }));
    }

    fn note_group(id: GroupId, what: What, why: &str, effects: &mut Vec<Effect>) {
        effects.push(Effect::Note(Note { about: About::Group(id), what, why: why.to_owned() }));
    }

    /// Groups that a target names as such.
    fn groups_of(&self, target: Target) -> Vec<GroupId> {
        match target {
            Target::All => self.crews.keys().copied().collect(),
            Target::Group(id) => vec![id],
            Target::Slot(_) => Vec::new(),
        }
    }

    fn slots_of(&self, target: Target) -> Vec<Slot> {
        let meant = |slot: &&Slot| match target {
            Target::All => true,
            Target::Group(id) => slot.group == id,
            Target::Slot(wanted) => **slot == wanted,
        };
        self.performers.keys().filter(meant).copied().collect()
    }

    fn scale(&mut self, id: GroupId, count: Option<u32>, effects: &mut Vec<Effect>) {
        if self.batch.is_some() {
            self.ignored("the numbers of a batch are those of its job", effects);
            return;
        }
        let Some(crew) = self.crews.get_mut(&id) else { return };
        let before = crew.scale.count(&crew.group);
        crew.scale.fix(count);
        let after = crew.scale.count(&crew.group);
        Self::note_group(
            id,
            What::Scaled,
            &format!("from {before} to {after}: somebody asked for it"),
            effects,
        );
    }

    fn hold(&mut self, target: Target, held: bool, effects: &mut Vec<Effect>) {
        for id in self.groups_of(target) {
            if let Some(crew) = self.crews.get_mut(&id) {
                crew.paused = held;
            }
        }
        for slot in self.slots_of(target) {
            let hold = |performer: &mut Performer, now: Millis, group: &Group, out: &mut Out<'_>| {
                // Who is about to end has a job to end first.
                performer.held_by_command = held && performer.leaving.is_none();
                performer.steer(now, group, out);
            };
            self.with(slot, hold, effects);
        }
    }

    fn drain(&mut self, target: Target, effects: &mut Vec<Effect>) {
        for id in self.groups_of(target) {
            if let Some(crew) = self.crews.get_mut(&id) {
                crew.drained = true;
            }
        }
        if self.batch.is_some() {
            return;
        }
        for slot in self.slots_of(target) {
            self.leave(slot, Reason::Drained, effects);
        }
    }

    /// Marks performers to be replaced.
    pub(super) fn restart(&mut self, target: Target, why: &str, effects: &mut Vec<Effect>) {
        if self.batch.is_some() {
            self.ignored("performers of a batch do one task each and are not replaced", effects);
            return;
        }
        for id in self.groups_of(target) {
            if let Some(crew) = self.crews.get_mut(&id) {
                crew.retry.forgive();
                Self::note_group(id, What::Restarting, why, effects);
            }
        }
        for slot in self.slots_of(target) {
            self.with(slot, |performer, _, _, _| performer.outdated = true, effects);
        }
    }

    /// Other settings: what is equal is not touched.
    fn reload(&mut self, groups: Vec<Group>, effects: &mut Vec<Effect>) {
        if self.batch.is_some() || self.stopping {
            self.ignored("new settings for a manager that ends, or has one job", effects);
            return;
        }
        for crew in self.crews.values_mut() {
            crew.removed = groups.iter().all(|group| group.name != crew.group.name);
        }
        let mut seen: Vec<String> = Vec::new();
        for group in groups {
            if seen.contains(&group.name) {
                self.ignored(&format!("a second group named {}", group.name), effects);
                continue;
            }
            seen.push(group.name.clone());
            match self.group_named(&group.name) {
                Some(id) => self.change(id, group, effects),
                None => self.add(group),
            }
        }
    }

    fn change(&mut self, id: GroupId, group: Group, effects: &mut Vec<Effect>) {
        let Some(crew) = self.crews.get_mut(&id).filter(|crew| crew.group != group) else { return };
        let alike = crew.group.runs_like(&group);
        if (crew.group.least, crew.group.most) != (group.least, group.most) {
            crew.scale.fix(None);
            let (least, most) = (group.least, group.most);
            Self::note_group(id, What::Scaled, &format!("now {least} to {most}, by its settings"), effects);
        }
        crew.group = group;
        crew.retry.forgive();
        self.timers.cancel(Timer::Retry(id));
        if !alike {
            self.restart(Target::Group(id), "its command has changed", effects);
        }
    }

    fn stop(&mut self, stop: Stop, effects: &mut Vec<Effect>) {
        if !self.stopping {
            self.stop_batch(effects);
            self.stopping = true;
        }
        self.each(
            |performer, now, group, out| match stop {
                Stop::Graceful => performer.end(now, Reason::Stopped, group, out),
                Stop::Now => performer.kill(now, Reason::Stopped, out),
            },
            effects,
        );
    }
}
