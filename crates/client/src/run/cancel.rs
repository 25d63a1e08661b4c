//! Takes jobs off their queues: the text command `cancel job`, many of them on one connection.

use crate::stream::Stream;
use crate::tls::Tls;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, split};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Longest time for it, connecting included: nobody waits for a server that does not answer.
const LIMIT: Duration = Duration::from_secs(1);

/// A job and the server that has it: two servers on one machine use the same handles.
pub(super) type Place = (Arc<str>, Bytes);

/// Jobs that are off their queues now, and those that were to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cancelled {
    pub(super) cancelled: usize,
    pub(super) asked: usize,
}

/// Cancels jobs on their servers, all servers at once. A job that runs already goes on: nobody can take it back.
pub(super) async fn cancel(jobs: Vec<Place>, tls: Option<Tls>) -> Cancelled {
    let until = Instant::now() + LIMIT;
    let asked = jobs.len();
    let mut servers: BTreeMap<Arc<str>, Vec<Bytes>> = BTreeMap::new();
    for (server, handle) in jobs {
        servers.entry(server).or_default().push(handle);
    }
    let mut asking = JoinSet::new();
    for (server, handles) in servers {
        let tls = tls.clone();
        asking.spawn(async move {
            let mut cancelled = 0;
            let ended = timeout_at(until, ask(&server, tls.as_ref(), &handles, &mut cancelled)).await;
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%server, %error, "jobs could not be cancelled"),
                Err(_) => tracing::debug!(%server, "no time to cancel all jobs"),
            }
            cancelled
        });
    }
    let mut cancelled = 0;
    while let Some(of_server) = asking.join_next().await {
        cancelled += of_server.unwrap_or_default();
    }
    Cancelled { cancelled, asked }
}

/// Asks while it reads: a server that stops reading until its answers are taken stops nobody.
async fn ask(server: &str, tls: Option<&Tls>, handles: &[Bytes], cancelled: &mut usize) -> io::Result<()> {
    let stream = Stream::connect(server, tls, LIMIT).await?;
    let (reader, mut writer) = split(stream);
    let mut output = BytesMut::new();
    for handle in handles {
        for part in [b"cancel job ", handle.as_ref(), b"\r\n"] {
            output.extend_from_slice(part);
        }
    }
    let mut unflushed = false;
    let asking = Stream::send(&mut writer, &mut output, &mut unflushed);
    let reading = async {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        for _ in handles {
            line.clear();
            if reader.read_until(b'\n', &mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // One that is not there any more is as good: servers drop queued jobs of a client that left.
            let gone = line.starts_with(b"OK") || line.starts_with(b"ERR UNKNOWN_JOB");
            *cancelled += usize::from(gone);
        }
        Ok(())
    };
    tokio::try_join!(asking, reading).map(|_| ())
}
