//! Lints of the repository itself: who may use what, what may not be written, how long files are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file.
const LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder`, by their path from the root.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", "node_modules", "corpus", "artifacts"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    String::from_utf8_lossy(&fs::read(root().join(path)).unwrap()).into_owned()
}

fn rust_files(folder: &str) -> Vec<String> {
    files(folder).into_iter().filter(|path| path.ends_with(".rs")).collect()
}

/// Source files of the product, without tests, benches and fuzz targets.
fn sources() -> Vec<String> {
    let mut found = rust_files("src");
    for package in ["common", "server", "client", "worker"] {
        found.extend(rust_files(&format!("crates/{package}/src")));
    }
    found
}

/// The part of a source file before its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// Lines of `paths` that hold one of `words`, with what to do about it.
fn refuse(paths: &[String], words: &[&str], advice: &str) {
    let mut found = Vec::new();
    for path in paths {
        let text = read(path);
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{path}:{}: `{word}`", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{advice}:\n{}", found.join("\n"));
}

#[test]
fn no_source_file_is_too_long() {
    let long: Vec<String> = sources().into_iter().filter(|path| read(path).lines().count() > LINES).collect();
    assert!(long.is_empty(), "more than {LINES} lines; cut along what changes together: {long:?}");
}

#[test]
fn the_core_does_no_io_reads_no_clock_logs_nothing_and_is_not_random() {
    let pure: Vec<String> = [rust_files("crates/server/src/core"), rust_files("crates/common/src")].concat();
    assert!(pure.len() > 20, "the folders were moved: mend this test");
    let words = [
        "tokio",
        "std::net",
        "std::fs",
        "std::io",
        "std::thread",
        "std::process",
        "std::env",
        "Instant",
        "SystemTime",
        "tracing::",
        "println!",
        "rand::",
        "dashmap",
        "async fn",
        "Mutex",
        "RefCell",
    ];
    refuse(&pure, &words, "the core decides, the shell acts: this belongs into the engine");
}

#[test]
fn nothing_is_left_half_done_or_switched_off() {
    let all: Vec<String> =
        ["src", "crates", "tests", "benches", "fuzz"].iter().flat_map(|folder| rust_files(folder)).collect();
    let all: Vec<String> = all.into_iter().filter(|path| !path.starts_with("tests/tidy")).collect();
    let words = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "unbounded_channel(", "#[allow("];
    refuse(&all, &words, "finish it, or say why with #[expect(..., reason = ...)]");
}

#[test]
fn tests_wait_for_conditions_and_do_not_sleep() {
    let tests: Vec<String> = rust_files("tests")
        .into_iter()
        .filter(|path| !path.starts_with("tests/support") && !path.starts_with("tests/tidy"))
        .collect();
    refuse(&tests, &["thread::sleep", "time::sleep("], "wait for a condition with support::wait_for");
}

#[test]
fn nothing_a_peer_can_influence_is_unwrapped() {
    let mut found = Vec::new();
    for path in sources() {
        for (number, line) in without_tests(&read(&path)).lines().enumerate() {
            let code = line.split("//").next().unwrap();
            if [".unwrap()", ".expect(\"", "panic!(", "unreachable!("].iter().any(|word| code.contains(word))
            {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "answer with an error instead:\n{}", found.join("\n"));
}

fn dependencies(manifest: &str, table: &str) -> BTreeSet<String> {
    let parsed: toml::Table = read(manifest).parse().unwrap();
    let table = parsed.get(table).and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn packages_depend_in_one_direction() {
    for (package, allowed) in [
        ("common", &[][..]),
        ("server", &["conveyor-common"][..]),
        ("client", &["conveyor-common"][..]),
        ("worker", &["conveyor-common", "conveyor-client"][..]),
    ] {
        let ours: Vec<String> = dependencies(&format!("crates/{package}/Cargo.toml"), "dependencies")
            .into_iter()
            .filter(|name| name.starts_with("conveyor-"))
            .collect();
        let wrong: Vec<&String> = ours.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "conveyor-{package} must not depend on {wrong:?}");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = read("docs/adr/0002-dependencies.md");
    for manifest in [
        "Cargo.toml",
        "crates/common/Cargo.toml",
        "crates/server/Cargo.toml",
        "crates/client/Cargo.toml",
        "crates/worker/Cargo.toml",
    ] {
        for table in ["dependencies", "dev-dependencies"] {
            for name in
                dependencies(manifest, table).into_iter().filter(|name| !name.starts_with("conveyor-"))
            {
                let line = format!("| {name} |");
                assert!(
                    reasons.contains(&line),
                    "{manifest}: say in docs/adr/0002-dependencies.md why `{name}`"
                );
            }
        }
    }
}

#[test]
fn decisions_are_listed_and_the_readme_has_both_commands() {
    let architecture = read("ARCHITECTURE.md");
    for decision in files("docs/adr") {
        assert!(architecture.contains(&decision), "link {decision} from ARCHITECTURE.md");
    }
    let readme = read("README.md");
    for command in ["cargo run --release -- all-in-one", "./scripts/test.sh"] {
        assert!(readme.contains(command), "the README must name `{command}`");
    }
}

#[test]
fn no_machine_and_no_registry_is_named() {
    let texts: Vec<String> = files(".")
        .into_iter()
        .filter(|path| {
            !path.starts_with("tests/tidy") && !path.ends_with("Cargo.lock") && !path.starts_with("./target")
        })
        .collect();
    let words = ["crates.io", "pypi.org", "npmjs", "/root/", "/home/"];
    refuse(&texts, &words, "the tree must mean the same on every machine");
}
