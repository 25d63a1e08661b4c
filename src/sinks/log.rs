//! Appends reports to a file, or writes them to standard error.

use super::{Notice, config};
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug)]
pub(super) struct Log {
    file: Option<PathBuf>,
}

impl Log {
    pub(super) fn new(config: &config::Log) -> Self {
        Self { file: config.file.clone() }
    }

    pub(super) fn tell(&self, notice: &Notice) -> Result<(), String> {
        let entry = entry(&jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), notice);
        // One write an entry: those of several clients do not mix.
        let written = match &self.file {
            None => std::io::stderr().write_all(entry.as_bytes()),
            Some(file) => OpenOptions::new()
                .append(true)
                .create(true)
                .open(file)
                .and_then(|mut file| file.write_all(entry.as_bytes())),
        };
        written.map_err(|error| format!("cannot write: {error}"))
    }
}

/// A line of its own, and the report set off below.
fn entry(time: &str, notice: &Notice) -> String {
    let mut entry = format!("{time} {} run {}: {}\n", notice.name, notice.run, notice.subject);
    for line in notice.text.lines() {
        entry += "    ";
        entry += line;
        entry += "\n";
    }
    entry
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            None => f.write_str("log to standard error"),
            Some(file) => write!(f, "log to {}", file.display()),
        }
    }
}
