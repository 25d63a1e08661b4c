//! Killing servers and starting them again.

use crate::support::Server;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two deaths.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a server stays dead: long enough for client and workers to meet a closed port.
const DEAD: Duration = Duration::from_millis(100);

/// A thread that kills servers.
pub(crate) struct Storm {
    over: SyncSender<()>,
    thread: JoinHandle<([Server; 2], usize)>,
}

impl Storm {
    /// Kills one, the other, and then both, and so on.
    pub(crate) fn begin(mut servers: [Server; 2]) -> Self {
        let (over, told) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let mut kills = 0;
            for round in 0.. {
                if told.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                let dying = match round % 3 {
                    2 => 0..2,
                    one => one..one + 1,
                };
                kills += dying.len();
                servers[dying.clone()].iter_mut().for_each(Server::kill);
                let last = told.recv_timeout(DEAD) != Err(RecvTimeoutError::Timeout);
                servers[dying].iter_mut().for_each(Server::start_again);
                if last {
                    break;
                }
            }
            (servers, kills)
        });
        Self { over, thread }
    }

    /// Both servers, alive, and how many have died.
    pub(crate) fn end(self) -> ([Server; 2], usize) {
        self.over.send(()).unwrap();
        self.thread.join().unwrap()
    }
}
