//! The parts of a server by themselves: decoding, the core, its queues and timers, outboxes.
//!
//! `cargo bench --bench micro` measures all, `cargo bench --bench micro -- core` those with `core` in their name;
//! criterion compares each with the run before. What takes many operations at once is shown as elements a
//! second too. Nothing is asserted: what may not grow is counted by the benchmark `instructions`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic, and says where"
)]

/// Private to the engine, and found by its path: it needs nothing of the server but the core.
#[path = "../crates/server/src/engine/outbox.rs"]
#[expect(dead_code, unused_imports, reason = "what only the engine asks for, and its tests")]
mod outbox;
mod rig;

use bytes::BytesMut;
use conveyor_common::Priority;
use conveyor_server::core;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use rig::{LARGE, Rig, SMALL, functions, scenes};
use std::time::Duration;

/// Others that stand in a queue or wait for their time, where the cost should not depend on them.
const CROWD: usize = 100_000;

/// Jobs that pile up.
const JOBS: usize = 1000;

/// Workers that take turns where there are many functions.
const WORKERS: usize = 8;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Measures a scene of which one call is `operations` operations.
fn measure(group: &mut Group<'_>, name: &str, operations: usize, mut scene: impl FnMut()) {
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut scene));
}

/// From bytes to requests; an operation is a packet. Each measurement begins with a full buffer of its own: neither
/// filling it, which is the kernel's work, nor giving it back is measured.
fn decoding(group: &mut Group<'_>) {
    for (name, packets, payload) in
        [("650 small packets", scenes::PACKETS, SMALL), ("one of 256 KiB", 1, LARGE)]
    {
        let stream = scenes::stream(packets, payload);
        group.throughput(Throughput::Elements(packets as u64));
        group.bench_function(name, |bencher| {
            let arrived = || BytesMut::from(&stream[..]);
            bencher.iter_batched_ref(arrived, scenes::decode, BatchSize::SmallInput);
        });
    }
}

/// The core through its public interface; an operation is a job with all that belongs to it.
fn machine(group: &mut Group<'_>) {
    measure(group, "foreground", 1, scenes::foreground());
    measure(group, "background, submitted and drained", JOBS, scenes::backlog(JOBS));
    measure(group, "wake one of 1 sleeper", 1, scenes::wake(1));
    measure(group, "wake one of 1000 sleepers", 1, scenes::wake(1000));
    measure(group, "200 functions", 1, scenes::many_functions(200, WORKERS));
    measure(group, "10,000 functions", 1, scenes::many_functions(10_000, WORKERS));
    measure(group, "a worker comes and goes", 1, scenes::visit(scenes::ABILITIES));
}

/// The two halves of a backlog, each on a core of its own.
fn halves(group: &mut Group<'_>) {
    let functions = functions(1);
    let function = &functions[0];
    group.throughput(Throughput::Elements(JOBS as u64));
    group.bench_function("background, submitted", |bencher| {
        let empty = || {
            let mut rig = Rig::new();
            let client = rig.connect();
            (rig, client)
        };
        let submit = |(rig, client): &mut (Rig, _)| rig.submit_many(*client, function, JOBS);
        bencher.iter_batched_ref(empty, submit, BatchSize::LargeInput);
    });
    group.bench_function("background, drained", |bencher| {
        let full = || {
            let mut rig = Rig::new();
            let (client, worker) = (rig.connect(), rig.worker(&functions));
            rig.submit_many(client, function, JOBS);
            (rig, worker)
        };
        let drain = |(rig, worker): &mut (Rig, _)| rig.drain(*worker);
        bencher.iter_batched_ref(full, drain, BatchSize::LargeInput);
    });
}

/// Jobs of all priorities come and go while others stand in the queue.
fn queues(group: &mut Group<'_>) {
    let jobs = Priority::ALL.len();
    measure(group, "submit and work, 0 queued", jobs, scenes::priorities(0));
    measure(group, "submit and work, 100,000 queued", jobs, scenes::priorities(CROWD));
}

/// Start times of jobs (SUBMIT_JOB_EPOCH) and limits on them (CAN_DO_TIMEOUT), alone and among others.
fn timers(group: &mut Group<'_>) {
    for (crowd, among) in [(0, "alone"), (CROWD, "100,000 pending")] {
        measure(group, &format!("start set and cancelled, {among}"), 1, scenes::epoch(crowd));
        measure(group, &format!("start set and due, {among}"), 1, scenes::epoch_due(crowd));
        measure(group, &format!("limit set and cancelled, {among}"), 1, scenes::timeout(crowd));
    }
}

/// Replies are written out and taken by a socket that takes all; an operation is a reply.
fn outboxes(group: &mut Group<'_>) {
    measure(group, "small replies", scenes::REPLIES, scenes::small_replies());
    measure(group, "a reply of 256 KiB", 1, scenes::large_reply());
}

fn main() {
    // About a minute for all of them; `-- --measurement-time 10` looks closer.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    decoding(&mut criterion.benchmark_group("decode"));
    machine(&mut criterion.benchmark_group("core"));
    halves(&mut criterion.benchmark_group("core"));
    queues(&mut criterion.benchmark_group("queues"));
    timers(&mut criterion.benchmark_group("timers"));
    outboxes(&mut criterion.benchmark_group("outbox"));
    criterion.final_summary();
}
