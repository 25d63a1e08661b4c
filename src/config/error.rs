//! What is wrong with a file, in words that say where and what to write instead.

use std::path::Path;

/// How alike two names must be to be taken for each other, 0 to 1.
const ALIKE: f64 = 0.75;

/// File, line, and what to do.
pub(super) fn in_words(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("{}, line {line}: {}", path.display(), explained(error.message()))
}

/// What serde says, with the nearest of the names that it knows.
fn explained(message: &str) -> String {
    let what = match message.split_once(" `") {
        Some(("unknown field", _)) => "key",
        Some(("unknown variant", _)) => "value",
        _ => return message.to_owned(),
    };
    // Names stand between backticks: the wrong one, and then those that are known.
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(wrong) = names.next() else { return message.to_owned() };
    let known: Vec<&str> = names.filter(|name| !name.starts_with('_')).collect();
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("there is no {what} `{wrong}`: did you mean `{near}`?"),
        None => format!("there is no {what} `{wrong}` here: {} are", known.join(", ")),
    }
}

/// The name that is most like `wrong`, if any is like it at all.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(&wrong.to_lowercase(), name);
    known
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
