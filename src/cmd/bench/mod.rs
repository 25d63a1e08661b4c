//! `conveyor bench`: puts load on any Gearman server and says what it takes. One thread generates it, with one system
//! call for all that is ready on a connection and nothing allocated a packet, so that the server is what is
//! measured.

mod args;
mod driver;
mod load;
mod measure;
mod peer;
mod report;
mod role;
mod server;

pub(crate) use args::Args;

use indicatif::{ProgressBar, ProgressStyle};
use load::Load;
use measure::{Plan, measure};
use report::{Document, Outcome, Ratios, Runs};
use rustix::process::{Resource, getrlimit, setrlimit};
use server::Server;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Runs the loads and reports them.
pub(crate) fn run(args: &Args) -> ExitCode {
    match try_run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("conveyor bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &Args) -> Result<(), String> {
    if args.list {
        print!("{}", report::list(&load::LOADS));
        return Ok(());
    }
    raise_descriptor_limit();
    let names = std::iter::once(&args.server).chain(&args.vs);
    let servers = names.map(|name| Server::find(name)).collect::<Result<Vec<_>, _>>()?;
    let loads = load::chosen(args);
    let progress = progress(args, loads.len() * servers.len() * args.rounds as usize);
    if !args.json {
        println!("{}", report::head());
    }
    let mut results = Vec::new();
    for load in &loads {
        let outcome = run_load(load, &servers, args, &progress)?;
        if !args.json {
            progress.suspend(|| print!("{}", report::rows(&outcome, &servers)));
        }
        results.push(outcome);
    }
    progress.finish_and_clear();
    if args.json {
        let document = Document { servers: &servers, rounds: args.rounds, results: &results };
        println!("{}", serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?);
    }
    Ok(())
}

/// One load on all servers, in turns.
fn run_load(load: &Load, servers: &[Server], args: &Args, progress: &ProgressBar) -> Result<Outcome, String> {
    let plan = Plan { seconds: args.seconds, leave_jobs: args.leave_jobs };
    let mut runs: Vec<Vec<measure::Run>> = servers.iter().map(|_| Vec::new()).collect();
    for round in 1..=args.rounds {
        for (server, runs) in servers.iter().zip(&mut runs) {
            progress.set_message(format!("{} on {}, round {round}", load.name, server.name));
            runs.push(measure(server, load, plan).map_err(|error| format!("{}: {error}", load.name))?);
            progress.inc(1);
        }
    }
    let servers: Vec<Runs> = runs.into_iter().filter_map(Runs::new).collect();
    let ratios = Ratios::of(&servers);
    let Load { name, about, clients, in_flight, workers, payload, functions, .. } = *load;
    Ok(Outcome { load: name, about, clients, in_flight, workers, payload, functions, servers, ratios })
}

fn progress(args: &Args, steps: usize) -> ProgressBar {
    if args.quiet || args.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(steps as u64);
    // A template that cannot be read leaves the plain bar.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Takes as many descriptors as the system gives without asking; what it refuses shows when connections are opened.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
