//! Rules for what people read, and for what must not be found anywhere in the tree.

use crate::assert_none;
use crate::repository::{at, file, files};
use std::collections::BTreeSet;

/// Where packages come from. The tools that fetch them know; a copy of this list ages.
const REGISTRIES: [&str; 9] = [
    concat!("crates", ".io"),
    concat!("npm", "js.org"),
    concat!("npm", "js.com"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
    concat!("rubygems", ".org"),
    concat!("packagist", ".org"),
];

/// Folders of somebody's machine.
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/tmp/", "helpers"), concat!("/ho", "me")];

/// Written by cargo, which names its registry there.
fn is_lock_file(path: &str) -> bool {
    path.ends_with("Cargo.lock")
}

/// Whether `line` names `folder` or something in it, and not a path that merely ends like it.
fn names_folder(line: &str, folder: &str) -> bool {
    let part_of_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '*' | '~');
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    line.match_indices(folder).any(|(start, found)| {
        !line[..start].ends_with(part_of_path) && !line[start + found.len()..].starts_with(part_of_name)
    })
}

/// Lines of the tree, lock files apart, that offend.
fn lines_with(offends: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| !is_lock_file(&file.path)) {
        let lines = file.text.lines().enumerate().filter(|(_, line)| offends(line));
        found.extend(lines.map(|(number, line)| at(file, number, line)));
    }
    found
}

#[test]
fn the_tree_names_no_registry() {
    let found = lines_with(|line| REGISTRIES.iter().any(|host| line.contains(host)));
    assert_none(&found, "name the package and the tool that installs it, not the host it comes from");
}

#[test]
fn the_tree_names_no_folder_of_a_machine() {
    let found = lines_with(|line| MACHINE_FOLDERS.iter().any(|folder| names_folder(line, folder)));
    assert_none(&found, "use a path relative to the repository, or a variable");
}

#[test]
fn a_folder_of_a_machine_is_told_from_a_path_that_looks_like_one() {
    let [work, root, ..] = MACHINE_FOLDERS;
    for line in [format!("cd {work}/x"), format!("\"{work}\""), format!("--config={root}/a")] {
        assert!(MACHINE_FOLDERS.iter().any(|folder| names_folder(&line, folder)), "{line}");
    }
    for line in [format!("crates{work}er/src"), format!("{work}er/src"), format!("a{root}/b"), "/".to_owned()]
    {
        assert!(MACHINE_FOLDERS.iter().all(|folder| !names_folder(&line, folder)), "{line}");
    }
}

#[test]
fn every_decision_is_linked_from_the_architecture() {
    let architecture = file("ARCHITECTURE.md").text;
    let decisions: Vec<String> = files()
        .into_iter()
        .map(|file| file.path)
        .filter(|path| path.starts_with("docs/adr/") && path.ends_with(".md"))
        .collect();
    assert!(!decisions.is_empty(), "docs/adr is empty: write down what was decided and why");
    let unlinked: Vec<String> =
        decisions.into_iter().filter(|path| !architecture.contains(&format!("({path})"))).collect();
    assert_none(&unlinked, "link these from \"Decisions\" in ARCHITECTURE.md");
}

#[test]
fn every_decision_that_the_architecture_links_is_there() {
    let architecture = file("ARCHITECTURE.md").text;
    let linked = architecture.split("(docs/adr/").skip(1).filter_map(|rest| rest.split(')').next());
    let missing: Vec<String> = linked
        .map(|name| format!("docs/adr/{name}"))
        .filter(|path| !crate::repository::root().join(path).exists())
        .collect();
    assert_none(
        &missing,
        "ARCHITECTURE.md links decisions that are not there: write them, or correct the link",
    );
}

#[test]
fn the_readme_says_how_to_run_and_how_to_test() {
    let readme = file("README.md").text;
    let missing: Vec<String> = ["cargo run --release -- all-in-one", "./scripts/test.sh"]
        .into_iter()
        .filter(|command| !readme.lines().any(|line| line.trim() == *command))
        .map(str::to_owned)
        .collect();
    assert_none(&missing, "README.md must hold these commands on lines of their own");
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let runnable = |path: &str| {
        let data = std::fs::metadata(crate::repository::root().join(path)).unwrap();
        data.permissions().mode() & 0o100 != 0
    };
    let offenders: Vec<String> = files()
        .into_iter()
        .filter(|file| file.text.starts_with("#!") && !file.is_rust() && !runnable(&file.path))
        .map(|file| file.path)
        .collect();
    assert_none(&offenders, "files with a `#!` line are programs: chmod +x");
}

/// Names that begin with `concept_`, where they follow `before`.
fn concepts<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let starts = text.match_indices(before).map(|(at, found)| at + found.len());
    let names = starts.filter_map(|start| {
        let rest = text.get(start..)?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end)
    });
    names.filter(|name| name.starts_with("concept_")).collect()
}

#[test]
fn the_table_of_concepts_has_the_tests_that_there_are() {
    let table = file("docs/concepts.md");
    let listed = concepts(&table.text, "`");
    let all = files();
    let sources = all.iter().filter(|file| file.path.ends_with(".rs") && !file.path.contains("tidy"));
    let there: BTreeSet<&str> = sources.flat_map(|file| concepts(&file.text, "fn ")).collect();
    assert!(there.len() > 10, "{there:?}");
    let differ: Vec<String> = listed.symmetric_difference(&there).map(|name| (*name).to_owned()).collect();
    assert_none(&differ, "list every test of a concept in docs/concepts.md, and nothing else");
}
