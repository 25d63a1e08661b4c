//! The files git knows, and what is code in them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A line of a file that breaks a rule.
pub(crate) fn at(file: &File, line: usize, text: &str) -> String {
    format!("{}:{}: {}", file.path, line + 1, text.trim())
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Every text file that git tracks and that is still there.
pub(crate) fn files() -> Vec<File> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let listed = listed.expect("git is needed to know which files belong to the repository");
    let complaint = String::from_utf8_lossy(&listed.stderr);
    assert!(listed.status.success(), "git ls-files: {complaint}: run the tests in a clone");
    let paths = String::from_utf8(listed.stdout).unwrap();
    let read = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    let files: Vec<File> = paths.split_terminator('\0').filter_map(read).collect();
    assert!(files.iter().any(|file| file.path == "Cargo.toml"), "git ls-files found nothing of this package");
    files
}

/// The one file at `path`.
pub(crate) fn file(path: &str) -> File {
    let text = std::fs::read_to_string(root().join(path));
    File { path: path.to_owned(), text: text.unwrap_or_else(|error| panic!("{path}: {error}: write it")) }
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file is part of a test or bench binary.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.starts_with("benches/") || self.path.contains("/tests/")
    }

    /// Lines of code with their numbers, from 0: no comments, nothing of the unit tests at the end.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Lines of the unit tests at the end of a source file, with their numbers, from 0.
    pub(crate) fn unit_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().skip_while(|(_, line)| line.trim() != "#[cfg(test)]")
    }
}

/// Whether `word` stands in `line` and is not a part of a longer name.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, found)| {
        let goes_on_before = line[..start].ends_with(part_of_name);
        let goes_on_behind =
            found.ends_with(part_of_name) && line[start + found.len()..].starts_with(part_of_name);
        !goes_on_before && !goes_on_behind
    })
}

#[test]
fn a_word_is_found_only_as_a_whole() {
    for line in ["rand", "use rand::Rng;", "a(rand)"] {
        assert!(has_word(line, "rand"), "{line}");
    }
    for line in ["operand", "rand_seed", "random", "a Ran d"] {
        assert!(!has_word(line, "rand"), "{line}");
    }
    assert!(has_word("use std::{fs, io};", "std::{"));
}

#[test]
fn code_ends_where_the_unit_tests_begin() {
    let text = "//! Doc.\nlet a;\n// why\nlet b;\n#[cfg(test)]\nmod tests {}\n".to_owned();
    let file = File { path: String::new(), text };
    assert_eq!(file.code().collect::<Vec<_>>(), [(1, "let a;"), (3, "let b;")]);
    assert_eq!(file.unit_tests().collect::<Vec<_>>(), [(4, "#[cfg(test)]"), (5, "mod tests {}")]);
}
