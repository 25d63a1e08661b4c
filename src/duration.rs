//! Durations as people write them in configuration: `90s`, `5m`, `1h30m`, `2d`.

use jiff::{Span, SpanRelativeTo};

/// Reads a duration, in milliseconds; a day is 24 hours.
///
/// # Errors
/// It is none; says what to write.
pub(crate) fn milliseconds(text: &str) -> Result<i64, String> {
    let wrong = || format!("'{text}' is no duration: write one such as 90s, 5m, 1h30m or 2d");
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    let milliseconds = i64::try_from(duration.as_millis()).map_err(|_| wrong())?;
    if milliseconds < 0 { Err(wrong()) } else { Ok(milliseconds) }
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn durations_have_units_and_no_sign() {
        for (text, expected) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(milliseconds(text), Ok(expected), "{text}");
        }
        for wrong in ["", "5", "5 x", "-5m", "soon", "1mo", "5m ago"] {
            assert!(milliseconds(wrong).is_err_and(|error| error.contains("1h30m")), "{wrong}");
        }
    }
}
