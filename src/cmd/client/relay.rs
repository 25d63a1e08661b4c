//! One job from its submission to its end: what it says becomes pieces to be written.

use super::live::Live;
use super::output::{Ending, Text, Writer};
use conveyor_client::{Client, Error, JobHandle, Outcome, Update};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Pauses between two questions after a background job: the first, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Questions in a row that may get no answer.
const MOST_ERRORS: u32 = 5;

/// Texts of a background job that are kept until it has ended.
const MOST_KEPT: usize = 16;

/// What comes of a job, in order; the last piece is its end.
#[derive(Debug)]
pub(super) enum Piece {
    Text(Text),
    End { number: u64, ending: Ending, took: Duration },
}

/// A job that is to be written.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) pieces: mpsc::Receiver<Piece>,
    /// Its place among those that may be under way, given back when it is written.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Where a job is handed to whoever writes.
pub(super) enum To {
    /// Already there: jobs are written in their order.
    Pieces(mpsc::Sender<Piece>),
    /// When it has ended: jobs are written as they end.
    Ended(mpsc::Sender<Job>, OwnedSemaphorePermit),
}

/// What all jobs have in common.
pub(super) struct Relay {
    pub(super) client: Client,
    pub(super) live: Arc<Live>,
    /// Background jobs are waited for, so long at most.
    pub(super) wait: bool,
    pub(super) limit: Option<Duration>,
}

impl Relay {
    /// Hands on what a job says. While another job is written it is kept here: the connection, which all share,
    /// must not wait.
    pub(super) async fn run(self: Arc<Self>, writer: Writer, handle: Result<JobHandle, Error>, to: To) {
        let start = Instant::now();
        let mut kept = VecDeque::new();
        let mut sender = match &to {
            To::Pieces(sender) => Some(sender),
            To::Ended(..) => None,
        };
        let outcome = match handle {
            Err(error) => Err(error),
            Ok(mut handle) => {
                while let Some(update) = next(&mut handle, &mut kept, &mut sender).await {
                    kept.extend(self.text(&writer, &update));
                }
                handle.outcome().await
            }
        };
        let (mut ending, text) = writer.outcome(&outcome);
        kept.extend(text);
        if let (true, Ok(Outcome::Accepted(handle))) = (self.wait, &outcome) {
            let gone = self.until_gone(handle, &writer, &mut kept, sender);
            let gone = match self.limit {
                None => gone.await,
                Some(limit) => tokio::time::timeout(limit, gone)
                    .await
                    .unwrap_or_else(|_| Err(format!("it has not ended within {} ms", limit.as_millis()))),
            };
            ending = if gone.is_ok() { Ending::Done } else { Ending::Unknown };
            kept.extend(writer.gone(handle, gone));
        }
        self.live.ended(writer.number, ending);
        let end = Piece::End { number: writer.number, ending, took: start.elapsed() };
        let pieces = kept.into_iter().map(Piece::Text).chain([end]);
        let sender = match to {
            To::Pieces(sender) => sender,
            To::Ended(jobs, room) => {
                let (sender, receiver) = mpsc::channel(1);
                if jobs.send(Job { pieces: receiver, _room: room }).await.is_err() {
                    return;
                }
                sender
            }
        };
        for piece in pieces {
            // Otherwise writing has failed, and says why.
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    }

    /// An update as text, or in the view.
    fn text(&self, writer: &Writer, update: &Update) -> Option<Text> {
        if let (true, Update::Status { numerator, denominator }) = (self.live.is_wanted(), update) {
            self.live.status(writer.number, &writer.function, *numerator, *denominator);
            if !writer.json {
                return None;
            }
        }
        writer.update(update)
    }

    /// Asks for the status of a background job until no server knows it.
    async fn until_gone(
        &self,
        handle: &[u8],
        writer: &Writer,
        kept: &mut VecDeque<Text>,
        sender: Option<&mpsc::Sender<Piece>>,
    ) -> Result<(), String> {
        let (mut pause, mut errors, mut last) = (FIRST_PAUSE, 0, (0, 0));
        loop {
            // No connection waits for this job any more, so that it may wait for its turn to be written.
            while let (Some(sender), Some(text)) = (sender, kept.pop_front()) {
                let _ = sender.send(Piece::Text(text)).await;
            }
            // Until it has ended only the newest progress is kept.
            kept.drain(..kept.len().saturating_sub(MOST_KEPT));
            match self.client.status(handle).await {
                Ok(status) if !status.known => return Ok(()),
                Ok(status) => {
                    errors = 0;
                    let now = (status.numerator, status.denominator);
                    if now != std::mem::replace(&mut last, now) {
                        let update = Update::Status { numerator: now.0, denominator: now.1 };
                        kept.extend(self.text(writer, &update));
                    }
                }
                Err(error) => {
                    errors += 1;
                    if errors == MOST_ERRORS {
                        return Err(format!("the server cannot be asked any more: {error}"));
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The next update; while it is awaited, what is kept goes out if somebody takes it.
async fn next(
    handle: &mut JobHandle,
    kept: &mut VecDeque<Text>,
    sender: &mut Option<&mpsc::Sender<Piece>>,
) -> Option<Update> {
    loop {
        let (Some(to), false) = (*sender, kept.is_empty()) else { return handle.next().await };
        tokio::select! {
            update = handle.next() => return update,
            permit = to.reserve() => match (permit, kept.pop_front()) {
                (Ok(permit), Some(text)) => permit.send(Piece::Text(text)),
                // Nobody writes any more: the job runs to its end unheard.
                _ => *sender = None,
            },
        }
    }
}
