//! What a keeper starts, and how it stops that again.

use super::child;
use super::config::{PlainJob, What};
use super::keeper::Keeper;
use super::submit;
use crate::state::STATE_VARIABLE;
use conveyor_client::schedule::{Effect, Event, How, Start, Where};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// How long a run may take to end after TERM, before it is killed.
const STOP: Duration = Duration::from_secs(10);

impl Keeper {
    /// Starts it; what follows from that.
    pub(super) async fn start(&mut self, start: Start) -> Vec<Effect> {
        let unique = self.unique(start.due);
        tracing::info!(schedule = %self.schedule.plan.name, due = %self.shown(start.due), %unique, "starts");
        match self.schedule.what.clone() {
            What::Run(run) => self.start_process(start.due, &run, &unique),
            What::Job(job) => self.start_job(start.due, &job, &unique).await,
        }
    }

    fn start_process(&mut self, due: i64, run: &str, unique: &str) -> Vec<Effect> {
        let mut effects = self.sending(due);
        let Some(lock) = self.held.get(&due) else { return effects };
        let mut command = self.starter.command(run, unique);
        command.env(STATE_VARIABLE, self.folder.directory());
        match child::spawn(&mut command, lock, self.starter.foreground) {
            Ok(mut process) => {
                let id = process.id();
                self.processes.insert(due, id);
                let ended = self.ended.clone();
                std::thread::spawn(move || {
                    // Whoever is gone does not want to know.
                    let _ = process.wait().map(|status| ended.blocking_send((due, status)));
                });
                effects.extend(self.decide_or_keep(Event::Started { due, place: Where::Process(id) }));
                if self.seen.running.iter().any(|run| run.due == due && run.stopping) {
                    self.terminate(due, id);
                }
            }
            Err(error) => {
                let why = format!("{}: {error}", self.starter.program.display());
                effects.extend(self.decide_or_keep(Event::NotStarted { due, why, again: true }));
            }
        }
        effects
    }

    async fn start_job(&mut self, due: i64, job: &PlainJob, unique: &str) -> Vec<Effect> {
        let (client, server) = match submit::connect(&self.servers(job)).await {
            Ok(connected) => connected,
            Err(why) => return self.decide_or_keep(Event::NotStarted { due, why, again: true }),
        };
        let mut effects = self.sending(due);
        if !self.held.contains_key(&due) {
            return effects;
        }
        let event = match submit::submit(&client, job, unique).await {
            Ok(handle) => Event::Started { due, place: Where::Job { server, handle } },
            Err(refused) if refused.perhaps => {
                let note = format!("it may have been accepted: {}", refused.why);
                Event::Ended { due, how: How::Unknown, note }
            }
            Err(refused) => Event::NotStarted { due, why: refused.why, again: true },
        };
        effects.extend(self.decide_or_keep(event));
        // The server has it: it is nobody's process.
        self.held.remove(&due);
        effects
    }

    /// Before anything leaves. When that cannot be stored nothing does, and `held` no longer has it.
    fn sending(&mut self, due: i64) -> Vec<Effect> {
        match self.decide(Event::Sending { due }) {
            Ok(effects) => effects,
            Err(why) => {
                let effects = self.decide_or_keep(Event::NotStarted { due, why, again: true });
                self.held.remove(&due);
                effects
            }
        }
    }

    pub(super) async fn stop(&mut self, due: i64) -> Vec<Effect> {
        let place = self.seen.running.iter().find(|run| run.due == due).and_then(|run| run.place.clone());
        match place {
            Some(Where::Process(process)) => {
                self.terminate(due, process);
                Vec::new()
            }
            Some(Where::Job { server, handle }) => {
                let (how, note) = submit::cancel(&server, &handle, &self.unique(due)).await;
                self.decide_or_keep(Event::Ended { due, how, note })
            }
            // It is being started: whoever does that sees that it has to stop.
            None => Vec::new(),
        }
    }

    fn terminate(&mut self, due: i64, process: u32) {
        child::signal(process, Signal::TERM);
        self.kill_at.insert(due, Instant::now() + STOP);
    }

    pub(super) fn kill_the_stubborn(&mut self) {
        let late: Vec<i64> =
            self.kill_at.iter().filter(|(_, at)| **at <= Instant::now()).map(|(due, _)| *due).collect();
        for due in late {
            self.kill_at.remove(&due);
            let place = self.seen.running.iter().find(|run| run.due == due).and_then(|run| run.place.clone());
            if let Some(Where::Process(process)) = place
                && (self.held.contains_key(&due) || self.folder.is_alive(&self.schedule.plan.name, due))
            {
                child::signal(process, Signal::KILL);
            }
        }
    }

    /// Ends the processes of this one, and waits for them; nothing starts after them.
    pub(super) async fn stop_processes(&mut self) {
        for (due, process) in &self.processes {
            tracing::info!(schedule = %self.schedule.plan.name, due = %self.shown(*due), "stopping");
            child::signal(*process, Signal::TERM);
        }
        let limit = tokio::time::sleep(STOP);
        tokio::pin!(limit);
        let mut killed = false;
        while !self.processes.is_empty() {
            tokio::select! {
                Some((due, status)) = self.ends.recv() => {
                    self.processes.remove(&due);
                    self.codes.insert(due, status.code().unwrap_or(1));
                    let (how, note) = match child::outcome(status) {
                        (How::Failed, note) => (How::Stopped, note),
                        other => other,
                    };
                    // What waits is started by the next process.
                    let effects = self.decide_or_keep(Event::Ended { due, how, note });
                    self.give_back(&effects);
                }
                () = &mut limit, if !killed => {
                    killed = true;
                    self.processes.values().for_each(|process| child::signal(*process, Signal::KILL));
                }
            }
        }
    }

    /// Lets others start what was claimed here and will not be started.
    fn give_back(&mut self, effects: &[Effect]) {
        for effect in effects {
            self.tell(effect);
            if let Effect::Start(Start { due, .. }) = effect {
                self.held.remove(due);
            }
        }
    }
}
