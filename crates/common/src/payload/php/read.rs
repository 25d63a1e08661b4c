//! Reads serialized PHP values. One pass, no allocation that the bytes already seen do not justify.

use super::value::{Float, Key, Property, Value, integer, is_class, is_whole};
use crate::payload::{Codec, Limits, PayloadError, Problem};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Fewest bytes of an entry of an array or object: `i:0;` and `N;`.
const ENTRY_BYTES: u64 = 6;

/// Longest number of any kind; a `u64` has 20 digits.
const NUMBER_BYTES: usize = 66;

type Read<T> = Result<T, PayloadError>;

pub(super) fn read(input: &Bytes, limits: &Limits) -> Read<Value> {
    let mut reader = Reader { input, limits, at: 0, values: 0, slots: 0, level: 0 };
    if input.len() > limits.bytes {
        return Err(reader.error(Problem::TooLarge { bytes: input.len(), limit: limits.bytes }));
    }
    let value = reader.value()?;
    match reader.left() {
        0 => Ok(value),
        bytes => Err(reader.error(Problem::TrailingBytes { bytes })),
    }
}

struct Reader<'a> {
    input: &'a Bytes,
    limits: &'a Limits,
    at: usize,
    /// Values so far.
    values: usize,
    /// Values so far that references can mean.
    slots: u64,
    /// Arrays and objects around this place.
    level: usize,
}

impl Reader<'_> {
    const fn error(&self, problem: Problem) -> PayloadError {
        PayloadError::new(Codec::Php, self.at, problem)
    }

    const fn left(&self) -> usize {
        self.input.len() - self.at
    }

    fn peek(&self) -> Read<u8> {
        self.input.get(self.at).copied().ok_or_else(|| self.error(Problem::Truncated))
    }

    /// Takes exactly `text`.
    fn take(&mut self, text: &'static str) -> Read<()> {
        for byte in text.bytes() {
            if self.peek()? != byte {
                return Err(self.error(Problem::Expected(text)));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn value(&mut self) -> Read<Value> {
        if self.values == self.limits.values {
            return Err(self.error(Problem::TooManyValues { limit: self.limits.values }));
        }
        self.values += 1;
        let kind = self.peek()?;
        if kind != b'R' {
            self.slots += 1;
        }
        match kind {
            b'N' => self.take("N;").map(|()| Value::Null),
            b'b' => self.bool(),
            b'i' => self.int().map(Value::Int),
            b'd' => self.float(),
            b's' => self.string().map(Value::Bytes),
            b'a' => self.array(),
            b'O' => self.object(),
            b'E' => self.case(),
            b'R' | b'r' => self.reference(kind == b'r'),
            b'C' => Err(self.error(Problem::Refused("C: (an object with a format of its own)"))),
            b'S' => Err(self.error(Problem::Refused("S: (an escaped string, which PHP no longer writes)"))),
            _ => Err(self.error(Problem::Expected("a value"))),
        }
    }

    fn bool(&mut self) -> Read<Value> {
        self.take("b:")?;
        let value = match self.peek()? {
            b'0' => false,
            b'1' => true,
            _ => return Err(self.error(Problem::Expected("0 or 1"))),
        };
        self.at += 1;
        self.take(";").map(|()| Value::Bool(value))
    }

    /// The bytes before the next `end`, which is taken too.
    fn until(&mut self, end: u8) -> Read<Bytes> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let window = rest.get(..NUMBER_BYTES).unwrap_or(rest);
        let Some(length) = window.iter().position(|byte| *byte == end) else {
            let cut = rest.len() < NUMBER_BYTES;
            return Err(self.error(if cut { Problem::Truncated } else { Problem::BadNumber }));
        };
        let text = self.input.slice(self.at..self.at + length);
        self.at += length + 1;
        Ok(text)
    }

    /// What `parse` makes of the bytes before `end`.
    fn number<T>(&mut self, end: u8, parse: impl FnOnce(Bytes) -> Option<T>) -> Read<T> {
        let start = self.at;
        let text = self.until(end)?;
        parse(text).ok_or_else(|| PayloadError::new(Codec::Php, start, Problem::BadNumber))
    }

    fn unsigned(&mut self, end: u8) -> Read<u64> {
        self.number(end, |text| {
            let text = is_whole(&text).then_some(text)?;
            std::str::from_utf8(&text).ok()?.parse().ok()
        })
    }

    fn int(&mut self) -> Read<i64> {
        self.take("i:")?;
        self.number(b';', |text| integer(&text))
    }

    fn float(&mut self) -> Read<Value> {
        self.take("d:")?;
        self.number(b';', Float::parse).map(Value::Float)
    }

    /// `<length>:"<bytes>"`
    fn quoted(&mut self) -> Read<Bytes> {
        let start = self.at;
        let claimed = self.unsigned(b':')?;
        let left = self.left();
        let beyond = || PayloadError::new(Codec::Php, start, Problem::LengthBeyondEnd { claimed, left });
        // The two quotes are there as well.
        let length = usize::try_from(claimed).ok().filter(|length| length.saturating_add(2) <= left);
        let length = length.ok_or_else(beyond)?;
        self.take("\"")?;
        let text = self.input.slice(self.at..self.at + length);
        self.at += length;
        self.take("\"")?;
        Ok(text)
    }

    fn string(&mut self) -> Read<Bytes> {
        self.take("s:")?;
        let text = self.quoted()?;
        self.take(";")?;
        Ok(text)
    }

    /// `<count>:{`, and one level deeper from here on.
    fn open(&mut self) -> Read<u64> {
        let start = self.at;
        let claimed = self.unsigned(b':')?;
        let left = self.left();
        if claimed.saturating_mul(ENTRY_BYTES) > u64::try_from(left).unwrap_or(u64::MAX) {
            return Err(PayloadError::new(Codec::Php, start, Problem::LengthBeyondEnd { claimed, left }));
        }
        self.level += 1;
        if self.level > self.limits.levels() {
            return Err(self.error(Problem::TooDeep { limit: self.limits.levels() }));
        }
        self.take("{")?;
        Ok(claimed)
    }

    fn close(&mut self) -> Read<()> {
        self.level -= 1;
        self.take("}")
    }

    /// `count` entries whose keys `key` reads, no two the same.
    fn entries<K: Clone + Ord>(
        &mut self,
        count: u64,
        mut key: impl FnMut(&mut Self) -> Read<K>,
    ) -> Read<Vec<(K, Value)>> {
        // Grows with what has been read: a count is only a claim.
        let mut entries: Vec<(K, Value)> = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let start = self.at;
            let key = key(self)?;
            if !seen.insert(key.clone()) {
                return Err(PayloadError::new(Codec::Php, start, Problem::Duplicate));
            }
            entries.push((key, self.value()?));
        }
        Ok(entries)
    }

    fn array(&mut self) -> Read<Value> {
        self.take("a:")?;
        let count = self.open()?;
        let entries = self.entries(count, Self::key)?;
        self.close()?;
        Ok(Value::Array(entries))
    }

    fn key(&mut self) -> Read<Key> {
        let start = self.at;
        let key = match self.peek()? {
            b'i' => Key::Int(self.int()?),
            b's' => Key::Bytes(self.string()?),
            _ => return Err(self.error(Problem::Expected("a key"))),
        };
        let canonical = key.is_canonical();
        if canonical { Ok(key) } else { Err(PayloadError::new(Codec::Php, start, Problem::BadNumber)) }
    }

    fn object(&mut self) -> Read<Value> {
        self.take("O:")?;
        let start = self.at;
        let class = self.quoted()?;
        if !is_class(&class) {
            return Err(PayloadError::new(Codec::Php, start, Problem::BadName));
        }
        self.take(":")?;
        let count = self.open()?;
        let properties = self.entries(count, Self::property)?;
        self.close()?;
        Ok(Value::Object { class, properties })
    }

    fn property(&mut self) -> Read<Property> {
        let start = self.at;
        if self.peek()? == b'i' {
            return self.int().map(Property::Index);
        }
        let mangled = self.string()?;
        unmangle(&mangled).ok_or_else(|| PayloadError::new(Codec::Php, start, Problem::BadName))
    }

    fn case(&mut self) -> Read<Value> {
        self.take("E:")?;
        let start = self.at;
        let name = self.quoted()?;
        self.take(";")?;
        let colon = name.iter().position(|byte| *byte == b':');
        let parts = colon.map(|at| (name.slice(..at), name.slice(at + 1..)));
        let parts = parts.filter(|(class, case)| is_class(class) && is_class(case) && !case.contains(&b'\\'));
        let (class, case) = parts.ok_or_else(|| PayloadError::new(Codec::Php, start, Problem::BadName))?;
        Ok(Value::Enum { class, case })
    }

    fn reference(&mut self, same_object: bool) -> Read<Value> {
        let start = self.at;
        self.take(if same_object { "r:" } else { "R:" })?;
        let number = self.unsigned(b';')?;
        // `r:` has a number of its own, which it cannot mean.
        let before = self.slots - u64::from(same_object);
        let known = (1..=before).contains(&number);
        let bad = || PayloadError::new(Codec::Php, start, Problem::BadReference);
        known.then_some(Value::Reference { number, same_object }).ok_or_else(bad)
    }
}

/// `name`, `\0*\0name` or `\0Class\0name`.
fn unmangle(mangled: &Bytes) -> Option<Property> {
    let Some((0, rest)) = mangled.split_first() else { return Some(Property::Public(mangled.clone())) };
    let end = 1 + rest.iter().position(|byte| *byte == 0)?;
    let (class, name) = (mangled.slice(1..end), mangled.slice(end + 1..));
    match class.as_ref() {
        b"" => None,
        b"*" => Some(Property::Protected(name)),
        _ => Some(Property::Private { class, name }),
    }
}
