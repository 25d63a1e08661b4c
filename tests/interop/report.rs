//! The table of results, for `docs/interop.md`.

use crate::Kind;
use crate::items::{Item, Outcome};
use crate::library::Library;
use std::fmt::Write;
use std::sync::Mutex;

type Row = (Kind, Library, Vec<(Item, Outcome)>);

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Adds the results of a library with itself; the last one to come writes the table, when it is wanted.
pub(crate) fn add(kind: Kind, library: Library, outcomes: &[(Item, Outcome)]) {
    let mut rows = ROWS.lock().unwrap();
    rows.push((kind, library, outcomes.to_vec()));
    if rows.len() == 4 * Library::ALL.len()
        && let Some(path) = std::env::var_os("CONVEYOR_INTEROP_REPORT")
    {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::write(path, table(&rows)).unwrap();
    }
}

const HEAD: &str = "\
# Interop: what other people's libraries do with Conveyor

Written by `CONVEYOR_INTEROP_REPORT=docs/interop.md cargo test --test interop`. For every library a client and a
worker (`tests/interop/`), the same programs against Conveyor and against Debian's gearmand 1.1.20. A cell says what came
out on Conveyor / on gearmand; numbers are notes below. Besides, every client is tried with every
worker (foreground, background, unique, binary, status, data, fail), all 42 pairs on Conveyor and some on gearmand.

Versions: libgearman and `gearman` 1.1.20, ext-gearman 2.1.0 on PHP 8.2, Gearman::Client 2.004, gear 0.16.0,
pygearman 0.2.6, npm gearman 2.1.0.

";

fn cell(outcome: Option<&Outcome>, notes: &mut Vec<&'static str>) -> String {
    match outcome {
        Some(Outcome::Passed) => "yes".to_owned(),
        Some(Outcome::Failed(_)) | None => "NO".to_owned(),
        Some(Outcome::Cannot(why)) => {
            let at = notes.iter().position(|note| note == why).unwrap_or_else(|| {
                notes.push(why);
                notes.len() - 1
            });
            format!("({})", at + 1)
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut out = HEAD.to_owned();
    let mut notes = Vec::new();
    let titles: Vec<&str> = Library::ALL.iter().map(|library| library.title()).collect();
    writeln!(out, "| | {} |\n|---|{}", titles.join(" | "), "---|".repeat(titles.len())).unwrap();
    for item in Item::ALL.iter().chain(&[Item::Large]) {
        let mut line = format!("| {item:?} |");
        for library in Library::ALL {
            let outcome = |kind| {
                let mut rows = rows.iter().filter(|row| row.0 == kind && row.1 == library);
                rows.find_map(|row| row.2.iter().find(|(other, _)| other == item)).map(|(_, outcome)| outcome)
            };
            let ours = cell(outcome(Kind::Conveyor), &mut notes);
            let theirs = cell(outcome(Kind::Gearmand), &mut notes);
            let both =
                if ours == theirs && ours.starts_with('(') { ours } else { format!("{ours} / {theirs}") };
            write!(line, " {both} |").unwrap();
        }
        writeln!(out, "{line}").unwrap();
    }
    out.push('\n');
    for (at, note) in notes.iter().enumerate() {
        writeln!(out, "{}. {note}", at + 1).unwrap();
    }
    out.push_str("\nEpoch on gearmand 1.1: it wakes no sleeping worker when the time has come; the test submits another job then.\n");
    out
}
