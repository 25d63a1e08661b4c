//! Rules for Cargo.toml files: who may see whom, and that every dependency is a decision.

use crate::assert_none;
use crate::repository::{file, files};
use std::collections::BTreeSet;
use toml::{Table, Value};

/// Where each direct dependency has its reason.
const REASONS: &str = "docs/adr/0002-dependencies.md";

/// The parts of Conveyor and which others each may use.
const MAY_USE: [(&str, &[&str]); 5] = [
    ("crates/common", &[]),
    ("crates/server", &["conveyor-common"]),
    ("crates/client", &["conveyor-common"]),
    ("crates/worker", &["conveyor-client", "conveyor-common"]),
    (".", &["conveyor-client", "conveyor-common", "conveyor-server", "conveyor-worker"]),
];

/// All that the pure crate needs.
const COMMON_MAY_USE: [&str; 4] = ["bincode", "bytes", "serde", "serde_json"];

fn manifest(path: &str) -> Table {
    file(path).text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Cargo.toml of the repository.
fn manifests() -> Vec<Table> {
    let is_manifest = |path: &str| path == "Cargo.toml" || path.ends_with("/Cargo.toml");
    files().iter().filter(|file| is_manifest(&file.path)).map(|file| manifest(&file.path)).collect()
}

/// Names in the tables of dependencies of `table`, those of a target included.
fn dependencies(table: &Table, kinds: &[&str]) -> BTreeSet<String> {
    let of_kind = |table: &Table, kind: &str| -> Vec<String> {
        let names = table.get(kind).and_then(Value::as_table);
        names.map(|names| names.keys().cloned().collect()).unwrap_or_default()
    };
    let targets = table.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values()).filter_map(Value::as_table);
    let tables: Vec<&Table> = std::iter::once(table).chain(targets).collect();
    let of_table =
        |table: &&Table| -> Vec<String> { kinds.iter().flat_map(|kind| of_kind(table, kind)).collect() };
    tables.iter().flat_map(of_table).collect()
}

fn all_dependencies(table: &Table) -> BTreeSet<String> {
    dependencies(table, &["dependencies", "dev-dependencies", "build-dependencies"])
}

fn is_ours(name: &str) -> bool {
    name.starts_with("conveyor-")
}

#[test]
fn dependencies_between_the_parts_point_in_one_direction() {
    let mut offenders = Vec::new();
    for (part, allowed) in MAY_USE {
        let used = all_dependencies(&manifest(&format!("{part}/Cargo.toml")));
        let wrong = used.iter().filter(|name| is_ours(name) && !allowed.contains(&name.as_str()));
        offenders.extend(wrong.map(|name| format!("{part} uses {name}")));
    }
    assert_none(
        &offenders,
        "common <- server, client; client <- worker: move what is shared to common, or the code up to the root",
    );
}

#[test]
fn every_part_of_the_workspace_has_its_place_in_that_direction() {
    let root = manifest("Cargo.toml");
    let members = root["workspace"]["members"].as_array().expect("the workspace lists its members");
    let unknown: Vec<String> = members
        .iter()
        .filter_map(Value::as_str)
        .filter(|member| MAY_USE.iter().all(|(part, _)| part != member))
        .map(str::to_owned)
        .collect();
    assert_none(&unknown, "say in MAY_USE of tests/tidy/dependencies.rs which parts these may use");
}

#[test]
fn the_protocol_crate_brings_nothing_that_does_input_or_output() {
    let used = dependencies(&manifest("crates/common/Cargo.toml"), &["dependencies"]);
    let wrong: Vec<String> =
        used.into_iter().filter(|name| !COMMON_MAY_USE.contains(&name.as_str())).collect();
    assert_none(&wrong, "crates/common is pure: use these in the crate that needs them");
}

#[test]
fn every_part_takes_its_lints_and_versions_from_the_workspace() {
    let mut offenders = Vec::new();
    for (part, _) in MAY_USE {
        let manifest = manifest(&format!("{part}/Cargo.toml"));
        let inherits = |value: &Value| value.get("workspace").and_then(Value::as_bool) == Some(true);
        if !manifest.get("lints").is_some_and(inherits) {
            offenders.push(format!("{part}: [lints] without workspace = true"));
        }
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let table = manifest.get(kind).and_then(Value::as_table);
            let own = table.into_iter().flatten().filter(|(_, value)| !inherits(value));
            offenders.extend(own.map(|(name, _)| format!("{part}: {name} has a version of its own")));
        }
    }
    assert_none(&offenders, "write `workspace = true` and put the rest into the root Cargo.toml");
}

#[test]
fn each_direct_dependency_has_a_reason() {
    let used: BTreeSet<String> = manifests().iter().flat_map(all_dependencies).collect();
    let text = file(REASONS).text;
    let reasons: BTreeSet<String> = text.lines().filter_map(name_with_reason).collect();
    let outside = used.iter().filter(|name| !is_ours(name));
    let missing: Vec<String> = outside.filter(|name| !reasons.contains(*name)).cloned().collect();
    assert_none(
        &missing,
        &format!("a dependency is a decision: add a line \"| name | where | why |\" to {REASONS}"),
    );
    let gone: Vec<String> = reasons.difference(&used).cloned().collect();
    assert_none(&gone, &format!("nobody uses these any more: remove their lines from {REASONS}"));
}

/// The name in a line "| name | where | why |".
fn name_with_reason(line: &str) -> Option<String> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [name, place, reason] = cells.as_slice() else { return None };
    let title = *name == "Crate" || name.starts_with('-');
    (!title && !place.is_empty() && !reason.is_empty()).then(|| (*name).to_owned())
}

#[test]
fn a_name_without_a_reason_does_not_count() {
    assert_eq!(name_with_reason("| slab | server | dense tables |"), Some("slab".to_owned()));
    for line in
        ["| slab | server | |", "| slab |", "slab: dense tables", "|---|---|---|", "| Crate | Where | Why |"]
    {
        assert_eq!(name_with_reason(line), None, "{line}");
    }
}

#[test]
fn dependencies_of_a_target_are_found() {
    let table: Table = "[dependencies]\na = '1'\n[target.'cfg(unix)'.dependencies]\nb = '1'".parse().unwrap();
    assert_eq!(all_dependencies(&table), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
}
