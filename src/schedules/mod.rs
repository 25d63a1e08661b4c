//! Runs schedules: what they are (`config`), what is stored about them (`store`), who looks after each (`keeper`), and what
//! they start (`starting`): processes (`child`) and jobs (`submit`). When and whether is decided in `conveyor_client::schedule`.

pub(crate) mod by_hand;
mod child;
pub(crate) mod config;
pub(crate) mod keeper;
mod starting;
pub(crate) mod store;
mod submit;

pub(crate) use child::without_lock;

use crate::state::STATE_VARIABLE;
use config::Schedule;
use keeper::{Keeper, Starter};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use store::Folder;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Options of a server process about its schedules.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ScheduleArgs {
    /// Configuration file, whose [schedule.NAME] tables this process runs
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory in which is kept what schedules and their runs have done (default: as for --data-dir)
    #[arg(long, value_name = "DIRECTORY", env = STATE_VARIABLE)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// The schedules of a server process that is about to start.
#[derive(Debug)]
pub(crate) struct Prepared {
    schedules: Vec<Schedule>,
    folder: Folder,
    config: PathBuf,
}

impl ScheduleArgs {
    /// Reads the file that is named, or `otherwise`, if that is there.
    ///
    /// # Errors
    /// The file makes no sense, or there is no place for the state; says what to do.
    pub(crate) fn prepare(&self, otherwise: Option<&str>) -> Result<Option<Prepared>, String> {
        let default = otherwise.map(Path::new).filter(|file| file.exists());
        let Some(config) = self.config.as_deref().or(default) else { return Ok(None) };
        let schedules = config::read(config)?;
        if schedules.is_empty() {
            return Ok(None);
        }
        let folder = Folder::open(self.state_dir.as_deref())?;
        Ok(Some(Prepared { schedules, folder, config: config.to_owned() }))
    }
}

/// Schedules on a thread of their own.
#[derive(Debug)]
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Prepared {
    /// Names of those that are on, for people.
    pub(crate) fn names(&self) -> String {
        let on = self.schedules.iter().filter(|schedule| schedule.plan.enabled);
        let names: Vec<&str> = on.map(|schedule| schedule.plan.name.as_str()).collect();
        names.join(" ")
    }

    /// Begins. Jobs that name no server go to the one that listens at `addresses`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(self, addresses: &[SocketAddr]) -> Result<Running, String> {
        let starter = Arc::new(Starter::new(own_server(addresses), self.config)?);
        let (stop, told) = watch::channel(false);
        let Self { schedules, folder, .. } = self;
        let failed = |error: std::io::Error| format!("cannot run schedules: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("schedules".to_owned())
            .spawn(move || {
                let set = LocalSet::new();
                for schedule in schedules {
                    let keeper = Keeper::new(schedule, folder.clone(), Arc::clone(&starter));
                    set.spawn_local(keeper.run(told.clone()));
                }
                runtime.block_on(set);
            })
            .map_err(failed)?;
        Ok(Running { stop, thread })
    }
}

impl Running {
    /// Stops: nothing starts any more, and runs of this process are told to end and waited for.
    pub(crate) fn stop(self) {
        // The other end is there as long as the thread is.
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the schedules has panicked");
        }
    }
}

/// How a process on this machine reaches the server that listens at `addresses`.
fn own_server(addresses: &[SocketAddr]) -> String {
    let reached = |address: &SocketAddr| match (address.ip().is_unspecified(), address.is_ipv4()) {
        (false, _) => *address,
        (true, true) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        (true, false) => (Ipv6Addr::LOCALHOST, address.port()).into(),
    };
    let loopback =
        addresses.iter().map(reached).min_by_key(|address| (!address.ip().is_loopback(), !address.is_ipv4()));
    loopback.map_or_else(|| keeper::DEFAULT_SERVER.to_owned(), |address| address.to_string())
}
