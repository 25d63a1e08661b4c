//! The worker: what it can do, on which servers, and when it ends.

use crate::control::{Control, Reporter};
use crate::job::{Assignment, Job, Orders, Outcome};
use crate::layer::{Function, Handler};
use crate::link::Link;
use crate::stop::{Command, Ended, Stop};
use bytes::Bytes;
use conveyor_client::Tls;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// Jobs under way and jobs started so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Activity {
    pub(crate) running: u64,
    started: u64,
    /// Running ones that wait for the end of a pause.
    pub(crate) waiting: u64,
}

/// The right to ask for one job and to do it.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
    budget: Option<OwnedSemaphorePermit>,
}

/// What the links to all servers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: Option<Bytes>,
    pub(crate) functions: BTreeMap<Bytes, Function>,
    pub(crate) stop: Stop,
    /// A connection takes one job at a time.
    pub(crate) connection_per_job: bool,
    pub(crate) tls: Option<Tls>,
    slots: Arc<Semaphore>,
    /// What is left of the most jobs to do.
    budget: Option<Arc<Semaphore>>,
    max_jobs: Option<u64>,
    activity: watch::Sender<Activity>,
    /// Who is told of jobs.
    control: Option<Reporter>,
}

impl Shared {
    /// What jobs are told, and tell, about pauses.
    pub(crate) fn orders(&self) -> Orders {
        Orders { stop: self.stop.clone(), activity: self.activity.clone() }
    }

    /// A slot, in the order of asking: a server that always has work waits its turn like the others.
    pub(crate) async fn slot(self: Arc<Self>) -> Slot {
        // Nobody closes the semaphores.
        let budget = match &self.budget {
            Some(budget) => budget.clone().acquire_owned().await.ok(),
            None => None,
        };
        Slot { _permit: self.slots.clone().acquire_owned().await.ok(), budget }
    }

    /// A job starts in `slot`.
    pub(crate) fn started(&self, slot: &mut Slot, assignment: &Assignment) {
        if let Some(control) = &self.control {
            control.started(&assignment.handle, &assignment.function);
        }
        if let Some(budget) = slot.budget.take() {
            budget.forget();
        }
        self.activity.send_modify(|activity| {
            activity.running += 1;
            activity.started += 1;
        });
        if self.max_jobs.is_some_and(|most| self.activity.borrow().started >= most) {
            self.stop.drain_because(Ended::MaxJobs);
        }
    }

    /// A job has ended.
    pub(crate) fn ended(&self, handle: &Bytes, ok: bool, took: Duration) {
        if let Some(control) = &self.control {
            control.ended(handle, ok, took);
        }
        self.activity.send_modify(|activity| activity.running = activity.running.saturating_sub(1));
    }

    /// Drains the worker when nothing has run for `limit`.
    async fn watch_idleness(&self, limit: Duration) {
        let mut activity = self.activity.subscribe();
        loop {
            let idle = activity.borrow_and_update().running == 0;
            tokio::select! {
                changed = activity.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(limit), if idle => return self.stop.drain_because(Ended::Idle),
            }
        }
    }
}

/// A worker of one or several servers.
#[derive(Debug)]
pub struct Worker {
    addresses: Vec<String>,
    tls: Option<Tls>,
    id: Option<Bytes>,
    functions: BTreeMap<Bytes, Function>,
    slots: usize,
    max_jobs: Option<u64>,
    idle: Option<Duration>,
    connection_per_job: bool,
    stop: Stop,
    control: Option<Control>,
}

impl Worker {
    /// A worker of the server at `address`, as `host:port`, that does one job at a time.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            addresses: vec![address.into()],
            tls: None,
            id: None,
            functions: BTreeMap::new(),
            slots: 1,
            max_jobs: None,
            idle: None,
            connection_per_job: false,
            stop: Stop::new(),
            control: None,
        }
    }

    /// Works for the server at `address`, too. Servers take turns: one that always has jobs keeps none from another.
    #[must_use]
    pub fn server(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Talks TLS with every server.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Names the worker in the server's `workers` list.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(Bytes::from(id.into()));
        self
    }

    /// Does up to `jobs` jobs at a time, of all functions and servers together; at least one.
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.slots = jobs.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Opens as many connections to each server as there are jobs at a time, and takes one job at a time from each, so
    /// that [`Outcome::Return`] gives back that job and no other.
    #[must_use]
    pub const fn connection_per_job(mut self) -> Self {
        self.connection_per_job = true;
        self
    }

    /// Ends after so many jobs; at least one. Exactly so many are taken from the servers.
    #[must_use]
    pub fn max_jobs(mut self, most: u32) -> Self {
        self.max_jobs = Some(u64::from(most.max(1)));
        self
    }

    /// Ends when no job has run for so long, with or without a server.
    #[must_use]
    pub const fn exit_when_idle(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
    }

    /// Runs an async `function` for every job of that name.
    #[must_use]
    pub fn function<F, R>(self, name: &str, function: F) -> Self
    where
        F: Fn(Job) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        self.register(name, Function::new(move |job: Job| Handler::call(&function, job)))
    }

    /// Runs a blocking `function` for every job of that name.
    #[must_use]
    pub fn blocking(self, name: &str, function: impl Fn(Job) -> Outcome + Send + Sync + 'static) -> Self {
        self.register(name, Function::blocking(function))
    }

    /// Runs a function with limits or other layers.
    #[must_use]
    pub fn register(mut self, name: &str, function: Function) -> Self {
        self.functions.insert(Bytes::copy_from_slice(name.as_bytes()), function);
        self
    }

    /// Does what a worker-manager says, and tells it about jobs.
    #[must_use]
    pub fn control(mut self, control: Control) -> Self {
        self.control = Some(control);
        self
    }

    /// [`Worker::control`] with the channel that a worker-manager has given this process, if there is one. For the start
    /// of a program: see [`Control::from_env`].
    ///
    /// # Errors
    /// The environment names a channel that is none.
    pub fn control_from_env(self) -> io::Result<Self> {
        Ok(match Control::from_env()? {
            Some(control) => self.control(control),
            None => self,
        })
    }

    /// What pauses and stops this worker.
    #[must_use]
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Works until stopped, idle, or done with the most jobs; a lost server is looked for again. Dropping it
    /// drops the jobs, and their servers give them to others.
    pub async fn run(self) -> Ended {
        let budget = self.max_jobs.map(|most| {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
        });
        let activity = watch::Sender::default();
        let (control, reporter) = self.control.map(Control::split).unzip();
        let shared = Arc::new(Shared {
            id: self.id,
            functions: self.functions,
            stop: self.stop,
            connection_per_job: self.connection_per_job,
            tls: self.tls,
            slots: Arc::new(Semaphore::new(self.slots)),
            budget,
            max_jobs: self.max_jobs,
            activity,
            control: reporter,
        });
        let mut links = JoinSet::new();
        let connections = if self.connection_per_job { self.slots } else { 1 };
        for address in self.addresses {
            for _ in 0..connections {
                links.spawn(Link::new(shared.clone(), address.clone()).run());
            }
        }
        let all = async { while links.join_next().await.is_some() {} };
        let idleness = async {
            if let Some(limit) = self.idle {
                shared.watch_idleness(limit).await;
            }
            std::future::pending::<()>().await;
        };
        let told = async {
            if let Some(control) = control {
                control.run(&shared.stop, shared.activity.subscribe(), all).await;
            } else {
                all.await;
            }
        };
        tokio::select! {
            () = told => {}
            () = idleness => {}
        }
        match shared.stop.command() {
            Command::Drain(reason) => reason,
            Command::Work | Command::Pause | Command::Now => Ended::Stopped,
        }
    }
}
