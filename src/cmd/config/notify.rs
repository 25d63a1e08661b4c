//! `conveyor config test-notify`: do the mails and webhooks of a client arrive?

use crate::sinks::{Attention, Notice, Notify, Sinks};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `conveyor config test-notify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The client, as in [client.NAME]
    name: String,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
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

/// What is of interest here in the table of a client.
#[derive(Debug, Deserialize)]
struct Client {
    attention: Option<Attention>,
    #[serde(default)]
    notify: Vec<Notify>,
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
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let table: toml::Table = text.parse().map_err(|error| format!("{shown}: {error}"))?;
    let clients = table.get("client").and_then(toml::Value::as_table);
    let client = clients.and_then(|clients| clients.get(name)).ok_or_else(|| {
        let names: Vec<&str> = clients.into_iter().flat_map(toml::Table::keys).map(String::as_str).collect();
        let known = if names.is_empty() { "no client".to_owned() } else { names.join(", ") };
        format!("{shown} has no [client.{name}]; it has {known}")
    })?;
    let wrong = |why: String| format!("{shown}, [client.{name}]: {why}");
    let client: Client =
        client.clone().try_into().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
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
