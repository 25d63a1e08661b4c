//! Keys of stores that put function and unique into one name, as redis and memcached do.
//!
//! `a-b` and `c` make the same name as `a` and `b-c`: whoever comes second gets another one. And a name without
//! anything beside it does not say where the function ends.

use super::{Key, Op};
use bytes::Bytes;
use std::collections::HashMap;

/// Bytes of a UUID as libgearman gives to jobs without a unique.
const UUID_BYTES: usize = 36;

/// Which row has which name.
#[derive(Debug, Default)]
pub(super) struct Places {
    names: HashMap<Key, Bytes>,
    rows: HashMap<Bytes, Key>,
}

impl Places {
    /// Notes what was read.
    pub(super) fn note(&mut self, key: Key, name: Bytes) {
        self.rows.insert(name.clone(), key.clone());
        self.names.insert(key, name);
    }

    /// The name of a row, given to it if need be; `plain` is gearmand's.
    pub(super) fn name(&mut self, key: &Key, plain: Vec<u8>) -> Bytes {
        if let Some(name) = self.names.get(key) {
            return name.clone();
        }
        let plain = Bytes::from(plain);
        let mut name = plain.clone();
        let mut count = 0_u64;
        while self.rows.contains_key(&name) {
            count += 1;
            name = Bytes::from([&plain[..], format!(".{count}").as_bytes()].concat());
        }
        self.note(key.clone(), name.clone());
        name
    }

    /// The name of a row that has one.
    pub(super) fn find(&self, key: &Key) -> Option<&Bytes> {
        self.names.get(key)
    }

    /// A row is gone.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(name) = self.names.remove(key) {
            self.rows.remove(&name);
        }
    }
}

/// The name that gearmand gives to a row.
pub(super) fn plain_name(prefix: &[u8], key: &Key) -> Vec<u8> {
    [prefix, &key.function, b"-", &key.unique].concat()
}

/// Function and unique of a name behind its prefix. gearmand cuts at the first hyphen; a UUID at the end, as libgearman
/// makes them, tells more.
pub(super) fn split(name: &[u8]) -> Option<Key> {
    let before_uuid = name.len().checked_sub(UUID_BYTES + 1);
    let uuid = before_uuid.filter(|at| {
        name.split_at_checked(*at)
            .is_some_and(|(_, rest)| rest.first() == Some(&b'-') && rest.get(1..).is_some_and(is_uuid))
    });
    let at = uuid.or_else(|| name.iter().position(|byte| *byte == b'-'))?;
    let (function, rest) = name.split_at_checked(at)?;
    Some(Key { function: Bytes::copy_from_slice(function), unique: Bytes::copy_from_slice(rest.get(1..)?) })
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == UUID_BYTES
        && (0..).zip(text).all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Names of rows that are gone after these steps.
pub(super) fn forget_deleted(places: &mut Places, ops: &[Op]) {
    let last: HashMap<&Key, bool> = ops
        .iter()
        .map(|op| match op {
            Op::Put(row) => (&row.key, true),
            Op::Delete(key) => (key, false),
        })
        .collect();
    last.into_iter().filter(|(_, is_there)| !is_there).for_each(|(key, _)| places.forget(key));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(function: &'static str, unique: &'static str) -> Key {
        Key { function: function.into(), unique: unique.into() }
    }

    #[test]
    fn two_rows_never_have_one_name() {
        let mut places = Places::default();
        let (one, other) = (key("a-b", "c"), key("a", "b-c"));
        let first = places.name(&one, plain_name(b"p", &one));
        let second = places.name(&other, plain_name(b"p", &other));
        assert_eq!((&first[..], &second[..]), (&b"pa-b-c"[..], &b"pa-b-c.1"[..]));
        assert_eq!(places.name(&one, plain_name(b"p", &one)), first);
        places.forget(&one);
        assert_eq!((places.find(&one), places.find(&other)), (None, Some(&second)));
    }

    #[test]
    fn a_name_is_cut_at_its_first_hyphen_or_before_a_uuid() {
        assert_eq!(split(b"f-u-v"), Some(key("f", "u-v")));
        assert_eq!(split(b"f-"), Some(key("f", "")));
        assert_eq!(split(b"f"), None);
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(split(format!("with-hyphen-{uuid}").as_bytes()), Some(key("with-hyphen", uuid)));
    }
}
