//! INT and TERM: the first ends the run early and in order, the second ends it at once.

use conveyor_client::run::Abort;
use std::cell::Cell;
use std::future::pending;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What a process ends with that a signal has ended: this, and the signal's number.
const BY_SIGNAL: u8 = 128;
const INT: u8 = 2;
const TERM: u8 = 15;

/// Signals from here on.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The exit code of the first one.
    first: Cell<Option<u8>>,
}

impl Signals {
    /// To be called within a runtime.
    ///
    /// # Errors
    /// The system lets no handler be installed; in words for the operator.
    pub(super) fn listen() -> Result<Self, String> {
        let taken = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self {
            interrupt: taken(SignalKind::interrupt())?,
            terminate: taken(SignalKind::terminate())?,
            first: Cell::new(None),
        })
    }

    /// Gives the first one on, and waits for the second: the exit code.
    pub(super) async fn second(
        interrupt: &mut Signal,
        terminate: &mut Signal,
        first: &Cell<Option<u8>>,
        stop: &watch::Sender<Option<Abort>>,
    ) -> u8 {
        loop {
            let (name, number) = tokio::select! {
                Some(()) = interrupt.recv() => ("INT", INT),
                Some(()) = terminate.recv() => ("TERM", TERM),
                else => pending().await,
            };
            let code = BY_SIGNAL + number;
            if first.replace(Some(code)).is_some() {
                return code;
            }
            halt(stop, Abort::Stopped(format!("stopped by {name}")));
        }
    }

    /// The parts, to be waited for while the first one is looked at.
    pub(super) const fn parts(&mut self) -> (&mut Signal, &mut Signal, &Cell<Option<u8>>) {
        (&mut self.interrupt, &mut self.terminate, &self.first)
    }
}

/// Ends the run early, unless it is being ended already.
pub(super) fn halt(stop: &watch::Sender<Option<Abort>>, why: Abort) {
    stop.send_if_modified(|stop| {
        let first = stop.is_none();
        if first {
            *stop = Some(why);
        }
        first
    });
}
