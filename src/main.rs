//! The `conveyor` binary: parses what was typed and hands it to one file under `cmd`.

mod cli;
mod cmd;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
