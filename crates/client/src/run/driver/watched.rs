//! Jobs that were submitted again, and may never be answered.
//!
//! gearmand marks a queued job whose client has gone, and drops it when a worker would get it. A submission by the same
//! unique joins that job, and does not take the mark off: the job is dropped all the same, and nobody is told. So whatever
//! is submitted again, after a lost connection or by a client that goes on with a run, is asked about until it is over; a
//! job that no server knows any more has not run, and is submitted once more.

use super::Driver;
use super::jobs::Who;
use crate::client::Client;
use crate::run::ledger::Event;
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Time between two rounds of questions.
const ROUND: Duration = Duration::from_millis(500);

/// The jobs that are asked about.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// And whether no server knew them in the last round. Once is not enough: their end may be under way.
    jobs: HashMap<Who, bool>,
    /// One round at most: those that no server knows.
    pub(super) asking: JoinSet<Vec<Who>>,
}

impl Watch {
    pub(super) fn add(&mut self, who: Who) {
        self.jobs.insert(who, false);
    }

    pub(super) fn remove(&mut self, who: Who) {
        self.jobs.remove(&who);
    }

    /// Takes the answers of a round: the jobs that are gone.
    fn gone(&mut self, unknown: &[Who]) -> Vec<Who> {
        let gone: Vec<Who> =
            unknown.iter().filter(|who| self.jobs.get(who) == Some(&true)).copied().collect();
        self.jobs.values_mut().for_each(|missed| *missed = false);
        for who in unknown {
            if let Some(missed) = self.jobs.get_mut(who) {
                *missed = true;
            }
        }
        gone.iter().for_each(|who| self.remove(*who));
        gone
    }
}

impl Driver<'_> {
    /// Begins a round of questions, if one is due.
    pub(super) fn ask_about_watched(&mut self) {
        let Some(client) = &self.client else { return };
        if self.watch.jobs.is_empty() || !self.watch.asking.is_empty() {
            return;
        }
        let jobs = self.watch.jobs.keys().map(|who| (*who, self.unique(*who))).collect();
        self.watch.asking.spawn(unknown(client.clone(), jobs));
    }

    /// A round is over: what is gone is submitted again, as the same try.
    pub(super) fn asked_about_watched(&mut self, unknown: &[Who]) {
        for who in self.watch.gone(unknown) {
            let Some(listener) = self.listeners.remove(&who) else { continue };
            listener.abort();
            tracing::debug!(?who, "no server knows the job any more: it is submitted again");
            self.event(match who {
                Who::Task { task, attempt } => Event::Vanished { task, attempt },
                Who::Manager { attempt } => Event::ManagerVanished { attempt },
            });
        }
    }
}

/// The jobs that no server knows.
async fn unknown(client: Client, jobs: Vec<(Who, String)>) -> Vec<Who> {
    sleep(ROUND).await;
    let mut unknown = Vec::new();
    for (who, unique) in jobs {
        match client.status_unique(unique.as_bytes()).await {
            Ok(status) if status.known => {}
            Ok(_) => unknown.push(who),
            // Where not every server answers, nothing is known; nor will they answer about the next one.
            Err(_) => break,
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::ledger::TaskIndex;

    #[test]
    fn a_job_is_gone_when_two_rounds_in_a_row_find_nothing() {
        let who = |task| Who::Task { task: TaskIndex(task), attempt: 1 };
        let mut watch = Watch::default();
        (0..3).for_each(|task| watch.add(who(task)));
        assert_eq!(watch.gone(&[who(0), who(1)]), []);
        watch.remove(who(1));
        assert_eq!(watch.gone(&[who(1), who(2)]), []);
        assert_eq!(watch.gone(&[who(0), who(2)]), [who(2)]);
        assert_eq!(watch.gone(&[who(0), who(2)]), [who(0)]);
    }
}
