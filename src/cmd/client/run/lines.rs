//! Lines for programs: on standard output by a thread of their own, or in a file.

use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Lines that may wait for whoever reads standard output. Then the run waits, too.
const WAITING: usize = 10_000;

/// Where lines go.
#[derive(Debug)]
pub(super) enum Lines {
    Stdout { sender: Option<SyncSender<String>>, writer: Option<JoinHandle<io::Result<()>>> },
    File(File),
}

impl Lines {
    /// Standard output.
    pub(super) fn stdout() -> io::Result<Self> {
        let (sender, lines) = sync_channel(WAITING);
        let writer = std::thread::Builder::new().name("output".to_owned()).spawn(move || write(&lines))?;
        Ok(Self::Stdout { sender: Some(sender), writer: Some(writer) })
    }

    /// A file, to which is added when a run goes on.
    pub(super) fn file(path: &Path, add: bool) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(add).write(true).truncate(!add).open(path)?;
        Ok(Self::File(file))
    }

    /// Writes a line: to a file at once, so that it stands there before the journal says that a task has ended.
    pub(super) fn write(&mut self, value: &Value) -> io::Result<()> {
        let line = format!("{value}\n");
        match self {
            Self::File(file) => file.write_all(line.as_bytes()),
            Self::Stdout { sender, .. } => {
                let Some(to) = sender else { return Ok(()) };
                let sent = match to.try_send(line) {
                    Err(TrySendError::Full(line)) => to.send(line).is_ok(),
                    sent => sent.is_ok(),
                };
                if !sent {
                    // Nobody reads any more; why is told in the end.
                    *sender = None;
                }
                Ok(())
            }
        }
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// Something could not be.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Stdout { sender, writer } => {
                drop(sender);
                match writer.map(JoinHandle::join) {
                    Some(Ok(written)) => written,
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Writes what comes, and flushes when nothing more is there.
fn write(lines: &Receiver<String>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    while let Ok(line) = lines.recv() {
        out.write_all(line.as_bytes())?;
        while let Ok(line) = lines.try_recv() {
            out.write_all(line.as_bytes())?;
        }
        out.flush()?;
    }
    Ok(())
}
