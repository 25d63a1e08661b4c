//! What the tests of runs share: a run and what was heard of it, and performers.

use crate::support::{PATIENCE, Server};
use conveyor_client::payload::{Codec, ExecutionResult, Limits, TaskPayload};
use conveyor_client::run::{Abort, Journal, Policy, Report, RunEvent, RunSpec, RunTask, Saved, run};
use conveyor_client::{Options, Priority};
use conveyor_common::Millis;
use conveyor_worker::{Function, Job, Worker};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis(since.as_millis().try_into().unwrap())
}

/// A run that tries again soon.
pub(crate) fn spec(address: impl ToString, tasks: Vec<RunTask>) -> RunSpec {
    RunSpec {
        name: "nightly".to_owned(),
        run: "r-1".to_owned(),
        options: Options::new([address.to_string()]),
        function: "work".to_owned(),
        priority: Priority::Normal,
        codec: Codec::Json,
        limits: Limits::default(),
        tasks: Arc::new(tasks),
        policy: Policy { delay: Duration::from_millis(100), ..Policy::default() },
        task_timeout: None,
        run_timeout: None,
        manager: None,
    }
}

/// So many tasks, called by their numbers from 1.
pub(crate) fn numbered(tasks: i64) -> Vec<RunTask> {
    (1..=tasks).map(|number| RunTask::new(number, "go")).collect()
}

/// A journal in a directory of its own.
pub(crate) struct Place {
    _directory: TempDir,
    pub(crate) journal: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { journal: directory.path().join("run.jsonl"), _directory: directory }
    }

    pub(crate) fn saved(&self) -> Saved {
        Saved::read(&self.journal).unwrap()
    }
}

/// Runs it, and gives the report and whatever was told; the journal must give the same report.
pub(crate) async fn carry_out(spec: RunSpec) -> (Report, Vec<RunEvent>) {
    let place = Place::new();
    let (_stop, stop) = watch::channel(None);
    carry_out_at(&place, spec, stop).await
}

pub(crate) async fn carry_out_at(
    place: &Place,
    spec: RunSpec,
    stop: watch::Receiver<Option<Abort>>,
) -> (Report, Vec<RunEvent>) {
    let journal = if place.journal.exists() {
        Journal::open(&place.journal).unwrap().0
    } else {
        Journal::create(&place.journal, &spec, unix_ms()).unwrap()
    };
    let mut heard = Vec::new();
    let mut observe = |event: &RunEvent| heard.push(event.clone());
    let running = run(spec, journal, stop, &mut observe);
    let report = tokio::time::timeout(PATIENCE, running).await.expect("the run ends").unwrap();
    assert_eq!(place.saved().report(unix_ms()), report, "the journal says the same");
    (report, heard)
}

/// A worker that ends with its owner.
pub(crate) struct Hired(AbortHandle);

impl Drop for Hired {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A performer of `work`, so many jobs at a time.
pub(crate) fn hire<R>(
    server: &Server,
    jobs: usize,
    function: impl Fn(TaskPayload, Job) -> R + Send + Sync + 'static,
) -> Hired
where
    R: Future<Output = ExecutionResult> + Send + 'static,
{
    let worker = Worker::new(server.address.to_string())
        .jobs(jobs)
        .register("work", Function::task(Codec::Json, function));
    Hired::start(worker)
}

impl Hired {
    pub(crate) fn start(worker: Worker) -> Self {
        Self(tokio::spawn(async move { worker.run().await }).abort_handle())
    }
}

/// Waits until `condition` holds, without blocking what else is at work.
pub(crate) async fn once(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(PATIENCE, condition).await, "gave up waiting: {what}");
}

/// Whether `condition` comes true within that time.
pub(crate) async fn within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let looking = async {
        while !condition() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(time, looking).await.is_ok()
}

/// A job at work for that long.
pub(crate) async fn work(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// Makes a test of each function, against Conveyor and against gearmand.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod conveyor {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::Server::conveyor(&[])).await;
            })+
        }
        mod gearmand {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::Server::gearmand(&[])).await;
            })+
        }
    };
}
pub(crate) use on_both;
