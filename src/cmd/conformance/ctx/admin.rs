//! The text protocol: commands that are answered by a line or by a table.

use super::{Checked, Failure, Peer};

/// A table longer than this is taken for a server that does not stop.
const TABLE_LINES: usize = 100_000;

impl Peer {
    /// Sends a command, ended as gearadmin ends it.
    pub(crate) fn command(&mut self, command: &str) -> Checked {
        self.raw(format!("{command}\r\n").as_bytes())
    }

    /// A command is answered by exactly this line.
    pub(crate) fn ask(&mut self, command: &str, expected: &str) -> Checked {
        self.command(command)?;
        self.expect_line(expected)
    }

    /// The lines of a table without their ends and without the closing dot.
    pub(crate) fn table(&mut self, command: &str) -> Checked<Vec<String>> {
        self.command(command)?;
        self.rows()
    }

    /// The rest of a table up to the line with the dot.
    pub(crate) fn rows(&mut self) -> Checked<Vec<String>> {
        let mut lines = Vec::new();
        while lines.len() < TABLE_LINES {
            let line = self.line()?;
            if line == ".\n" {
                return Ok(lines);
            }
            let Some(row) = line.strip_suffix('\n') else { break };
            if row.starts_with("ERR ") {
                return Err(Failure {
                    received: line.into_bytes(),
                    ..self.failure("got an error instead of a table")
                });
            }
            lines.push(row.to_owned());
        }
        Err(self.failure("the table does not end"))
    }

    /// The row of a table that begins with this word and a tab: the rest of it.
    pub(crate) fn row(&mut self, command: &str, word: &str) -> Checked<Option<String>> {
        let rows = self.table(command)?;
        Ok(rows.iter().find_map(|row| row.strip_prefix(word)?.strip_prefix('\t').map(str::to_owned)))
    }

    /// Total, running and workers of a function, if it exists.
    pub(crate) fn status_of(&mut self, function: &str) -> Checked<Option<[u64; 3]>> {
        let row = self.row("status", function)?;
        row.map(|row| numbers(&row)).transpose()
    }

    /// Queued high, normal, low, and workers of a function, if it exists.
    pub(crate) fn priorities_of(&mut self, function: &str) -> Checked<Option<[u64; 4]>> {
        let row = self.row("prioritystatus", function)?;
        row.map(|row| numbers(&row)).transpose()
    }

    /// Retries, ignored and persisted of a job, if it is listed.
    pub(crate) fn job_row(&mut self, handle: &str) -> Checked<Option<[u64; 3]>> {
        let row = self.row("show jobs", handle)?;
        row.map(|row| numbers(&row)).transpose()
    }

    /// The row of `workers` for the connection with this client id: the rest after the id.
    pub(crate) fn abilities_of(&mut self, client_id: &str) -> Checked<Option<String>> {
        let rows = self.table("workers")?;
        let mark = format!(" {client_id} :");
        Ok(rows.iter().find_map(|row| row.split_once(&mark).map(|(_, rest)| rest.to_owned())))
    }
}

/// Numbers with tabs between.
fn numbers<const COUNT: usize>(row: &str) -> Checked<[u64; COUNT]> {
    let all: Result<Vec<u64>, _> = row.split('\t').map(str::parse).collect();
    all.ok()
        .and_then(|all| all.try_into().ok())
        .ok_or_else(|| Failure::new(format!("expected {COUNT} numbers with tabs between, got {row:?}")))
}
