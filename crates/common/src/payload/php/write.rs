//! Writes serialized PHP values, exactly as PHP does.

use super::value::{Key, Property, Value, is_class};
use crate::payload::{Codec, Limits, PayloadError, Problem};

type Written = Result<(), PayloadError>;

pub(super) fn write(value: &Value, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
    let mut writer = Writer { out: Vec::new(), limits, values: 0, slots: 0, level: 0 };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: Vec<u8>,
    limits: &'a Limits,
    values: usize,
    slots: u64,
    level: usize,
}

impl Writer<'_> {
    const fn error(&self, problem: Problem) -> PayloadError {
        PayloadError::new(Codec::Php, self.out.len(), problem)
    }

    /// Appends, up to the limit.
    fn put(&mut self, bytes: &[u8]) -> Written {
        let total = self.out.len().saturating_add(bytes.len());
        if total > self.limits.bytes {
            return Err(self.error(Problem::TooLarge { bytes: total, limit: self.limits.bytes }));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Written {
        if self.values == self.limits.values {
            return Err(self.error(Problem::TooManyValues { limit: self.limits.values }));
        }
        self.values += 1;
        if !matches!(value, Value::Reference { same_object: false, .. }) {
            self.slots += 1;
        }
        match value {
            Value::Null => self.put(b"N;"),
            Value::Bool(value) => self.put(if *value { b"b:1;" } else { b"b:0;" }),
            Value::Int(number) => self.int(*number),
            Value::Float(float) => {
                self.put(b"d:")?;
                self.put(float.text())?;
                self.put(b";")
            }
            Value::Bytes(bytes) => self.string(&[bytes]),
            Value::Array(entries) => self.array(entries),
            Value::Object { class, properties } => self.object(class, properties),
            Value::Enum { class, case } => self.case(class, case),
            Value::Reference { number, same_object } => self.reference(*number, *same_object),
        }
    }

    fn int(&mut self, number: i64) -> Written {
        self.put(format!("i:{number};").as_bytes())
    }

    /// `<kind>:<length>:"<parts>"`
    fn quoted(&mut self, kind: char, parts: &[&[u8]]) -> Written {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.put(format!("{kind}:{length}:\"").as_bytes())?;
        parts.iter().try_for_each(|part| self.put(part))?;
        self.put(b"\"")
    }

    fn string(&mut self, parts: &[&[u8]]) -> Written {
        self.quoted('s', parts)?;
        self.put(b";")
    }

    fn open(&mut self, count: usize) -> Written {
        self.level += 1;
        if self.level > self.limits.levels() {
            return Err(self.error(Problem::TooDeep { limit: self.limits.levels() }));
        }
        self.put(format!(":{count}:{{").as_bytes())
    }

    fn close(&mut self) -> Written {
        self.level -= 1;
        self.put(b"}")
    }

    fn array(&mut self, entries: &[(Key, Value)]) -> Written {
        self.put(b"a")?;
        self.distinct(entries)?;
        self.open(entries.len())?;
        for (key, value) in entries {
            match key {
                Key::Int(number) => self.int(*number)?,
                Key::Bytes(_) if !key.is_canonical() => return Err(self.error(Problem::BadNumber)),
                Key::Bytes(text) => self.string(&[text])?,
            }
            self.value(value)?;
        }
        self.close()
    }

    fn object(&mut self, class: &[u8], properties: &[(Property, Value)]) -> Written {
        if !is_class(class) {
            return Err(self.error(Problem::BadName));
        }
        self.distinct(properties)?;
        self.quoted('O', &[class])?;
        self.open(properties.len())?;
        for (property, value) in properties {
            self.property(property)?;
            self.value(value)?;
        }
        self.close()
    }

    /// Refuses what would be read back as something else.
    fn property(&mut self, property: &Property) -> Written {
        match property {
            Property::Public(name) if name.first() != Some(&0) => self.string(&[name]),
            Property::Protected(name) => self.string(&[b"\0*\0", name]),
            Property::Private { class, name }
                if !class.is_empty() && !class.contains(&0) && class.as_ref() != b"*" =>
            {
                self.string(&[b"\0", class, b"\0", name])
            }
            Property::Index(number) => self.int(*number),
            Property::Public(_) | Property::Private { .. } => Err(self.error(Problem::BadName)),
        }
    }

    fn case(&mut self, class: &[u8], case: &[u8]) -> Written {
        if !is_class(class) || !is_class(case) || case.contains(&b'\\') {
            return Err(self.error(Problem::BadName));
        }
        self.quoted('E', &[class, b":", case])?;
        self.put(b";")
    }

    fn reference(&mut self, number: u64, same_object: bool) -> Written {
        let before = self.slots - u64::from(same_object);
        if !(1..=before).contains(&number) {
            return Err(self.error(Problem::BadReference));
        }
        let kind = if same_object { 'r' } else { 'R' };
        self.put(format!("{kind}:{number};").as_bytes())
    }

    fn distinct<K: Ord>(&self, entries: &[(K, Value)]) -> Written {
        let mut keys: Vec<&K> = entries.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        let same = keys.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
        if same { Err(self.error(Problem::Duplicate)) } else { Ok(()) }
    }
}
