//! One run of a name at a time among all hosts: the holder works at a job of its own, which only one worker can have.
//!
//! A client submits a foreground job with a unique and asks for it as a worker, on one connection. Who is given the job
//! holds the lock until its connection ends, which the server sees however it ends. The job that others find is running
//! is somebody else's.

use super::id;
use bytes::{Bytes, BytesMut};
use conveyor_client::{Priority, Stream, Tls};
use conveyor_common::protocol::{Decoder, Frame, GrabForm, Request, Response, SubmitKind};
use std::future::pending;
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};

/// Longest part of a client's name in that of its lock: uniques of gearmand end at 64 bytes.
const NAME_BYTES: usize = 30;

/// How long connecting, and an answer of the server, may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How often the server is asked whether it is there.
const ASK: Duration = Duration::from_secs(10);

/// How long a lost lock is sought again before the run ends.
const SEEK: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

/// Times a job that vanished meanwhile is submitted again.
const TRIES: u32 = 10;

/// Why there is no lock.
#[derive(Clone, Debug)]
pub(super) enum NoLock {
    /// Somebody else has it.
    Held(String),
    /// The server cannot be asked.
    Unreachable(String),
}

/// Which lock, and where.
#[derive(Clone, Debug)]
struct Seat {
    server: String,
    tls: Option<Tls>,
    function: String,
    unique: String,
    holder: Bytes,
}

/// A lock that is held.
#[derive(Debug)]
pub(super) struct ClusterLock {
    release: Option<oneshot::Sender<()>>,
    keeper: JoinHandle<()>,
    lost: watch::Receiver<Option<NoLock>>,
}

impl ClusterLock {
    /// Takes the lock of the client `name` on `server`. `holder` says who has it, for people.
    pub(super) async fn take(
        server: &str,
        tls: Option<&Tls>,
        name: &str,
        holder: String,
    ) -> Result<Self, NoLock> {
        let name = short(name);
        let seat = Seat {
            server: server.to_owned(),
            tls: tls.cloned(),
            function: format!("conveyor-lock-{name}"),
            unique: format!("lock:{name}"),
            holder: holder.into(),
        };
        let held = seat.take().await?;
        let (release, released) = oneshot::channel();
        let (losing, lost) = watch::channel(None);
        let keeper = tokio::spawn(keep(seat, held, released, losing));
        Ok(Self { release: Some(release), keeper, lost })
    }

    /// Waits until it is lost for good.
    pub(super) async fn lost(&self) -> NoLock {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await.map(|lost| lost.clone()) {
            Ok(Some(why)) => why,
            _ => pending().await,
        }
    }

    /// Gives it back, so that nothing of it stays with the server.
    pub(super) async fn release(mut self) {
        drop(self.release.take());
        // It has a limit of its own.
        let _ = (&mut self.keeper).await;
    }
}

impl Drop for ClusterLock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// A name that is short enough, and another one for another name.
fn short(name: &str) -> String {
    match name.get(..NAME_BYTES) {
        Some(kept) if name.len() > NAME_BYTES => format!("{kept}-{:016x}", id::hash(name)),
        _ => name.to_owned(),
    }
}

/// A connection that holds the lock: `handle` is the job.
struct Held {
    link: Link,
    handle: Bytes,
}

impl Seat {
    async fn take(&self) -> Result<Held, NoLock> {
        let unreachable = |error: io::Error| NoLock::Unreachable(format!("{}: {error}", self.server));
        let stream = Stream::connect(&self.server, self.tls.as_ref(), LIMIT).await.map_err(unreachable)?;
        let mut link = Link { stream, input: BytesMut::new(), decoder: Decoder::default() };
        match link.take(self).await.map_err(unreachable)? {
            Some(handle) => Ok(Held { link, handle }),
            None => Err(NoLock::Held(format!("function {} on {}", self.function, self.server))),
        }
    }
}

struct Link {
    stream: Stream,
    input: BytesMut,
    decoder: Decoder,
}

impl Link {
    /// The handle of the job, when it is ours.
    async fn take(&mut self, seat: &Seat) -> io::Result<Option<Bytes>> {
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        self.send(&[Request::CanDo { function: text(&seat.function) }]).await?;
        let job = Request::Submit {
            kind: SubmitKind::Job { priority: Priority::Normal, background: false },
            function: text(&seat.function),
            unique: text(&seat.unique),
            payload: seat.holder.clone(),
        };
        for _ in 0..TRIES {
            self.send(std::slice::from_ref(&job)).await?;
            let ours = loop {
                match self.receive().await? {
                    Response::JobCreated { handle } => break handle,
                    other => refuse(other)?,
                }
            };
            match self.grab().await? {
                Some(handle) if handle == ours => return Ok(Some(ours)),
                // One that a dead client has left behind.
                Some(handle) => self.send(&[Request::WorkFail { handle }]).await?,
                None if self.is_running(&ours).await? => return Ok(None),
                // Somebody let go of it meanwhile, or the server threw it away: it was that of a dead client.
                None => sleep(PAUSE / 10).await,
            }
        }
        Err(io::Error::other("the job of the lock comes and goes"))
    }

    async fn grab(&mut self) -> io::Result<Option<Bytes>> {
        self.send(&[Request::Grab(GrabForm::Plain)]).await?;
        loop {
            match self.receive().await? {
                Response::JobAssign { handle, .. } => return Ok(Some(handle)),
                Response::NoJob => return Ok(None),
                other => refuse(other)?,
            }
        }
    }

    async fn is_running(&mut self, handle: &Bytes) -> io::Result<bool> {
        self.send(&[Request::GetStatus { handle: handle.clone() }]).await?;
        loop {
            match self.receive().await? {
                Response::StatusRes { known, running, .. } => return Ok(known && running),
                other => refuse(other)?,
            }
        }
    }

    async fn send(&mut self, requests: &[Request]) -> io::Result<()> {
        let mut output = BytesMut::new();
        requests.iter().for_each(|request| request.encode(&mut output));
        let sending = async {
            let mut unflushed = false;
            Stream::send(&mut self.stream, &mut output, &mut unflushed).await
        };
        timeout(LIMIT, sending).await.unwrap_or_else(|_| Err(late()))
    }

    async fn receive(&mut self) -> io::Result<Response> {
        timeout(LIMIT, self.next()).await.unwrap_or_else(|_| Err(late()))
    }

    /// The next packet. May be dropped and called again.
    async fn next(&mut self) -> io::Result<Response> {
        loop {
            match self.decoder.decode(&mut self.input).map_err(io::Error::other)? {
                Some(Frame::Packet(packet)) => {
                    return Response::from_packet(packet).map_err(io::Error::other);
                }
                Some(Frame::Line(_)) => {}
                None if self.stream.read_buf(&mut self.input).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => {}
            }
        }
    }
}

/// What is not waited for: wake-ups are passed over, errors are not.
fn refuse(response: Response) -> io::Result<()> {
    match response {
        Response::Error { code, text } => {
            let (code, text) = (String::from_utf8_lossy(&code), String::from_utf8_lossy(&text));
            Err(io::Error::other(format!("the server refuses: {code} {text}")))
        }
        _ => Ok(()),
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {LIMIT:?}"))
}

/// Holds the lock until it is to be given back; seeks it again when the connection is lost.
async fn keep(
    seat: Seat,
    mut held: Held,
    mut released: oneshot::Receiver<()>,
    losing: watch::Sender<Option<NoLock>>,
) {
    loop {
        let broken = tokio::select! {
            _ = &mut released => {
                give_back(held).await;
                return;
            }
            broken = hold(&mut held) => broken,
        };
        drop(held);
        // The server has seen the end of the connection: whoever has the job now is somebody else.
        let seen = matches!(broken.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
        let start = Instant::now();
        held = loop {
            let taken = tokio::select! {
                _ = &mut released => return,
                taken = seat.take() => taken,
            };
            match taken {
                Ok(held) => break held,
                Err(why) => {
                    let taken_over = seen && matches!(why, NoLock::Held(_));
                    if taken_over || start.elapsed() > SEEK {
                        losing.send_replace(Some(why));
                        return;
                    }
                }
            }
            sleep(PAUSE).await;
        };
    }
}

/// Until the connection is lost; says how.
async fn hold(Held { link, .. }: &mut Held) -> io::Error {
    let mut ask = interval(ASK);
    let mut unanswered = false;
    loop {
        tokio::select! {
            _ = ask.tick() => {
                if unanswered {
                    return late();
                }
                unanswered = true;
                if let Err(error) = link.send(&[Request::Echo { payload: Bytes::new() }]).await {
                    return error;
                }
            }
            next = link.next() => match next {
                Ok(Response::Echo { .. }) => unanswered = false,
                Ok(_) => {}
                Err(error) => return error,
            },
        }
    }
}

async fn give_back(Held { mut link, handle }: Held) {
    let over = async {
        link.send(&[Request::WorkComplete { handle, payload: Bytes::new() }, Request::ResetAbilities])
            .await?;
        // This connection is the client, too. When it knows of the end, so does the server.
        while !matches!(link.receive().await?, Response::WorkComplete { .. }) {}
        io::Result::Ok(())
    };
    // It is given back by the end of the connection in any case.
    let _ = timeout(Duration::from_secs(1), over).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_locks_are_short_and_differ() {
        assert_eq!(short("nightly"), "nightly");
        let [a, b] = ["a", "b"].map(|end| short(&format!("{}{end}", "x".repeat(90))));
        assert!(a != b && a.len() == NAME_BYTES + 17 && format!("lock:{a}").len() <= 64);
    }
}
