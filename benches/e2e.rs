//! Whole servers under load: conveyor and, where it is installed, gearmand, in turns, in one run.
//!
//! `cargo bench --bench e2e` prints a table; `CONVEYOR_BENCH_SECONDS` (default 2) and
//! `CONVEYOR_BENCH_ROUNDS` (default 5) set how long each load runs and how often. Nothing is asserted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic, and says where"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use bytes::{Buf, BytesMut};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::{Server, packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Both servers let all clients of a load connect at once.
const BACKLOG: &[&str] = &["--backlog", "1024"];

const CAN_DO: u32 = 1;
const PRE_SLEEP: u32 = 4;
const NOOP: u32 = 6;
const SUBMIT_JOB: u32 = 7;
const JOB_CREATED: u32 = 8;
const GRAB_JOB: u32 = 9;
const NO_JOB: u32 = 10;
const JOB_ASSIGN: u32 = 11;
const WORK_COMPLETE: u32 = 13;
const ECHO_REQ: u32 = 16;
const ECHO_RES: u32 = 17;
const SUBMIT_JOB_BG: u32 = 18;

/// What clients do.
#[derive(Clone, Copy)]
enum Operation {
    Echo,
    Foreground,
    Background,
}

/// One load.
struct Load {
    name: &'static str,
    operation: Operation,
    clients: usize,
    depth: usize,
    workers: usize,
    payload: usize,
}

const LOADS: &[Load] = &[
    Load { name: "echo, 8 x 16", operation: Operation::Echo, clients: 8, depth: 16, workers: 0, payload: 64 },
    Load { name: "echo, 1 x 1", operation: Operation::Echo, clients: 1, depth: 1, workers: 0, payload: 64 },
    Load {
        name: "foreground, 8 x 16, 8 workers",
        operation: Operation::Foreground,
        clients: 8,
        depth: 16,
        workers: 8,
        payload: 64,
    },
    Load {
        name: "foreground, 1 x 1, 1 worker",
        operation: Operation::Foreground,
        clients: 1,
        depth: 1,
        workers: 1,
        payload: 64,
    },
    Load {
        name: "foreground, 64 x 2, 32 workers",
        operation: Operation::Foreground,
        clients: 64,
        depth: 2,
        workers: 32,
        payload: 64,
    },
    Load {
        name: "background, 4 x 64, no worker",
        operation: Operation::Background,
        clients: 4,
        depth: 64,
        workers: 0,
        payload: 64,
    },
    Load {
        name: "foreground 256 KiB, 4 x 2, 4 workers",
        operation: Operation::Foreground,
        clients: 4,
        depth: 2,
        workers: 4,
        payload: 256 << 10,
    },
];

/// What one run of one load gave.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    per_second: f64,
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Counts of all clients of a run.
#[derive(Default)]
struct Counts {
    latencies_ns: Vec<u64>,
}

struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, input: BytesMut::with_capacity(256 << 10) }
    }

    /// Hands every complete packet that is there to `take`, after reading at least once.
    async fn receive(&mut self, mut take: impl FnMut(u32, &[u8])) -> bool {
        self.input.reserve(64 << 10);
        if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
            return false;
        }
        while self.input.len() >= 12 {
            let number = |at: usize| u32::from_be_bytes(self.input[at..at + 4].try_into().unwrap());
            let (opcode, length) = (number(4), number(8) as usize);
            if self.input.len() < 12 + length {
                break;
            }
            take(opcode, &self.input[12..12 + length]);
            self.input.advance(12 + length);
        }
        true
    }
}

async fn client(address: SocketAddr, load: &Load, until: Instant, counts: Rc<RefCell<Counts>>) {
    let mut connection = Connection::open(address).await;
    let payload = vec![b'x'; load.payload];
    let (request, done) = match load.operation {
        Operation::Echo => (packet(ECHO_REQ, &[&payload]), ECHO_RES),
        Operation::Foreground => (packet(SUBMIT_JOB, &[b"bench", b"", &payload]), WORK_COMPLETE),
        Operation::Background => (packet(SUBMIT_JOB_BG, &[b"bench", b"", &payload]), JOB_CREATED),
    };
    let mut started: std::collections::VecDeque<Instant> = std::collections::VecDeque::new();
    let mut missing = load.depth;
    loop {
        let now = Instant::now();
        if now < until {
            let batch = request.repeat(missing);
            started.extend((0..missing).map(|_| now));
            connection.stream.write_all(&batch).await.unwrap();
        } else if started.is_empty() {
            return;
        }
        missing = 0;
        let open = connection.receive(|opcode, _| missing += usize::from(opcode == done)).await;
        assert!(open, "the server closed");
        let now = Instant::now();
        // Results of one client come in order closely enough for a distribution.
        let finished = started.drain(..missing).map(|start| u64::try_from((now - start).as_nanos()).unwrap());
        counts.borrow_mut().latencies_ns.extend(finished);
    }
}

async fn worker(address: SocketAddr) {
    let mut connection = Connection::open(address).await;
    let mut output = [packet(CAN_DO, &[b"bench"]), packet(GRAB_JOB, &[])].concat();
    loop {
        if connection.stream.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
        let open = connection
            .receive(|opcode, body| match opcode {
                JOB_ASSIGN => {
                    let mut parts = body.splitn(3, |byte| *byte == 0);
                    let (handle, _, payload) = (parts.next(), parts.next(), parts.next());
                    output.extend(packet(WORK_COMPLETE, &[handle.unwrap(), payload.unwrap()]));
                    output.extend(packet(GRAB_JOB, &[]));
                }
                NO_JOB => output.extend(packet(PRE_SLEEP, &[])),
                NOOP => output.extend(packet(GRAB_JOB, &[])),
                other => panic!("packet {other} for a worker"),
            })
            .await;
        if !open {
            return;
        }
    }
}

fn measure(server: &Server, load: &'static Load, duration: Duration) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let counts = Rc::new(RefCell::new(Counts::default()));
    let (address, ticks, start) = (server.address, server.cpu_ticks(), Instant::now());
    let until = start + duration;
    local.block_on(&runtime, async {
        (0..load.workers).for_each(|_| drop(tokio::task::spawn_local(worker(address))));
        let clients: Vec<_> = (0..load.clients)
            .map(|_| tokio::task::spawn_local(client(address, load, until, Rc::clone(&counts))))
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
    let elapsed = start.elapsed();
    let mut latencies = std::mem::take(&mut counts.borrow_mut().latencies_ns);
    latencies.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let microseconds = |share: usize| latencies[(latencies.len() - 1) * share / 100] as f64 / 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (operations, ticks) = (latencies.len() as f64, (server.cpu_ticks() - ticks) as f64);
    Measured {
        per_second: operations / elapsed.as_secs_f64(),
        // The kernel counts in hundredths of a second.
        cpu_us: ticks * 10_000.0 / operations,
        p50_us: microseconds(50),
        p99_us: microseconds(99),
    }
}

fn median(mut runs: Vec<Measured>) -> Measured {
    let mut middle = |figure: fn(&Measured) -> f64| {
        runs.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
        figure(&runs[runs.len() / 2])
    };
    Measured {
        per_second: middle(|run| run.per_second),
        cpu_us: middle(|run| run.cpu_us),
        p50_us: middle(|run| run.p50_us),
        p99_us: middle(|run| run.p99_us),
    }
}

fn setting(variable: &str, otherwise: f64) -> f64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn main() {
    let duration = Duration::from_secs_f64(setting("CONVEYOR_BENCH_SECONDS", 2.0));
    let rounds = setting("CONVEYOR_BENCH_ROUNDS", 5.0);
    let with_gearmand = std::path::Path::new(support::GEARMAND).exists();
    println!("{rounds} rounds of {duration:?} a load, servers in turns, medians");
    println!("| load | conveyor: per s, CPU us, p50/p99 us | gearmand | rate | CPU |");
    println!("|---|---|---|---|---|");
    for load in LOADS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut round = 0.0;
        while round < rounds {
            round += 1.0;
            ours.push(measure(&Server::conveyor(BACKLOG), load, duration));
            if with_gearmand {
                theirs.push(measure(&Server::gearmand(BACKLOG), load, duration));
            }
        }
        let show = |run: Measured| {
            format!("{:.0}, {:.2}, {:.0}/{:.0}", run.per_second, run.cpu_us, run.p50_us, run.p99_us)
        };
        let ours = median(ours);
        if theirs.is_empty() {
            println!("| {} | {} | not installed | | |", load.name, show(ours));
            continue;
        }
        let theirs = median(theirs);
        let (rate, cpu) = (ours.per_second / theirs.per_second, ours.cpu_us / theirs.cpu_us);
        println!("| {} | {} | {} | {rate:.2} | {cpu:.2} |", load.name, show(ours), show(theirs));
    }
}
