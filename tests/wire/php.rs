//! PHP's serialize format: recorded values come back byte for byte, everything else is refused with its place.

use crate::{php_strategy, targets};
use bytes::Bytes;
use conveyor_common::payload::php::{self, Float, Key, Property, Value};
use conveyor_common::payload::{Limits, Problem};
use proptest::prelude::*;

/// The name and bytes of everything in `php-fixtures.txt`.
pub(crate) fn fixtures() -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<&str> =
        include_str!("php-fixtures.txt").lines().filter(|line| !line.starts_with('#')).collect();
    let recorded = |pair: &[&'static str]| {
        let bytes = pair[1].trim_start().replace("\\0", "\0").into_bytes();
        let (name, length) = pair[0].rsplit_once(" [").unwrap();
        assert_eq!(length, format!("{} bytes]", bytes.len()), "{name}: not as it was recorded");
        (name, bytes)
    };
    lines.chunks(2).map(recorded).collect()
}

/// What the recorded classes do not have.
const OTHERS: [&[u8]; 19] = [
    b"N;",
    b"b:1;",
    b"i:-9223372036854775808;",
    b"i:9223372036854775807;",
    b"d:-0;",
    b"d:0.10000000000000001;",
    b"d:1.0E+25;",
    b"d:1.5E-7;",
    b"d:INF;",
    b"d:-INF;",
    b"d:NAN;",
    b"s:0:\"\";",
    b"s:4:\"a\";\0\";",
    b"a:0:{}",
    b"a:2:{i:0;E:11:\"Suit:Hearts\";i:1;r:2;}",
    b"a:5:{i:0;i:1;i:1;R:2;i:7;i:1;s:1:\"x\";O:1:\"A\":2:{s:1:\"x\";r:4;s:4:\"\0A\0p\";i:1;}s:1:\"y\";r:4;}",
    b"O:1:\"A\":1:{s:1:\"x\";r:1;}",
    b"O:11:\"ArrayObject\":4:{i:0;i:0;i:1;a:1:{i:0;i:1;}i:2;a:0:{}i:3;N;}",
    b"O:8:\"stdClass\":2:{s:1:\"7\";N;s:0:\"\";N;}",
];

/// Bytes that are read and written again, to start from.
pub(crate) fn known() -> Vec<Vec<u8>> {
    let recorded = fixtures().into_iter().map(|(_, bytes)| bytes);
    recorded.chain(OTHERS.iter().map(|bytes| bytes.to_vec())).collect()
}

fn decode(bytes: &[u8]) -> Result<Value, (usize, Problem)> {
    let input = Bytes::copy_from_slice(bytes);
    php::decode(&input, &Limits::default()).map_err(|error| (error.at, error.problem))
}

fn encode(value: &Value) -> Vec<u8> {
    php::encode(value, &Limits::default()).unwrap()
}

#[test]
fn concept_46_what_php_wrote_is_written_again_byte_for_byte() {
    assert_eq!(fixtures().len(), 29);
    for bytes in known() {
        let value = decode(&bytes).unwrap_or_else(|error| panic!("{}: {error:?}", bytes.escape_ascii()));
        assert_eq!(encode(&value), bytes, "{}", bytes.escape_ascii());
    }
}

#[test]
fn floats_have_the_digits_of_php() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (100.0, "100"),
        (-0.000_12, "-0.00012"),
        (0.000_01, "1.0E-5"),
        (1e16, "10000000000000000"),
        (1e17, "1.0E+17"),
        (5e-324, "5.0E-324"),
        (f64::MAX, "1.7976931348623157E+308"),
        // Halfway between two decimals.
        (-227_879_926_346_366.0 - 0.125, "-227879926346366.12"),
        (1_056_733_823_966_408.0 + 0.25, "1056733823966408.2"),
        (1_056_733_823_966_408.0 + 0.75, "1056733823966408.8"),
    ] {
        assert_eq!(Float::from(number).text(), text);
        assert_eq!(Float::from(number).get().to_bits(), number.to_bits());
    }
}

#[test]
fn every_truncation_of_what_php_wrote_is_refused() {
    for bytes in known() {
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{}", bytes[..end].escape_ascii());
            targets::php(&bytes[..end]);
        }
    }
}

#[test]
fn every_change_of_one_byte_is_refused_or_is_another_value() {
    for bytes in known() {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            for byte in 0..=255 {
                changed[at] = byte;
                targets::php(&changed);
            }
        }
    }
}

#[test]
fn visibility_and_class_are_read_from_the_name() {
    let value = decode(b"O:1:\"A\":3:{s:4:\"\0A\0a\";i:1;s:1:\"b\";i:2;s:4:\"\0*\0c\";i:3;}").unwrap();
    let (a, b, c) = (Bytes::from("a"), Bytes::from("b"), Bytes::from("c"));
    let properties = vec![
        (Property::Private { class: "A".into(), name: a }, Value::Int(1)),
        (Property::Public(b), Value::Int(2)),
        (Property::Protected(c), Value::Int(3)),
    ];
    assert_eq!(value, Value::Object { class: "A".into(), properties });
}

#[test]
fn what_php_reads_but_never_writes_is_refused() {
    let refused: [(&[u8], usize, Problem); 18] = [
        (b"i:042;", 2, Problem::BadNumber),
        (b"i:+7;", 2, Problem::BadNumber),
        (b"i:-0;", 2, Problem::BadNumber),
        (b"i:9223372036854775808;", 2, Problem::BadNumber),
        (b"s:04:\"abcd\";", 2, Problem::BadNumber),
        (b"a:01:{i:0;N;}", 2, Problem::BadNumber),
        (b"d:1.;", 2, Problem::BadNumber),
        (b"d:.5;", 2, Problem::BadNumber),
        (b"d:1e3;", 2, Problem::BadNumber),
        (b"d:+1;", 2, Problem::BadNumber),
        (b"d:inf;", 2, Problem::BadNumber),
        (b"a:1:{s:1:\"7\";N;}", 5, Problem::BadNumber),
        (b"a:2:{i:0;N;i:0;N;}", 11, Problem::Duplicate),
        (b"i:1;x", 4, Problem::TrailingBytes { bytes: 1 }),
        (b"N;N;", 2, Problem::TrailingBytes { bytes: 2 }),
        (b"b:2;", 2, Problem::Expected("0 or 1")),
        (b"S:1:\"a\";", 0, Problem::Refused("S: (an escaped string, which PHP no longer writes)")),
        (b"", 0, Problem::Truncated),
    ];
    for (bytes, at, problem) in refused {
        assert_eq!(decode(bytes), Err((at, problem)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn objects_with_a_format_of_their_own_are_refused_by_name() {
    let refused = decode(b"C:11:\"ArrayObject\":21:{x:i:0;a:0:{};m:a:0:{}}");
    assert_eq!(refused, Err((0, Problem::Refused("C: (an object with a format of its own)"))));
}

#[test]
fn names_that_cannot_be_are_refused() {
    for bytes in [
        &b"O:0:\"\":0:{}"[..],
        b"O:3:\"A B\":0:{}",
        b"O:1:\"A\":1:{s:2:\"\0x\";N;}",
        b"O:1:\"A\":1:{s:3:\"\0\0x\";N;}",
        b"E:3:\"A:B:\";",
        b"E:2:\"A:\";",
        b"E:4:\"Suit\";",
    ] {
        let refused = decode(bytes).unwrap_err().1;
        assert!(matches!(refused, Problem::BadName | Problem::Expected(_)), "{refused:?}");
    }
}

#[test]
fn references_mean_a_value_that_was_there_before() {
    for bytes in [&b"R:1;"[..], b"r:1;", b"a:1:{i:0;R:0;}", b"a:1:{i:0;R:2;}", b"a:1:{i:0;r:2;}"] {
        assert_eq!(decode(bytes).unwrap_err().1, Problem::BadReference, "{}", bytes.escape_ascii());
    }
    for bytes in [&b"a:1:{i:0;R:1;}"[..], b"a:1:{i:0;r:1;}"] {
        assert!(decode(bytes).is_ok());
    }
}

#[test]
fn concept_46_a_claimed_length_is_compared_with_what_is_left_before_anything_else() {
    for (bytes, claimed, left) in [
        (&b"s:18446744073709551615:\"\";"[..], u64::MAX, 3),
        (b"s:3:\"a\";", 3, 4),
        (b"a:4294967295:{", 0xffff_ffff, 1),
        (b"a:2:{i:0;N;}", 2, 8),
        (b"O:1:\"A\":999:{}", 999, 2),
    ] {
        let problem = decode(bytes).unwrap_err().1;
        assert_eq!(problem, Problem::LengthBeyondEnd { claimed, left }, "{}", bytes.escape_ascii());
    }
}

#[test]
fn concept_46_depth_values_and_bytes_have_limits() {
    let nested = |levels: usize| [b"a:1:{i:0;".repeat(levels), b"N;".to_vec(), b"}".repeat(levels)].concat();
    assert!(decode(&nested(64)).is_ok());
    assert_eq!(decode(&nested(65)).unwrap_err().1, Problem::TooDeep { limit: 64 });
    assert_eq!(decode(&nested(1_000_000)).unwrap_err().1, Problem::TooDeep { limit: 64 });
    let wide = Limits { levels: usize::MAX, ..Limits::default() };
    let refused = php::decode(&nested(1_000_000).into(), &wide).unwrap_err();
    assert_eq!(refused.problem, Problem::TooDeep { limit: Limits::MOST_LEVELS });

    let list = encode(&Value::Array((0..50).map(|key| (Key::Int(key), Value::Null)).collect()));
    let few = Limits { values: 50, ..Limits::default() };
    let refused = php::decode(&list.clone().into(), &few).unwrap_err();
    assert_eq!(refused.problem, Problem::TooManyValues { limit: 50 });
    let small = Limits { bytes: list.len() - 1, ..Limits::default() };
    let refused = php::decode(&list.clone().into(), &small).unwrap_err();
    assert_eq!(refused.problem, Problem::TooLarge { bytes: list.len(), limit: list.len() - 1 });
    let value = decode(&list).unwrap();
    assert!(php::encode(&value, &small).is_err() && php::encode(&value, &few).is_err());
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let object = |class: &'static str, property| Value::Object {
        class: class.into(),
        properties: vec![(property, Value::Null)],
    };
    let named = |class: &'static str| Property::Private { class: class.into(), name: "a".into() };
    for value in [
        object("", Property::Public("a".into())),
        object("A B", Property::Public("a".into())),
        object("A", Property::Public("\0a".into())),
        object("A", named("")),
        object("A", named("*")),
        object("A", named("A\0")),
        Value::Array(vec![(Key::Bytes("7".into()), Value::Null)]),
        Value::Array(vec![(Key::Int(7), Value::Null), (Key::Int(7), Value::Null)]),
        Value::Enum { class: "A".into(), case: "B\\C".into() },
        Value::Reference { number: 1, same_object: true },
    ] {
        assert!(php::encode(&value, &Limits::default()).is_err(), "{value:?}");
    }
}

proptest! {
    #[test]
    fn random_values_are_read_back_equal(value in php_strategy::value()) {
        let bytes = encode(&value);
        prop_assert_eq!(decode(&bytes), Ok(value));
        targets::php(&bytes);
    }
}
