//! `conveyor schedule run-now`: in the foreground, with or without a process that looks after the schedule.

use super::{Args, moment};
use crate::logging::Log;
use crate::schedules::by_hand::Came;
use crate::schedules::config::Schedule;
use crate::schedules::keeper::{Keeper, Starter};
use crate::schedules::store::Folder;
use crate::settings::{LogTarget, Verbosity};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit code when it was not started, as of a client run that goes on elsewhere.
const NOT_STARTED: u8 = 75;

/// Runs it.
///
/// # Errors
/// It cannot be said what came of it; says what to do.
pub(super) fn run(schedule: Schedule, server: &str, args: &Args) -> Result<ExitCode, String> {
    let folder = Folder::open(args.state_dir.as_deref())?;
    let starter = Starter::new(server.to_owned(), args.config.clone())?.foreground();
    Log::start(&LogTarget::Stderr, Verbosity::Error);
    let cannot = |error: std::io::Error| format!("cannot start: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let shown = schedule.clone();
    let came = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let (stop, told) = watch::channel(false);
        let mut running = std::pin::pin!(Keeper::new(schedule, folder, Arc::new(starter)).run_by_hand(told));
        loop {
            tokio::select! {
                came = &mut running => return came,
                // The other end is in `running`.
                _ = terminate.recv() => { let _ = stop.send(true); }
                _ = interrupt.recv() => { let _ = stop.send(true); }
            }
        }
    })?;
    Ok(report(&shown, &came, args.json))
}

/// Says what came of it.
fn report(schedule: &Schedule, came: &Came, as_json: bool) -> ExitCode {
    let name = &schedule.plan.name;
    match came {
        Came::Accepted { due, server, handle } => {
            let line = format!("{name}: {server} has accepted the job {handle}");
            let value = json!({ "due": moment(schedule, *due), "outcome": "accepted", "server": server, "handle": handle });
            println!("{}", if as_json { value.to_string() } else { line });
            ExitCode::SUCCESS
        }
        Came::Ended(past, code) => {
            if as_json {
                let (due, ended) = (moment(schedule, past.due), moment(schedule, past.ended));
                println!(
                    "{}",
                    json!({ "due": due, "ended": ended, "outcome": past.outcome, "note": past.note, "code": code })
                );
            } else if past.note.is_empty() {
                println!("{name}: {}", past.outcome);
            } else {
                println!("{name}: {}: {}", past.outcome, past.note);
            }
            ExitCode::from(u8::try_from(*code).unwrap_or(1))
        }
        Came::PassedOver(why) => {
            if as_json {
                println!("{}", json!({ "outcome": "not-started", "note": why }));
            }
            eprintln!("conveyor schedule: {name} was not started: {why}");
            ExitCode::from(NOT_STARTED)
        }
        Came::Interrupted => {
            eprintln!("conveyor schedule: {name} was not started: interrupted while another run went on");
            ExitCode::from(NOT_STARTED)
        }
    }
}
