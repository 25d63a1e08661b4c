//! What a connection of the load generator does: submit and wait, or work.

use super::peer::Packet;
use conveyor_common::protocol::Opcode;
use hdrhistogram::Histogram;
use std::collections::VecDeque;

/// Most bytes of a result: those of a large payload are not sent back.
const RESULT_BYTES: usize = 64;

/// Longest latency that is told from longer ones, in nanoseconds: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// A histogram of latencies in nanoseconds, to three digits.
pub(super) fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).map_err(|error| format!("no room to count: {error}"))
}

/// Packet types of the server, by number.
const NOOP: u32 = Opcode::Noop.to_wire();
const JOB_CREATED: u32 = Opcode::JobCreated.to_wire();
const NO_JOB: u32 = Opcode::NoJob.to_wire();
const JOB_ASSIGN: u32 = Opcode::JobAssign.to_wire();
const WORK_COMPLETE: u32 = Opcode::WorkComplete.to_wire();
const WORK_FAIL: u32 = Opcode::WorkFail.to_wire();
const ECHO_RES: u32 = Opcode::EchoRes.to_wire();

/// Numbers of the packets a worker sends.
const GRAB_JOB: u32 = Opcode::GrabJob.to_wire();
const PRE_SLEEP: u32 = Opcode::PreSleep.to_wire();

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Echo,
    Created,
    Result,
}

/// Submits as often as answers come, and notes how long they took.
#[derive(Debug)]
pub(super) struct Client {
    answer: Answer,
    /// Which histograms the answers are counted in, by the order of the requests.
    classes: Vec<usize>,
    next_class: usize,
    /// Sent and not answered at all: when, and the class.
    open: VecDeque<(u64, usize)>,
    /// Jobs created and not done: the hash of the handle, when, and the class.
    created: Vec<(u64, u64, usize)>,
    /// Requests that are still to be sent, after those in flight.
    pub(super) budget: u64,
}

impl Client {
    pub(super) fn new(answer: Answer, classes: Vec<usize>, in_flight: usize, budget: u64) -> Self {
        Self {
            answer,
            classes,
            next_class: 0,
            open: VecDeque::with_capacity(in_flight),
            created: Vec::with_capacity(in_flight),
            budget,
        }
    }

    /// Notes that up to `count` requests are sent now; returns how many the budget has.
    pub(super) fn send(&mut self, now: u64, count: usize) -> usize {
        let count = count.min(usize::try_from(self.budget).unwrap_or(usize::MAX));
        self.budget -= count as u64;
        for _ in 0..count {
            let class = self.classes.get(self.next_class % self.classes.len()).copied().unwrap_or(0);
            self.next_class += 1;
            self.open.push_back((now, class));
        }
        count
    }

    /// Requests without their answer.
    pub(super) fn in_flight(&self) -> usize {
        self.open.len() + self.created.len()
    }

    /// Takes a packet; returns when its request was sent, and its class, if it is the answer.
    pub(super) fn take(&mut self, packet: &Packet<'_>) -> Result<Option<(u64, usize)>, String> {
        match (self.answer, packet.opcode) {
            (Answer::Echo, ECHO_RES) | (Answer::Created, JOB_CREATED) => Ok(self.open.pop_front()),
            (Answer::Result, JOB_CREATED) => {
                if let Some((sent, class)) = self.open.pop_front() {
                    self.created.push((hash(packet.body), sent, class));
                }
                Ok(None)
            }
            (Answer::Result, WORK_COMPLETE) => {
                let handle = hash(until_nul(packet.body).0);
                let at = self.created.iter().position(|(created, ..)| *created == handle);
                let (_, sent, class) =
                    self.created.swap_remove(at.ok_or("the server sent a result of an unknown job")?);
                Ok(Some((sent, class)))
            }
            (_, WORK_FAIL) => {
                Err("a job failed: somebody else works on the functions of the load".to_owned())
            }
            (_, other) => Err(format!(
                "packet type {other} is no answer to the request: {}",
                String::from_utf8_lossy(packet.body)
            )),
        }
    }
}

/// Works like any worker: grabs, answers with (the beginning of) the payload, sleeps when there is nothing.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) asleep: bool,
}

impl Worker {
    /// Takes a packet and writes what follows; true when it was a job.
    pub(super) fn take(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<bool, String> {
        match packet.opcode {
            JOB_ASSIGN => {
                let (handle, rest) = until_nul(packet.body);
                let (_, payload) = until_nul(rest);
                let result = payload.get(..RESULT_BYTES).unwrap_or(payload);
                super::peer::write_packet(out, WORK_COMPLETE, &[handle, result]);
                super::peer::write_packet(out, GRAB_JOB, &[]);
                return Ok(true);
            }
            NO_JOB => {
                self.asleep = true;
                super::peer::write_packet(out, PRE_SLEEP, &[]);
            }
            NOOP => {
                self.asleep = false;
                super::peer::write_packet(out, GRAB_JOB, &[]);
            }
            other => return Err(format!("packet type {other} is nothing for a worker")),
        }
        Ok(false)
    }
}

/// What stands before the first NUL, and behind it.
fn until_nul(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (head, rest) = bytes.split_at(end);
    (head, rest.get(1..).unwrap_or_default())
}

/// Tells handles of one client apart.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_matched_to_their_requests_by_handle() {
        let mut client = Client::new(Answer::Result, vec![0, 1], 4, 3);
        assert_eq!((client.send(10, 2), client.send(20, 9)), (2, 1));
        let packet = |opcode, body| Packet { opcode, body };
        for handle in [b"H:x:1", b"H:x:2", b"H:x:3"] {
            assert_eq!(client.take(&packet(JOB_CREATED, &handle[..])), Ok(None));
        }
        assert_eq!(client.take(&packet(WORK_COMPLETE, b"H:x:3\0r")), Ok(Some((20, 0))));
        assert_eq!(client.take(&packet(WORK_COMPLETE, b"H:x:2\0")), Ok(Some((10, 1))));
        assert_eq!(client.in_flight(), 1);
        assert!(client.take(&packet(WORK_COMPLETE, b"H:x:9\0")).is_err());
        assert!(client.take(&packet(WORK_FAIL, b"H:x:1")).is_err());
    }

    #[test]
    fn a_worker_answers_with_the_beginning_of_the_payload_and_asks_for_more() {
        let (mut worker, mut out) = (Worker::default(), Vec::new());
        let assign = [b"H:x:1\0f\0".as_slice(), &[b'p'; 100]].concat();
        assert_eq!(worker.take(&Packet { opcode: JOB_ASSIGN, body: &assign }, &mut out), Ok(true));
        let complete = [b"\0REQ\0\0\0\x0d\0\0\0\x46H:x:1\0".as_slice(), &[b'p'; 64]].concat();
        assert_eq!(out, [complete.as_slice(), b"\0REQ\0\0\0\x09\0\0\0\0"].concat());
        assert_eq!(worker.take(&Packet { opcode: NO_JOB, body: b"" }, &mut out), Ok(false));
        assert!(worker.asleep);
    }
}
