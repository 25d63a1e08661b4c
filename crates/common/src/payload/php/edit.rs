//! Looking into a value through its references, and changing one place of it so that all references keep their meaning.

use super::value::{Property, Value};
use crate::payload::Problem;

/// The values of a whole by their numbers, which references name.
pub(super) struct Numbered<'a>(Vec<&'a Value>);

impl<'a> Numbered<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let mut all = Vec::new();
        collect(root, &mut all);
        Self(all)
    }

    /// What `value` means: itself, or what it refers to. Nothing for a reference to nothing.
    pub(super) fn resolve(&self, mut value: &'a Value) -> Option<&'a Value> {
        // A reference names a value before itself, so that each step leads towards the beginning.
        for _ in 0..=self.0.len() {
            let Value::Reference { number, .. } = value else { return Some(value) };
            let index = usize::try_from(*number).ok()?.checked_sub(1)?;
            value = self.0.get(index)?;
        }
        None
    }
}

fn collect<'a>(value: &'a Value, all: &mut Vec<&'a Value>) {
    if has_number(value) {
        all.push(value);
    }
    match value {
        Value::Array(entries) => entries.iter().for_each(|(_, value)| collect(value, all)),
        Value::Object { properties, .. } => properties.iter().for_each(|(_, value)| collect(value, all)),
        _ => {}
    }
}

const fn has_number(value: &Value) -> bool {
    !matches!(value, Value::Reference { same_object: false, .. })
}

/// How many values of `value` have numbers.
fn count(value: &Value) -> u64 {
    let inner: u64 = match value {
        Value::Array(entries) => entries.iter().map(|(_, value)| count(value)).sum(),
        Value::Object { properties, .. } => properties.iter().map(|(_, value)| count(value)).sum(),
        _ => 0,
    };
    inner + u64::from(has_number(value))
}

/// Whether `property` is the one that DTOs call `name`: protected, or public.
pub(super) fn is_called(property: &Property, name: &str) -> bool {
    matches!(property, Property::Protected(own) | Property::Public(own) if own == name)
}

/// Puts `new`, which has no references, into the property at the end of `path`; one that is not there is added.
///
/// # Errors
/// A reference means what was there before, or the path is not one of objects.
pub(super) fn replace(root: &mut Value, path: &[&'static str], new: Value) -> Result<(), Problem> {
    let (before, old) = find(root, path).ok_or(BEHIND)?;
    let values = old.map_or(0, count);
    let means = |number: u64| number > before && number <= before + values;
    if references(root, means) != old.map_or(0, |old| references(old, means)) {
        return Err(Problem::Refused("a change of a value that another one refers to"));
    }
    let added = count(&new);
    renumber(root, before + values, |number| number - values + added);
    put(root, path, new).ok_or(BEHIND)
}

const BEHIND: Problem = Problem::Refused("a change inside of what is a reference");

/// How many values with numbers are before the end of `path`, and what is there.
fn find<'a>(root: &'a Value, path: &[&'static str]) -> Option<(u64, Option<&'a Value>)> {
    let mut before = 0;
    let mut place = root;
    for name in path {
        let Value::Object { properties, .. } = place else { return None };
        let at = properties.iter().position(|(property, _)| is_called(property, name));
        let ahead = properties.iter().take(at.unwrap_or(properties.len()));
        before += 1 + ahead.map(|(_, value)| count(value)).sum::<u64>();
        match at.and_then(|at| properties.get(at)) {
            Some((_, value)) => place = value,
            // Only the last one may be missing: `put` says so.
            None => return Some((before, None)),
        }
    }
    Some((before, Some(place)))
}

fn put(root: &mut Value, path: &[&'static str], new: Value) -> Option<()> {
    let (last, way) = path.split_last()?;
    let mut place = root;
    for name in way {
        let Value::Object { properties, .. } = place else { return None };
        place = &mut properties.iter_mut().find(|(property, _)| is_called(property, name))?.1;
    }
    let Value::Object { properties, .. } = place else { return None };
    match properties.iter_mut().find(|(property, _)| is_called(property, last)) {
        Some((_, value)) => *value = new,
        None => properties.push((Property::Protected(last.as_bytes().into()), new)),
    }
    Some(())
}

/// How many references in `value` are to a number that `means` something.
fn references(value: &Value, means: impl Fn(u64) -> bool + Copy) -> u64 {
    match value {
        Value::Reference { number, .. } => u64::from(means(*number)),
        Value::Array(entries) => entries.iter().map(|(_, value)| references(value, means)).sum(),
        Value::Object { properties, .. } => {
            properties.iter().map(|(_, value)| references(value, means)).sum()
        }
        _ => 0,
    }
}

/// Changes references to what comes after the value `last`.
fn renumber(value: &mut Value, last: u64, new: impl Fn(u64) -> u64 + Copy) {
    match value {
        Value::Reference { number, .. } if *number > last => *number = new(*number),
        Value::Array(entries) => entries.iter_mut().for_each(|(_, value)| renumber(value, last, new)),
        Value::Object { properties, .. } => {
            properties.iter_mut().for_each(|(_, value)| renumber(value, last, new));
        }
        _ => {}
    }
}
