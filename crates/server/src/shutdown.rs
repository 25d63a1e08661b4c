//! The server's thread: how it is started, told to stop and joined.

use crate::config::Config;
use crate::engine::{Engine, Readiness};
use crate::error::Error;
use crate::front::{self, Listeners};
use crate::store::Opened;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// How a server is to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    Never,
    /// Listen no more, serve who is there, and end when no job is left.
    Drained,
    /// At once: connections are dropped, jobs in memory are lost.
    Now,
}

/// How often a draining server looks whether jobs are left.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// A running server. Dropping the handle stops it at once.
#[derive(Debug)]
pub struct ServerHandle {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<Stop>,
    done: watch::Receiver<()>,
    readiness: watch::Receiver<Readiness>,
    thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// The addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether background jobs can be relied on, as it changes.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// Tells the server to stop. A stronger wish replaces a weaker one.
    pub fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|current| {
            let stronger = how > *current;
            *current = how.max(*current);
            stronger
        });
    }

    /// Waits until the server has ended by itself or was told to.
    pub async fn ended(&mut self) {
        // The sender never sends: the only news is that it is gone.
        let _ = self.done.changed().await;
    }

    /// Waits for the end of the server's thread.
    pub fn join(mut self) {
        self.join_thread();
    }

    fn join_thread(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server thread ended by a panic");
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop(Stop::Now);
            self.join_thread();
        }
    }
}

/// Starts the thread.
pub(crate) fn spawn(
    config: Config,
    listeners: Listeners,
    store: Option<Opened>,
) -> Result<ServerHandle, Error> {
    let addresses = listeners.addresses().to_vec();
    let (stop, stopped) = watch::channel(Stop::Never);
    let (alive, done) = watch::channel(());
    let (told, readiness) = watch::channel(Readiness::Ready);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let thread = std::thread::Builder::new()
        .name("conveyor-server".to_owned())
        .spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, serve(config, listeners, store, stopped, told));
            // Connections are tasks of the set: they end here, before anybody is told that it is over.
            drop(local);
            drop(runtime);
            drop(alive);
        })
        .map_err(Error::Start)?;
    Ok(ServerHandle { addresses, stop, done, readiness, thread: Some(thread) })
}

async fn serve(
    config: Config,
    listeners: Listeners,
    store: Option<Opened>,
    mut stopped: watch::Receiver<Stop>,
    readiness: watch::Sender<Readiness>,
) {
    let store = store.zip(config.store.map(|store| store.flush()));
    let engine = match Engine::start(config.rules, config.limits, config.keepalive, store, readiness) {
        Ok(engine) => engine,
        Err(error) => return tracing::error!(%error, "cannot go on"),
    };
    let Ok(accepting) = front::accept_all(&engine, listeners) else {
        tracing::error!("the event queue refuses the listening sockets");
        return;
    };
    if stopped.wait_for(|stop| *stop != Stop::Never).await.is_err() {
        return;
    }
    drop(accepting);
    let now = stopped.wait_for(|stop| *stop == Stop::Now);
    tokio::select! {
        _ = now => {}
        () = drained(&engine) => {}
    }
    engine.stopping();
}

async fn drained(engine: &Engine) {
    while engine.job_count() > 0 {
        tokio::time::sleep(DRAIN_POLL).await;
    }
    engine.flush();
}
