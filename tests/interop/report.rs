//! The table of results, for `docs/interop.md`.

use crate::Kind;
use crate::items::{Item, Outcome};
use crate::library::Library;
use std::fmt::Write;
use std::sync::Mutex;

/// Server, client, worker, and how it went.
type Row = (Kind, Library, Library, Vec<(Item, Outcome)>);

/// Calls of [`add`] in a whole run: on each server every library with itself, twice; three of ours with all others.
const CALLS: usize = 2 * (2 * Library::ALL.len() + 3 * (Library::ALL.len() - 1));

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Adds the results of a pair; the last one to come writes the tables, when they are wanted.
pub(crate) fn add(kind: Kind, client: Library, worker: Library, outcomes: &[(Item, Outcome)]) {
    let mut rows = ROWS.lock().unwrap();
    rows.push((kind, client, worker, outcomes.to_vec()));
    if rows.len() == CALLS
        && let Some(path) = std::env::var_os("CONVEYOR_INTEROP_REPORT")
    {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::write(path, table(&rows)).unwrap();
    }
}

const HEAD: &str = "\
# Interop: what libraries do with Conveyor, and with each other

Written by `CONVEYOR_INTEROP_REPORT=docs/interop.md cargo test --test interop`. For every library a client and a
worker (`tests/interop/`), the same programs against Conveyor and against Debian's gearmand 1.1.20. A cell says what came
out on Conveyor / on gearmand; numbers are notes below. Besides, each of other people's clients is tried with every other
worker (foreground, background, unique, binary, status, data, fail), all 42 pairs on Conveyor and some on gearmand.

Versions: libgearman and `gearman` 1.1.20, ext-gearman 2.1.0 on PHP 8.2, Gearman::Client 2.004, gear 0.16.0,
pygearman 0.2.6, npm gearman 2.1.0.

";

/// What `php_family` tries.
pub(crate) const PHP_FAMILY: &str = include_str!("php_family.md");

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

/// A table of pairs: a column each, a row an item.
fn pairs(
    rows: &[Row],
    columns: &[(Library, Library, Library)],
    items: &[Item],
    notes: &mut Vec<&'static str>,
) -> String {
    let titles: Vec<&str> = columns.iter().map(|(title, _, _)| title.title()).collect();
    let mut out = format!("| | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
    for item in items {
        write!(out, "| {item:?} |").unwrap();
        for (_, client, worker) in columns {
            let outcome = |kind| {
                let mut rows = rows.iter().filter(|row| (row.0, row.1, row.2) == (kind, *client, *worker));
                rows.find_map(|row| row.3.iter().find(|(other, _)| other == item)).map(|(_, outcome)| outcome)
            };
            let ours = cell(outcome(Kind::Conveyor), notes);
            let theirs = cell(outcome(Kind::Gearmand), notes);
            let both =
                if ours == theirs && ours.starts_with('(') { ours } else { format!("{ours} / {theirs}") };
            write!(out, " {both} |").unwrap();
        }
        out.push('\n');
    }
    out
}

fn table(rows: &[Row]) -> String {
    let mut out = HEAD.to_owned();
    let mut notes = Vec::new();
    let columns = |pair: fn(Library) -> (Library, Library)| -> Vec<(Library, Library, Library)> {
        let pairs = Library::ALL.into_iter().map(|library| (library, pair(library).0, pair(library).1));
        pairs.collect()
    };
    let all: Vec<Item> = Item::ALL.iter().chain(&[Item::Large]).copied().collect();
    out += "## Every library with itself\n\n";
    out += &pairs(rows, &columns(|library| (library, library)), &all, &mut notes);
    out += "\n## Our client, conveyor-client, with the worker of\n\n";
    out += &pairs(rows, &columns(|other| (Library::Rust, other)), Item::OURS, &mut notes);
    out += "\n## Our worker, conveyor-worker, with the client of\n\n";
    out += &pairs(rows, &columns(|other| (other, Library::Rust)), Item::OURS, &mut notes);
    out += "\n## `conveyor worker` with the client of\n\n";
    out += &pairs(rows, &columns(|other| (other, Library::Conveyor)), Item::OURS, &mut notes);
    out += "\n## Notes\n\n";
    for (at, note) in notes.iter().enumerate() {
        writeln!(out, "{}. {note}", at + 1).unwrap();
    }
    out.push_str("\nEpoch on gearmand 1.1: it wakes no sleeping worker when the time has come; the test submits another job then.\n");
    out + "\n" + PHP_FAMILY
}
