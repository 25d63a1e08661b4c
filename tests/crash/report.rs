//! The table of results, for `docs/crash.md`.

use crate::ledger::Counts;
use std::fmt::Write;
use std::sync::Mutex;

/// Scenarios of a whole run.
const SCENARIOS: usize = 4;

static ROWS: Mutex<Vec<(&'static str, Counts)>> = Mutex::new(Vec::new());

const HEAD: &str = "\
# Crashes: what becomes of background jobs when the server is killed

Written by `CONVEYOR_CRASH_REPORT=docs/crash.md cargo test --test crash`. The server is killed (SIGKILL) under load from
three connections, started on the same directory, and killed again; some of the restarts are killed too, while stored jobs
are read. In the end workers do what is left, and the ledger of what was acknowledged is compared with theirs
(`tests/crash/ledger.rs`): acknowledged jobs run, refused ones do not, no handle is given out twice, and nothing that
was finished and stored runs again.

*While reading* are the kills of restarts that came before all stored jobs were read. *Outstanding* are acknowledged
jobs that nobody had started at a kill, the least and the median. A job runs *again* when it was running at a kill, or
when its report had been sent but was not stored yet. Under `interval:20` jobs may be lost that were acknowledged within
the last 20 ms; the test allows 500 ms, because the machine may be busy.

| scenario | kills | while reading | outstanding | acknowledged | refused | lost | again, reported | again, running |
|---|---|---|---|---|---|---|---|---|
";

/// Adds the results of a scenario; the last one to come writes the table, when it is wanted.
pub(crate) fn add(name: &'static str, mut counts: Counts) {
    let mut rows = ROWS.lock().unwrap();
    counts.outstanding.sort_unstable();
    rows.push((name, counts));
    if rows.len() == SCENARIOS
        && let Some(path) = std::env::var_os("CONVEYOR_CRASH_REPORT")
    {
        rows.sort_unstable_by_key(|(name, _)| *name);
        let mut out = HEAD.to_owned();
        for (name, counts) in rows.iter() {
            let Counts { outstanding, while_reading, acknowledged, refused, lost, .. } = counts;
            let (kills, least, median) =
                (outstanding.len(), outstanding[0], outstanding[outstanding.len() / 2]);
            let (reported, running) = (counts.reported_and_run_again, counts.running_and_run_again);
            writeln!(
                out,
                "| {name} | {kills} | {while_reading} | {least} / {median} | {acknowledged} | {refused} | {lost} \
                 | {reported} | {running} |"
            )
            .unwrap();
        }
        std::fs::write(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path), out).unwrap();
    }
}
