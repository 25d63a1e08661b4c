//! A publisher of ZeroMQ's protocol (ZMTP 3.0, socket type PUB, mechanism NULL): as much of it as subscribers of the
//! original packages need, and no more.
//!
//! Messages have one frame. A subscriber that does not read loses the oldest of what waits for it and holds up nobody; one
//! that comes late is told what counts now.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Messages that wait for a subscriber.
const QUEUE: usize = 256;

/// Longest frame of a subscriber, in bytes.
const FRAME_BYTES: usize = 4096;

/// Most subscriptions of one subscriber.
const TOPICS: usize = 256;

/// Most subscribers.
const PEERS: usize = 4096;

/// How long a peer may take to introduce itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Flags of a frame.
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// Bytes of a greeting.
const GREETING_BYTES: usize = 64;

/// Makes the message for a late subscriber; there may be none.
pub type Late = Arc<dyn Fn() -> Option<Bytes> + Send + Sync>;

/// Publishes to whoever subscribes. Dropping it closes all connections.
pub struct Publisher {
    address: String,
    messages: broadcast::Sender<Bytes>,
    current: watch::Sender<Option<Late>>,
    _task: JoinSet<()>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("address", &self.address).finish_non_exhaustive()
    }
}

enum Listener {
    Tcp(TcpListener),
    Ipc(UnixListener),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Ipc(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

impl Publisher {
    /// Listens at `tcp://HOST:PORT` (0 for any port) or `ipc://PATH`.
    ///
    /// # Errors
    /// The address makes no sense, or cannot be had.
    pub async fn bind(address: &str) -> io::Result<Self> {
        let (listener, address) = match address.split_once("://") {
            Some(("tcp", place)) => {
                let listener = TcpListener::bind(place.replace('*', "0.0.0.0")).await?;
                let address = format!("tcp://{}", listener.local_addr()?);
                (Listener::Tcp(listener), address)
            }
            Some(("ipc", path)) => (Listener::Ipc(UnixListener::bind(path)?), address.to_owned()),
            _ => {
                let message =
                    format!("{address:?} is no address to publish at: write tcp://HOST:PORT or ipc://PATH");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        let (messages, _) = broadcast::channel(QUEUE);
        let current = watch::Sender::new(None);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, messages.clone(), current.clone()));
        Ok(Self { address, messages, current, _task: task })
    }

    /// Where it listens, with the port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a message to all who have subscribed to the beginning of it.
    pub fn publish(&self, message: Bytes) {
        // Nobody is there.
        let _ = self.messages.send(message);
    }

    /// What new subscribers hear first, and those that have missed something.
    pub fn tell_late_ones(&self, message: Late) {
        self.current.send_replace(Some(message));
    }
}

async fn accept(
    listener: Listener,
    messages: broadcast::Sender<Bytes>,
    current: watch::Sender<Option<Late>>,
) {
    let mut peers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if peers.len() < PEERS => match accepted {
                Ok(stream) => {
                    let peer = Peer { messages: messages.subscribe(), current: current.subscribe(), topics: Vec::new() };
                    peers.spawn(peer.serve(stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a subscriber");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(ended) = peers.join_next() => if let Ok(Err(error)) = ended {
                tracing::debug!(%error, "a subscriber is gone");
            },
        }
    }
}

struct Peer {
    messages: broadcast::Receiver<Bytes>,
    current: watch::Receiver<Option<Late>>,
    topics: Vec<Bytes>,
}

/// What a subscriber sends.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    flags: u8,
    body: Bytes,
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Peer {
    async fn serve(mut self, stream: Box<dyn Stream>) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut input = BytesMut::new();
        let introduced = async {
            writer.write_all(&greeting()).await?;
            let mut theirs = [0; GREETING_BYTES];
            reader.read_exact(&mut theirs).await?;
            check_greeting(&theirs)?;
            writer.write_all(&frame(COMMAND, b"\x05READY\x0bSocket-Type\0\0\0\x03PUB")).await?;
            check_ready(&next(&mut reader, &mut input).await?)
        };
        timeout(PATIENCE, introduced).await.map_err(|_| io::ErrorKind::TimedOut)??;
        loop {
            tokio::select! {
                frame = next(&mut reader, &mut input) => {
                    if let Some(answer) = self.take(&frame?)? {
                        writer.write_all(&answer).await?;
                    }
                }
                message = self.messages.recv() => match message {
                    Ok(message) => if self.wants(&message) {
                        writer.write_all(&frame(0, &message)).await?;
                    },
                    Err(broadcast::error::RecvError::Lagged(lost)) => {
                        tracing::warn!(lost, "a subscriber does not read");
                        // It missed some: what counts now makes up for them.
                        if let Some(message) = self.current() {
                            writer.write_all(&frame(0, &message)).await?;
                        }
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    fn wants(&self, message: &[u8]) -> bool {
        self.topics.iter().any(|topic| message.starts_with(topic))
    }

    fn current(&self) -> Option<Bytes> {
        let late = self.current.borrow().clone()?;
        late().filter(|message| self.wants(message))
    }

    /// Does what a frame says; there may be something to send.
    fn take(&mut self, received: &Frame) -> io::Result<Option<Bytes>> {
        let body = &received.body;
        let said = if received.flags & COMMAND == 0 {
            // Subscriptions of version 3.0 are messages.
            match body.split_first() {
                Some((1, _)) => (true, body.slice(1..)),
                Some((0, _)) => (false, body.slice(1..)),
                _ => return Ok(None),
            }
        } else if body.starts_with(b"\x09SUBSCRIBE") {
            (true, body.slice(10..))
        } else if body.starts_with(b"\x06CANCEL") {
            (false, body.slice(7..))
        } else if body.starts_with(b"\x04PING") {
            // Behind the time to live.
            let context = body.get(7..).unwrap_or_default();
            return Ok(Some(frame(COMMAND, &[b"\x04PONG", context].concat())));
        } else {
            return Ok(None);
        };
        match said {
            (true, topic) => {
                if self.topics.len() >= TOPICS {
                    return Err(invalid("too many subscriptions"));
                }
                self.topics.push(topic);
                Ok(self.current().map(|message| frame(0, &message)))
            }
            (false, topic) => {
                if let Some(at) = self.topics.iter().position(|known| *known == topic) {
                    self.topics.swap_remove(at);
                }
                Ok(None)
            }
        }
    }
}

fn greeting() -> [u8; GREETING_BYTES] {
    let mut greeting = [0; GREETING_BYTES];
    let head = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL";
    greeting.iter_mut().zip(head).for_each(|(byte, known)| *byte = *known);
    greeting
}

fn check_greeting(theirs: &[u8; GREETING_BYTES]) -> io::Result<()> {
    let [0xff, _, _, _, _, _, _, _, _, 0x7f, version, _, mechanism @ ..] = theirs else {
        return Err(invalid("not ZeroMQ"));
    };
    if *version < 3 {
        return Err(invalid("a version of ZeroMQ's protocol before 3"));
    }
    if !mechanism.starts_with(b"NULL\0") {
        return Err(invalid("a security mechanism other than NULL"));
    }
    Ok(())
}

fn check_ready(ready: &Frame) -> io::Result<()> {
    let mut rest = ready.body.strip_prefix(b"\x05READY").unwrap_or_default();
    if ready.flags & COMMAND == 0 {
        return Err(invalid("no READY"));
    }
    while let Some((length, after)) = rest.split_first() {
        let Some((name, mut after)) = after.split_at_checked(usize::from(*length)) else { break };
        if after.len() < 4 {
            break;
        }
        let length = usize::try_from(after.get_u32()).unwrap_or(usize::MAX);
        let Some((value, after)) = after.split_at_checked(length) else { break };
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            return if matches!(value, b"SUB" | b"XSUB") { Ok(()) } else { Err(invalid("not a subscriber")) };
        }
        rest = after;
    }
    Err(invalid("a READY without its type of socket"))
}

fn frame(flags: u8, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + 9);
    match u8::try_from(body.len()) {
        Ok(short) => {
            out.put_u8(flags);
            out.put_u8(short);
        }
        Err(_) => {
            out.put_u8(flags | LONG);
            out.put_u64(body.len() as u64);
        }
    }
    out.extend_from_slice(body);
    out.freeze()
}

/// The next frame. Dropping the future loses nothing.
async fn next(reader: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> io::Result<Frame> {
    loop {
        if let Some(frame) = take(input)? {
            return Ok(frame);
        }
        if reader.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The frame at the head of `input`; none while it is not whole.
fn take(input: &mut BytesMut) -> io::Result<Option<Frame>> {
    let mut head = &input[..];
    let Some((flags, rest)) = head.split_first() else { return Ok(None) };
    let flags = *flags;
    if flags & !(MORE | LONG | COMMAND) != 0 {
        return Err(invalid("a frame with flags that there are not"));
    }
    head = rest;
    let (length, head_bytes) = if flags & LONG == 0 {
        let Some((length, _)) = head.split_first() else { return Ok(None) };
        (u64::from(*length), 2)
    } else {
        if head.len() < 8 {
            return Ok(None);
        }
        (head.get_u64(), 9)
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > FRAME_BYTES {
        return Err(invalid("a frame that is too long"));
    }
    if input.len() < head_bytes + length {
        return Ok(None);
    }
    input.advance(head_bytes);
    Ok(Some(Frame { flags, body: input.split_to(length).freeze() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_at_any_split() {
        let wire = [frame(0, b"\x01"), frame(COMMAND, b"\x05READY"), frame(0, &[7; 300])].concat();
        let mut input = BytesMut::new();
        let mut found = Vec::new();
        for byte in wire {
            input.put_u8(byte);
            found.extend(take(&mut input).unwrap());
        }
        let bodies: Vec<usize> = found.iter().map(|frame| frame.body.len()).collect();
        assert_eq!(bodies, [1, 6, 300]);
        assert!(take(&mut BytesMut::from(&b"\x02\xff\xff\xff\xff\xff\xff\xff\xff"[..])).is_err());
        assert!(take(&mut BytesMut::from(&b"\x80\0"[..])).is_err());
    }

    #[test]
    fn peers_that_are_no_subscribers_are_refused() {
        assert!(check_greeting(&greeting()).is_ok());
        let mut old = greeting();
        old[10] = 2;
        assert!(check_greeting(&old).is_err());
        let mut curve = greeting();
        curve[12..17].copy_from_slice(b"CURVE");
        assert!(check_greeting(&curve).is_err());
        let ready = |kind: &str| {
            let length = u8::try_from(kind.len()).unwrap();
            let text = [b"\x05READY\x0bSocket-Type\0\0\0".as_slice(), &[length], kind.as_bytes()].concat();
            check_ready(&Frame { flags: COMMAND, body: text.into() }).is_ok()
        };
        assert!(ready("SUB") && ready("XSUB") && !ready("REQ"));
    }

    /// A subscriber made by hand.
    async fn subscriber(publisher: &Publisher, topic: &[u8]) -> tokio::net::TcpStream {
        let address = publisher.address().trim_start_matches("tcp://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(&greeting()).await.unwrap();
        stream.write_all(&frame(COMMAND, b"\x05READY\x0bSocket-Type\0\0\0\x03SUB")).await.unwrap();
        stream.write_all(&frame(0, &[b"\x01", topic].concat())).await.unwrap();
        let mut theirs = [0; GREETING_BYTES + 2 + 25];
        timeout(PATIENCE, stream.read_exact(&mut theirs)).await.unwrap().unwrap();
        stream
    }

    async fn receive(stream: &mut tokio::net::TcpStream) -> Bytes {
        timeout(PATIENCE, next(stream, &mut BytesMut::new())).await.unwrap().unwrap().body
    }

    #[tokio::test]
    async fn who_subscribes_late_hears_what_counts_and_nonsense_harms_nobody() {
        let publisher = Publisher::bind("tcp://127.0.0.1:0").await.unwrap();
        publisher.tell_late_ones(Arc::new(|| Some(Bytes::from_static(b"now"))));
        let address = publisher.address().trim_start_matches("tcp://");
        let mut odd = tokio::net::TcpStream::connect(address).await.unwrap();
        odd.write_all(&[b'x'; 200]).await.unwrap();
        let mut rest = Vec::new();
        // It is cut off, by an end or a reset.
        let _ = timeout(PATIENCE, odd.read_to_end(&mut rest)).await.unwrap();
        let mut one = subscriber(&publisher, b"").await;
        assert_eq!(receive(&mut one).await, "now");
        let mut other = subscriber(&publisher, b"n").await;
        assert_eq!(receive(&mut other).await, "now");
        for message in ["yes", "no", "never"] {
            publisher.publish(message.into());
        }
        assert_eq!(receive(&mut other).await, "no");
        assert_eq!(receive(&mut one).await, "yes");
        assert!(Publisher::bind("udp://127.0.0.1:1").await.is_err());
    }

    #[tokio::test]
    async fn a_subscriber_that_does_not_read_holds_up_nobody() {
        let publisher = Publisher::bind("tcp://127.0.0.1:0").await.unwrap();
        publisher.tell_late_ones(Arc::new(|| Some(Bytes::from_static(b"now"))));
        let (mut deaf, mut other) = (subscriber(&publisher, b"").await, subscriber(&publisher, b"e").await);
        assert_eq!(receive(&mut deaf).await, "now");
        // Far more than sockets hold.
        for _ in 0..4000 {
            publisher.publish(vec![b'x'; 16 * 1024].into());
            tokio::task::yield_now().await;
        }
        publisher.publish("end".into());
        assert_eq!(receive(&mut other).await, "end");
    }
}
