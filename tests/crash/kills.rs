//! The server is killed under load, again and again, and started on the same directory. A ledger of everything that was
//! acknowledged must agree with what the workers did.

use crate::crew::{HELD, LIMITED, Shift, WORK, unique_of};
use crate::ledger::{Counts, Ledger};
use crate::server::Victim;
use crate::support::{Peer, wait_for};
use crate::wire::SUBMIT_JOB_BG;
use crate::{Dice, conn::Conn, pass, report};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Kills of all scenarios together.
const KILLS: usize = 56;

/// Least number of acknowledged jobs that nobody has started when the server is killed.
const OUTSTANDING: usize = 1_000;

/// So many more are waited for: workers go on until the server is dead.
const MARGIN: usize = 250;

/// Connections that submit.
const SUBMITTERS: usize = 3;

/// Jobs that are asked about after a crash, and again submitted under their unique.
const ASKED: usize = 40;

/// Of this many kills one is followed by another while the jobs are read.
const REPLAY_KILLS: u64 = 2;

/// How long after it has begun to listen that one comes, at most.
const REPLAY_US: u64 = 10_000;

/// Of this many kills one comes after SIGTERM.
const STOPS: u64 = 4;

/// How long after it, at most.
const STOP_US: u64 = 20_000;

/// A server and how it is treated.
struct Scenario {
    name: &'static str,
    options: &'static [&'static str],
    /// Kills of [`KILLS`].
    kills: usize,
    /// Kills of one queue, at most: a longer run begins with a new one, so that what is held does not grow for ever.
    lives: usize,
    workers: usize,
    bytes: usize,
    /// Acknowledged jobs may be lost so long before a kill, and a life is longer than that.
    window: Duration,
}

fn kills_of(share: usize) -> usize {
    let all = std::env::var("CONVEYOR_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    (share * all).div_ceil(KILLS)
}

impl Scenario {
    fn run(&self) {
        let mut dice = Dice::new(self.name);
        let mut counts = Counts::default();
        let mut left = kills_of(self.kills);
        while left > 0 {
            let kills = left.min(self.lives);
            counts.add(self.queue(kills, &mut dice));
            left -= kills;
        }
        println!("{}: {counts}", self.name);
        assert!(counts.outstanding.iter().all(|outstanding| *outstanding >= OUTSTANDING));
        assert!(counts.refused > 0, "some were to be refused");
        assert!(counts.settled > 0 || self.workers == 0 || !self.window.is_zero());
        report::add(self.name, counts);
    }

    /// The lives of one queue.
    fn queue(&self, kills: usize, dice: &mut Dice) -> Counts {
        let place = tempfile::tempdir().unwrap();
        let mut server = Victim::new(place.path(), self.options);
        let ledger = Ledger::default();
        let mut while_reading = 0;
        for life in 0..kills {
            server.start();
            if life == 0 {
                let id = ledger.sent(LIMITED, false);
                let payload = format!("{id}:");
                let first = Conn::open(server.address).unwrap().submit(LIMITED, "", payload.as_bytes());
                ledger.answered(id, first.unwrap());
                let limited = Peer::connect(server.address).line(&format!("maxqueue {LIMITED} 20"));
                assert_eq!(limited.trim_end(), "OK");
            } else {
                self.ask(&server, &ledger, dice);
            }
            self.live(&mut server, &ledger, dice);
            if dice.below(REPLAY_KILLS) == 0 {
                server.spawn();
                wait_for("it listens", || server.log().contains("listening").then_some(()));
                pass(Duration::from_micros(dice.below(REPLAY_US)));
                server.kill();
                while_reading += usize::from(!server.log().contains("all stored jobs are read"));
            }
        }
        server.start();
        self.ask(&server, &ledger, dice);
        self.drain(&server, &ledger);
        server.stop();
        server.start();
        server.wait_to_say("all stored jobs are read");
        assert_eq!(server.total(), 0, "what was finished before a good end is back");
        server.stop();
        Counts { while_reading, ..ledger.close() }
    }

    /// Load until a random number of jobs is acknowledged; then it dies.
    fn live(&self, server: &mut Victim, ledger: &Ledger, dice: &mut Dice) {
        let over = AtomicBool::new(false);
        let shift = Shift { address: server.address, ledger, bytes: self.bytes, over: &over };
        let pause = if self.window.is_zero() { Duration::ZERO } else { Duration::from_millis(10) };
        let enough = 300 + usize::try_from(dice.below(1_200)).unwrap();
        let born = Instant::now();
        let when = std::thread::scope(|scope| {
            for _ in 0..SUBMITTERS {
                let dice = dice.split();
                scope.spawn(move || shift.submit(dice, pause));
            }
            for _ in 0..self.workers {
                scope.spawn(move || shift.work(&[WORK], self.window.is_zero()));
            }
            wait_for("enough jobs are acknowledged", || {
                let many = ledger.acknowledged_in_this_life() >= enough
                    && ledger.outstanding() >= OUTSTANDING + MARGIN;
                (many && born.elapsed() > self.window * 2).then_some(())
            });
            let when = Instant::now();
            if dice.below(STOPS) == 0 {
                server.stop_and_kill(Duration::from_micros(dice.below(STOP_US)));
            } else {
                server.kill();
            }
            // Answers that are still in the sockets are read.
            over.store(true, Ordering::Relaxed);
            when
        });
        ledger.killed(self.window, when);
    }

    /// Jobs of former lives are known, and joined by their uniques.
    fn ask(&self, server: &Victim, ledger: &Ledger, dice: &mut Dice) {
        let waiting = ledger.waiting(HELD);
        assert!(!waiting.is_empty(), "jobs of a former life");
        let mut conn = Conn::open(server.address).unwrap();
        for _ in 0..ASKED {
            let job = &waiting[usize::try_from(dice.below(waiting.len() as u64)).unwrap()];
            let name = String::from_utf8_lossy(&job.handle);
            assert!(conn.knows(&job.handle).unwrap(), "{name} is not known after a crash");
            if job.unique {
                let joined = conn.submit(HELD, &unique_of(job.id, true), b"another").unwrap();
                assert_eq!(joined.as_ref(), Ok(&job.handle), "a job of a former life is joined");
            }
        }
    }

    /// Everything is done.
    fn drain(&self, server: &Victim, ledger: &Ledger) {
        let over = AtomicBool::new(false);
        let shift = Shift { address: server.address, ledger, bytes: self.bytes, over: &over };
        std::thread::scope(|scope| {
            let workers = [(); 3].map(|()| scope.spawn(move || shift.work(&[WORK, HELD, LIMITED], false)));
            wait_for("everything is done", || (server.total() == 0).then_some(()));
            over.store(true, Ordering::Relaxed);
            for worker in workers {
                worker.join().unwrap().unwrap();
            }
        });
        assert_eq!(ledger.outstanding(), 0, "acknowledged jobs are lost: {:?}", ledger.waiting(HELD));
    }
}

#[test]
fn what_was_acknowledged_outlives_kills() {
    let scenario = Scenario {
        name: "sync, nobody works",
        options: &[],
        kills: 18,
        lives: 20,
        workers: 0,
        bytes: 10,
        window: Duration::ZERO,
    };
    scenario.run();
}

#[test]
fn what_was_acknowledged_outlives_kills_while_workers_run() {
    let scenario = Scenario {
        name: "sync, workers run",
        options: &[],
        kills: 18,
        lives: 20,
        workers: 2,
        bytes: 10,
        window: Duration::ZERO,
    };
    scenario.run();
}

#[test]
fn what_was_acknowledged_outlives_kills_when_payloads_stay_on_the_disk() {
    let scenario = Scenario {
        name: "sync, workers run, --queue-memory 1M",
        options: &["--queue-memory", "1M"],
        kills: 12,
        // More held jobs would find no room.
        lives: 5,
        workers: 2,
        bytes: 2_000,
        window: Duration::ZERO,
    };
    scenario.run();
}

#[test]
fn what_was_acknowledged_some_time_ago_outlives_kills_under_interval() {
    let scenario = Scenario {
        name: "interval:20, workers run",
        options: &["--durability", "interval:20"],
        kills: 8,
        lives: 8,
        workers: 2,
        bytes: 10,
        window: Duration::from_millis(500),
    };
    scenario.run();
}

/// More jobs than a block of numbers has, within one interval: hardly any of them is stored when the server dies.
#[test]
fn handles_are_not_given_out_twice_under_interval() {
    const JOBS: usize = 210_000;
    const PIPELINED: usize = 1_000;
    let place = tempfile::tempdir().unwrap();
    let mut server = Victim::new(place.path(), &["--durability", "interval:60000"]);
    let mut handles = BTreeSet::new();
    for jobs in [JOBS, PIPELINED] {
        server.start();
        let mut conn = Conn::open(server.address).unwrap();
        for _ in 0..jobs / PIPELINED {
            for _ in 0..PIPELINED {
                conn.send(SUBMIT_JOB_BG, &[b"f", b"", b"0:"]).unwrap();
            }
            for _ in 0..PIPELINED {
                let handle = conn.created().unwrap().unwrap();
                let name = String::from_utf8_lossy(&handle).into_owned();
                assert!(handles.insert(handle), "{name} was given out twice");
            }
        }
        server.kill();
    }
}
