//! `conveyor conformance`: checks any Gearman server against numbered protocol rules.

mod args;
mod ctx;
mod report;
mod rule;
mod rules;
mod runner;
mod spawn;

pub(crate) use args::Args;

use report::Run;
use rule::Rule;
use runner::{Plan, Target};
use std::io::IsTerminal;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Wrong usage, or no server.
const UNUSABLE: u8 = 2;

/// Runs the rules and reports them.
pub(crate) fn run(args: &Args) -> ExitCode {
    match try_run(args) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("conveyor conformance: {message}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn try_run(args: &Args) -> Result<ExitCode, String> {
    let chosen = choose(&args.only)?;
    if args.list {
        print!("{}", report::list(&chosen, args.markdown));
        return Ok(ExitCode::SUCCESS);
    }
    let plan = Plan {
        target: target(args)?,
        compat: args.compat,
        timeout: Duration::from_millis(args.timeout_ms),
        jobs: usize::from(args.jobs),
    };
    plan.reachable()?;
    let started = Instant::now();
    let colour = !args.json && std::io::stdout().is_terminal();
    let results = plan.run(&chosen, |result| {
        if !args.json {
            println!("{}", report::line(result, args.compat, colour));
        }
    });
    let run = Run { results, compat: args.compat, expect_bugs: args.expect_bugs, took: started.elapsed() };
    if args.json {
        println!("{}", run.json().map_err(|error| error.to_string())?);
    } else {
        println!("{}", run.summary());
    }
    Ok(if run.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The rules whose id or area starts with one of these words.
fn choose(only: &[String]) -> Result<Vec<Rule>, String> {
    let all = rules::all();
    if let Some(word) = only.iter().find(|word| !all.iter().any(|rule| matches(rule, word))) {
        return Err(format!("no rule has an id or area that starts with {word:?} (see --list)"));
    }
    Ok(all
        .into_iter()
        .filter(|rule| only.is_empty() || only.iter().any(|word| matches(rule, word)))
        .collect())
}

fn matches(rule: &Rule, word: &str) -> bool {
    rule.area.starts_with(word) || rule.id.to_ascii_lowercase().starts_with(&word.to_ascii_lowercase())
}

fn target(args: &Args) -> Result<Target, String> {
    if let Some(command) = &args.spawn {
        return Ok(Target::Spawn(spawn::Template::new(command, args.server_stderr)?));
    }
    let name = args.server.as_deref().unwrap_or_default();
    let mut addresses = name.to_socket_addrs().map_err(|error| format!("{name}: {error}"))?;
    let address = addresses.next().ok_or_else(|| format!("{name} has no address"))?;
    Ok(Target::Running(address))
}
