//! The servers as one: what the client handle and the tasks of all connections share.

use crate::connection::Answer;
use crate::error::{Error, ErrorKind};
use crate::inflight::{InFlight, JobKey};
use crate::options::Options;
use crate::pool::Pool;
use bytes::Bytes;
use conveyor_common::Millis;
use conveyor_common::protocol::Request;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// Questions that may wait for one server beside the jobs.
const QUESTIONS: usize = 256;

/// Options that are asked for after every connect, at most.
const GRANTED: usize = 16;

/// Where the answer to a question goes; dropped when the connection is lost.
pub(crate) type Reply = oneshot::Sender<Result<Answer, Error>>;

/// What a task is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Submit this job.
    Submit(JobKey),
    /// Ask this question.
    Ask(Box<Request>, Reply),
}

/// A server and the way to its task.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    commands: mpsc::Sender<Command>,
}

/// The servers.
#[derive(Debug)]
pub(crate) struct Farm {
    pub(crate) options: Options,
    pub(crate) servers: Vec<Server>,
    pub(crate) in_flight: Arc<InFlight>,
    pool: Mutex<Pool>,
    granted: Mutex<Vec<Bytes>>,
    start: Instant,
}

impl Farm {
    /// The farm, and what arrives for the task of each server.
    pub(crate) fn new(options: Options) -> (Self, Vec<mpsc::Receiver<Command>>) {
        let channel = |name: &String| {
            let (commands, arriving) = mpsc::channel(Self::commands_of(&options));
            (Server { name: Arc::from(name.as_str()), commands }, arriving)
        };
        let (servers, arriving) = options.servers.iter().map(channel).unzip();
        let pool = Mutex::new(Pool::new(&options.servers));
        let granted = if options.exceptions { vec![Bytes::from_static(b"exceptions")] } else { Vec::new() };
        let (in_flight, start) = (Arc::default(), Instant::now());
        (Self { servers, in_flight, pool, granted: Mutex::new(granted), start, options }, arriving)
    }

    fn commands_of(options: &Options) -> usize {
        options.in_flight + QUESTIONS
    }

    /// Commands that may wait for a server: there is room for every job in flight.
    pub(crate) fn commands(&self) -> usize {
        Self::commands_of(&self.options)
    }

    /// Gives a job to the server that is to have it. Never waits: tasks of servers call this, and two of
    /// them waiting for each other would wait for ever.
    pub(crate) fn route(&self, key: JobKey) {
        let Some(unique) = self.in_flight.unique(key) else { return };
        let server = self.pick(&unique).and_then(|index| self.servers.get(index));
        let sent = server.is_some_and(|server| server.commands.try_send(Command::Submit(key)).is_ok());
        if !sent {
            self.in_flight.fail(key, ErrorKind::Busy);
        }
    }

    /// The server for jobs with this unique.
    pub(crate) fn pick(&self, unique: &[u8]) -> Option<usize> {
        self.with_pool(|pool| pool.pick(unique))
    }

    fn with_pool<T>(&self, use_it: impl FnOnce(&mut Pool) -> T) -> T {
        use_it(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A server answers.
    pub(crate) fn up(&self, index: usize) {
        self.with_pool(|pool| pool.up(index));
    }

    /// A server does not answer, and is tried again after `pause`.
    pub(crate) fn down(&self, index: usize, pause: Duration) {
        let until = self.start.elapsed() + pause;
        let until = Millis(u64::try_from(until.as_millis()).unwrap_or(u64::MAX));
        self.with_pool(|pool| pool.down(index, until));
    }

    /// Whether jobs of a server that is down have another one to go to.
    pub(crate) fn others_up(&self, index: usize) -> bool {
        self.with_pool(|pool| pool.others_up(index))
    }

    /// Asks one server.
    pub(crate) async fn ask(&self, server: &Server, request: Request) -> Result<Answer, Error> {
        let limit = self.options.answer_timeout;
        let (reply, answer) = oneshot::channel();
        let asking = async {
            server
                .commands
                .send(Command::Ask(Box::new(request), reply))
                .await
                .map_err(|_| ErrorKind::Closed)?;
            answer.await.map_err(|_| ErrorKind::Lost("before it answered".to_owned()))
        };
        match timeout(limit, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(kind)) => Err(Error::new(kind).at(&server.name)),
            Err(_) => Err(Error::new(ErrorKind::NoAnswer(limit)).at(&server.name)),
        }
    }

    /// Options to ask for after a connect.
    pub(crate) fn granted(&self) -> Vec<Bytes> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers an option for later connections.
    pub(crate) fn grant(&self, option: Bytes) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if granted.len() < GRANTED && !granted.contains(&option) {
            granted.push(option);
        }
    }
}
