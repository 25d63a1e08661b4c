//! Taking connections in. When the process is out of descriptors accepting pauses; it does not spin.

use super::gear;
use crate::engine::Engine;
use std::io;
use std::time::Duration;
use tokio::net::TcpListener;

/// First pause after a failed accept; doubled up to [`LONGEST_PAUSE`] while it keeps failing.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts until the task is dropped.
pub(super) async fn accept_forever(engine: Engine, listener: TcpListener) {
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if pause > FIRST_PAUSE {
                    tracing::info!("accepting connections again");
                    pause = FIRST_PAUSE;
                }
                gear::start(&engine, stream, peer);
            }
            Err(error) if is_the_peers_fault(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                // Said once: a full table of descriptors must not fill the log as well.
                if pause == FIRST_PAUSE {
                    let hint = "raise the limit with --file-descriptors";
                    tracing::error!(%error, hint, "cannot accept connections, trying again");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn is_the_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
