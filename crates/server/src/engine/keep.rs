//! The engine's side of the store: hands changes over, and tells the core what became of them.

use super::{Engine, State};
use crate::core::{Change, Event};
use crate::error::Error;
use crate::store::{Committer, Flush, Loading, Opened, Progress, Reader, StoreError};
use conveyor_common::{ConnId, JobNumber, Priority};
use std::fmt;
use tokio::sync::{mpsc, watch};

/// Whether background jobs can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Everything is there.
    Ready,
    /// Jobs of an earlier process are being read; so many are.
    Loading(u64),
    /// The store refuses, with these words: so do background submissions.
    Refusing(String),
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Loading(jobs) => write!(f, "reading stored jobs, {jobs} so far"),
            Self::Refusing(why) => write!(f, "background jobs are refused: {why}"),
        }
    }
}

/// An open store with its threads.
pub(super) struct Keep {
    committer: Committer,
    reader: Option<Reader>,
    /// Changes of this turn.
    changes: Vec<Change>,
    /// What could not be answered before more was read, in the order of asking.
    deferred: Vec<(ConnId, Event)>,
    readiness: watch::Sender<Readiness>,
    /// Held until everything else is gone.
    _guard: Option<crate::store::DataDirectory>,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("deferred", &self.deferred.len()).finish_non_exhaustive()
    }
}

/// What comes from the store.
pub(super) struct FromStore {
    progress: watch::Receiver<Progress>,
    loading: Loading,
    fetched: Option<mpsc::Receiver<crate::store::Fetched>>,
}

impl Keep {
    /// Starts the threads of an open store; `room` is for payloads that are read at the start.
    pub(super) fn start(
        opened: Opened,
        flush: Flush,
        room: usize,
        readiness: watch::Sender<Readiness>,
    ) -> Result<(Self, FromStore), Error> {
        let Opened { store, loader, fetcher, guard, .. } = opened;
        let committer = Committer::start(store, flush).map_err(Error::Start)?;
        let loading = Loading::start(loader, room).map_err(Error::Start)?;
        let reading = fetcher.map(Reader::start).transpose().map_err(Error::Start)?;
        let (reader, fetched) = reading.unzip();
        let from = FromStore { progress: committer.progress(), loading, fetched };
        let (changes, deferred) = (Vec::new(), Vec::new());
        Ok((Self { committer, reader, changes, deferred, readiness, _guard: guard }, from))
    }
}

impl State {
    /// Notes a change for the end of the turn.
    pub(super) fn note_change(&mut self, change: Change) {
        // Without a store nothing outlives the process.
        if let Some(keep) = &mut self.keep {
            keep.changes.push(change);
        }
    }

    /// Hands the changes of this turn over.
    pub(super) fn hand_over(&mut self) {
        if let Some(keep) = &mut self.keep
            && !keep.changes.is_empty()
        {
            keep.committer.append(&mut keep.changes);
        }
    }

    /// Whether so much waits to be stored that nothing more is to be read from anybody.
    pub(super) fn is_behind(&self) -> bool {
        self.keep.as_ref().is_some_and(|keep| keep.committer.is_behind())
    }

    pub(super) fn fetch(&self, number: JobNumber, priority: Priority) {
        if let Some(reader) = self.keep.as_ref().and_then(|keep| keep.reader.as_ref()) {
            reader.ask(number, priority);
        }
    }

    /// Puts an event off until more was read; nothing else is taken from its connection.
    pub(super) fn defer(&mut self, conn: ConnId, event: Event) {
        if let (Some(keep), Some(link)) = (&mut self.keep, self.links.get_mut(conn)) {
            link.deferred = true;
            keep.deferred.push((conn, event));
        }
    }

    fn bring_deferred(&mut self) {
        let deferred = self.keep.as_mut().map(|keep| std::mem::take(&mut keep.deferred));
        for (conn, event) in deferred.unwrap_or_default() {
            let Some(link) = self.links.get_mut(conn) else { continue };
            link.deferred = false;
            link.resume();
            self.apply(self.clock.now(), event);
        }
    }

    fn tell_readiness(&self, readiness: Readiness) {
        if let Some(keep) = &self.keep {
            keep.readiness.send_if_modified(|told| {
                let refusing = matches!(told, Readiness::Refusing(_));
                let news = !refusing && *told != readiness;
                if news {
                    *told = readiness;
                }
                news
            });
        }
    }
}

impl Engine {
    /// Starts the tasks that listen to the store.
    pub(super) fn listen_to(&self, from: FromStore) {
        let FromStore { progress, loading, fetched } = from;
        tokio::task::spawn_local(self.clone().follow_progress(progress));
        tokio::task::spawn_local(self.clone().load(loading));
        if let Some(fetched) = fetched {
            tokio::task::spawn_local(self.clone().take_payloads(fetched));
        }
    }

    async fn follow_progress(self, mut progress: watch::Receiver<Progress>) {
        while progress.changed().await.is_ok() {
            let Progress { stored, failed } = progress.borrow_and_update().clone();
            let state = &mut *self.state.borrow_mut();
            let now = state.clock.now();
            state.apply(now, Event::Stored { through: stored });
            if let Some(why) = failed {
                state.apply(now, Event::StoreFailed);
                state.tell_readiness(Readiness::Refusing(why.to_string()));
            }
            if std::mem::take(&mut state.some_paused) {
                state.links.iter_mut().for_each(super::link::Link::resume);
            }
            state.settle(&self.rearmed);
        }
    }

    /// Takes in the jobs of an earlier process; everybody else has a turn in between.
    async fn load(self, mut loading: Loading) {
        let (mut count, mut reading) = (0, Some(Priority::High));
        while let Some(loaded) = loading.next().await {
            {
                let state = &mut *self.state.borrow_mut();
                match loaded {
                    Ok((jobs, next)) => {
                        count += jobs.len() as u64;
                        let done = next.is_none();
                        state.apply(state.clock.now(), Event::Loaded { jobs, next });
                        // Who waits, waits for all jobs as a rule: not worth trying after each batch.
                        if next != reading {
                            reading = next;
                            state.bring_deferred();
                        }
                        if done {
                            tracing::info!(jobs = count, "all stored jobs are read");
                        }
                        state.tell_readiness(if done { Readiness::Ready } else { Readiness::Loading(count) });
                    }
                    Err(error) => return self.cannot_load(state, &error),
                }
                state.settle(&self.rearmed);
            }
            tokio::task::yield_now().await;
        }
    }

    /// What is still in the store stays there, untouched: nothing that might be the same may be accepted.
    fn cannot_load(&self, state: &mut State, error: &StoreError) {
        tracing::error!(%error, "stored jobs cannot be read; those that were read are served");
        state.tell_readiness(Readiness::Refusing(error.to_string()));
        let now = state.clock.now();
        state.apply(now, Event::StoreFailed);
        state.apply(now, Event::Loaded { jobs: Vec::new(), next: None });
        state.bring_deferred();
        state.settle(&self.rearmed);
    }

    async fn take_payloads(self, mut fetched: mpsc::Receiver<crate::store::Fetched>) {
        while let Some((number, payload)) = fetched.recv().await {
            let state = &mut *self.state.borrow_mut();
            state.apply(state.clock.now(), Event::Fetched { number, payload });
            state.settle(&self.rearmed);
        }
    }

    /// The server is about to stop in order.
    pub(crate) fn stopping(&self) {
        let state = &mut *self.state.borrow_mut();
        state.apply(state.clock.now(), Event::Stopping);
        state.settle(&self.rearmed);
    }
}
