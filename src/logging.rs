//! Where log lines go, and opening the file again after it was rotated.

use crate::settings::{LogTarget, Verbosity};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// The open log, shared by all threads.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: Option<PathBuf>,
    file: Arc<Mutex<Option<File>>>,
}

impl Log {
    /// Starts logging. A file that cannot be opened is no reason not to run: stderr is used and told so.
    pub(crate) fn start(target: &LogTarget, verbose: Verbosity) -> Self {
        let path = match target {
            LogTarget::File(path) => Some(path.clone()),
            LogTarget::Stderr | LogTarget::Nowhere => None,
        };
        let log = Self { path, file: Arc::default() };
        if let Err(error) = log.reopen() {
            let path = log.path.clone().unwrap_or_default();
            eprintln!("conveyor: cannot open the log file {}: {error}; logging to stderr", path.display());
        }
        let filter = match target {
            LogTarget::Nowhere => tracing::level_filters::LevelFilter::OFF,
            _ => verbose.filter(),
        };
        let colours = log.path.is_none() && io::stderr().is_terminal();
        tracing_subscriber::fmt()
            .with_max_level(filter)
            .with_writer(log.clone())
            .with_ansi(colours)
            .with_target(false)
            .init();
        log
    }

    /// Opens the log file again: it was moved away. Does nothing for stderr.
    ///
    /// # Errors
    /// The file cannot be opened; the old one stays in use.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }
}

/// One log line on its way.
#[derive(Debug)]
pub(crate) struct Line<'a>(&'a Log);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &mut *self.0.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write(line),
            None => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}
