//! Signals of a server process, as gearmand takes them.

use crate::logging::Log;
use conveyor_server::{ServerHandle, Stop};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals a server listens to. Made before anybody can connect: whoever sees the server may signal it.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    drain: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Installs the handlers; inside a runtime.
    ///
    /// # Errors
    /// The system lets no signal handler be installed, in words for the operator.
    pub(crate) fn install() -> Result<Self, String> {
        let install = || -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                drain: signal(SignalKind::user_defined1())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        };
        install().map_err(|error| format!("cannot listen for signals: {error}"))
    }

    /// Serves until a signal or the server itself ends it: TERM and INT stop at once, USR1 as soon as no job is left,
    /// HUP opens the log file again.
    pub(crate) async fn serve_until_told(&mut self, server: &mut ServerHandle, log: &Log) {
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
