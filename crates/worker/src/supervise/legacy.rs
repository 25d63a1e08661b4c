//! The process contract of the PHP packages around gearman-conveyor, so that their workers run under this manager.
//!
//! A worker is a command line for `sh -c`. It reads one JSON object with four addresses from its standard input, which stays
//! open, and gives up after 21 s without. Then it listens at `publisher_pm` (ZeroMQ, SUB) for lists of process numbers:
//! who is to end, to pause, to go on. Its number is that of PHP, which is a child of the shell unless the shell has become
//! it: so every process of the group is listed; numbers that nobody has harm nobody.

use super::zmtp::Publisher;
use crate::performer::Command;
use bytes::Bytes;
use conveyor_common::payload::Endpoints;
use serde_json::json;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// The command line as the packages start it.
#[must_use]
pub fn command(line: &str) -> Command {
    Command { program: "sh".into(), arguments: vec!["-c".into(), line.into()], ..Command::default() }
}

/// What a worker is to find on its standard input.
#[must_use]
pub fn handshake(endpoints: &Endpoints) -> Bytes {
    let object = json!({
        "request_pulsar_rs": endpoints.request_pulsar,
        "publisher_pulsar": endpoints.publisher_pulsar,
        "push_pulsar": endpoints.push_pulsar,
        "publisher_pm": endpoints.publisher_pm,
    });
    Bytes::from(format!("{object}\n"))
}

/// Every process of the group that `leader` leads, itself first.
#[must_use]
pub fn processes(leader: u32) -> Vec<u32> {
    let listed = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others = numbers.filter(|pid| *pid != leader && group(*pid) == Some(leader));
    std::iter::once(leader).chain(others).collect()
}

/// The group of a process.
fn group(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: state, parent, group.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// Tells workers to end, to pause and to go on.
///
/// What is told is a state: whoever subscribes late hears who is to end and who is to pause.
#[derive(Debug)]
pub struct Orders {
    publisher: Publisher,
    state: State,
}

/// Leaders of groups.
#[derive(Clone, Debug, Default)]
struct State {
    terminate: BTreeSet<u32>,
    pause: BTreeSet<u32>,
}

impl State {
    /// Of the processes there are when it is asked: a shell may not have started PHP before.
    fn message(&self) -> Option<Bytes> {
        let nobody = self.terminate.is_empty() && self.pause.is_empty();
        (!nobody).then(|| lists(&all(&self.terminate), &all(&self.pause), &[]))
    }
}

impl Orders {
    /// Publishes at `address`, `tcp://HOST:PORT` (0 for any port) or `ipc://PATH`.
    ///
    /// # Errors
    /// The address makes no sense, or cannot be had.
    pub async fn bind(address: &str) -> io::Result<Self> {
        Ok(Self { publisher: Publisher::bind(address).await?, state: State::default() })
    }

    /// The address with its port.
    #[must_use]
    pub fn address(&self) -> &str {
        self.publisher.address()
    }

    /// Every process of these groups is to pause.
    pub fn pause(&mut self, leaders: &[u32]) {
        self.state.pause.extend(leaders);
        self.publish(&[], leaders, &[]);
    }

    /// Every process of these groups is to go on.
    pub fn resume(&mut self, leaders: &[u32]) {
        self.state.pause.retain(|leader| !leaders.contains(leader));
        self.publish(&[], &[], leaders);
    }

    /// Every process of these groups is to end.
    pub fn terminate(&mut self, leaders: &[u32]) {
        self.state.pause.retain(|leader| !leaders.contains(leader));
        self.state.terminate.extend(leaders);
        self.publish(leaders, &[], &[]);
    }

    /// These groups have ended: call it before their numbers can be given to others.
    pub fn forget(&mut self, leaders: &[u32]) {
        let stays = |leader: &u32| !leaders.contains(leader);
        self.state.terminate.retain(stays);
        self.state.pause.retain(stays);
        self.keep();
    }

    fn publish(&self, terminate: &[u32], pause: &[u32], resume: &[u32]) {
        self.keep();
        self.publisher.publish(lists(&all(terminate), &all(pause), &all(resume)));
    }

    fn keep(&self) {
        let state = self.state.clone();
        self.publisher.tell_late_ones(Arc::new(move || state.message()));
    }
}

fn all<'a>(leaders: impl IntoIterator<Item = &'a u32>) -> Vec<u32> {
    leaders.into_iter().flat_map(|leader| processes(*leader)).collect()
}

fn lists(terminate: &[u32], pause: &[u32], resume: &[u32]) -> Bytes {
    // In the order in which the packages write them.
    let text = |pids: &[u32]| serde_json::Value::from(pids).to_string();
    Bytes::from(format!(
        "{{\"Pids_for_terminate\":{},\"Pids_for_pause\":{},\"Pids_for_continue\":{}}}",
        text(terminate),
        text(pause),
        text(resume)
    ))
}
