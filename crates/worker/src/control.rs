//! A performer's end of its control channel: does what the manager says, and tells it about jobs.

use crate::stop::Stop;
use crate::worker::Activity;
use bytes::{Bytes, BytesMut};
use conveyor_common::control::{
    Codec, Decoder, FD_VARIABLE, ManagerHello, Order, PerformerHello, ToManager, ToPerformer, VERSION,
};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

/// Reports that wait for a manager which does not read; more are dropped and counted.
const REPORTS: usize = 1024;

/// Bytes waiting for the manager from which on reports stay in their queue.
const OUTPUT_BYTES: usize = 64 * 1024;

/// How long the last reports may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// What a worker does when its manager is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenLost {
    /// Ends when the running jobs have ended.
    #[default]
    Drain,
    /// Goes on.
    GoOn,
}

/// The control channel of a worker: see [`Worker::control`](crate::Worker::control).
#[derive(Debug)]
pub struct Control {
    stream: StdStream,
    name: String,
    kind: String,
    when_lost: WhenLost,
}

/// Tells a manager of jobs. Never waits.
#[derive(Debug)]
pub(crate) struct Reporter(mpsc::Sender<ToManager>);

/// The channel at work.
pub(crate) struct Channel {
    control: Control,
    reports: mpsc::Receiver<ToManager>,
}

impl Control {
    /// The channel that a worker-manager has given this process; none where nobody has. Once in a process, at its start, before
    /// there are other threads: it takes variables out of the environment.
    ///
    /// # Errors
    /// The environment names a descriptor that is no such channel.
    pub fn from_env() -> io::Result<Option<Self>> {
        let Some(named) = std::env::var_os(FD_VARIABLE) else { return Ok(None) };
        let wrong = |why: &str| {
            let message = format!("{FD_VARIABLE}={}: {why}", named.to_string_lossy());
            io::Error::new(io::ErrorKind::InvalidInput, message)
        };
        let number: usize =
            named.to_str().and_then(|number| number.parse().ok()).ok_or_else(|| wrong("no number"))?;
        // Counted from 3, as everybody does who hands on descriptors. Any socket of this kind is a listener to the
        // crate, which looks at its family and type only.
        let taken = listenfd::ListenFd::from_env().take_unix_listener(number.saturating_sub(3));
        let socket = taken.map_err(|error| wrong(&error.to_string()))?;
        let socket = socket.ok_or_else(|| wrong("LISTEN_FDS does not name it, or it was taken before"))?;
        Self::new(StdStream::from(OwnedFd::from(socket))).map(Some)
    }

    /// The channel over this socket.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new(stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let name = format!("{}", std::process::id());
        Ok(Self { stream, name, kind: "conveyor-worker".to_owned(), when_lost: WhenLost::default() })
    }

    /// What the manager shows to people: a name, and what the worker is.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, kind: impl Into<String>) -> Self {
        (self.name, self.kind) = (name.into(), kind.into());
        self
    }

    /// What to do when the manager is gone.
    #[must_use]
    pub const fn when_lost(mut self, what: WhenLost) -> Self {
        self.when_lost = what;
        self
    }

    pub(crate) fn split(self) -> (Channel, Reporter) {
        let (sender, reports) = mpsc::channel(REPORTS);
        (Channel { control: self, reports }, Reporter(sender))
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Reporter {
    pub(crate) fn started(&self, handle: &Bytes, function: &Bytes) {
        self.tell(ToManager::JobStarted { handle: text(handle), function: text(function) });
    }

    pub(crate) fn ended(&self, handle: &Bytes, ok: bool, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.tell(ToManager::JobEnded { handle: text(handle), ok, ms });
    }

    fn tell(&self, report: ToManager) {
        if self.0.try_send(report).is_err() {
            tracing::debug!("the manager does not read: a report was dropped");
        }
    }
}

/// What one side of the conversation knows.
struct Talk<'a> {
    stop: &'a Stop,
    codec: Codec,
    output: BytesMut,
    /// The newest of the orders that count.
    sequence: u64,
    /// The pause that is not complete yet.
    pausing: Option<u64>,
}

impl Talk<'_> {
    fn say(&mut self, message: &ToManager) {
        message.encode(self.codec, &mut self.output);
    }

    fn hear(&mut self, message: ToPerformer) {
        match message {
            ToPerformer::Hello(ManagerHello { codec, version, .. }) => {
                tracing::debug!(version, ?codec, "the manager says hello");
                self.codec = codec;
            }
            ToPerformer::Order { sequence, order } => {
                self.say(&ToManager::Ack { sequence });
                self.obey(sequence, order);
            }
        }
    }

    /// What is late is only acknowledged, but for what is final.
    fn obey(&mut self, sequence: u64, order: Order) {
        match order {
            Order::Ping => return,
            Order::Terminate { shed } => {
                tracing::info!(shed, "the manager wants this worker to end");
                self.pausing = None;
                self.stop.terminate();
            }
            _ if sequence < self.sequence => return,
            Order::Pause => {
                self.stop.pause();
                self.pausing = Some(sequence);
            }
            Order::Resume => {
                self.stop.resume();
                self.pausing = None;
                self.say(&ToManager::Resumed { sequence });
            }
        }
        self.sequence = self.sequence.max(sequence);
    }

    /// Tells that nothing works any more, once.
    fn settle(&mut self, activity: Activity) {
        if activity.running <= activity.waiting
            && let Some(sequence) = self.pausing.take()
        {
            self.say(&ToManager::Paused { sequence });
        }
    }
}

impl Channel {
    /// Runs `work` to its end, under the manager's orders.
    pub(crate) async fn run(
        self,
        stop: &Stop,
        mut activity: watch::Receiver<Activity>,
        work: impl Future<Output = ()>,
    ) {
        let Self { control, mut reports } = self;
        let Control { stream, name, kind, when_lost } = control;
        let mut work = std::pin::pin!(work);
        let mut talk = Talk { stop, codec: Codec::Json, output: BytesMut::new(), sequence: 0, pausing: None };
        let pid = std::process::id();
        talk.say(&ToManager::Hello(PerformerHello {
            version: VERSION,
            codec: Codec::Bincode,
            pid,
            name,
            kind,
        }));
        let talking = async {
            let mut stream = UnixStream::from_std(stream)?;
            tokio::select! {
                () = &mut work => {}
                ended = converse(&mut stream, &mut talk, &mut reports, &mut activity) => return ended,
            }
            while let Ok(report) = reports.try_recv() {
                talk.say(&report);
            }
            let _ = tokio::time::timeout(LAST_WORDS, stream.write_all_buf(&mut talk.output)).await;
            io::Result::Ok(Talked::Worked)
        };
        match talking.await {
            Ok(Talked::Worked) => return,
            Ok(Talked::Malformed(why)) => {
                tracing::error!(%why, "the manager is not understood: its channel is closed")
            }
            Ok(Talked::Over) | Err(_) => {
                tracing::info!(?when_lost, "the manager is gone");
                if when_lost == WhenLost::Drain {
                    stop.drain();
                }
            }
        }
        // Whoever was paused would wait for ever.
        stop.resume();
        drop(reports);
        work.await;
    }
}

/// How a conversation ended.
enum Talked {
    /// Because the work has.
    Worked,
    /// The manager has closed.
    Over,
    Malformed(String),
}

async fn converse(
    stream: &mut UnixStream,
    talk: &mut Talk<'_>,
    reports: &mut mpsc::Receiver<ToManager>,
    activity: &mut watch::Receiver<Activity>,
) -> io::Result<Talked> {
    let (mut reader, mut writer) = stream.split();
    let (mut decoder, mut input) = (Decoder::<ToPerformer>::default(), BytesMut::new());
    let mut count = true;
    loop {
        let now = *activity.borrow_and_update();
        talk.settle(now);
        input.reserve(READ_BYTES);
        tokio::select! {
            read = reader.read_buf(&mut input) => {
                if read? == 0 {
                    return Ok(Talked::Over);
                }
                loop {
                    match decoder.decode(&mut input) {
                        Ok(None) => break,
                        Ok(Some(received)) => {
                            if let Some(note) = received.note {
                                tracing::info!(%note, "the manager says something unknown");
                                talk.say(&ToManager::Note { text: note });
                            }
                            if let Some(message) = received.message {
                                talk.hear(message);
                            }
                        }
                        Err(why) => return Ok(Talked::Malformed(why.to_string())),
                    }
                }
            }
            written = writer.write_buf(&mut talk.output), if !talk.output.is_empty() => drop(written?),
            Some(report) = reports.recv(), if talk.output.len() < OUTPUT_BYTES => talk.say(&report),
            changed = activity.changed(), if count => count = changed.is_ok(),
        }
    }
}
