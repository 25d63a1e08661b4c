//! The values PHP can serialize, as data: nothing is ever instantiated.

use bytes::Bytes;
use std::fmt;

/// A serialized PHP value. Strings are bytes, as in PHP, and slices of the payload they arrived in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `N;`
    Null,
    /// `b:1;`
    Bool(bool),
    /// `i:42;`
    Int(i64),
    /// `d:12.5;`
    Float(Float),
    /// `s:4:"done";`, a string of any bytes.
    Bytes(Bytes),
    /// `a:1:{i:0;i:11;}`, in order. No key is there twice.
    Array(Vec<(Key, Self)>),
    /// `O:1:"A":1:{s:1:"b";i:2;}`, properties in order. No property is there twice.
    Object {
        /// The class, with its namespace.
        class: Bytes,
        /// The properties, those of parents first.
        properties: Vec<(Property, Self)>,
    },
    /// `E:11:"Suit:Hearts";`
    Enum {
        /// The enum, with its namespace.
        class: Bytes,
        /// The case.
        case: Bytes,
    },
    /// `R:2;` a reference to (`&`), or `r:2;` the same object as, a value that was there before. Kept as its number;
    /// the outermost value is 1, and all but `R:` and keys count.
    Reference {
        /// Which value.
        number: u64,
        /// `r:` rather than `R:`.
        same_object: bool,
    },
}

/// The key of an array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `i:0;`
    Int(i64),
    /// `s:1:"a";`. PHP turns keys that look like numbers into [`Key::Int`], so `"7"` is refused here.
    Bytes(Bytes),
}

impl Key {
    /// The key `text` as PHP has it: an integer, when it is written like one.
    ///
    /// ```
    /// use conveyor_common::payload::php::Key;
    ///
    /// assert_eq!(Key::new("7"), Key::Int(7));
    /// assert_eq!(Key::new("07"), Key::Bytes("07".into()));
    /// ```
    #[must_use]
    pub fn new(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        integer(&text).map_or(Self::Bytes(text), Self::Int)
    }

    pub(super) fn is_canonical(&self) -> bool {
        match self {
            Self::Int(_) => true,
            Self::Bytes(text) => integer(text).is_none(),
        }
    }
}

/// A property of an object: its name and who may see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// `name`
    Public(Bytes),
    /// `\0*\0name`
    Protected(Bytes),
    /// `\0Class\0name`
    Private {
        /// The class that declares it.
        class: Bytes,
        /// Its name there.
        name: Bytes,
    },
    /// What a class with `__serialize()` stores under a number, such as ArrayObject.
    Index(i64),
}

impl Property {
    /// The name without its visibility; of an index none.
    #[must_use]
    pub const fn name(&self) -> Option<&Bytes> {
        match self {
            Self::Public(name) | Self::Protected(name) | Self::Private { name, .. } => Some(name),
            Self::Index(_) => None,
        }
    }
}

/// A float, kept in the digits it arrived in: `serialize_precision` of PHP decides how many there are, and a value that
/// is passed on must not change. Two are equal when they are written alike.
#[derive(Clone, PartialEq, Eq)]
pub struct Float {
    text: Bytes,
}

/// Longest float: what PHP has room for.
const FLOAT_BYTES: usize = 64;

impl Float {
    /// The number. More digits than it can hold are rounded.
    #[must_use]
    pub fn get(&self) -> f64 {
        match self.text.as_ref() {
            b"INF" => f64::INFINITY,
            b"-INF" => f64::NEG_INFINITY,
            digits => std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN),
        }
    }

    /// The digits as they stand in the payload.
    #[must_use]
    pub const fn text(&self) -> &Bytes {
        &self.text
    }

    /// Takes digits that PHP could have written with any precision: `-0`, `12.5`, `1.0E+25`, `INF`, `-INF`, `NAN`.
    /// `+1`, `.5`, `1.`, `1e3` and `01` are refused, which PHP reads and never writes.
    pub(super) fn parse(text: Bytes) -> Option<Self> {
        let written = matches!(text.as_ref(), b"INF" | b"-INF" | b"NAN") || is_decimal(&text);
        (written && text.len() <= FLOAT_BYTES).then_some(Self { text })
    }
}

impl From<f64> for Float {
    /// The digits PHP writes by default (`serialize_precision = -1`): as few as give this number back, with an exponent
    /// below 0.0001 and from 1.0E+17 on.
    ///
    /// ```
    /// use conveyor_common::payload::php::Float;
    ///
    /// for (number, text) in [(0.1, "0.1"), (1e17, "1.0E+17"), (1.5e-7, "1.5E-7"), (-0.0, "-0")] {
    ///     assert_eq!(Float::from(number).text(), text);
    /// }
    /// ```
    fn from(number: f64) -> Self {
        if number.is_nan() {
            return Self { text: Bytes::from_static(b"NAN") };
        }
        if number.is_infinite() {
            return Self { text: Bytes::from_static(if number < 0.0 { b"-INF" } else { b"INF" }) };
        }
        let shortest = shortest(number);
        let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let text = if (-4..17).contains(&exponent) {
            plain(mantissa, exponent)
        } else {
            let point = if mantissa.contains('.') { "" } else { ".0" };
            format!("{mantissa}{point}E{exponent:+}")
        };
        Self { text: text.into() }
    }
}

impl fmt::Debug for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

/// The fewest digits that give `number` back, as `d.ddde0`. Where two are as near, PHP takes the even last digit, and
/// the standard library the larger.
fn shortest(number: f64) -> String {
    let shortest = format!("{number:e}");
    let digits = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let rounded = format!("{number:.*e}", digits.saturating_sub(1));
    // Beside a power of two the nearest number of so many digits can be nearer to another float.
    let same = rounded.parse::<f64>().is_ok_and(|again| again.to_bits() == number.to_bits());
    if same { rounded } else { shortest }
}

/// `mantissa` with its point moved by a small `exponent`.
fn plain(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    let Ok(whole) = usize::try_from(exponent) else {
        let zeros = usize::try_from(exponent.unsigned_abs()).unwrap_or_default().saturating_sub(1);
        return format!("{sign}0.{}{digits}", "0".repeat(zeros));
    };
    let whole = whole.saturating_add(1);
    match digits.split_at_checked(whole) {
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{digits}{}", "0".repeat(whole.saturating_sub(digits.len()))),
    }
}

/// `-`? digits, `.` digits?, `E` sign digits?
fn is_decimal(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (number, exponent) = match text.iter().position(|byte| *byte == b'E') {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let mut parts = number.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().is_some_and(is_whole);
    let fraction = parts.next().is_none_or(is_digits);
    let exponent = exponent.is_none_or(|sign| match sign.split_first() {
        Some((b'+' | b'-', digits)) => is_whole(digits),
        _ => false,
    });
    whole && fraction && exponent
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Digits without a leading zero, or `0`.
pub(super) fn is_whole(text: &[u8]) -> bool {
    is_digits(text) && (text.len() == 1 || text.first() != Some(&b'0'))
}

/// The number that `text` is, when it is written as PHP writes it: no `+`, no leading zero, no `-0`.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = is_whole(digits) && text != b"-0";
    if canonical { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// Whether PHP takes this for the name of a class.
pub(super) fn is_class(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\\' | 0x7f..);
    !name.is_empty() && name.iter().all(allowed)
}
