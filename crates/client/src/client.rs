//! The client: what programs hold.

use crate::connection::{Answer, Status};
use crate::error::{Error, ErrorKind, JobName, MayHaveRun};
use crate::farm::Farm;
use crate::job::Job;
use crate::job_handle::JobHandle;
use crate::options::Options;
use crate::task::{Task, clock};
use bytes::Bytes;
use conveyor_common::limits::{HANDLE_BYTES, UNIQUE_BYTES};
use conveyor_common::protocol::Request;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

/// A client of one or several servers. Cheap to clone; all clones share connections and limits.
///
/// Jobs with a [`Unique`](crate::Unique) go to the server that consistent hashing names, the same for every client with
/// the same list, so that equal jobs coalesce across a farm; jobs without take turns. Servers that cannot be reached
/// are left out until they answer again.
///
/// ```no_run
/// use conveyor_client::{Client, Job, Options, Outcome, Update};
///
/// # async fn run() -> Result<(), conveyor_client::Error> {
/// let client = Client::connect(Options::new(["127.0.0.1:4730"])).await?;
/// let mut job = client.submit(Job::new("resize", "photo 17")).await?;
/// while let Some(update) = job.next().await {
///     if let Update::Status { numerator, denominator } = update {
///         println!("{numerator} of {denominator}");
///     }
/// }
/// if let Outcome::Complete(result) = job.outcome().await? {
///     println!("{} bytes", result.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    /// When the run of this handle has to be over.
    until: Option<Instant>,
}

/// Owner of the tasks; job handles keep it too.
#[derive(Debug)]
struct Inner {
    farm: Arc<Farm>,
    room: Arc<Semaphore>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Client {
    /// Connects to the servers; those that do not answer are tried again for as long as the client lives.
    ///
    /// # Errors
    /// No server was given, or none answers.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let servers = options.servers.len();
        if servers == 0 {
            return Err(Error::new(ErrorKind::Invalid("give the client a server")));
        }
        let room = Arc::new(Semaphore::new(options.in_flight));
        let (farm, arriving) = Farm::new(options);
        let farm = Arc::new(farm);
        let (first, mut tried) = mpsc::channel(servers);
        let mut tasks = vec![tokio::spawn(clock(Arc::clone(&farm.in_flight)))];
        for ((index, server), arriving) in farm.servers.iter().enumerate().zip(arriving) {
            let task = Task::new(Arc::clone(&farm), index, Arc::clone(&server.name), arriving);
            tasks.push(tokio::spawn(task.run(first.clone())));
        }
        drop(first);
        let client = Self { inner: Arc::new(Inner { farm, room, tasks }), until: None };
        let mut why = String::new();
        while let Some(result) = tried.recv().await {
            match result {
                Ok(()) => return Ok(client),
                Err(error) => why = error,
            }
        }
        Err(Error::new(ErrorKind::Unreachable(why)))
    }

    /// A handle for a run: whatever is submitted through it has to be over within `limit` from now, its own deadline
    /// or not, waiting for room included.
    #[must_use]
    pub fn run(&self, limit: Duration) -> Self {
        let until = Instant::now().checked_add(limit);
        let until = self.until.into_iter().chain(until).min();
        Self { inner: Arc::clone(&self.inner), until }
    }

    /// Submits a job: waits until it is one of the jobs in flight, not until a server has it.
    ///
    /// # Errors
    /// The job makes no sense, or its deadline passed while it waited for room. It has not left.
    pub async fn submit(&self, job: Job) -> Result<JobHandle, Error> {
        let unique = match job.wire_unique() {
            Ok(unique) => unique,
            Err(kind) => return Err(unsent(job, Bytes::new(), kind)),
        };
        let own = job.deadline.and_then(|limit| Instant::now().checked_add(limit));
        let deadline = own.into_iter().chain(self.until).min();
        let Inner { farm, room, .. } = &*self.inner;
        let waiting = Arc::clone(room).acquire_owned();
        let permit = match deadline {
            None => waiting.await.map_err(|_| ErrorKind::Closed),
            Some(deadline) if deadline <= Instant::now() => Err(ErrorKind::Deadline),
            Some(deadline) => match timeout_at(deadline, waiting).await {
                Ok(permit) => permit.map_err(|_| ErrorKind::Closed),
                Err(_) => Err(ErrorKind::Deadline),
            },
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(kind) => return Err(unsent(job, unique, kind)),
        };
        let Options { updates, patience, .. } = farm.options;
        let (key, updates, outcome) = farm.in_flight.insert(job, unique, deadline, updates, patience, permit);
        farm.route(key);
        let tasks: Arc<Inner> = Arc::clone(&self.inner);
        Ok(JobHandle::new(key, Arc::clone(&farm.in_flight), updates, outcome, tasks))
    }

    /// Submits many jobs without waiting for answers in between; results are in the order of `jobs`. When there are
    /// more than may be in flight, this waits until the last of them has room: their outcomes wait in the handles,
    /// and so do their first updates, of each job [as many as there is room for](Options::updates).
    pub async fn submit_all(&self, jobs: impl IntoIterator<Item = Job>) -> Vec<Result<JobHandle, Error>> {
        let jobs = jobs.into_iter();
        let mut handles = Vec::with_capacity(jobs.size_hint().0);
        for job in jobs {
            handles.push(self.submit(job).await);
        }
        handles
    }

    /// What the servers know about the job that one of them calls `handle`.
    ///
    /// # Errors
    /// No server knows it, and not all could be asked.
    pub async fn status(&self, handle: &[u8]) -> Result<Status, Error> {
        if handle.is_empty() || handle.len() > HANDLE_BYTES || handle.contains(&0) {
            return Err(Error::new(ErrorKind::Invalid("a handle has 1 to 63 bytes and no NUL")));
        }
        self.status_of(&Request::GetStatus { handle: Bytes::copy_from_slice(handle) }).await
    }

    /// What the servers know about the newest job with this unique, whatever its function.
    ///
    /// # Errors
    /// No server knows it, and not all could be asked.
    pub async fn status_unique(&self, unique: &[u8]) -> Result<Status, Error> {
        // Servers do not answer to a longer one at all.
        if unique.is_empty() || unique.len() >= UNIQUE_BYTES || unique.contains(&0) {
            return Err(Error::new(ErrorKind::Invalid("a unique to ask for has 1 to 63 bytes and no NUL")));
        }
        self.status_of(&Request::GetStatusUnique { unique: Bytes::copy_from_slice(unique) }).await
    }

    /// Asks all servers at once; the first that knows the job is right.
    async fn status_of(&self, request: &Request) -> Result<Status, Error> {
        let mut asking = JoinSet::new();
        for index in 0..self.inner.farm.servers.len() {
            let (farm, request) = (Arc::clone(&self.inner.farm), request.clone());
            asking.spawn(async move {
                match farm.servers.get(index) {
                    Some(server) => farm.ask(server, request).await,
                    None => Err(Error::new(ErrorKind::Closed)),
                }
            });
        }
        let mut nobody_knows = Ok(Status::default());
        while let Some(answer) = asking.join_next().await {
            match answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed))) {
                Ok(Answer::Status(status)) if status.known => return Ok(status),
                Ok(_) => {}
                Err(error) => nobody_knows = Err(error),
            }
        }
        nobody_knows
    }

    /// Sends bytes to a server and returns what comes back.
    ///
    /// # Errors
    /// The server cannot be asked or does not answer.
    pub async fn echo(&self, payload: impl Into<Bytes>) -> Result<Bytes, Error> {
        let farm = &self.inner.farm;
        let server = farm.pick(b"").and_then(|index| farm.servers.get(index));
        let Some(server) = server else { return Err(Error::new(ErrorKind::Closed)) };
        match farm.ask(server, Request::Echo { payload: payload.into() }).await? {
            Answer::Echo(payload) => Ok(payload),
            _ => Err(Error::new(ErrorKind::Lost("an echo was answered by something else".to_owned()))),
        }
    }

    /// Asks every server for an option, now and after every new connect. Servers know `exceptions`, which a client
    /// has already [by default](Options::exceptions).
    ///
    /// # Errors
    /// A server refuses, or none can be asked.
    pub async fn option(&self, name: &str) -> Result<(), Error> {
        let farm = &self.inner.farm;
        let option = Bytes::copy_from_slice(name.as_bytes());
        let mut result = Err(Error::new(ErrorKind::Closed));
        for server in &farm.servers {
            match farm.ask(server, Request::Option { option: option.clone() }).await {
                Ok(Answer::Refused { code, text }) => {
                    let text_of = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
                    let kind = ErrorKind::Refused { code: text_of(&code), text: text_of(&text) };
                    return Err(Error::new(kind).at(&server.name));
                }
                Ok(_) => result = Ok(()),
                Err(error) if result.is_err() => result = Err(error),
                Err(_) => {}
            }
        }
        if result.is_ok() {
            farm.grant(option);
        }
        result
    }
}

impl Client {
    /// The jobs that a server has and that are not over: its name, and its name for each.
    pub(crate) fn open_jobs(&self) -> Vec<(Arc<str>, Bytes)> {
        self.inner.farm.in_flight.placed()
    }

    pub(crate) fn codecs(&self) -> &crate::typed::Codecs {
        &self.inner.farm.options.codecs
    }
}

/// An error about a job that never left.
fn unsent(job: Job, unique: Bytes, kind: ErrorKind) -> Error {
    let job = Some(Box::new(JobName { function: job.function, unique, handle: None }));
    Error { kind, server: None, job, may_have_run: MayHaveRun::No }
}
