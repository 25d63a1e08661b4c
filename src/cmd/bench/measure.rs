//! One run of one load on one server.

use super::driver::Driver;
use super::load::{Load, Operation};
use super::peer::write_packet;
use super::role::{Answer, Client};
use super::server::{Server, Usage};
use conveyor_common::Priority;
use conveyor_common::protocol::{Opcode, submit_opcode};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Connections that fill queues, and what each keeps in flight.
const FILLERS: u32 = 4;
const FILL_DEPTH: u32 = 64;

/// Workers that empty queues which are not measured.
const SWEEPERS: u32 = 8;

/// Most jobs of the flood of the mixed load.
const FLOOD_JOBS: u64 = 5_000_000;

/// Bytes of the large payloads of the mixed load.
const LARGE_BYTES: u32 = 256 << 10;

/// What one run gave.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    /// Operations that were counted, and for how long.
    pub(super) operations: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    /// Latencies; none where nobody waits for an answer.
    pub(super) latency: Option<Latency>,
    /// Latencies by class, for loads that have several.
    pub(super) classes: Vec<(String, Latency)>,
    /// CPU time of the server an operation, in microseconds.
    pub(super) cpu_us: Option<f64>,
    /// Resident bytes of the server at the end.
    pub(super) memory: Option<u64>,
    /// Resident bytes a queued job, where a queue was filled.
    pub(super) bytes_per_job: Option<f64>,
}

/// A distribution of latencies, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
}

impl Latency {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let latency = Self {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1000.0,
        };
        (!histogram.is_empty()).then_some(latency)
    }
}

/// How long, and what is left behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seconds: f64,
    pub(super) leave_jobs: bool,
}

/// The moment and the server's use of the machine at the start of what is counted.
struct Mark {
    at: Instant,
    usage: Option<Usage>,
}

impl Mark {
    fn set(server: &Server) -> Self {
        Self { usage: server.usage(), at: Instant::now() }
    }

    /// The figures since then.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn run(&self, server: &Server, operations: u64) -> Run {
        let seconds = self.at.elapsed().as_secs_f64();
        let now = server.usage();
        let cpu_us = self.usage.zip(now).map(|(then, now)| now.cpu_us.saturating_sub(then.cpu_us) as f64);
        Run {
            operations,
            seconds,
            per_second: operations as f64 / seconds,
            latency: None,
            classes: Vec::new(),
            cpu_us: cpu_us.map(|cpu_us| cpu_us / operations.max(1) as f64),
            memory: now.map(|now| now.memory),
            bytes_per_job: None,
        }
    }
}

fn function(number: u32) -> String {
    format!("conveyor-bench-{number}")
}

/// A queue that nothing else uses.
const BACKLOG: &str = "conveyor-bench-backlog";
const FLOOD: &str = "conveyor-bench-flood";
const LARGE: &str = "conveyor-bench-large";

fn submissions(opcodes: &[Opcode], functions: &[String], payload: u32) -> Rc<[Vec<u8>]> {
    let payload = vec![b'x'; payload as usize];
    let each = |(function, opcode): (&String, &Opcode)| {
        let mut packet = Vec::new();
        write_packet(&mut packet, opcode.to_wire(), &[function.as_bytes(), b"", &payload]);
        packet
    };
    // Every function at every priority, so that both take turns.
    functions
        .iter()
        .flat_map(|function| opcodes.iter().map(move |opcode| (function, opcode)))
        .map(each)
        .collect()
}

fn echoes(payload: u32) -> Rc<[Vec<u8>]> {
    let mut packet = Vec::new();
    write_packet(&mut packet, Opcode::EchoReq.to_wire(), &[&vec![b'x'; payload as usize]]);
    Rc::from([packet])
}

fn abilities(functions: &[String]) -> Vec<u8> {
    let mut hello = Vec::new();
    functions.iter().for_each(|name| write_packet(&mut hello, Opcode::CanDo.to_wire(), &[name.as_bytes()]));
    hello
}

/// Adds `count` workers that each do `at_a_time` jobs.
fn add_workers(
    server: &Server,
    driver: &mut Driver,
    functions: &[String],
    (count, at_a_time): (u32, u32),
) -> Result<(), String> {
    let hello = abilities(functions);
    let peers = (0..count).map(|_| server.open(&hello, Rc::default())).collect::<Result<Vec<_>, _>>()?;
    peers.into_iter().try_for_each(|peer| driver.add_worker(peer, at_a_time))
}

/// Queues background jobs.
fn fill(server: &Server, functions: &[String], payload: u32, jobs: u32) -> Result<(), String> {
    let mut driver = Driver::new(1)?;
    let requests = submissions(&[Opcode::SubmitJobBg], functions, payload);
    add_submitters(server, &mut driver, &requests, (FILLERS, FILL_DEPTH), jobs)?;
    driver.run(|driver| driver.counts.answers >= u64::from(jobs))
}

/// Adds clients that together submit `jobs` background jobs.
fn add_submitters(
    server: &Server,
    driver: &mut Driver,
    requests: &Rc<[Vec<u8>]>,
    (clients, in_flight): (u32, u32),
    jobs: u32,
) -> Result<(), String> {
    let peers = (0..clients).map(|_| server.open(b"", Rc::clone(requests))).collect::<Result<Vec<_>, _>>()?;
    for (number, peer) in (0..clients).zip(peers) {
        let share = jobs / clients + u32::from(number < jobs % clients);
        let client = Client::new(Answer::Created, vec![0], in_flight as usize, u64::from(share));
        driver.add_client(peer, client, in_flight as usize)?;
    }
    Ok(())
}

/// Takes jobs away again.
fn sweep(server: &Server, functions: &[String], jobs: u64) -> Result<(), String> {
    if jobs == 0 {
        return Ok(());
    }
    let mut driver = Driver::new(0)?;
    add_workers(server, &mut driver, functions, (SWEEPERS, 1))?;
    driver.run(|driver| driver.counts.jobs >= jobs)?;
    // The last results are in when the workers have been told that there is nothing more.
    driver.run(|driver| driver.sleeping() == SWEEPERS as usize)
}

/// Runs `load` once.
pub(super) fn measure(server: &Server, load: &Load, plan: Plan) -> Result<Run, String> {
    let backlog = [BACKLOG.to_owned()];
    if load.backlog > 0 {
        fill(server, &backlog, load.payload, load.backlog)?;
    }
    let run = match load.operation {
        Operation::Background => background(server, load, plan),
        Operation::Drain => drain(server, load),
        Operation::Mixed => mixed(server, load, plan),
        Operation::Echo | Operation::Foreground | Operation::Priorities => timed(server, load, plan),
    }?;
    if !plan.leave_jobs {
        sweep(server, &backlog, u64::from(load.backlog))?;
    }
    Ok(run)
}

fn functions(load: &Load) -> Vec<String> {
    (0..load.functions).map(function).collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn background(server: &Server, load: &Load, plan: Plan) -> Result<Run, String> {
    let functions = functions(load);
    let mut driver = Driver::new(1)?;
    server.open_idle(&mut driver, load.idle)?;
    let requests = submissions(&[Opcode::SubmitJobBg], &functions, load.payload);
    let mark = Mark::set(server);
    add_submitters(server, &mut driver, &requests, (load.clients, load.in_flight), load.jobs)?;
    driver.run(|driver| driver.counts.answers >= u64::from(load.jobs))?;
    let mut run = mark.run(server, driver.counts.answers);
    run.latency = driver.counts.latencies.first().and_then(Latency::of);
    let grown = mark.usage.zip(run.memory).map(|(then, now)| now.saturating_sub(then.memory));
    run.bytes_per_job = grown.map(|grown| grown as f64 / f64::from(load.jobs));
    drop(driver);
    if !plan.leave_jobs {
        sweep(server, &functions, u64::from(load.jobs))?;
    }
    Ok(run)
}

fn drain(server: &Server, load: &Load) -> Result<Run, String> {
    let functions = functions(load);
    fill(server, &functions, load.payload, load.jobs)?;
    let mut driver = Driver::new(0)?;
    server.open_idle(&mut driver, load.idle)?;
    let mark = Mark::set(server);
    add_workers(server, &mut driver, &functions, (load.workers.max(1), load.in_flight))?;
    driver.run(|driver| driver.counts.jobs >= u64::from(load.jobs))?;
    Ok(mark.run(server, driver.counts.jobs))
}

/// The classes of latencies and, in the same order, the packets of a load's requests.
fn classes(operation: Operation) -> (&'static [&'static str], Vec<Opcode>) {
    match operation {
        Operation::Priorities => (
            &["high", "normal", "low"],
            Priority::ALL.into_iter().map(|priority| submit_opcode(priority, false)).collect(),
        ),
        _ => (&[], vec![Opcode::SubmitJob]),
    }
}

fn timed(server: &Server, load: &Load, plan: Plan) -> Result<Run, String> {
    let (names, opcodes) = classes(load.operation);
    let functions = functions(load);
    let mut driver = Driver::new(opcodes.len())?;
    server.open_idle(&mut driver, load.idle)?;
    let (answer, requests) = match load.operation {
        Operation::Echo => (Answer::Echo, echoes(load.payload)),
        _ => (Answer::Result, submissions(&opcodes, &functions, load.payload)),
    };
    if answer == Answer::Result {
        add_workers(server, &mut driver, &functions, (load.workers.max(1), 1))?;
        driver.run(|driver| driver.sleeping() == load.workers.max(1) as usize)?;
    }
    let peers =
        (0..load.clients).map(|_| server.open(b"", Rc::clone(&requests))).collect::<Result<Vec<_>, _>>()?;
    for peer in peers {
        let classes = (0..opcodes.len()).collect();
        let client = Client::new(answer, classes, load.in_flight as usize, u64::MAX);
        driver.add_client(peer, client, load.in_flight as usize)?;
    }
    let mut run = count(server, &mut driver, plan.seconds)?;
    finish(&mut driver)?;
    let named = names.iter().zip(&driver.counts.latencies);
    run.classes =
        named.filter_map(|(name, latencies)| Some(((*name).to_owned(), Latency::of(latencies)?))).collect();
    Ok(run)
}

/// Lets the load settle, and then counts for a while.
fn count(server: &Server, driver: &mut Driver, seconds: f64) -> Result<Run, String> {
    let until = |at: Instant| move |_: &Driver| Instant::now() >= at;
    driver.run(until(Instant::now() + Duration::from_secs_f64(seconds / 5.0)))?;
    driver.reset();
    let mark = Mark::set(server);
    driver.run(until(mark.at + Duration::from_secs_f64(seconds)))?;
    let mut run = mark.run(server, driver.counts.answers);
    let mut all = super::role::histogram()?;
    for latencies in &driver.counts.latencies {
        all.add(latencies).map_err(|error| error.to_string())?;
    }
    run.latency = Latency::of(&all);
    Ok(run)
}

/// Waits for the answers that are still on their way.
fn finish(driver: &mut Driver) -> Result<(), String> {
    driver.submitting = false;
    driver.run(|driver| driver.in_flight() == 0)
}

/// The single jobs of one client, first alone, then beside others. The others have a thread of their own, so
/// that what is measured is not how long this generator takes to turn round.
fn mixed(server: &Server, load: &Load, plan: Plan) -> Result<Run, String> {
    let functions = functions(load);
    let mut probe = Driver::new(1)?;
    add_workers(server, &mut probe, &functions, (load.workers.max(1), 1))?;
    probe.run(|driver| driver.sleeping() == load.workers.max(1) as usize)?;
    let requests = submissions(&[Opcode::SubmitJob], &functions, load.payload);
    for _ in 0..load.clients {
        let client = Client::new(Answer::Result, vec![0], load.in_flight as usize, u64::MAX);
        probe.add_client(server.open(b"", Rc::clone(&requests))?, client, load.in_flight as usize)?;
    }
    let alone = count(server, &mut probe, plan.seconds / 2.0)?;
    let stop = AtomicBool::new(false);
    let (mut run, others) = std::thread::scope(|scope| {
        let others = scope.spawn(|| disturb(server, load.payload, &stop, plan));
        let run = count(server, &mut probe, plan.seconds);
        stop.store(true, Ordering::Relaxed);
        let others = others.join().map_err(|_| "the thread of the other clients broke".to_owned());
        Ok::<_, String>((run?, others??))
    })?;
    finish(&mut probe)?;
    let of = |name: &str, latency: Option<Latency>| Some((name.to_owned(), latency?));
    let [flood, large] = others;
    run.classes =
        [of("alone", alone.latency), of("flood", flood), of("large", large)].into_iter().flatten().collect();
    Ok(run)
}

/// Clients that want everything for themselves: a flood of background jobs, and large payloads.
fn disturb(
    server: &Server,
    payload: u32,
    stop: &AtomicBool,
    plan: Plan,
) -> Result<[Option<Latency>; 2], String> {
    let (flood, large) = ([FLOOD.to_owned()], [LARGE.to_owned()]);
    let mut driver = Driver::new(2)?;
    add_workers(server, &mut driver, &large, (1, 1))?;
    let requests = submissions(&[Opcode::SubmitJobBg], &flood, payload);
    let client = Client::new(Answer::Created, vec![0], FILL_DEPTH as usize, FLOOD_JOBS);
    driver.add_client(server.open(b"", requests)?, client, FILL_DEPTH as usize)?;
    let requests = submissions(&[Opcode::SubmitJob], &large, LARGE_BYTES);
    driver.add_client(server.open(b"", requests)?, Client::new(Answer::Result, vec![1], 2, u64::MAX), 2)?;
    driver.run(|_| stop.load(Ordering::Relaxed))?;
    finish(&mut driver)?;
    let latencies = [0, 1].map(|class| driver.counts.latencies.get(class));
    let queued = latencies.first().copied().flatten().map_or(0, Histogram::len);
    if !plan.leave_jobs {
        sweep(server, &flood, queued)?;
    }
    Ok(latencies.map(|latencies| latencies.and_then(Latency::of)))
}
