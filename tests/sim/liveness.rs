//! Fleets with many bad sleepers: as long as one worker answers its NOOP, no job waits.

use crate::rig::{Rig, bytes, rules};
use crate::rng::Rng;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, Millis, Priority};
use conveyor_server::core::{Compat, Reply, Rules, Wakeup};
use std::collections::BTreeMap;

/// No job may wait longer.
const MOST_WAIT_MS: u64 = 1000;

/// What a sleeper does with a NOOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Takes jobs until there are none, and sleeps again.
    Good,
    /// Nothing, ever again.
    Frozen,
    /// Goes to sleep again.
    Dozing,
    /// Registers something and does nothing else.
    Fickle,
    /// Goes away; another one like it comes.
    Dying,
}

struct Worker {
    conn: ConnId,
    habit: Habit,
    functions: Vec<usize>,
    /// When it acts next.
    acts: Option<Millis>,
}

struct Fleet {
    rig: Rig,
    rng: Rng,
    client: ConnId,
    workers: Vec<Worker>,
    submitted: BTreeMap<u64, Millis>,
    longest_ms: u64,
}

fn name(function: usize) -> String {
    format!("f{function}")
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let compat = *rng.pick(&[Compat::V1_1, Compat::V2_0]);
        let wakeup = *rng.pick(&[Wakeup::AsNeeded, Wakeup::AsNeeded, Wakeup::Count(1), Wakeup::All]);
        let mut rig = Rig::new(Rules { compat, wakeup, ..rules() });
        let client = rig.connect();
        let (workers, submitted) = (Vec::new(), BTreeMap::new());
        let mut fleet = Self { rig, rng, client, workers, submitted, longest_ms: 0 };
        let (functions, size) = (1 + fleet.rng.below(5), 1 + fleet.rng.below(120));
        for _ in 0..size {
            let habit =
                *fleet.rng.pick(&[Habit::Frozen, Habit::Frozen, Habit::Dozing, Habit::Fickle, Habit::Dying]);
            let mut able: Vec<usize> = (0..functions).filter(|_| fleet.rng.chance(50)).collect();
            able.push(fleet.rng.below(functions));
            fleet.hire(habit, able);
        }
        // One good one is enough, but it slept through all of this.
        fleet.hire(Habit::Good, (0..functions).collect());
        fleet
    }

    fn hire(&mut self, habit: Habit, functions: Vec<usize>) {
        let names: Vec<String> = functions.iter().map(|function| name(*function)).collect();
        let conn = self.rig.worker(&names.iter().map(String::as_str).collect::<Vec<_>>());
        self.workers.push(Worker { conn, habit, functions, acts: None });
        let replies = self.rig.ask(conn, Request::PreSleep);
        self.take_noops(replies);
    }

    /// Whoever got a NOOP acts on it a little later.
    fn take_noops(&mut self, replies: Vec<(ConnId, Reply)>) {
        for (conn, reply) in replies {
            if reply == Reply::Noop
                && let Some(worker) = self.workers.iter_mut().find(|worker| worker.conn == conn)
            {
                let delay_ms = 1 + self.rng.next() % 15;
                worker.acts = Some(self.rig.now.plus(delay_ms));
            }
        }
    }

    fn ask(&mut self, conn: ConnId, request: Request) -> Option<u64> {
        let replies = self.rig.ask(conn, request);
        let assigned = replies.iter().find_map(|(_, reply)| match reply {
            Reply::Assign { job, .. } => Some(job.0),
            _ => None,
        });
        self.take_noops(replies);
        assigned
    }

    fn submit(&mut self) {
        let functions = self.workers.last().unwrap().functions.len();
        let function = name(self.rng.below(functions));
        let priority = *self.rng.pick(&Priority::ALL);
        let kind = SubmitKind::Job { priority, background: true };
        let replies = self.rig.submit_kind(self.client, kind, &function, "", "p");
        let number = replies.iter().find_map(|(_, reply)| match reply {
            Reply::JobCreated(number) => Some(number.0),
            _ => None,
        });
        self.submitted.insert(number.unwrap(), self.rig.now);
        self.take_noops(replies);
    }

    fn act(&mut self, at: usize) {
        let Worker { conn, habit, acts, functions } = &mut self.workers[at];
        let (conn, habit, functions) = (*conn, *habit, functions.clone());
        *acts = None;
        match habit {
            Habit::Good => {
                while let Some(number) = self.ask(conn, Request::Grab(GrabForm::All)) {
                    let waited_ms = self.rig.now.since(self.submitted.remove(&number).unwrap());
                    self.longest_ms = self.longest_ms.max(waited_ms);
                    self.rig.complete(conn, number, "");
                }
                self.ask(conn, Request::PreSleep);
            }
            Habit::Frozen => {}
            Habit::Dozing => drop(self.ask(conn, Request::PreSleep)),
            Habit::Fickle => {
                let function = bytes(&name(functions[0]));
                self.ask(conn, Request::CantDo { function: function.clone() });
                self.ask(conn, Request::CanDo { function });
                self.workers[at].acts = Some(self.rig.now.plus(5));
            }
            Habit::Dying => {
                let replies = self.rig.close(conn);
                self.take_noops(replies);
                // Comes back at the front, so that the good one stays the last in the list.
                let names: Vec<String> = functions.iter().map(|function| name(*function)).collect();
                let conn = self.rig.worker(&names.iter().map(String::as_str).collect::<Vec<_>>());
                self.workers[at].conn = conn;
                let replies = self.rig.ask(conn, Request::PreSleep);
                self.take_noops(replies);
            }
        }
    }

    /// Goes on until `jobs` jobs are done.
    fn run(mut self, jobs: usize) -> u64 {
        let mut next_job = self.rig.now;
        let mut left = jobs;
        while left > 0 || !self.submitted.is_empty() {
            let acts = self.workers.iter().filter_map(|worker| worker.acts).min();
            let submits = (left > 0).then_some(next_job);
            let due = [acts, submits, self.rig.core.next_deadline()].into_iter().flatten().min();
            self.rig.now = self.rig.now.max(due.expect("jobs wait, and nothing will ever happen"));
            let replies = self.rig.pass(0);
            self.take_noops(replies);
            if submits.is_some_and(|at| at <= self.rig.now) {
                self.submit();
                left -= 1;
                next_job = self.rig.now.plus(self.rng.next() % 120);
            }
            let ready = |worker: &Worker| worker.acts.is_some_and(|at| at <= self.rig.now);
            if let Some(at) = self.workers.iter().position(ready) {
                self.act(at);
            }
            if let Some((number, since)) = self.submitted.first_key_value() {
                assert!(self.rig.now.since(*since) <= MOST_WAIT_MS, "job {number} still waits");
            }
        }
        self.longest_ms
    }
}

#[test]
fn no_job_waits_a_second_while_one_worker_of_a_bad_fleet_is_good() {
    let mut longest_ms = 0;
    let first = crate::seed();
    for seed in first..first + 15 {
        longest_ms = longest_ms.max(Fleet::new(seed).run(60));
    }
    println!("the longest wait was {longest_ms} ms");
}
