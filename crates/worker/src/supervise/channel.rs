//! The manager's end of a control channel: one task for each performer.
//!
//! Orders are a state, not a queue: a performer that does not read holds up nobody, and reads what counts when it does.

use bytes::BytesMut;
use conveyor_common::control::{Codec, Decoder, ManagerHello, Order, PerformerHello, ToManager, ToPerformer};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// What a performer says, or what became of its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is up and understands orders.
    Hello(PerformerHello),
    /// It has done what it was told: it is paused, goes on, lives, or has begun to end.
    Done {
        /// Of the order.
        sequence: u64,
    },
    /// It took a job.
    JobStarted {
        /// The server's name for it.
        handle: String,
        /// Its function.
        function: String,
    },
    /// It has answered a job or given it back.
    JobEnded {
        /// The server's name for it.
        handle: String,
        /// It went well.
        ok: bool,
        /// How long it took, in milliseconds.
        ms: u64,
    },
    /// For the log.
    Note(String),
    /// Nothing more is heard or can be told: in words. The process may live on.
    Closed(String),
}

/// The newest orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Orders {
    state: Option<(u64, Order)>,
    ping: Option<u64>,
}

/// A channel to a performer. Dropping it closes it, which tells the performer that the manager is gone.
#[derive(Debug)]
pub struct Channel {
    orders: watch::Sender<Orders>,
    _task: JoinSet<()>,
}

/// A new channel: the manager's end and the one for the performer.
///
/// # Errors
/// The system refuses.
pub fn pair() -> io::Result<(StdStream, OwnedFd)> {
    let (manager, performer) = StdStream::pair()?;
    manager.set_nonblocking(true)?;
    Ok((manager, performer.into()))
}

impl Channel {
    /// Says hello, and from then on tells `heard` under `key` what the performer says. When that is not taken, this
    /// performer waits and no other. [`Heard::Closed`] is the last.
    ///
    /// # Errors
    /// There is no runtime to run it.
    pub fn open<K: Clone + Send + Sync + 'static>(
        stream: StdStream,
        hello: ManagerHello,
        key: K,
        heard: mpsc::Sender<(K, Heard)>,
    ) -> io::Result<Self> {
        let stream = UnixStream::from_std(stream)?;
        let (orders, told) = watch::channel(Orders::default());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut output = BytesMut::new();
            ToPerformer::Hello(hello).encode(Codec::Json, &mut output);
            let mut talk = Talk { codec: Codec::Json, output, sent: Orders::default() };
            let tell = |what| {
                let (heard, key) = (heard.clone(), key.clone());
                // Nobody listens any more.
                async move { drop(heard.send((key, what)).await) }
            };
            let why = talk.converse(stream, told, tell).await.unwrap_or_else(|error| error.to_string());
            drop(heard.send((key, Heard::Closed(why))).await);
        });
        Ok(Self { orders, _task: task })
    }

    /// Has the performer told something, as soon as it reads. A newer order takes the place of one that it has not read;
    /// nothing takes the place of [`Order::Terminate`].
    pub fn tell(&self, sequence: u64, order: Order) {
        self.orders.send_modify(|orders| match order {
            Order::Ping => orders.ping = Some(sequence),
            _ if matches!(orders.state, Some((_, Order::Terminate { .. }))) => {}
            _ => orders.state = Some((sequence, order)),
        });
    }
}

struct Talk {
    codec: Codec,
    output: BytesMut,
    sent: Orders,
}

impl Talk {
    /// Talks until the performer closes.
    async fn converse<F: Future<Output = ()>>(
        &mut self,
        mut stream: UnixStream,
        mut told: watch::Receiver<Orders>,
        tell: impl Fn(Heard) -> F,
    ) -> io::Result<String> {
        let (mut reader, mut writer) = stream.split();
        let (mut decoder, mut input) = (Decoder::<ToManager>::default(), BytesMut::new());
        loop {
            input.reserve(READ_BYTES);
            tokio::select! {
                read = reader.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok("the performer has closed it".to_owned());
                    }
                    loop {
                        let received = match decoder.decode(&mut input) {
                            Ok(None) => break,
                            Ok(Some(received)) => received,
                            Err(malformed) => return Ok(malformed.to_string()),
                        };
                        if let Some(note) = received.note {
                            tell(Heard::Note(note)).await;
                        }
                        if let Some(heard) = received.message.and_then(|message| self.hear(message)) {
                            tell(heard).await;
                        }
                    }
                }
                written = writer.write_buf(&mut self.output), if !self.output.is_empty() => drop(written?),
                // Not before the last order has left: so no more than one waits.
                changed = told.changed(), if self.output.is_empty() => {
                    if changed.is_err() {
                        return Ok("the manager has closed it".to_owned());
                    }
                    let orders = *told.borrow_and_update();
                    self.say(orders);
                }
            }
        }
    }

    fn say(&mut self, orders: Orders) {
        let ping = orders.ping.map(|sequence| (sequence, Order::Ping));
        for (order, sent) in
            [(ping, self.sent.ping), (orders.state, self.sent.state.map(|(number, _)| number))]
        {
            if let Some((sequence, order)) = order.filter(|(sequence, _)| Some(*sequence) != sent) {
                ToPerformer::Order { sequence, order }.encode(self.codec, &mut self.output);
            }
        }
        self.sent = orders;
    }

    /// What a message means to the manager, if anything.
    fn hear(&mut self, message: ToManager) -> Option<Heard> {
        Some(match message {
            ToManager::Hello(hello) => {
                self.codec = hello.codec;
                Heard::Hello(hello)
            }
            // A pause is done when nothing works any more, not when it was read.
            ToManager::Ack { sequence } => {
                let ends =
                    matches!(self.sent.state, Some((sent, Order::Terminate { .. })) if sent == sequence);
                if !ends && self.sent.ping != Some(sequence) {
                    return None;
                }
                Heard::Done { sequence }
            }
            ToManager::Paused { sequence } | ToManager::Resumed { sequence } => Heard::Done { sequence },
            ToManager::JobStarted { handle, function } => Heard::JobStarted { handle, function },
            ToManager::JobEnded { handle, ok, ms } => Heard::JobEnded { handle, ok, ms },
            ToManager::Note { text } => Heard::Note(text),
        })
    }
}
