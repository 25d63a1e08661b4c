//! Rules for source files.

use crate::assert_none;
use crate::repository::{File, at, files, has_word};

/// Longest source file outside tests.
const LINES: usize = 500;

/// Folders that hold pure code.
const PURE: [&str; 4] = [
    "crates/server/src/core/",
    "crates/common/src/",
    "crates/client/src/schedule/",
    "crates/worker/src/manager/",
];

/// What pure code may not name: I/O, clocks, randomness, logs, threads, shared maps.
const IMPURE: [&str; 26] = [
    "tokio",
    "async",
    "std::net",
    "std::fs",
    "std::io",
    "std::os",
    "std::env",
    "std::process",
    "std::thread",
    "std::sync",
    "std::time",
    "Instant",
    "SystemTime",
    "tracing",
    "println",
    "eprintln",
    "rand",
    "getrandom",
    "RandomState",
    "rustix",
    "socket2",
    "dashmap",
    "DashMap",
    "Mutex",
    "RefCell",
    // A list of modules of std hides the names above: one `use` a module.
    "std::{",
];

/// What nobody may write anywhere, and what to do instead.
const BANNED: [(&str, &str); 6] = [
    (concat!("todo", "!("), "finish it, or leave it out"),
    (concat!("unimplemented", "!("), "finish it, or return an error"),
    (concat!("dbg", "!("), "remove it"),
    (concat!("#[", "ignore"), "make the test quick and reliable, or remove it"),
    (concat!("unbounded", "_channel("), "use a bounded channel: everything has a limit"),
    (
        concat!("#[", "allow("),
        "use #[expect(..., reason = \"...\")], which tells when it is no longer needed",
    ),
];

/// Offending lines of code among `files`.
fn lines_with(files: &[&File], offends: impl Fn(&str) -> bool) -> Vec<String> {
    let of_file = |file: &&File| -> Vec<String> {
        file.code().filter(|(_, line)| offends(line)).map(|(number, line)| at(file, number, line)).collect()
    };
    files.iter().flat_map(of_file).collect()
}

#[test]
fn source_files_are_short_enough_to_be_read_in_one_sitting() {
    let long: Vec<String> = files()
        .iter()
        .filter(|file| file.is_rust() && !file.is_test())
        .map(|file| (file.path.as_str(), file.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert_none(&long, &format!("split these by what they own, {LINES} lines at most"));
}

#[test]
fn the_core_and_the_protocol_touch_nothing_outside() {
    let all = files();
    for folder in PURE {
        let pure: Vec<&File> =
            all.iter().filter(|file| file.is_rust() && file.path.starts_with(folder)).collect();
        assert!(!pure.is_empty(), "{folder} is gone: tell tests/tidy/sources.rs where it went");
        let impure = lines_with(&pure, |line| IMPURE.iter().any(|word| has_word(line, word)));
        assert_none(&impure, "move these to the shell; give time and chance to pure code as arguments");
    }
}

/// It is unmaintained: docs/adr/0002-dependencies.md.
#[test]
fn bincode_is_used_in_one_module() {
    let all = files();
    let module = "crates/common/src/binary.rs";
    let others: Vec<&File> = all
        .iter()
        .filter(|file| file.is_rust() && file.path != module && !file.path.starts_with("tests/tidy/"))
        .collect();
    let crate_paths = ["::bincode", "use bincode", "bincode::config", "bincode::serde", "bincode::Encode"];
    let found = lines_with(&others, |line| crate_paths.iter().any(|path| line.contains(path)));
    assert_none(&found, &format!("use {module} instead, which alone knows the crate"));
}

#[test]
fn nothing_unfinished_unlimited_or_silenced_is_left_in_a_source() {
    let all = files();
    let sources: Vec<&File> = all.iter().filter(|file| file.is_rust()).collect();
    for (banned, instead) in BANNED {
        let found: Vec<String> = sources
            .iter()
            .flat_map(|file| file.text.lines().enumerate().map(move |(number, line)| (file, number, line)))
            .filter(|(_, _, line)| line.contains(banned))
            .map(|(file, number, line)| at(file, number, line))
            .collect();
        assert_none(&found, &format!("`{banned}` is banned; {instead}"));
    }
}

#[test]
fn a_lint_is_off_for_a_whole_file_only_in_tests_and_with_a_reason() {
    let inner = concat!("#![", "allow(");
    let offends = |file: &File| {
        file.text.split(inner).skip(1).any(|rest| {
            let attribute = rest.split(")]").next().unwrap_or_default();
            !file.is_test() || !attribute.contains("reason = ")
        })
    };
    let offenders: Vec<String> =
        files().into_iter().filter(|file| file.is_rust() && offends(file)).map(|file| file.path).collect();
    assert_none(&offenders, &format!("`{inner}` belongs at the top of a test binary and gives a reason"));
}

#[test]
fn tests_wait_for_conditions_and_never_sleep() {
    let all = files();
    let tests: Vec<&File> = all
        .iter()
        .filter(|file| file.is_rust() && file.is_test() && !file.path.starts_with("tests/support/"))
        .collect();
    let sleeps = [concat!("thread::", "sleep"), concat!("time::", "sleep")];
    let sleeps = |line: &str| sleeps.iter().any(|sleep| line.contains(sleep));
    let mut found = lines_with(&tests, sleeps);
    for file in all.iter().filter(|file| file.is_rust() && !file.is_test()) {
        let lines = file.unit_tests().filter(|(_, line)| sleeps(line));
        found.extend(lines.map(|(number, line)| at(file, number, line)));
    }
    assert_none(&found, "wait for a condition with support::wait_for, or give a fake time");
}

/// The lint `expect_used` sees every `expect`; here only those that say what they hope for, since there
/// are methods of ours with that name.
#[test]
fn nothing_outside_tests_panics_on_what_it_did_not_expect() {
    let all = files();
    let sources: Vec<&File> = all.iter().filter(|file| file.is_rust() && !file.is_test()).collect();
    let panics = [
        concat!(".unwr", "ap()"),
        concat!(".expe", "ct(\""),
        concat!("pani", "c!("),
        concat!("unreach", "able!("),
    ];
    let mut found = lines_with(&sources, |line| panics.iter().any(|panic| line.contains(panic)));
    // What rustfmt makes of a long hope.
    let opens = concat!(".expe", "ct(");
    for file in sources {
        let lines: Vec<(usize, &str)> = file.code().collect();
        let hopes = |next: &str| next.trim_start().starts_with(['"', '&']);
        let broken = lines.windows(2).filter(|two| two[0].1.ends_with(opens) && hopes(two[1].1));
        found.extend(broken.map(|two| at(file, two[0].0, two[0].1)));
    }
    assert_none(&found, "return an error, or `let ... else` with debug_assert! and a safe outcome");
}
