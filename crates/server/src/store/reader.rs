//! The threads that read: one for the jobs of an earlier process, one for single payloads.

use super::{Fetcher, Loader, StoreError};
use crate::core::{Row, StoredJob};
use bytes::Bytes;
use conveyor_common::{JobNumber, Priority};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Batches of jobs that may wait to be taken in.
const BATCHES: usize = 4;

/// Jobs that were read, or why not.
pub(crate) type Loaded = Result<(Vec<StoredJob>, Option<Priority>), StoreError>;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// A payload; none when it could not be read.
    Payload(JobNumber, Option<Bytes>),
    /// Where a job is; none when it is nowhere, or cannot be read.
    Row(JobNumber, Option<Row>),
}

/// The jobs of an earlier process, a batch at a time. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Loading(mpsc::Receiver<Loaded>);

impl Loading {
    /// Starts reading; payloads of about `room` bytes are read along.
    pub(crate) fn start(mut loader: Box<dyn Loader>, mut room: usize) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(BATCHES);
        std::thread::Builder::new().name("conveyor-load".to_owned()).spawn(move || {
            loop {
                let loaded = loader.next_jobs(&mut room);
                let last = !matches!(loaded, Ok((_, Some(_))));
                if sender.blocking_send(loaded).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self(receiver))
    }

    /// The next batch.
    pub(crate) async fn next(&mut self) -> Option<Loaded> {
        self.0.recv().await
    }
}

/// Payloads that were read and may wait to be taken.
const PAYLOADS: usize = 16;

/// A question.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Payload(JobNumber, Priority),
    Row(JobNumber),
}

/// What is asked for. As many wait as workers are owed a payload, and a few read ahead, and at most one question of each
/// connection: the core sees to that.
#[derive(Debug, Default)]
struct Asked {
    jobs: Vec<Ask>,
    closing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Asked>,
    more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads payloads, and looks for jobs. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Shared>);

impl Reader {
    pub(crate) fn start(fetcher: Box<dyn Fetcher>) -> std::io::Result<(Self, mpsc::Receiver<Fetched>)> {
        let (sender, receiver) = mpsc::channel(PAYLOADS);
        let shared = Arc::new(Shared::default());
        let asking = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("conveyor-fetch".to_owned())
            .spawn(move || fetch_all(fetcher, &asking, &sender))?;
        Ok((Self(shared), receiver))
    }

    /// Asks for a payload.
    pub(crate) fn fetch(&self, number: JobNumber, priority: Priority) {
        self.ask(Ask::Payload(number, priority));
    }

    /// Asks where a job is.
    pub(crate) fn find(&self, number: JobNumber) {
        self.ask(Ask::Row(number));
    }

    fn ask(&self, ask: Ask) {
        self.0.lock().jobs.push(ask);
        self.0.more.notify_one();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The thread ends when it next looks: nobody has to wait for a read that hangs.
        self.0.lock().closing = true;
        self.0.more.notify_one();
    }
}

fn fetch_all(mut fetcher: Box<dyn Fetcher>, shared: &Shared, told: &mpsc::Sender<Fetched>) {
    loop {
        let jobs = {
            let mut asked = shared.lock();
            while asked.jobs.is_empty() && !asked.closing {
                asked = shared.more.wait(asked).unwrap_or_else(PoisonError::into_inner);
            }
            if asked.closing {
                return;
            }
            std::mem::take(&mut asked.jobs)
        };
        for ask in jobs {
            if told.blocking_send(answer(&mut *fetcher, ask)).is_err() {
                return;
            }
        }
    }
}

fn answer(fetcher: &mut dyn Fetcher, ask: Ask) -> Fetched {
    match ask {
        Ask::Payload(number, priority) => {
            let payload = fetcher.fetch(number, priority).unwrap_or_else(|error| {
                tracing::error!(%error, job = number.0, "cannot read the payload of a stored job");
                None
            });
            Fetched::Payload(number, payload)
        }
        Ask::Row(number) => {
            let row = fetcher.find(number).unwrap_or_else(|error| {
                tracing::error!(%error, job = number.0, "cannot look for a stored job");
                None
            });
            Fetched::Row(number, row)
        }
    }
}
