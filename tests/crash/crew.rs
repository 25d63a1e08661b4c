//! Threads that submit and work until the server dies or they are told to end.

use crate::conn::Conn;
use crate::ledger::Ledger;
use crate::support::packet;
use crate::wire::{
    CAN_DO, GRAB_JOB, JOB_ASSIGN, NO_JOB, NOOP, PRE_SLEEP, SUBMIT_JOB_BG, SUBMIT_JOB_EPOCH,
    SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_LOW_BG, WORK_COMPLETE,
};
use crate::{Dice, pass};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The function that is worked on all the time.
pub(crate) const WORK: &str = "work";

/// The function that is worked on in the last life only.
pub(crate) const HELD: &str = "held";

/// A function of few places: most of its jobs are refused.
pub(crate) const LIMITED: &str = "limited";

/// Submissions sent before their answers are read.
const PIPELINED: usize = 32;

/// Jobs that a worker has at once: the rest of them is running when the server dies.
const AT_ONCE: usize = 3;

/// Reports between two proofs that they are stored.
const REPORTS: usize = 10;

/// How long a worker that is told to end when nothing is left waits for a wake-up before it looks.
const NAP: Duration = Duration::from_millis(20);

/// What everybody shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) ledger: &'a Ledger,
    /// Bytes of payloads.
    pub(crate) bytes: usize,
    /// They end when this is set.
    pub(crate) over: &'a AtomicBool,
}

impl Shift<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn payload(&self, id: usize) -> Vec<u8> {
        format!("{id}:{:x<1$}", "", self.bytes).into_bytes()
    }

    /// Sends a job of a kind that is thrown, and notes it.
    fn submission(&self, dice: &mut Dice, into: &mut Vec<u8>) -> usize {
        let function = match dice.below(20) {
            0 => LIMITED,
            1..=8 => HELD,
            _ => WORK,
        };
        let unique = dice.below(3) == 0;
        let id = self.ledger.sent(function, unique);
        let (unique, payload) = (unique_of(id, unique), self.payload(id));
        let (function, unique) = (function.as_bytes(), unique.as_bytes());
        let opcode = match dice.below(8) {
            0..=2 => SUBMIT_JOB_BG,
            3 | 4 => SUBMIT_JOB_HIGH_BG,
            5 | 6 => SUBMIT_JOB_LOW_BG,
            _ => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
                let start = (now + 1).to_string();
                let args = [function, unique, start.as_bytes(), &payload];
                into.extend_from_slice(&packet(SUBMIT_JOB_EPOCH, &args));
                return id;
            }
        };
        into.extend_from_slice(&packet(opcode, &[function, unique, &payload]));
        id
    }

    /// Submits until the end. An error is that of a server that was killed.
    pub(crate) fn submit(&self, mut dice: Dice, pause: Duration) -> io::Result<()> {
        let mut conn = Conn::open(self.address)?;
        while !self.is_over() {
            let mut bytes = Vec::new();
            let ids: Vec<usize> = (0..PIPELINED).map(|_| self.submission(&mut dice, &mut bytes)).collect();
            conn.write(&bytes)?;
            for id in ids {
                self.ledger.answered(id, conn.created()?);
            }
            // So that a longer life is not a larger queue.
            pass(pause);
        }
        Ok(())
    }

    /// Works until the end. With `proofs` it submits jobs to know that its reports are stored.
    pub(crate) fn work(&self, functions: &[&str], proofs: bool) -> io::Result<()> {
        let mut conn = Conn::open(self.address)?;
        for function in functions {
            conn.send(CAN_DO, &[function.as_bytes()])?;
        }
        let mut running = VecDeque::new();
        let mut reported = Vec::new();
        while !self.is_over() {
            conn.send(GRAB_JOB, &[])?;
            let (mut opcode, mut body) = conn.receive()?;
            if opcode == NOOP {
                // A wake-up that came too late.
                (opcode, body) = conn.receive()?;
            }
            let idle = match opcode {
                JOB_ASSIGN => {
                    let (id, handle) = assigned(&body);
                    self.ledger.started(id, &handle);
                    running.push_back((id, handle));
                    false
                }
                NO_JOB => true,
                other => panic!("{other} answers GRAB_JOB"),
            };
            while running.len() >= AT_ONCE || idle && !running.is_empty() {
                let (id, handle) = running.pop_front().unwrap();
                // Before it is sent: what the server has is never less than what is written down.
                self.ledger.reported(id);
                conn.send(WORK_COMPLETE, &[&handle, b""])?;
                reported.push(id);
            }
            if proofs && reported.len() >= REPORTS && self.prove(&mut conn)? {
                self.ledger.settled(reported.drain(..));
            }
            if idle {
                conn.send(PRE_SLEEP, &[])?;
                if conn.is_readable(NAP)? {
                    assert_eq!(conn.receive()?.0, NOOP);
                }
            }
        }
        Ok(())
    }

    /// Goes to the store and back: what was sent before is stored too. A job that is refused, because there is no room for one
    /// more, proves nothing.
    fn prove(&self, conn: &mut Conn) -> io::Result<bool> {
        let id = self.ledger.sent(HELD, false);
        conn.send(SUBMIT_JOB_BG, &[HELD.as_bytes(), b"", &self.payload(id)])?;
        let answer = conn.created()?;
        let is_stored = answer.is_ok();
        self.ledger.answered(id, answer);
        Ok(is_stored)
    }
}

/// The unique of a job that has one.
pub(crate) fn unique_of(id: usize, unique: bool) -> String {
    if unique { format!("unique {id}") } else { String::new() }
}

/// Job and handle of a JOB_ASSIGN.
pub(crate) fn assigned(body: &[u8]) -> (usize, Vec<u8>) {
    let mut parts = body.splitn(3, |byte| *byte == 0);
    let handle = parts.next().unwrap().to_owned();
    let payload = std::str::from_utf8(parts.nth(1).unwrap()).unwrap();
    (payload.split(':').next().unwrap().parse().unwrap(), handle)
}
