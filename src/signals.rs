//! Signals of a server process, as gearmand takes them.

use crate::logging::Log;
use conveyor_server::{ServerHandle, Stop};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a process is told: TERM and INT to stop at once, USR1 as soon as no job is left, HUP to open the log file again.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    drain: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on signals are taken. To be called before the server listens: whoever has seen it accept may tell it
    /// to stop, and would end it without its clearing up.
    ///
    /// # Errors
    /// The system lets no signal handler be installed; in words for the operator.
    pub(crate) fn listen(runtime: &Runtime) -> Result<Self, String> {
        let _inside = runtime.enter();
        let taken = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: taken(SignalKind::terminate())?,
            interrupt: taken(SignalKind::interrupt())?,
            drain: taken(SignalKind::user_defined1())?,
            hang_up: taken(SignalKind::hangup())?,
        })
    }

    /// Serves until a signal or the server itself ends it.
    pub(crate) async fn serve_until_told(mut self, server: &mut ServerHandle, log: &Log) {
        loop {
            tokio::select! {
                () = server.ended() => return,
                _ = self.terminate.recv() => server.stop(Stop::Now),
                _ = self.interrupt.recv() => server.stop(Stop::Now),
                _ = self.drain.recv() => {
                    tracing::info!("listening no more, ending when no job is left");
                    server.stop(Stop::Drained);
                }
                _ = self.hang_up.recv() => {
                    if let Err(error) = log.reopen() {
                        tracing::error!(%error, "cannot open the log file again, going on with the old one");
                    }
                }
            }
        }
    }
}
