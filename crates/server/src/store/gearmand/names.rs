//! What a row is called whose job has no unique of its own.
//!
//! Rows are found by unique and function. Jobs without a unique, or with `-`, are many of one name: in gearmand
//! the last one overwrites the others. Here such a row gets a unique that nobody else has, and its job gets back
//! what it was when the row is read:
//!
//! ```text
//! conveyor.none.00000000deadbeef.17      unique was empty
//! conveyor.dash.00000000deadbeef.17      unique was -
//! ```
//!
//! The first number is the time at which the server started, in nanoseconds, the second counts rows; both are
//! hexadecimal. No hyphen stands in it, since gearmand cuts keys at those, and it has at most 47 of the 64 bytes a
//! unique may have.

use bytes::Bytes;
use std::time::{SystemTime, UNIX_EPOCH};

const NONE: &str = "conveyor.none.";
const DASH: &str = "conveyor.dash.";

/// Hexadecimal digits of the time.
const TIME_DIGITS: usize = 16;

/// Gives names out.
#[derive(Debug)]
pub(super) struct Names {
    started: u64,
    given: u64,
}

impl Names {
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), given: 0 }
    }

    /// What the row of a job with this unique is called.
    pub(super) fn name(&mut self, unique: &Bytes) -> Bytes {
        let prefix = match &unique[..] {
            b"" => NONE,
            b"-" => DASH,
            _ => return unique.clone(),
        };
        self.given += 1;
        Bytes::from(format!("{prefix}{:016x}.{:x}", self.started, self.given))
    }
}

/// The unique of the job whose row is called so.
pub(super) fn unique_of(name: &Bytes) -> Bytes {
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_hexdigit);
    let is_ours = |prefix: &str| {
        let rest = name.strip_prefix(prefix.as_bytes());
        rest.and_then(|rest| rest.split_at_checked(TIME_DIGITS))
            .is_some_and(|(time, count)| is_number(time) && count.strip_prefix(b".").is_some_and(is_number))
    };
    if is_ours(NONE) {
        Bytes::new()
    } else if is_ours(DASH) {
        Bytes::from_static(b"-")
    } else {
        name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_stand_for_the_unique() {
        let mut names = Names::new();
        for unique in ["", "-"] {
            let unique = Bytes::from(unique);
            let (one, other) = (names.name(&unique), names.name(&unique));
            assert_ne!(one, other);
            assert!(one.len() <= 47 && !one.contains(&b'-'));
            assert_eq!((unique_of(&one), unique_of(&other)), (unique.clone(), unique));
        }
    }

    #[test]
    fn a_unique_of_its_own_is_the_name() {
        let mut names = Names::new();
        for unique in ["u", "--", "conveyor.none.1", "conveyor.none.0123456789abcdef", "conveyor.dash.x"] {
            let unique = Bytes::from(unique);
            assert_eq!((names.name(&unique), unique_of(&unique)), (unique.clone(), unique));
        }
    }
}
