//! The task of one server: connects, reads, writes, starts jobs, reports them; and connects again.

use crate::error::Cancelled;
use crate::job::{Assignment, Job, Outcome};
use crate::layer::call_caught;
use crate::session::{Session, Step};
use crate::stop::Command;
use crate::worker::{Shared, Slot};
use bytes::{Bytes, BytesMut};
use conveyor_client::Stream;
use conveyor_common::protocol::{Decoder, Frame, Request, Response};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pause before the first new try to connect; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long connecting may take, a TLS handshake included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a server may take to answer a GRAB before it counts as lost: until then it has a slot.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long jobs whose result nobody takes have to give up, when the worker ends.
const GRACE: Duration = Duration::from_secs(5);

/// Room kept free for reading, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// Bytes to send from which on jobs wait with what they report on their way.
const OUTPUT_BYTES: usize = 1024 * 1024;

/// Reports that may wait while the connection is busy.
const REPORTS: usize = 64;

type SlotFuture = Pin<Box<dyn Future<Output = Slot> + Send>>;

/// A job under way.
#[derive(Debug)]
struct Started {
    job: Job,
    slot: Arc<Slot>,
    /// The connection it came by; by no other may it be reported.
    connection: u64,
    since: Instant,
}

/// One server and the jobs it gave.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    address: String,
    stop: watch::Receiver<Command>,
    /// Jobs of this connection and of lost ones, which hold their slots until they end.
    tasks: JoinSet<(u64, Outcome)>,
    started: HashMap<u64, Started>,
    next_number: u64,
    /// Connections so far: the number of the present one.
    connection: u64,
    /// Whether the server has said anything by it: one that only accepts is tried less and less often.
    heard: bool,
}

/// The state of one connection.
struct Wire {
    session: Session,
    decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
    /// Something that was written has yet to leave.
    unflushed: bool,
    /// A job was started that may end before it waits for anything.
    fresh: bool,
    reports: mpsc::Receiver<Request>,
    /// Functions taken back while draining.
    withdrawn: HashSet<Bytes>,
    /// What jobs report through.
    sender: mpsc::Sender<Request>,
    /// The place in the queue for a slot; giving it up would lose the turn.
    waiting: Option<SlotFuture>,
    /// The slot of the GRAB under way, and until when it must be answered.
    asking: Option<(Slot, Instant)>,
    /// A job goes back to the server, and so the connection closes, for so long.
    to_return: Option<Duration>,
}

/// Why a connection was closed from this side.
enum Left {
    /// The worker ends.
    Ended,
    /// To give a job back; come again after this pause.
    ToReturn(Duration),
}

impl Link {
    pub(crate) fn new(shared: Arc<Shared>, address: String) -> Self {
        let stop = shared.stop.subscribe();
        let (tasks, started) = (JoinSet::new(), HashMap::new());
        Self { shared, address, stop, tasks, started, next_number: 0, connection: 0, heard: false }
    }

    /// Works until the worker ends.
    pub(crate) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while self.stop.borrow().goes_on() {
            match self.connect().await {
                Ok(None) => break,
                Ok(Some(stream)) => {
                    match self.serve(stream).await {
                        Ok(Left::Ended) => break,
                        Ok(Left::ToReturn(pause)) => {
                            self.wait(pause).await;
                            continue;
                        }
                        Err(error) => tracing::debug!(server = %self.address, %error, "lost the server"),
                    }
                    if self.heard {
                        pause = FIRST_PAUSE;
                    }
                    self.cancel_all(Cancelled::ServerLost);
                }
                Err(error) => tracing::debug!(server = %self.address, %error, "cannot connect"),
            }
            self.wait(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // What still runs here is nobody's: what a server waits for has been reported before.
        self.cancel_all(Cancelled::Stopped);
        let deadline = Instant::now() + GRACE;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
            self.forget(ended.ok().map(|(number, _)| number), false);
        }
    }

    /// Connects; none when the worker ends first.
    async fn connect(&mut self) -> io::Result<Option<Stream>> {
        let tls = self.shared.tls.as_ref();
        tokio::select! {
            stream = Stream::connect(&self.address, tls, CONNECT_LIMIT) => stream.map(Some),
            _ = self.stop.wait_for(|command| !command.goes_on()) => Ok(None),
        }
    }

    /// Waits before the next try; jobs of a lost server may end meanwhile and give their slots back.
    async fn wait(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while self.stop.borrow_and_update().goes_on() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                changed = self.stop.changed() => if changed.is_err() { return },
                Some(ended) = self.tasks.join_next() => {
                    self.forget(ended.ok().map(|(number, _)| number), false);
                }
            }
        }
    }

    /// Works on one connection until the worker ends or a job goes back; an error is a lost server.
    async fn serve(&mut self, stream: Stream) -> io::Result<Left> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut wire = Wire::new();
        self.connection += 1;
        self.heard = false;
        self.introduce(&mut wire.output);
        loop {
            if let Some(pause) = wire.to_return {
                self.cancel_all(Cancelled::Returned);
                self.flush(&mut wire, &mut writer).await?;
                self.leave(reader, writer).await;
                return Ok(Left::ToReturn(pause));
            }
            let command = *self.stop.borrow_and_update();
            match command {
                Command::Work => {
                    wire.session.pause(false);
                    self.announce_again(&mut wire);
                }
                Command::Pause => {
                    wire.session.pause(true);
                    wire.waiting = None;
                    if wire.asking.is_none() {
                        self.withdraw(&mut wire);
                    }
                }
                Command::Now => return Ok(Left::Ended),
                Command::Drain(_) => {
                    wire.session.drain();
                    wire.waiting = None;
                    let idle = wire.asking.is_none() && self.is_idle();
                    if wire.asking.is_none() {
                        self.withdraw(&mut wire);
                    }
                    if idle && wire.is_silent() && wire.reports.is_empty() {
                        self.leave(reader, writer).await;
                        return Ok(Left::Ended);
                    }
                }
            }
            let may_ask = !self.shared.connection_per_job || self.is_idle();
            if may_ask && wire.session.wants_slot() && wire.waiting.is_none() {
                wire.waiting = Some(Box::pin(self.shared.clone().slot()));
            }
            let answer_until = wire.asking.as_ref().map(|(_, until)| *until);
            wire.input.reserve(READ_BYTES);
            let (silent, fresh) = (wire.is_silent(), wire.fresh);
            // In this order: what there is to say is put together before it is sent, so that reports and the GRAB for
            // the next job leave with one write; for the report of a job that ends at once, its task goes first. A server
            // says nothing unasked but NOOP, so that reading does not keep the others waiting.
            tokio::select! {
                biased;
                changed = self.stop.changed() => changed.map_err(io::Error::other)?,
                read = reader.read_buf(&mut wire.input) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.heard = true;
                    self.receive(&mut wire)?;
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Ok((number, outcome)) = ended {
                        self.report(&mut wire, number, outcome);
                    }
                }
                slot = ready(&mut wire.waiting) => {
                    wire.waiting = None;
                    wire.session.take_slot().encode(&mut wire.output);
                    wire.asking = Some((slot, Instant::now() + ANSWER_LIMIT));
                }
                Some(report) = wire.reports.recv(), if wire.output.len() < OUTPUT_BYTES => {
                    report.encode(&mut wire.output);
                }
                () = tokio::task::yield_now(), if !silent && fresh => wire.fresh = false,
                sent = Stream::send(&mut writer, &mut wire.output, &mut wire.unflushed), if !silent && !fresh => sent?,
                () = until(answer_until) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// Closes so that nothing sent is lost: closing with something unread would reset the connection, and the
    /// server might not see the last report.
    async fn leave(&mut self, mut reader: ReadHalf<Stream>, mut writer: WriteHalf<Stream>) {
        let closed = async {
            writer.shutdown().await?;
            let mut rest = [0; 1024];
            while reader.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        tokio::select! {
            closed = tokio::time::timeout(GRACE, closed) => {
                if !matches!(closed, Ok(Ok(()))) {
                    tracing::debug!(server = %self.address, "the server did not close in turn");
                }
            }
            _ = self.stop.wait_for(|command| *command == Command::Now) => {}
        }
    }

    /// Sends what jobs that have ended reported, before the connection closes.
    async fn flush(&mut self, wire: &mut Wire, writer: &mut WriteHalf<Stream>) -> io::Result<()> {
        let sending = async {
            writer.write_all_buf(&mut wire.output).await?;
            writer.flush().await
        };
        tokio::select! {
            sent = tokio::time::timeout(GRACE, sending) => sent?,
            _ = self.stop.wait_for(|command| *command == Command::Now) => Ok(()),
        }
    }

    /// Says who the worker is and what it can do.
    fn introduce(&self, output: &mut BytesMut) {
        if let Some(id) = &self.shared.id {
            Request::SetClientId { id: id.clone() }.encode(output);
        }
        for (name, function) in &self.shared.functions {
            function.announce(name.clone(), output);
        }
    }

    /// Says that it can again what was taken back for a pause.
    fn announce_again(&self, wire: &mut Wire) {
        for name in wire.withdrawn.drain() {
            if let Some(function) = self.shared.functions.get(&name) {
                function.announce(name, &mut wire.output);
            }
        }
    }

    /// Takes back what the worker can do, so that a server wakes others and not this one, which may be asleep there.
    /// Not functions with a job under way: servers would give that to another worker. Nor while a GRAB is under way:
    /// the job it brings would be taken away again.
    fn withdraw(&self, wire: &mut Wire) {
        for function in self.shared.functions.keys() {
            let runs = |started: &Started| {
                started.connection == self.connection && started.job.function() == function
            };
            if !self.started.values().any(runs) && wire.withdrawn.insert(function.clone()) {
                Request::CantDo { function: function.clone() }.encode(&mut wire.output);
            }
        }
    }

    /// Does what the packets say that have arrived.
    fn receive(&mut self, wire: &mut Wire) -> io::Result<()> {
        while let Some(frame) = wire.decoder.decode(&mut wire.input).map_err(io::Error::other)? {
            let Frame::Packet(packet) = frame else {
                return Err(io::Error::other("a text line where a packet belongs"));
            };
            match wire.session.receive(Response::from_packet(packet).map_err(io::Error::other)?) {
                Step::Nothing => {}
                Step::GiveBack(request) => {
                    wire.asking = None;
                    if let Some(request) = request {
                        request.encode(&mut wire.output);
                    }
                }
                Step::Start(assignment) => self.start(wire, assignment),
                Step::Close(why) => return Err(io::Error::other(why)),
            }
        }
        Ok(())
    }

    fn start(&mut self, wire: &mut Wire, assignment: Assignment) {
        let Some((mut slot, _)) = wire.asking.take() else {
            debug_assert!(false, "the session knows that a GRAB was under way");
            return;
        };
        wire.fresh = true;
        self.shared.started(&mut slot, &assignment);
        let number = self.next_number;
        self.next_number += 1;
        let slot = Arc::new(slot);
        let orders = self.shared.orders();
        let job = Job::new(assignment, wire.sender.clone(), Arc::downgrade(&slot), orders);
        let function = self.shared.functions.get(job.function()).cloned();
        let since = Instant::now();
        self.started.insert(number, Started { job: job.clone(), slot, connection: self.connection, since });
        self.tasks.spawn(async move {
            // It came with a pause: the answer to a GRAB before it.
            job.while_paused().await;
            let outcome = match function {
                Some(function) => call_caught(function.handler, job).await,
                None => Outcome::Fail,
            };
            (number, outcome)
        });
    }

    /// Reports the end of a job, behind all that it said on its way, unless its server was lost.
    fn report(&mut self, wire: &mut Wire, number: u64, outcome: Outcome) {
        wire.fresh = false;
        let ok = matches!(outcome, Outcome::Complete(_));
        let Some(started) = self.forget(Some(number), ok) else { return };
        while let Ok(report) = wire.reports.try_recv() {
            report.encode(&mut wire.output);
        }
        started.job.cancel(Cancelled::Ended);
        if started.connection == self.connection {
            let handle: Bytes = started.job.handle().clone();
            match outcome.report(handle) {
                Ok(report) => report.encode(&mut wire.output),
                Err(pause) => wire.to_return = Some(pause),
            }
        }
        // The slot is free from here on: the GRAB for the next job leaves together with this report.
        drop(started.slot);
    }

    fn forget(&mut self, number: Option<u64>, ok: bool) -> Option<Started> {
        let started = self.started.remove(&number?)?;
        self.shared.ended(started.job.handle(), ok, started.since.elapsed());
        Some(started)
    }

    /// Whether no job runs whose result a server waits for.
    fn is_idle(&self) -> bool {
        self.started.values().all(|started| started.connection != self.connection)
    }

    fn cancel_all(&self, reason: Cancelled) {
        for started in self.started.values() {
            started.job.cancel(reason);
        }
    }
}

impl Wire {
    fn new() -> Self {
        let (sender, reports) = mpsc::channel(REPORTS);
        Self {
            session: Session::new(),
            decoder: Decoder::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            fresh: false,
            reports,
            withdrawn: HashSet::new(),
            sender,
            waiting: None,
            asking: None,
            to_return: None,
        }
    }

    /// Whether all has left.
    fn is_silent(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }
}

/// The slot waited for; never, without one.
async fn ready(waiting: &mut Option<SlotFuture>) -> Slot {
    match waiting {
        Some(slot) => slot.await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Half to all of `pause`, so that workers that lost a server together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(()) % 1024;
    pause.mul_f64(0.5 + chance as f64 / 2048.0)
}
