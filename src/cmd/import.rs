//! `conveyor import`: jobs of gearmand's stores come into the stored queue, and back.

use crate::queues::{Kind, QueueArgs};
use crate::storage::{self, DATA_DIR_VARIABLE};
use conveyor_server::store::{Backend, Flush, StoreConfig, Transfer, Transferred};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  conveyor import --from libsqlite3 --libsqlite3-db /var/gearmand/queue.db --dry-run
  conveyor import --from redis --redis-server 10.0.0.7 --remove
  conveyor import --from durable --to postgres --libpq-conninfo 'host=db user=gearman'

Stop the servers of both stores first. Jobs keep their order and get new handles. Without --remove the first store still has
them: do not let two servers do the same jobs. Jobs whose function and unique the second store has already are left out.

Exit codes: 0 all jobs are there, 1 failure, or jobs that the second store has no place for, 2 wrong usage.";

/// Options of `conveyor import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where the jobs are: durable, libsqlite3, mysql, postgres, redis or libmemcached
    #[arg(long, value_name = "TYPE", value_parser = side)]
    from: Side,
    /// Where they are to come
    #[arg(long, value_name = "TYPE", value_parser = side, default_value = "durable")]
    to: Side,
    /// Directory of the durable queue, as for `conveyor server` (default: the same as there)
    #[arg(long, value_name = "DIRECTORY", env = DATA_DIR_VARIABLE)]
    data_dir: Option<PathBuf>,
    /// Only say what would happen, and what the second store cannot hold
    #[arg(long)]
    dry_run: bool,
    /// Take the jobs out of the first store when they are in the second one
    #[arg(long, conflicts_with = "dry_run")]
    remove: bool,
    /// Print what happened as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    queues: QueueArgs,
}

/// One end of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Durable,
    Gearmand(Kind),
}

fn side(name: &str) -> Result<Side, String> {
    match Kind::from_name(name) {
        Some(kind) => Ok(Side::Gearmand(kind)),
        None if name.eq_ignore_ascii_case("durable") => Ok(Side::Durable),
        None => Err("choose durable, libsqlite3, mysql, postgres, redis or libmemcached".to_owned()),
    }
}

impl Args {
    fn backend(&self, side: Side) -> Result<Backend, String> {
        match side {
            Side::Durable => {
                let directory = storage::directory(self.data_dir.as_deref())?;
                Ok(Backend::Durable(StoreConfig { directory, flush: Flush::Each }))
            }
            Side::Gearmand(kind) => {
                let mut store = self.queues.resolve(kind)?;
                store.on_shutdown = false;
                Ok(Backend::Gearmand(store))
            }
        }
    }
}

/// Does what is asked.
pub(crate) fn run(args: &Args) -> ExitCode {
    if args.from == args.to {
        eprintln!("conveyor import: --from and --to are the same: name two kinds of stores");
        return ExitCode::from(2);
    }
    match transfer(args) {
        Ok(report) => {
            tell(args, &report);
            if report.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("conveyor import: {message}");
            ExitCode::FAILURE
        }
    }
}

fn transfer(args: &Args) -> Result<Transferred, String> {
    let (from, to) = (args.backend(args.from)?, args.backend(args.to)?);
    // Draws nothing where standard error is no terminal.
    let style = ProgressStyle::with_template("{spinner} {pos} jobs {per_sec}");
    let bar = ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    let how = Transfer { dry_run: args.dry_run, remove: args.remove };
    let done = how.run(&from, &to, &mut |jobs| bar.set_position(jobs));
    bar.finish_and_clear();
    done.map_err(|error| error.to_string())
}

fn tell(args: &Args, report: &Transferred) {
    let Transferred { jobs, copied, known, refused, reducers_lost, attempts_lost, handles_lost } = *report;
    if args.json {
        let said = json!({
            "dry_run": args.dry_run,
            "removed": args.remove,
            "jobs": jobs,
            "copied": copied,
            "known": known,
            "refused": refused,
            "handles_lost": handles_lost,
            "attempts_lost": attempts_lost,
            "reducers_lost": reducers_lost,
        });
        println!("{said}");
        return;
    }
    let would = if args.dry_run { "would be " } else { "" };
    println!("{jobs} jobs, {copied} {would}copied");
    for (count, what) in [
        (known, "left out: the second store has their function and unique already"),
        (refused, "have no place in the second store"),
        (handles_lost, "with a new handle"),
        (attempts_lost, "without the number of attempts so far"),
        (reducers_lost, "without their reducer"),
    ] {
        if count > 0 {
            println!("{count} {what}");
        }
    }
    if !args.dry_run && !args.remove && copied > 0 {
        println!("The first store still has them.");
    }
}
