//! Names of things that live longer than a call: connections and jobs.

use crate::limits::{HANDLE_BYTES, HANDLE_PREFIX_BYTES};
use serde::{Deserialize, Serialize};

/// A connection: a slot in the registry and the generation of that slot, so that an id which outlived
/// its connection meets nobody instead of a stranger (a file descriptor would).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// Slot in the registry.
    pub index: u32,
    /// How often the slot had been used before.
    pub generation: u32,
}

/// The number in a job's handle, counted from 1 and never used twice by one server; 0 is none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobNumber(pub u64);

/// What stands before the number in every handle of a server, such as `H:host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlePrefix {
    /// The prefix with its `:`.
    text: Vec<u8>,
}

/// Room for any handle.
type HandleBuffer = [u8; HANDLE_BYTES];

/// A handle written out, kept on the stack.
#[derive(Clone, Copy)]
pub struct HandleText {
    buffer: HandleBuffer,
    len: usize,
}

impl HandleText {
    /// The bytes of the handle.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.buffer.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }
}

impl HandlePrefix {
    /// The default prefix: `H:` and the name of the machine, as stock gearmand writes it.
    #[must_use]
    pub fn for_host(node_name: &str) -> Self {
        Self::new(format!("H:{node_name}").as_bytes())
    }

    /// A prefix of the operator's own (`--job-handle-prefix`). It is cut so that the number always fits:
    /// stock gearmand cuts the number instead and gives all jobs the same handle.
    #[must_use]
    pub fn new(prefix: &[u8]) -> Self {
        let mut text: Vec<u8> = prefix.iter().copied().take(HANDLE_PREFIX_BYTES).collect();
        text.push(b':');
        Self { text }
    }

    /// Writes the handle of job `number`.
    #[must_use]
    pub fn write(&self, number: JobNumber) -> HandleText {
        let mut handle = HandleText { buffer: [0; HANDLE_BYTES], len: 0 };
        self.text.iter().for_each(|byte| handle.push(*byte));
        let mut digits = [0_u8; 20];
        let mut rest = number.0;
        let mut used = 0;
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            used += 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        digits.iter().skip(digits.len() - used).for_each(|digit| handle.push(*digit));
        handle
    }

    /// The number in `handle`, if this server could have written it: leading zeros, signs and foreign
    /// prefixes are nobody's handle.
    #[must_use]
    pub fn parse(&self, handle: &[u8]) -> Option<JobNumber> {
        let digits = handle.strip_prefix(self.text.as_slice())?;
        if digits.is_empty() || digits.len() > 19 || digits.first() == Some(&b'0') {
            return None;
        }
        digits
            .iter()
            .try_fold(0_u64, |number, digit| {
                digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
            })
            .map(JobNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_written_and_read_back() {
        let prefix = HandlePrefix::for_host("box");
        assert_eq!(prefix.write(JobNumber(1)).as_bytes(), b"H:box:1");
        assert_eq!(prefix.write(JobNumber(4_294_967_296)).as_bytes(), b"H:box:4294967296");
        for number in [1, 9, 10, 999, u64::from(u32::MAX)] {
            let written = prefix.write(JobNumber(number));
            assert_eq!(prefix.parse(written.as_bytes()), Some(JobNumber(number)));
        }
        for foreign in
            ["H:box:", "H:box:01", "H:box:-1", "H:box:1x", "H:bo:1", "", "H:box:99999999999999999999"]
        {
            assert_eq!(prefix.parse(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn bug_a_long_prefix_does_not_make_all_handles_the_same() {
        let prefix = HandlePrefix::new(&[b'p'; 62]);
        let (a, b) = (prefix.write(JobNumber(1)), prefix.write(JobNumber(1_000_000_000_000)));
        assert_ne!(a.as_bytes(), b.as_bytes());
        assert!(b.as_bytes().len() <= HANDLE_BYTES);
        assert_eq!(prefix.parse(b.as_bytes()), Some(JobNumber(1_000_000_000_000)));
    }
}
