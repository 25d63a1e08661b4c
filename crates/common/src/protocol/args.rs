//! Cutting a body into arguments, and putting it together again.

use super::{Opcode, ParseError};
use crate::limits::{ARGUMENT_BYTES, HEADER_BYTES};
use bytes::{BufMut, Bytes, BytesMut};

/// Walks over the arguments of a body from the left.
pub(super) struct Args {
    rest: Bytes,
}

impl Args {
    pub(super) const fn new(body: Bytes) -> Self {
        Self { rest: body }
    }

    /// The next argument that ends with NUL.
    pub(super) fn terminated(&mut self) -> Result<Bytes, ParseError> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(ParseError::MissingArgument)?;
        if end >= ARGUMENT_BYTES {
            return Err(ParseError::ArgumentTooLarge);
        }
        let argument = self.rest.split_to(end);
        let _nul = self.rest.split_to(1);
        Ok(argument)
    }

    /// The last argument of a type without payload: whatever is left, NULs included.
    pub(super) fn last(self) -> Result<Bytes, ParseError> {
        if self.rest.len() > ARGUMENT_BYTES { Err(ParseError::ArgumentTooLarge) } else { Ok(self.rest) }
    }

    /// The payload: whatever is left, of any length.
    pub(super) fn payload(self) -> Bytes {
        self.rest
    }
}

/// Reads a number as C's `strtoll` does: leading blanks, a sign, digits up to the first other byte;
/// anything else is 0.
pub(super) fn lenient_number(text: &[u8]) -> Result<i64, ParseError> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    // Counted down for negative numbers, so that the lowest one has room.
    digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .map(|digit| i64::from(digit - b'0'))
        .try_fold(0_i64, |number, digit| {
            let tens = number.checked_mul(10)?;
            if negative { tens.checked_sub(digit) } else { tens.checked_add(digit) }
        })
        .ok_or(ParseError::NumberTooLarge)
}

/// Appends a whole packet: `terminated` arguments each get their NUL, `last` follows as it is.
pub(super) fn write_packet(
    out: &mut BytesMut,
    magic: [u8; 4],
    opcode: Opcode,
    terminated: &[&[u8]],
    last: &[u8],
) {
    write_head(out, magic, opcode, terminated, last.len());
    out.put_slice(last);
}

/// As [`write_packet`], but the last argument of `last_len` bytes is left to the caller.
pub(super) fn write_head(
    out: &mut BytesMut,
    magic: [u8; 4],
    opcode: Opcode,
    terminated: &[&[u8]],
    last_len: usize,
) {
    let body = terminated.iter().map(|arg| arg.len() + 1).sum::<usize>() + last_len;
    out.reserve(HEADER_BYTES + body - last_len);
    out.put_slice(&magic);
    out.put_u32(opcode.to_wire());
    out.put_u32(u32::try_from(body).unwrap_or(u32::MAX));
    for arg in terminated {
        out.put_slice(arg);
        out.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_strtoll_reads_them() {
        for (text, number) in [("12", 12), ("-3", -3), (" +7x", 7), ("x", 0), ("", 0), ("9e9", 9)] {
            assert_eq!(lenient_number(text.as_bytes()), Ok(number), "{text:?}");
        }
        assert_eq!(lenient_number(b"99999999999999999999"), Err(ParseError::NumberTooLarge));
    }
}
