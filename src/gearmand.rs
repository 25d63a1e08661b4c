//! The command line of gearmand, for a process started under that name.
//!
//! gearmand's rules of parsing are its own: `--x=v`, `--x v`, `-xv` and `-x v`, no abbreviations, no option
//! with one value twice, `gearmand: MESSAGE` and exit code 1 for everything wrong.

use crate::cmd::server;
use crate::queues;
use crate::settings::{self, DEFAULT_PORT, Given, Settings, Verbosity};
use crate::storage::{self, Otherwise};
use conveyor_server::core::Compat;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Long name, short name, whether a value follows. Options of parts that are not there yet are refused by name.
const OPTIONS: &[(&str, &str, bool)] = &[
    ("backlog", "b", true),
    ("check-args", "", false),
    ("compat", "", true),
    ("coredump", "", false),
    ("exceptions", "", false),
    ("file-descriptors", "f", true),
    ("hashtable-buckets", "", true),
    ("help", "h", false),
    ("job-handle-prefix", "", true),
    ("job-retries", "j", true),
    ("keepalive", "", false),
    ("keepalive-count", "", true),
    ("keepalive-idle", "", true),
    ("keepalive-interval", "", true),
    ("listen", "L", true),
    ("log-file", "l", true),
    ("pid-file", "P", true),
    ("port", "p", true),
    ("queue-type", "q", true),
    ("round-robin", "R", false),
    ("threads", "t", true),
    ("verbose", "", true),
    ("version", "V", false),
    ("worker-wakeup", "w", true),
];

/// Options with one value that start with something else than being given.
#[derive(Debug, Default)]
struct Typed {
    given: Given,
    check_args: bool,
    help: bool,
    version: bool,
}

/// Whether the program was started as `gearmand`.
pub(crate) fn is_called_gearmand(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new("gearmand"))
}

/// Runs as gearmand.
pub(crate) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let outcome = parse(&words).and_then(|typed| {
        let settings = Settings::resolve(&typed.given)?;
        if typed.check_args {
            return Ok(());
        }
        if typed.help {
            print_help();
            return Ok(());
        }
        if typed.version {
            let version = settings::version(typed.given.compat.unwrap_or(Compat::V1_1));
            println!("\ngearmand {version} - https://github.com/gearman/gearmand/issues");
            return Ok(());
        }
        server::serve(&settings, None)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("gearmand: {message}");
            ExitCode::FAILURE
        }
    }
}

fn print_help() {
    println!("gearmand, by conveyor. Options as in gearmand(8):");
    for (long, short, value) in OPTIONS {
        let short = if short.is_empty() { String::new() } else { format!(" -{short}") };
        println!("  --{long}{}{short}", if *value { "=VALUE" } else { "" });
    }
    for (long, value) in queues::OPTIONS {
        println!("  --{long}{}", if *value { "=VALUE" } else { "" });
    }
    println!("\nThe same server with explanations: conveyor server --help");
}

/// The name and value of an option word; the value may be the word itself or the next one.
fn split_word(word: &str) -> Option<(&'static str, bool, Option<String>)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let known = OPTIONS.iter().map(|(long, _, takes)| (long, takes));
        let queues = queues::OPTIONS.iter().map(|(long, takes)| (long, takes));
        let (name, takes) = known.chain(queues).find(|(long, _)| **long == name)?;
        return Some((name, *takes, value));
    }
    let rest = word.strip_prefix('-')?;
    let (name, short, takes) =
        OPTIONS.iter().find(|(_, short, _)| !short.is_empty() && rest.starts_with(short))?;
    let value = rest.strip_prefix(short).filter(|value| !value.is_empty());
    if !takes && value.is_some() {
        return None;
    }
    Some((name, *takes, value.map(|value| value.trim_start_matches('=').to_owned())))
}

fn parse(words: &[String]) -> Result<Typed, String> {
    let mut typed = Typed {
        given: Given { compat: Some(Compat::V1_1), otherwise: Otherwise::Gearmand, ..Given::default() },
        ..Typed::default()
    };
    let mut seen = HashSet::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, takes, value) = split_word(word).ok_or_else(|| format!("unrecognised option '{word}'"))?;
        if !takes {
            if value.is_some() {
                return Err(format!("option '--{name}' does not take any arguments"));
            }
            set_flag(&mut typed, name);
            continue;
        }
        if !seen.insert(name) {
            return Err(format!("option '--{name}' cannot be specified more than once"));
        }
        let value = match value {
            Some(value) => value,
            None => words
                .next()
                .filter(|value| !value.starts_with("--"))
                .cloned()
                .ok_or_else(|| format!("the required argument for option '--{name}' is missing"))?,
        };
        set_value(&mut typed.given, name, &value)?;
    }
    take_port_from_environment(&mut typed.given);
    let directory = std::env::var_os(storage::DATA_DIR_VARIABLE).filter(|value| !value.is_empty());
    typed.given.storage.data_dir = directory.map(PathBuf::from);
    Ok(typed)
}

fn set_flag(typed: &mut Typed, name: &str) {
    match name {
        "check-args" => typed.check_args = true,
        "exceptions" => typed.given.exceptions = true,
        "help" => typed.help = true,
        "store-queue-on-shutdown" => typed.given.storage.queues.store_queue_on_shutdown = true,
        "round-robin" => typed.given.round_robin = true,
        "version" => typed.version = true,
        // --keepalive is always on, --coredump is the system's business.
        _ => {}
    }
}

fn set_value(given: &mut Given, name: &str, value: &str) -> Result<(), String> {
    match name {
        "backlog" => given.backlog = Some(number(name, value)?),
        "compat" => given.compat = Some(settings::parse_compat(value)?),
        "file-descriptors" => given.file_descriptors = Some(number(name, value)?),
        "hashtable-buckets" => given.hashtable_buckets = Some(number(name, value)?),
        "job-handle-prefix" => given.job_handle_prefix = Some(value.to_owned()),
        "job-retries" => given.job_retries = Some(number(name, value)?),
        "keepalive-count" => given.keepalive_count = Some(number(name, value)?),
        "keepalive-idle" => given.keepalive_idle = Some(number(name, value)?),
        "keepalive-interval" => given.keepalive_interval = Some(number(name, value)?),
        "listen" => given.listen = vec![value.to_owned()],
        "log-file" => given.log_file = Some(value.to_owned()),
        "pid-file" => given.pid_file = Some(PathBuf::from(value)),
        "queue-type" => given.storage.queue_type = Some(storage::queue_type(value)?),
        "port" => given.port = Some(number(name, value)?),
        "threads" => drop(number::<u32>(name, value)?),
        "verbose" => {
            given.verbose =
                Verbosity::from_name(value).ok_or("Invalid value for --verbose supplied".to_owned())?;
        }
        "worker-wakeup" => given.worker_wakeup = Some(number(name, value)?),
        _ => given.storage.queues.set(name, value)?,
    }
    Ok(())
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("the argument ('{value}') for option '--{name}' is invalid"))
}

/// `GEARMAND_PORT` counts while the port is the default. Kubernetes puts a URL there for a service of that name.
fn take_port_from_environment(given: &mut Given) {
    if given.port.is_some_and(|port| port != DEFAULT_PORT) {
        return;
    }
    let Ok(value) = std::env::var("GEARMAND_PORT") else { return };
    match value.parse() {
        Ok(port) => given.port = Some(port),
        Err(_) => eprintln!("gearmand: GEARMAND_PORT is '{value}', which is no port: ignored"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Given, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words).map(|typed| typed.given)
    }

    #[test]
    fn every_way_of_writing_a_value_is_understood() {
        for line in ["--port=4731", "--port 4731", "-p4731", "-p 4731"] {
            assert_eq!(typed(line).unwrap().port, Some(4731), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named_as_gearmand_names_them() {
        for (line, message) in [
            ("foo", "unrecognised option 'foo'"),
            ("--log x", "unrecognised option '--log'"),
            ("-vvv", "unrecognised option '-vvv'"),
            ("--port", "the required argument for option '--port' is missing"),
            ("--threads=abc", "the argument ('abc') for option '--threads' is invalid"),
            ("--verbose=info", "Invalid value for --verbose supplied"),
        ] {
            assert_eq!(typed(line).unwrap_err(), message);
        }
        assert!(typed("-p 1 -p 2").is_err());
    }
}
