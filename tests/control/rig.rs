//! A manager's end of one performer, and counters in several languages for it.

use crate::support::{PATIENCE, Peer, Server, wait_for};
use conveyor_common::control::{ManagerHello, Order, VERSION};
use conveyor_common::payload::Endpoints;
use conveyor_worker::performer::Command;
use conveyor_worker::supervise::{Channel, Heard, Performer, Start, pair};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

pub(crate) const SUBMIT_JOB: u32 = 7;
pub(crate) const JOB_CREATED: u32 = 8;
pub(crate) const WORK_STATUS: u32 = 12;
pub(crate) const WORK_COMPLETE: u32 = 13;
pub(crate) const WORK_EXCEPTION: u32 = 25;
pub(crate) const OPTION_REQ: u32 = 26;
pub(crate) const OPTION_RES: u32 = 27;
pub(crate) const WORK_WARNING: u32 = 29;

/// A performer and what its manager holds of it.
pub(crate) struct Rig {
    runtime: Runtime,
    performer: Option<Performer>,
    channel: Option<Channel>,
    heard: mpsc::Receiver<((), Heard)>,
    sequence: u64,
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl Rig {
    pub(crate) fn start(command: &Command) -> Self {
        let runtime = runtime();
        let (sender, heard) = mpsc::channel(64);
        let (performer, channel) = runtime.block_on(async {
            let (ours, theirs) = pair().unwrap();
            let start = Start { command, control: Some(theirs), stdin: None, output_bytes: 4096 };
            let performer = start.start().unwrap();
            let endpoints =
                Endpoints { publisher_pm: Some("tcp://127.0.0.1:1".to_owned()), ..Endpoints::default() };
            let codec = conveyor_common::control::Codec::Bincode;
            let hello =
                ManagerHello { version: VERSION, codec, slot: 7, endpoints, ..ManagerHello::default() };
            (performer, Channel::open(ours, hello, (), sender).unwrap())
        });
        Self { runtime, performer: Some(performer), channel: Some(channel), heard, sequence: 0 }
    }

    /// The next thing that the performer says.
    pub(crate) fn hear(&mut self) -> Heard {
        let next = async { tokio::time::timeout(PATIENCE, self.heard.recv()).await };
        self.runtime
            .block_on(next)
            .expect("the performer says something")
            .expect("its channel was not closed")
            .1
    }

    /// Passes over what does not matter.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.hear();
            if wanted(&heard) {
                return heard;
            }
            assert!(!matches!(heard, Heard::Closed(_)), "{heard:?}");
        }
    }

    /// Gives an order and waits until it is done; how long that took.
    pub(crate) fn obeyed(&mut self, order: Order) -> Duration {
        let start = Instant::now();
        self.sequence += 1;
        let sequence = self.sequence;
        self.channel.as_ref().unwrap().tell(sequence, order);
        self.until(|heard| *heard == Heard::Done { sequence });
        start.elapsed()
    }

    /// Gives an order, and lets the channel have its turn.
    pub(crate) fn tell(&mut self, order: Order) {
        self.sequence += 1;
        self.channel.as_ref().unwrap().tell(self.sequence, order);
        self.runtime.block_on(tokio::task::yield_now());
    }

    /// The manager is gone.
    pub(crate) fn close(&mut self) {
        self.runtime.block_on(async {
            self.channel = None;
            // Its task is dropped when it would have its turn.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        });
    }

    pub(crate) fn performer(&self) -> &Performer {
        self.performer.as_ref().unwrap()
    }

    /// How it ended, and its last words.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let mut performer = self.performer.take().unwrap();
        self.runtime.block_on(async move {
            let ended = tokio::time::timeout(PATIENCE, performer.ended()).await;
            let status = ended.expect("the performer ends").unwrap();
            (status, String::from_utf8_lossy(&performer.last_words().await).into_owned())
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _guard = self.runtime.enter();
        self.performer = None;
    }
}

pub(crate) fn command<const N: usize>(words: [&str; N]) -> Command {
    let mut words = words.into_iter().map(Into::into);
    Command { program: words.next().unwrap(), arguments: words.collect(), ..Command::default() }
}

/// Our own binary as a worker that runs a command for every job.
pub(crate) fn conveyor(server: &Server, options: &[&str], program: &[&str]) -> Command {
    let mut command = command([env!("CARGO_BIN_EXE_conveyor"), "worker", "-f", "count"]);
    command.arguments.extend(["-p".into(), server.port().to_string().into()]);
    command.arguments.extend(options.iter().map(Into::into));
    command.arguments.push("--".into());
    command.arguments.extend(program.iter().map(Into::into));
    command
}

pub(crate) fn performers(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("performers").join(path).to_str().unwrap().to_owned()
}

/// Where a counter writes each of its numbers on a line of its own.
pub(crate) struct Count {
    directory: tempfile::TempDir,
}

impl Count {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("count")
    }

    /// A program next to it.
    pub(crate) fn program(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The last number; all before it were counted one by one.
    pub(crate) fn value(&self) -> usize {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (at, line) in whole.lines().enumerate() {
            assert_eq!(line.parse(), Ok(at + 1), "it went on from the same value");
        }
        whole.lines().count()
    }

    pub(crate) fn wait_above(&self, value: usize) -> usize {
        wait_for("the counter goes on", || Some(self.value()).filter(|now| *now > value))
    }

    /// For half a second the value stays what it is.
    pub(crate) fn assert_still(&self) -> usize {
        let (start, value) = (Instant::now(), self.value());
        wait_for("time passes", || (start.elapsed() > Duration::from_millis(500)).then_some(()));
        assert_eq!(self.value(), value, "it does not stand still");
        value
    }
}

pub(crate) fn on_both(test: impl Fn(&Server)) {
    test(&Server::conveyor(&[]));
    test(&Server::gearmand(&[]));
}

/// Submits a job to `count`; its handle.
pub(crate) fn submit(client: &mut Peer, payload: &str) -> Vec<u8> {
    client.send(SUBMIT_JOB, &[b"count", b"", payload.as_bytes()]);
    let (created, handle) = client.receive();
    assert_eq!(created, JOB_CREATED);
    handle
}

/// What a job ends with: the packet's type, the handle, the rest.
pub(crate) fn outcome(client: &mut Peer) -> (u32, Vec<u8>, Vec<u8>) {
    loop {
        let (kind, body) = client.receive();
        if !matches!(kind, WORK_STATUS | WORK_WARNING) {
            let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
            return (kind, body[..end].to_vec(), body.get(end + 1..).unwrap_or_default().to_vec());
        }
    }
}
