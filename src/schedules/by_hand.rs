//! `run-now`: a schedule's run at once, in the foreground of whoever asked.

use super::keeper::Keeper;
use conveyor_client::schedule::{Effect, Event, How, Past, Where};
use std::time::Duration;
use tokio::sync::watch;

/// Time between two looks at what is in the way.
const LOOK: Duration = Duration::from_millis(300);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The job was accepted, under this handle.
    Accepted {
        /// When it was due: now.
        due: i64,
        /// The server that has it.
        server: String,
        /// Its name there.
        handle: String,
    },
    /// The run ended like this, with this exit code.
    Ended(Past, i32),
    /// It was not started.
    PassedOver(String),
    /// Told to stop while it waited.
    Interrupted,
}

impl Keeper {
    /// Starts the schedule now, and waits for a run of it to end, for a job of it to be accepted.
    ///
    /// # Errors
    /// What is known about the schedule cannot be read or stored; says what to do.
    pub(crate) async fn run_by_hand(mut self, mut told: watch::Receiver<bool>) -> Result<Came, String> {
        let due = loop {
            // What ended long ago is not in the way.
            let effects = self.decide(Event::Look)?;
            self.carry_out(effects).await;
            self.look().await;
            let effects = self.decide(Event::RunNow)?;
            let started = Self::by_hand(&effects);
            let busy = effects.contains(&Effect::Busy);
            let passed_over = effects.iter().rev().find_map(|effect| match effect {
                Effect::PassedOver { why, .. } => Some(why.clone()),
                _ => None,
            });
            self.carry_out(effects).await;
            match (started, passed_over) {
                (Some(due), _) => break due,
                (None, Some(why)) if !busy => return Ok(Came::PassedOver(why)),
                _ => {}
            }
            if self.pause(&mut told).await {
                self.stop_processes().await;
                return Ok(Came::Interrupted);
            }
        };
        loop {
            if let Some(past) = self.seen.past.iter().rev().find(|past| past.due == due) {
                let code = match past.outcome {
                    How::Done => 0,
                    _ => self.codes.get(&due).copied().filter(|code| *code != 0).unwrap_or(1),
                };
                return Ok(Came::Ended(past.clone(), code));
            }
            let place = self.seen.running.iter().find(|run| run.due == due).and_then(|run| run.place.clone());
            if let Some(Where::Job { server, handle }) = place {
                return Ok(Came::Accepted { due, server, handle });
            }
            if self.pause(&mut told).await {
                self.stop_processes().await;
            }
            self.look().await;
        }
    }

    /// Until something of this process ends, some time has passed, or it is told to stop, which is then true.
    async fn pause(&mut self, told: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            _ = told.wait_for(|stop| *stop) => return true,
            Some((due, status)) = self.ends.recv() => self.process_ended(due, status).await,
            () = tokio::time::sleep(LOOK) => {}
        }
        false
    }
}
