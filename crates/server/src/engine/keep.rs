//! The engine's side of the store: hands changes over, and tells the core what became of them.

use super::{Engine, State};
use crate::core::{Change, Event};
use crate::error::Error;
use crate::store::{
    Committer, Fetched, Flush, Loaded, Loader, Loading, Opened, Outcome, Outcomes, Reader, StoreError,
};
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
    readiness: watch::Sender<Readiness>,
    /// How far reading is.
    loaded: Readiness,
    /// The store cannot be reached.
    away: Option<String>,
    /// It never will be.
    failed: Option<String>,
    /// Held until everything else is gone.
    _guard: Option<crate::store::DataDirectory>,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("loaded", &self.loaded).finish_non_exhaustive()
    }
}

/// What comes from the store.
pub(super) struct FromStore {
    outcomes: Outcomes,
    loading: Jobs,
    fetched: Option<mpsc::Receiver<Fetched>>,
}

/// How the jobs of an earlier process come.
enum Jobs {
    /// All at once.
    First(Box<dyn Loader>),
    /// While others are served.
    Meanwhile(Loading),
}

impl Keep {
    /// Starts the threads of an open store; `room` is for payloads that are read at the start.
    pub(super) fn start(
        opened: Opened,
        flush: Flush,
        room: usize,
        readiness: watch::Sender<Readiness>,
    ) -> Result<(Self, FromStore), Error> {
        let Opened { store, loader, load_first, fetcher, guard, .. } = opened;
        let committer = Committer::start(store, flush).map_err(Error::Start)?;
        let loading = if load_first {
            Jobs::First(loader)
        } else {
            Jobs::Meanwhile(Loading::start(loader, room).map_err(Error::Start)?)
        };
        let reading = fetcher.map(Reader::start).transpose().map_err(Error::Start)?;
        let (reader, fetched) = reading.unzip();
        let from = FromStore { outcomes: committer.outcomes(), loading, fetched };
        let keep = Self {
            committer,
            reader,
            changes: Vec::new(),
            readiness,
            loaded: Readiness::Loading(0),
            away: None,
            failed: None,
            _guard: guard,
        };
        Ok((keep, from))
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
            reader.fetch(number, priority);
        }
    }

    pub(super) fn find(&self, number: JobNumber) {
        if let Some(reader) = self.keep.as_ref().and_then(|keep| keep.reader.as_ref()) {
            reader.find(number);
        }
    }

    /// Takes nothing from a connection until more was read from the store.
    pub(super) fn defer(&mut self, conn: ConnId) {
        if let Some(link) = self.links.get_mut(conn) {
            link.deferred = true;
        }
    }

    pub(super) fn resume(&mut self, conn: ConnId) {
        if let Some(link) = self.links.get_mut(conn) {
            link.deferred = false;
            link.resume();
        }
    }

    /// Notes something about the store, and tells those who want to know.
    fn note_readiness(&mut self, note: impl FnOnce(&mut Keep)) {
        let Some(keep) = &mut self.keep else { return };
        note(keep);
        let why = keep.failed.as_ref().or(keep.away.as_ref());
        let readiness = why.map_or_else(|| keep.loaded.clone(), |why| Readiness::Refusing(why.clone()));
        keep.readiness.send_if_modified(|told| {
            let news = *told != readiness;
            *told = readiness;
            news
        });
    }

    /// Something became of changes.
    fn take_outcome(&mut self, outcome: Outcome) {
        let now = self.clock.now();
        match outcome {
            Outcome::Stored { through } => self.apply(now, Event::Stored { through }),
            Outcome::Refused { through } => self.apply(now, Event::Refused { through }),
            Outcome::Away(why) => {
                self.apply(now, Event::StoreAway { away: true });
                self.note_readiness(|keep| keep.away = Some(why.to_string()));
            }
            Outcome::Back => {
                self.apply(now, Event::StoreAway { away: false });
                self.note_readiness(|keep| keep.away = None);
            }
            Outcome::Failed(why) => {
                self.apply(now, Event::StoreFailed);
                self.note_readiness(|keep| keep.failed = Some(why.to_string()));
            }
        }
    }
}

impl Engine {
    /// Starts the tasks that listen to the store.
    pub(super) fn listen_to(&self, from: FromStore) {
        let FromStore { outcomes, loading, fetched } = from;
        tokio::task::spawn_local(self.clone().follow_progress(outcomes));
        match loading {
            Jobs::First(loader) => self.load_first(loader),
            Jobs::Meanwhile(loading) => drop(tokio::task::spawn_local(self.clone().load(loading))),
        }
        if let Some(fetched) = fetched {
            tokio::task::spawn_local(self.clone().take_payloads(fetched));
        }
    }

    async fn follow_progress(self, mut outcomes: Outcomes) {
        loop {
            let list = outcomes.next().await;
            let state = &mut *self.state.borrow_mut();
            list.into_iter().for_each(|outcome| state.take_outcome(outcome));
            if std::mem::take(&mut state.some_paused) {
                state.links.iter_mut().for_each(super::link::Link::resume);
            }
            state.settle(&self.rearmed);
        }
    }

    /// Takes in the jobs of an earlier process; everybody else has a turn in between.
    async fn load(self, mut loading: Loading) {
        let mut count = 0;
        while let Some(loaded) = loading.next().await {
            if !self.take_in(loaded, &mut count) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes in the jobs of an earlier process before anybody is served.
    fn load_first(&self, mut loader: Box<dyn Loader>) {
        let (mut count, mut room) = (0, usize::MAX);
        while self.take_in(loader.next_jobs(&mut room), &mut count) {}
    }

    /// Takes in a batch of jobs. Whether there are more.
    fn take_in(&self, loaded: Loaded, count: &mut u64) -> bool {
        let state = &mut *self.state.borrow_mut();
        let (jobs, next) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                self.cannot_load(state, &error);
                return false;
            }
        };
        *count += jobs.len() as u64;
        let more = next.is_some();
        state.apply(state.clock.now(), Event::Loaded { jobs, next });
        if !more {
            tracing::info!(jobs = *count, "all stored jobs are read");
        }
        let loaded = if more { Readiness::Loading(*count) } else { Readiness::Ready };
        state.note_readiness(|keep| keep.loaded = loaded);
        state.settle(&self.rearmed);
        more
    }

    /// What is still in the store stays there, untouched: nothing that might be the same may be accepted.
    fn cannot_load(&self, state: &mut State, error: &StoreError) {
        tracing::error!(%error, "stored jobs cannot be read; those that were read are served");
        state.note_readiness(|keep| keep.failed = Some(error.to_string()));
        let now = state.clock.now();
        state.apply(now, Event::StoreFailed);
        state.apply(now, Event::Loaded { jobs: Vec::new(), next: None });
        state.settle(&self.rearmed);
    }

    async fn take_payloads(self, mut fetched: mpsc::Receiver<Fetched>) {
        while let Some(fetched) = fetched.recv().await {
            let state = &mut *self.state.borrow_mut();
            let event = match fetched {
                Fetched::Payload(number, payload) => Event::Fetched { number, payload },
                Fetched::Row(number, row) => Event::Found { number, row },
            };
            state.apply(state.clock.now(), event);
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
