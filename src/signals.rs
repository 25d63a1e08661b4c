//! Signals of a server process, as gearmand takes them.

use crate::logging::Log;
use conveyor_server::{ServerHandle, Stop};
use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Serves until a signal or the server itself ends it: TERM and INT stop at once, USR1 as soon as no job is left,
/// HUP opens the log file again.
///
/// # Errors
/// The system lets no signal handler be installed.
pub(crate) async fn serve_until_told(server: &mut ServerHandle, log: &Log) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut drain = signal(SignalKind::user_defined1())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            () = server.ended() => return Ok(()),
            _ = terminate.recv() => server.stop(Stop::Now),
            _ = interrupt.recv() => server.stop(Stop::Now),
            _ = drain.recv() => {
                tracing::info!("listening no more, ending when no job is left");
                server.stop(Stop::Drained);
            }
            _ = hang_up.recv() => {
                if let Err(error) = log.reopen() {
                    tracing::error!(%error, "cannot open the log file again, going on with the old one");
                }
            }
        }
    }
}
