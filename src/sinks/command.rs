//! Runs a command with the report, as JSON, on its standard input.

use super::{Notice, config, process};
use std::fmt;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Command {
    program: String,
    arguments: Vec<String>,
}

impl Command {
    pub(super) fn new(config: &config::Command) -> Result<Self, String> {
        match config.command.split_first() {
            Some((program, arguments)) if !program.is_empty() => {
                Ok(Self { program: program.clone(), arguments: arguments.to_vec() })
            }
            _ => Err("command is empty: give a program and its arguments, as [\"program\", \"argument\"]"
                .to_owned()),
        }
    }

    pub(super) fn tell(&self, notice: &Notice, deadline: Instant) -> Result<(), String> {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments);
        command.env("CONVEYOR_RUN", &notice.run).env("CONVEYOR_NAME", &notice.name);
        command.env("CONVEYOR_OUTCOME", notice.outcome());
        process::run(command, format!("{}\n", notice.json).into_bytes(), deadline)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {}", self.program)
    }
}
