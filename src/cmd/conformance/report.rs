//! What the reader sees: lists, lines, the summary, and the JSON document.

use super::args::Compat;
use super::ctx::Failure;
use super::rule::Rule;
use super::runner::{Outcome, RuleResult};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// Of long packets only the beginning is shown.
const SHOWN_BYTES: usize = 128;

/// A finished run.
pub(crate) struct Run {
    pub(crate) results: Vec<RuleResult>,
    pub(crate) compat: Compat,
    pub(crate) expect_bugs: bool,
    pub(crate) took: Duration,
}

#[derive(Serialize)]
struct JsonRun<'a> {
    compat: &'static str,
    rules: Vec<JsonRule<'a>>,
    passed: usize,
    failed: usize,
    skipped: usize,
    expect_bugs: bool,
    unexpected: Vec<&'static str>,
    duration_ms: u128,
}

#[derive(Serialize)]
struct JsonRule<'a> {
    id: &'a str,
    area: &'a str,
    rule: &'a str,
    outcome: &'static str,
    detail: Option<String>,
    bug: bool,
    racy: bool,
    duration_ms: u128,
}

impl Run {
    /// Whether the exit code is 0.
    pub(crate) fn is_good(&self) -> bool {
        if self.expect_bugs { self.unexpected().is_empty() } else { self.counts().1 == 0 }
    }

    /// Passed, failed, skipped.
    fn counts(&self) -> (usize, usize, usize) {
        let count = |word: &str| self.results.iter().filter(|result| result.word() == word).count();
        (count("pass"), count("fail"), count("skip"))
    }

    /// Rules that did not end as known of gearmand.
    fn unexpected(&self) -> Vec<&RuleResult> {
        let is_unexpected = |result: &&RuleResult| match &result.outcome {
            _ if result.rule.racy => false,
            Outcome::Pass => result.rule.is_bug(self.compat),
            Outcome::Fail(_) => !result.rule.is_bug(self.compat),
            Outcome::Skip(_) => false,
        };
        self.results.iter().filter(is_unexpected).collect()
    }

    /// The lines after the last rule.
    pub(crate) fn summary(&self) -> String {
        let (passed, failed, skipped) = self.counts();
        let mut text = String::new();
        if self.expect_bugs {
            for result in self.unexpected() {
                let found =
                    if matches!(result.outcome, Outcome::Pass) { "a known bug passed" } else { "failed" };
                let _ = writeln!(text, "unexpected: {} {found}: {}", result.rule.id, result.rule.text);
            }
        }
        let seconds = self.took.as_secs_f64();
        let _ = write!(text, "{passed} passed, {failed} failed, {skipped} skipped in {seconds:.1} s");
        text
    }

    /// One JSON document.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        let (passed, failed, skipped) = self.counts();
        let rules = self.results.iter().map(|result| JsonRule {
            id: result.rule.id,
            area: result.rule.area,
            rule: result.rule.text,
            outcome: result.word(),
            detail: result.detail(),
            bug: result.rule.is_bug(self.compat),
            racy: result.rule.racy,
            duration_ms: result.took.as_millis(),
        });
        let unexpected = if self.expect_bugs { self.unexpected() } else { Vec::new() };
        serde_json::to_string_pretty(&JsonRun {
            compat: self.compat.name(),
            rules: rules.collect(),
            passed,
            failed,
            skipped,
            expect_bugs: self.expect_bugs,
            unexpected: unexpected.iter().map(|result| result.rule.id).collect(),
            duration_ms: self.took.as_millis(),
        })
    }
}

impl RuleResult {
    fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Pass => "pass",
            Outcome::Fail(_) => "fail",
            Outcome::Skip(_) => "skip",
        }
    }

    fn detail(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Pass => None,
            Outcome::Fail(failure) => Some(describe(failure)),
            Outcome::Skip(reason) => Some(reason.clone()),
        }
    }
}

/// One rule for people: a line, and below a failure its bytes.
pub(crate) fn line(result: &RuleResult, compat: Compat, colour: bool) -> String {
    let word = result.word();
    let code = match word {
        "pass" => "32",
        "fail" => "31",
        _ => "33",
    };
    let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
    let rule = &result.rule;
    let mut text = format!("{word} {} {:<14} {}", rule.id, rule.area, rule.text);
    match &result.outcome {
        Outcome::Pass => {}
        Outcome::Skip(reason) => {
            let _ = write!(text, " ({reason})");
        }
        Outcome::Fail(failure) => {
            if rule.is_bug(compat) {
                text.push_str(" (a known bug of gearmand)");
            }
            for line in describe(failure).lines() {
                let _ = write!(text, "\n       {line}");
            }
        }
    }
    text
}

/// What went wrong, and the bytes sent, expected and received.
fn describe(failure: &Failure) -> String {
    let mut text = failure.what.clone();
    for (name, bytes) in
        [("sent", &failure.sent), ("expected", &failure.expected), ("received", &failure.received)]
    {
        if !bytes.is_empty() {
            let _ = write!(text, "\n{name:<8} {}", dump(bytes));
        }
    }
    text
}

/// Bytes as hex and as ASCII.
fn dump(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let hex: Vec<String> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    let ascii: String =
        shown.iter().map(|byte| if (32..127).contains(byte) { char::from(*byte) } else { '.' }).collect();
    let more = if bytes.len() > shown.len() { format!(" ... {} bytes", bytes.len()) } else { String::new() };
    format!("{} |{ascii}|{more}", hex.join(" "))
}

/// The list of rules, for a terminal or as Markdown.
pub(crate) fn list(rules: &[Rule], markdown: bool) -> String {
    let mut text = String::new();
    let mut area = "";
    for rule in rules {
        if markdown {
            if rule.area != area {
                let _ = writeln!(text, "\n### {}\n\n| Rule | Sentence | Flags |\n|--|--|--|", rule.area);
            }
            let sentence = rule.text.replace('|', "\\|");
            let _ = writeln!(text, "| {} | {sentence} | {} |", rule.id, rule.flags());
        } else {
            let flags = rule.flags();
            let flags = if flags.is_empty() { flags } else { format!(" [{flags}]") };
            let _ = writeln!(text, "{} {:<14} {}{flags}", rule.id, rule.area, rule.text);
        }
        area = rule.area;
    }
    let _ = writeln!(text, "{}{} rules", if markdown { "\n" } else { "" }, rules.len());
    text
}
