//! Client and worker programs on other people's libraries and on ours, against conveyor and against gearmand: every
//! library with itself, on everything it can do, every client with every worker, and ours with all of them.
//!
//! `CONVEYOR_INTEROP_REPORT=docs/interop.md` writes the table of results.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

mod items;
mod library;
mod php_family;
#[path = "../wire/php_strategy.rs"]
mod php_strategy;
mod php_values;
mod quirks;
mod report;
#[path = "../support/mod.rs"]
mod support;

use items::{Item, Outcome, Pair};
use library::Library;
use std::time::{SystemTime, UNIX_EPOCH};

/// Which server a pair is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Conveyor,
    Gearmand,
}

/// Runs items for a pair and complains about all that went wrong.
fn check(kind: Kind, client: Library, worker: Library, items: &[Item]) -> Vec<(Item, Outcome)> {
    let mut pair = Pair::new(kind, client, worker);
    let outcomes: Vec<(Item, Outcome)> = items.iter().map(|item| (*item, pair.run(*item))).collect();
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(item, outcome)| match outcome {
            Outcome::Failed(why) => Some(format!("{item:?}: {why}")),
            Outcome::Passed | Outcome::Cannot(_) => None,
        })
        .collect();
    assert!(failed.is_empty(), "{client:?} client, {worker:?} worker on {kind:?}:\n{}", failed.join("\n"));
    outcomes
}

/// A library with itself: everything it can do.
fn own(kind: Kind, library: Library) {
    let outcomes = check(kind, library, library, Item::ALL);
    report::add(kind, library, library, &outcomes);
}

/// libgearman's small socket buffers make 64 MiB take more than a minute in which nobody has anything to do: all
/// libraries at once.
#[test]
fn a_payload_of_64_mib_goes_there_and_back_with_every_library() {
    std::thread::scope(|scope| {
        for kind in [Kind::Conveyor, Kind::Gearmand] {
            for library in Library::ALL {
                scope.spawn(move || {
                    let outcomes = check(kind, library, library, &[Item::Large]);
                    report::add(kind, library, library, &outcomes);
                });
            }
        }
    });
}

macro_rules! own_tests {
    ($($conveyor:ident $gearmand:ident $library:ident),* $(,)?) => {$(
        #[test]
        fn $conveyor() {
            own(Kind::Conveyor, Library::$library);
        }

        #[test]
        fn $gearmand() {
            own(Kind::Gearmand, Library::$library);
        }
    )*};
}

own_tests!(
    c_on_conveyor c_on_gearmand C,
    php_on_conveyor php_on_gearmand Php,
    perl_on_conveyor perl_on_gearmand Perl,
    gear_on_conveyor gear_on_gearmand Gear,
    pygearman_on_conveyor pygearman_on_gearmand Pygearman,
    node_on_conveyor node_on_gearmand Node,
    command_line_on_conveyor command_line_on_gearmand CommandLine,
    rust_on_conveyor rust_on_gearmand Rust,
    our_command_on_conveyor our_command_on_gearmand Conveyor,
);

macro_rules! cross_tests {
    ($($name:ident $library:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            for worker in Library::THEIRS.into_iter().filter(|worker| *worker != Library::$library) {
                check(Kind::Conveyor, Library::$library, worker, Item::CROSS);
            }
        }
    )*};
}

cross_tests!(
    c_client_with_every_worker C,
    php_client_with_every_worker Php,
    perl_client_with_every_worker Perl,
    gear_client_with_every_worker Gear,
    pygearman_client_with_every_worker Pygearman,
    node_client_with_every_worker Node,
    command_line_client_with_every_worker CommandLine,
);

/// One of ours with everybody else's.
fn ours(kind: Kind, pairs: impl Fn(Library) -> (Library, Library)) {
    for (client, worker) in Library::ALL.into_iter().map(pairs).filter(|(client, worker)| client != worker) {
        let outcomes = check(kind, client, worker, Item::OURS);
        report::add(kind, client, worker, &outcomes);
    }
}

macro_rules! tests_of_ours {
    ($($conveyor:ident $gearmand:ident $pairs:expr;)*) => {$(
        #[test]
        fn $conveyor() {
            ours(Kind::Conveyor, $pairs);
        }

        #[test]
        fn $gearmand() {
            ours(Kind::Gearmand, $pairs);
        }
    )*};
}

tests_of_ours!(
    rust_client_with_every_worker_on_conveyor rust_client_with_every_worker_on_gearmand
        |other| (Library::Rust, other);
    rust_worker_with_every_client_on_conveyor rust_worker_with_every_client_on_gearmand
        |other| (other, Library::Rust);
    our_command_with_every_client_on_conveyor our_command_with_every_client_on_gearmand
        |other| (other, Library::Conveyor);
);

#[test]
fn some_cross_pairs_on_gearmand_behave_as_on_conveyor() {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let given = std::env::var("CONVEYOR_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(clock);
    println!("seed {seed} (replay with CONVEYOR_TEST_SEED={seed})");
    let count = Library::THEIRS.len();
    for turn in 0..4_usize {
        let pick = usize::try_from((seed >> (turn * 3)) % 1_000_003).unwrap() + turn;
        let (client, step) = (pick % count, 1 + (pick / count) % (count - 1));
        let (client, worker) = (Library::THEIRS[client], Library::THEIRS[(client + step) % count]);
        check(Kind::Gearmand, client, worker, Item::CROSS);
    }
}
