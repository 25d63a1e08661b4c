//! Random PHP values. Shared with tests/interop, where PHP reads them.

use bytes::Bytes;
use conveyor_common::payload::php::{Float, Key, Property, Value};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..12).prop_map(Bytes::from), "\\PC{0,8}".prop_map(Bytes::from)]
}

fn class() -> impl Strategy<Value = Bytes> {
    "Conveyor\\\\Test\\\\[A-Z][a-z0-9_é]{0,6}".prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![any::<i64>().prop_map(Key::Int), (0..20_i64).prop_map(Key::Int), bytes().prop_map(Key::new)]
}

fn property() -> impl Strategy<Value = Property> {
    let name = || "[a-z_][A-Za-z0-9é]{0,6}".prop_map(Bytes::from);
    prop_oneof![
        name().prop_map(Property::Public),
        name().prop_map(Property::Protected),
        (class(), name()).prop_map(|(class, name)| Property::Private { class, name }),
    ]
}

/// Values that are written the same by every PHP: no references, no enums, which only their own program knows.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(|number| Value::Float(Float::from(number))),
        any::<u64>().prop_map(|bits| Value::Float(Float::from(f64::from_bits(bits)))),
        (-100_000..100_000_i32).prop_map(|number| Value::Float(Float::from(f64::from(number) / 1000.0))),
        // Quarters of numbers with few bits to spare, halfway between two decimals; and powers of two.
        (any::<u32>(), any::<u32>()).prop_map(|(high, low)| {
            let whole = f64::from(high & 0xf_ffff) * 4_294_967_296.0 + f64::from(low);
            Value::Float(Float::from(whole / 4.0))
        }),
        (-1074..1024_i32).prop_map(|power| Value::Float(Float::from(2_f64.powi(power)))),
        bytes().prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let array = btree_map(key(), inner.clone(), 0..6);
        let object = (class(), btree_map(property(), inner, 0..6));
        prop_oneof![
            array.prop_map(|entries| Value::Array(entries.into_iter().collect())),
            object.prop_map(|(class, entries)| Value::Object {
                class,
                properties: entries.into_iter().collect()
            }),
        ]
    })
}
