//! A body in JSON as the PHP value it means.

use conveyor_common::payload::php::{Float, Key, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads it. Members of objects keep their order, which arrays of PHP have.
pub(super) fn read(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str::<Php>(text).map(|Php(value)| value)
}

struct Php(Value);

impl<'de> Deserialize<'de> for Php {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    /// A whole number that PHP has no room for is a float there.
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::Float(Float::from(value as f64)), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(Float::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Bytes(value.as_bytes().to_vec().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(Php(value)) = items.next_element()? {
            entries.push((Key::Int(i64::try_from(entries.len()).unwrap_or(i64::MAX)), value));
        }
        Ok(Value::Array(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(Key, Value)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        while let Some((name, Php(value))) = members.next_entry::<String, Php>()? {
            // The last of two counts, as everywhere in JSON.
            match places.get(&name).and_then(|at: &usize| entries.get_mut(*at)) {
                Some(entry) => entry.1 = value,
                None => {
                    places.insert(name.clone(), entries.len());
                    entries.push((Key::new(name), value));
                }
            }
        }
        Ok(Value::Array(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conveyor_common::payload::{Limits, php};

    #[test]
    fn json_becomes_what_php_makes_of_it() {
        // json_decode(..., true) and serialize() of PHP 8.2 write the same.
        let text = r#"{"b":[1,2.5,"x"],"a":{"7":true,"07":null},"c":18446744073709551615}"#;
        let bytes = php::encode(&read(text).unwrap(), &Limits::default()).unwrap();
        let expected = "a:3:{s:1:\"b\";a:3:{i:0;i:1;i:1;d:2.5;i:2;s:1:\"x\";}\
            s:1:\"a\";a:2:{i:7;b:1;s:2:\"07\";N;}s:1:\"c\";d:1.8446744073709552E+19;}";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
