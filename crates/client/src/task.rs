//! The task of one server: owns its socket, keeps it connected, and does what it is told through a channel.
//!
//! Commands are taken many at a time and leave with one write; reading goes on while writing waits, so that a
//! server which stops reading until it is read from does not stop both.

use crate::connection::{Connection, Happened, Token};
use crate::error::{Error, ErrorKind};
use crate::farm::{Command, Farm, Reply};
use crate::inflight::{Full, InFlight, JobKey};
use crate::job::chance;
use crate::stream::Stream;
use bytes::BytesMut;
use conveyor_common::protocol::Request;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Room kept free for reading.
const READ_BYTES: usize = 64 * 1024;

/// Commands taken at a time.
const BATCH: usize = 64;

/// No more commands are taken while so many bytes wait to be sent.
const HIGH_WATER_BYTES: usize = 1 << 20;

/// Submissions that a server may keep although nobody waits for them here any more; a connection has to
/// remember those until the server is done with them.
const FORGOTTEN: usize = 65_536;

/// Ends jobs whose deadline is over, as long as it runs.
pub(crate) async fn clock(in_flight: Arc<InFlight>) {
    loop {
        let next = in_flight.expire(Instant::now());
        let due = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = in_flight.sooner.notified() => {}
        }
    }
}

/// The task of one server.
#[derive(Debug)]
pub(crate) struct Task {
    farm: Arc<Farm>,
    index: usize,
    name: Arc<str>,
    commands: mpsc::Receiver<Command>,
    /// What arrived while there was no connection.
    held: Vec<Command>,
    unreachable_since: Option<Instant>,
}

/// A connection that is over.
struct Lost {
    why: String,
    /// Jobs that have left and have no end.
    jobs: Vec<JobKey>,
    /// Whether the server ever said anything.
    heard: bool,
}

impl Task {
    pub(crate) fn new(
        farm: Arc<Farm>,
        index: usize,
        name: Arc<str>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self { farm, index, name, commands, held: Vec::new(), unreachable_since: None }
    }

    /// Runs until dropped; tells `first` how the first try to connect ended.
    pub(crate) async fn run(mut self, first: mpsc::Sender<Result<(), String>>) {
        let mut first = Some(first);
        let mut failures = 0_u32;
        loop {
            let connected = self.connect().await;
            if let Some(first) = first.take() {
                let _ = first.try_send(connected.as_ref().map(|_| ()).map_err(Clone::clone));
            }
            let (why, jobs) = match connected {
                Ok(stream) => {
                    self.farm.up(self.index);
                    self.unreachable_since = None;
                    let lost = self.talk(stream).await;
                    if lost.heard {
                        failures = 0;
                    }
                    (lost.why, lost.jobs)
                }
                Err(why) => (why, Vec::new()),
            };
            tracing::debug!(server = %self.name, %why, jobs = jobs.len(), "no connection");
            failures = failures.saturating_add(1);
            let pause = self.farm.options.backoff.pause(failures, chance());
            self.farm.down(self.index, pause);
            for key in jobs {
                if self.farm.in_flight.retry(key, ErrorKind::Lost(why.clone())) {
                    self.farm.route(key);
                }
            }
            self.pause(Instant::now() + pause, &why).await;
        }
    }

    /// Connects; what arrives meanwhile is held.
    async fn connect(&mut self) -> Result<Stream, String> {
        let (farm, name) = (Arc::clone(&self.farm), Arc::clone(&self.name));
        let options = &farm.options;
        let connecting = Stream::connect(&name, options.tls.as_ref(), options.connect_timeout);
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                connected = &mut connecting => return connected.map_err(|error| error.to_string()),
                Some(command) = self.commands.recv(), if self.held.len() < self.farm.commands() => {
                    self.held.push(command);
                }
            }
        }
    }

    /// Waits for the next try. Jobs go to another server if there is one, else wait here; questions do not
    /// wait.
    async fn pause(&mut self, until: Instant, why: &str) {
        let since = *self.unreachable_since.get_or_insert_with(Instant::now);
        let held = std::mem::take(&mut self.held);
        held.into_iter().for_each(|command| self.hold(command, since, why));
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Some(command) = self.commands.recv(), if self.held.len() < self.farm.commands() => {
                    self.hold(command, since, why);
                }
            }
        }
    }

    fn hold(&mut self, command: Command, since: Instant, why: &str) {
        match command {
            Command::Ask(_, reply) => {
                let error = Error::new(ErrorKind::Unreachable(why.to_owned())).at(&self.name);
                let _ = reply.send(Err(error));
            }
            Command::Submit(key) if self.farm.others_up(self.index) => self.farm.route(key),
            Command::Submit(key) if since.elapsed() >= self.farm.options.give_up => {
                self.farm.in_flight.fail(key, ErrorKind::Unreachable(why.to_owned()));
            }
            Command::Submit(_) => self.held.push(command),
        }
    }

    /// Talks until the connection is lost.
    async fn talk(&mut self, stream: Stream) -> Lost {
        let mut talk = Talk::new(&self.farm, &self.name);
        for option in self.farm.granted() {
            talk.ask(&Request::Option { option }, None);
        }
        self.held.drain(..).for_each(|command| talk.take(command));
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut unflushed = false;
        let mut input = BytesMut::new();
        let mut batch = Vec::with_capacity(BATCH);
        let mut heard = false;
        let why = loop {
            input.reserve(READ_BYTES);
            let silent = talk.connection.output.is_empty() && !unflushed;
            let full = talk.is_full();
            tokio::select! {
                read = reader.read_buf(&mut input) => match read {
                    Ok(0) => break "the server closed the connection".to_owned(),
                    Ok(_) => {
                        heard = true;
                        if let Err(why) = talk.receive(&mut input).await {
                            break why;
                        }
                    }
                    Err(error) => break error.to_string(),
                },
                sent = Stream::send(&mut writer, &mut talk.connection.output, &mut unflushed), if !silent => match sent {
                    // What many or large jobs needed is given back.
                    Ok(()) => talk.connection.output = BytesMut::new(),
                    Err(error) => break error.to_string(),
                },
                _ = self.commands.recv_many(&mut batch, BATCH), if !full => {
                    batch.drain(..).for_each(|command| talk.take(command));
                }
            }
        };
        let (jobs, _) = talk.connection.lose();
        Lost { why, jobs, heard }
    }
}

/// A connection and what it says to whom.
struct Talk<'a> {
    farm: &'a Farm,
    name: &'a Arc<str>,
    connection: Connection,
    replies: HashMap<Token, Reply>,
    last: u64,
    happened: Vec<Happened>,
}

impl<'a> Talk<'a> {
    fn new(farm: &'a Farm, name: &'a Arc<str>) -> Self {
        let (connection, replies, happened) = (Connection::default(), HashMap::new(), Vec::new());
        Self { farm, name, connection, replies, last: 0, happened }
    }

    fn is_full(&self) -> bool {
        self.connection.output.len() >= HIGH_WATER_BYTES
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Submit(key) if self.connection.waiting() >= self.farm.commands() + FORGOTTEN => {
                self.farm.in_flight.fail(key, ErrorKind::Busy);
            }
            Command::Submit(key) => {
                // Nobody waits for it any more: it need not leave.
                let Some((request, background)) = self.farm.in_flight.leave(key, self.name) else { return };
                self.connection.submit(key, background, &request);
            }
            Command::Ask(request, reply) => self.ask(&request, Some(reply)),
        }
    }

    fn ask(&mut self, request: &Request, reply: Option<Reply>) {
        let token = Token(self.last);
        self.last += 1;
        self.connection.ask(token, request);
        if let Some(reply) = reply {
            self.replies.insert(token, reply);
        }
    }

    async fn receive(&mut self, input: &mut BytesMut) -> Result<(), String> {
        let mut happened = std::mem::take(&mut self.happened);
        let received = self.connection.receive(input, &mut happened);
        // What came before the nonsense counts.
        for event in happened.drain(..) {
            self.tell(event).await;
        }
        self.happened = happened;
        received
    }

    async fn tell(&mut self, event: Happened) {
        let in_flight = &self.farm.in_flight;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (key, told) = match event {
            Happened::Created(key, handle) => (key, in_flight.created(key, handle)),
            Happened::Update(key, update) => (key, in_flight.update(key, update)),
            Happened::Done(key, outcome) => return in_flight.finish(key, outcome),
            Happened::Refused { key, code, text: words } => {
                return in_flight.fail(key, ErrorKind::Refused { code: text(&code), text: text(&words) });
            }
            Happened::Answered(token, answer) => {
                if let Some(reply) = self.replies.remove(&token) {
                    let _ = reply.send(Ok(answer));
                }
                return;
            }
            Happened::Stray(opcode) => {
                return tracing::debug!(server = %self.name, ?opcode, "belongs to nothing");
            }
        };
        if let Err(Full(updates, update, patience)) = told {
            let start = Instant::now();
            if timeout(patience, updates.send(update)).await.is_err() {
                in_flight.fail(key, ErrorKind::SlowConsumer(self.farm.options.patience));
            }
            in_flight.waited(key, start.elapsed());
        }
    }
}
