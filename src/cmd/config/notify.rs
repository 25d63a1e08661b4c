//! `conveyor config test-notify`: do the mails and webhooks of a client arrive?

use crate::config::{CONFIG_FILE, CONFIG_VARIABLE, Config};
use crate::sinks::{Notice, Sinks};
use clap::ValueEnum;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `conveyor config test-notify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The client, as in [client.NAME]
    name: String,
    /// Configuration file (default: conveyor.toml)
    #[arg(long, value_name = "FILE", default_value = CONFIG_FILE, env = CONFIG_VARIABLE)]
    config: PathBuf,
    /// Tell only those that are told of such a run
    #[arg(long = "as", value_name = "OUTCOME")]
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Outcome {
    Failure,
    Success,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let sinks = match read(&args.config, &args.name) {
        Ok(sinks) => sinks,
        Err(message) => {
            eprintln!("conveyor config: {message}");
            return ExitCode::from(2);
        }
    };
    let notice = notice(&args.name, args.outcome);
    let deliveries = match args.outcome {
        None => sinks.deliver_to_all(&notice),
        Some(_) => sinks.deliver(&notice),
    };
    if deliveries.is_empty() {
        println!("nobody is to be told");
    }
    for delivery in &deliveries {
        println!("{delivery}");
    }
    if deliveries.iter().all(|delivery| delivery.outcome.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read(file: &Path, name: &str) -> Result<Sinks, String> {
    let config = Config::load(Some(file))?;
    let client = config.client(name).ok_or_else(|| config.no_client(name))?;
    let wrong = |why: String| format!("{}, [client.{name}]: {why}", file.display());
    if client.notify.is_empty() {
        return Err(wrong("there is no notify entry, so that nobody would be told".to_owned()));
    }
    Sinks::from_config(client.attention, &client.notify).map_err(wrong)
}

fn notice(name: &str, outcome: Option<Outcome>) -> Notice {
    let ok = outcome == Some(Outcome::Success);
    let went = if ok { "ok" } else { "failed" };
    Notice {
        run: "test".to_owned(),
        name: name.to_owned(),
        subject: format!("conveyor: {name} {went}: a test notice"),
        ok,
        text: format!(
            "This is a test of the notices of {name}, made by `conveyor config test-notify`.\nNothing ran.\n"
        ),
        json: json!({"name": name, "run": "test", "outcome": went, "test": true}),
    }
}
