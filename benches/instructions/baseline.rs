//! What the workloads took when somebody last looked, and what may come of it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Growth, or gain, in % that is no matter.
const TOLERANCE: f64 = 10.0;

/// Recorded counts belong to an instruction set.
const ARCHITECTURE: &str = std::env::consts::ARCH;

/// How to record.
const SAVE: &str = "cargo bench --bench instructions -- --save";

const HEADER: &str = "\
# Instructions an operation, written by `cargo bench --bench instructions -- --save`: not to be edited. A commit that
# makes one of them larger by intention records them anew and says why.
";

/// The file and what it held.
pub(crate) struct Baseline {
    path: PathBuf,
    recorded: Table,
}

impl Baseline {
    /// The file at `path`; an empty one when there is none.
    ///
    /// # Errors
    /// It cannot be read, or is no TOML.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| format!("{}: {error}", path.display())),
        };
        let recorded = text?.parse().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), recorded })
    }

    fn here(&self) -> Option<&Table> {
        self.recorded.get(ARCHITECTURE).and_then(Value::as_table)
    }

    fn of(&self, name: &str) -> Option<f64> {
        self.here()?.get(name)?.as_float()
    }

    /// By how many % a workload has grown.
    fn change(&self, name: &str, count: f64) -> Option<f64> {
        self.of(name).map(|before| (count / before - 1.0) * 100.0)
    }

    /// For people.
    pub(crate) fn table(&self, measured: &[(&str, f64)]) -> String {
        let mut table =
            "| workload | instructions an operation | baseline | change |\n|---|---|---|---|".to_owned();
        for (name, count) in measured {
            let before = self.of(name).map_or_else(|| "none".to_owned(), |before| format!("{before:.1}"));
            // Plus zero, so that nothing is shown as minus zero.
            let shown = |change: f64| format!("{:+.1} %", (change * 10.0).round() / 10.0 + 0.0);
            let change = self.change(name, *count).map_or_else(String::new, shown);
            let _ = write!(table, "\n| {name} | {count:.1} | {before} | {change} |");
        }
        table
    }

    /// Whether nothing has become slower by more than is tolerated.
    ///
    /// # Errors
    /// Something has, or was never recorded.
    pub(crate) fn judge(&self, measured: &[(&str, f64)]) -> Result<(), String> {
        let gained = measured
            .iter()
            .filter(|(name, count)| self.change(name, *count).is_some_and(|change| change < -TOLERANCE));
        for (name, _) in gained {
            println!("{name} takes over {TOLERANCE} % less than recorded: keep the gain with {SAVE}");
        }
        let mut problems = Vec::new();
        for (name, count) in measured {
            match self.change(name, *count) {
                None => problems.push(format!("{name} has no baseline for {ARCHITECTURE}: record it with {SAVE}")),
                Some(change) if change > TOLERANCE => problems.push(format!(
                    "{name} takes {change:.1} % more instructions than recorded, {TOLERANCE} % is the most: make it \
                     cheaper, or record what it costs with {SAVE} and say why in the commit"
                )),
                Some(_) => {}
            }
        }
        let known = |name: &&String| measured.iter().any(|(measured, _)| measured == name);
        let gone = self.here().into_iter().flat_map(Table::keys).filter(|name| !known(name));
        problems.extend(
            gone.map(|name| format!("{name} is recorded and is no workload: record anew with {SAVE}")),
        );
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\ninstructions: ")) }
    }

    /// Records what was measured, and keeps what other architectures have.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&mut self, measured: &[(&str, f64)]) -> Result<(), String> {
        let rounded = |count: f64| Value::Float((count * 10.0).round() / 10.0);
        let here: Table =
            measured.iter().map(|(name, count)| ((*name).to_owned(), rounded(*count))).collect();
        self.recorded.insert(ARCHITECTURE.to_owned(), Value::Table(here));
        let mut text = HEADER.to_owned();
        for (architecture, counts) in &self.recorded {
            let _ = write!(text, "\n[{architecture}]\n");
            for (name, count) in counts.as_table().into_iter().flatten() {
                let _ = writeln!(text, "{name} = {:.1}", count.as_float().unwrap_or_default());
            }
        }
        std::fs::write(&self.path, text).map_err(|error| format!("{}: {error}", self.path.display()))?;
        println!("recorded {} workloads for {ARCHITECTURE}", measured.len());
        Ok(())
    }
}
