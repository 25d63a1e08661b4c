//! Guards speed without a clock: instructions of fixed workloads, counted by valgrind.
//!
//! `cargo bench --bench instructions` runs itself once more under valgrind for each workload, with its rounds and
//! with none, and compares the difference, an operation, with what `benches/instructions.toml` says. It fails
//! when a workload takes over 10 % more. Counts hardly differ between runs and do not depend on what else
//! the machine does; they do on the compiler and the C library, so that the baseline is recorded anew (`-- --save`)
//! by the commit that changes what they are. `--baseline FILE` compares with, or writes, another file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark may panic, and says where"
)]

mod baseline;
mod count;

/// Private to the engine, and found by its path: it needs nothing of the server but the core.
#[path = "../../crates/server/src/engine/outbox.rs"]
#[expect(dead_code, unused_imports, reason = "what only the engine asks for, and its tests")]
mod outbox;
#[path = "../rig/mod.rs"]
mod rig;

use baseline::Baseline;
use conveyor_server::core;
use rig::scenes;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is measured, and how often.
struct Workload {
    name: &'static str,
    /// Operations that one round stands for.
    operations: usize,
    /// Enough for 30 to 100 million instructions: what is left of the set-up is lost in them.
    rounds: usize,
    scene: fn() -> Box<dyn FnMut()>,
}

/// Background jobs that pile up before they are worked off.
const BACKLOG: usize = 20_000;

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "decode",
        operations: scenes::PACKETS,
        rounds: 100,
        scene: || Box::new(scenes::decoding()),
    },
    Workload { name: "foreground", operations: 1, rounds: 10_000, scene: || Box::new(scenes::foreground()) },
    Workload {
        name: "background",
        operations: BACKLOG,
        rounds: 1,
        scene: || Box::new(scenes::backlog(BACKLOG)),
    },
    Workload { name: "wake-1000", operations: 1, rounds: 5_000, scene: || Box::new(scenes::wake(1000)) },
    Workload {
        name: "functions-200",
        operations: 1,
        rounds: 5_000,
        scene: || Box::new(scenes::many_functions(200, 8)),
    },
    Workload {
        name: "visit",
        operations: 1,
        rounds: 5_000,
        scene: || Box::new(scenes::visit(scenes::ABILITIES)),
    },
    Workload { name: "timers", operations: 1, rounds: 5_000, scene: || Box::new(scenes::epoch_due(1000)) },
    Workload {
        name: "outbox",
        operations: scenes::REPLIES,
        rounds: 400,
        scene: || Box::new(scenes::small_replies()),
    },
];

/// What was typed.
struct Arguments {
    save: bool,
    baseline: PathBuf,
    /// Set in the process that is counted: which workload to run, and how often.
    run: Option<(String, usize)>,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let baseline = [env!("CARGO_MANIFEST_DIR"), "benches", "instructions.toml"].iter().collect();
        let mut read = Self { save: false, baseline, run: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                // Said by `cargo bench` to every benchmark.
                "--bench" => {}
                "--save" => read.save = true,
                "--baseline" => read.baseline = value()?.into(),
                count::RUN => {
                    let (name, rounds) = (value()?, value()?);
                    read.run = Some((name, rounds.parse().map_err(|error| format!("{rounds}: {error}"))?));
                }
                _ => return Err(format!("{argument} is not known; there are --save and --baseline FILE")),
            }
        }
        Ok(read)
    }
}

fn run(name: &str, rounds: usize) -> Result<(), String> {
    let workload = WORKLOADS.iter().find(|workload| workload.name == name);
    let mut scene = (workload.ok_or_else(|| format!("there is no workload {name}"))?.scene)();
    (0..rounds).for_each(|_| scene());
    Ok(())
}

/// Instructions an operation of every workload.
fn measure() -> Result<Vec<(&'static str, f64)>, String> {
    let mut measured = Vec::new();
    for workload in WORKLOADS {
        // What it takes to start the process and to set the scene up is not the workload's.
        let around = count::instructions(workload.name, 0)?;
        let all = count::instructions(workload.name, workload.rounds)?;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let each = all.saturating_sub(around) as f64 / (workload.operations * workload.rounds) as f64;
        measured.push((workload.name, each));
    }
    Ok(measured)
}

fn guard() -> Result<(), String> {
    let arguments = Arguments::read()?;
    if let Some((name, rounds)) = &arguments.run {
        return run(name, *rounds);
    }
    if cfg!(debug_assertions) {
        println!("not optimised, so there is nothing to compare: use cargo bench --bench instructions");
        return Ok(());
    }
    count::check_tool()?;
    let mut baseline = Baseline::read(&arguments.baseline)?;
    let measured = measure()?;
    println!("{}", baseline.table(&measured));
    if arguments.save { baseline.save(&measured) } else { baseline.judge(&measured) }
}

fn main() -> ExitCode {
    match guard() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("instructions: {problem}");
            ExitCode::FAILURE
        }
    }
}
