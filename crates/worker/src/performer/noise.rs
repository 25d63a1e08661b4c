//! What a persistent command writes to standard output and standard error: read so that it never waits, its end kept
//! for failures, its lines logged at debug.

use super::capture::Tail;
use bytes::{Buf, Bytes, BytesMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::task::JoinSet;
use tracing::Level;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// Longest line that is logged as one, in bytes.
const LINE_BYTES: usize = 1024;

/// Both streams of one process.
#[derive(Debug)]
pub(crate) struct Noise {
    tail: Arc<Mutex<Tail>>,
    drains: JoinSet<()>,
}

impl Noise {
    /// Listens to `child` from now on, and keeps the last `limit` bytes.
    pub(crate) fn of(child: &mut Child, limit: usize) -> Self {
        Self::of_streams(child.id().unwrap_or_default(), child.stdout.take(), child.stderr.take(), limit)
    }

    /// Listens to the streams of `process`, and keeps the last `limit` bytes.
    pub(crate) fn of_streams(
        process: u32,
        stdout: Option<impl AsyncRead + Unpin + Send + 'static>,
        stderr: Option<impl AsyncRead + Unpin + Send + 'static>,
        limit: usize,
    ) -> Self {
        let tail = Arc::new(Mutex::new(Tail::new(limit)));
        let mut drains = JoinSet::new();
        if let Some(stdout) = stdout {
            drains.spawn(drain(stdout, tail.clone(), process, "stdout"));
        }
        if let Some(stderr) = stderr {
            drains.spawn(drain(stderr, tail.clone(), process, "stderr"));
        }
        Self { tail, drains }
    }

    /// A new job: what was written before does not belong to it.
    pub(crate) fn forget(&self) {
        locked(&self.tail).take();
    }

    /// The end of what was written, once the process is gone. What left its group may hold the streams open, and
    /// is not listened to longer than `patience`.
    pub(crate) async fn last(mut self, patience: Duration) -> Bytes {
        let all = async { while self.drains.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(patience, all).await;
        locked(&self.tail).take()
    }
}

/// No holder can panic in between: a poisoned tail is a whole one.
fn locked(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn drain(mut from: impl AsyncRead + Unpin, tail: Arc<Mutex<Tail>>, process: u32, stream: &'static str) {
    let (mut buffer, mut line) = (BytesMut::with_capacity(READ_BYTES), BytesMut::new());
    // An error is the end, too.
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        locked(&tail).push(&buffer);
        if tracing::enabled!(Level::DEBUG) {
            line.extend_from_slice(&buffer);
            log(&mut line, process, stream);
        }
        buffer.clear();
    }
    if !line.is_empty() {
        tracing::debug!(process, stream, line = ?String::from_utf8_lossy(&line), "the command says");
    }
}

/// Logs the complete lines at the head of `text`, and a long one in parts.
fn log(text: &mut BytesMut, process: u32, stream: &'static str) {
    loop {
        let end = text.iter().take(LINE_BYTES).position(|byte| *byte == b'\n');
        let line = match end {
            Some(end) => {
                let line = text.split_to(end);
                text.advance(1);
                line
            }
            None if text.len() >= LINE_BYTES => text.split_to(LINE_BYTES),
            None => return,
        };
        // Quoted, so that no command writes lines of our log.
        tracing::debug!(process, stream, line = ?String::from_utf8_lossy(&line), "the command says");
    }
}
