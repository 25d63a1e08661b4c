//! Where payloads come from, and times.

use super::args::Submit;
use bytes::Bytes;
use conveyor_common::UnixSeconds;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest line that is a payload, in bytes: what a server takes at most by default.
const LINE_BYTES: u64 = 256 << 20;

/// The payloads, read as they are asked for.
pub(super) enum Payloads {
    Given(std::vec::IntoIter<Bytes>),
    Lines { from: Box<dyn BufRead + Send>, stripped: bool },
}

impl Payloads {
    /// Opens what the options name.
    pub(super) fn open(args: &Submit) -> Result<Self, String> {
        if !args.payloads.is_empty() {
            let given: Vec<Bytes> =
                args.payloads.iter().map(|payload| Bytes::copy_from_slice(payload.as_bytes())).collect();
            return Ok(Self::Given(given.into_iter()));
        }
        if args.no_input {
            return Ok(Self::Given(vec![Bytes::new()].into_iter()));
        }
        let mut from: Box<dyn BufRead + Send> = match &args.file {
            None => Box::new(BufReader::new(io::stdin())),
            Some(path) => {
                let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
                Box::new(BufReader::new(file))
            }
        };
        if args.lines || args.stripped_lines {
            return Ok(Self::Lines { from, stripped: args.stripped_lines });
        }
        let mut whole = Vec::new();
        from.read_to_end(&mut whole).map_err(|error| format!("cannot read the payload: {error}"))?;
        Ok(Self::Given(vec![Bytes::from(whole)].into_iter()))
    }

    /// The next payload.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Given(given) => Ok(given.next()),
            Self::Lines { from, stripped } => {
                let mut line = Vec::new();
                from.take(LINE_BYTES + 1)
                    .read_until(b'\n', &mut line)
                    .map_err(|error| format!("cannot read the next line: {error}"))?;
                if line.len() as u64 > LINE_BYTES {
                    return Err(format!("a line is longer than {LINE_BYTES} bytes"));
                }
                if line.is_empty() {
                    return Ok(None);
                }
                if *stripped && line.last() == Some(&b'\n') {
                    line.pop();
                }
                Ok(Some(Bytes::from(line)))
            }
        }
    }
}

/// When a job is to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    At(i64),
    In(Duration),
}

impl Moment {
    pub(super) fn seconds(self) -> UnixSeconds {
        match self {
            Self::At(seconds) => UnixSeconds(seconds),
            Self::In(wait) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                // Rounded up: not before the time that was asked for.
                let due = now.saturating_add(wait).saturating_add(Duration::from_millis(999)).as_secs();
                UnixSeconds(i64::try_from(due).unwrap_or(i64::MAX))
            }
        }
    }
}

/// Reads the value of `--at`.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let wrong = || "write @1800000000 or +90s, +10m, +3h, +2d".to_owned();
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().map(Moment::At).map_err(|_| wrong());
    }
    let wait = text.strip_prefix('+').ok_or_else(wrong)?;
    let (number, unit) = wait.split_at_checked(wait.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
    Ok(Moment::In(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_from_now() {
        assert_eq!(moment("@1800000000"), Ok(Moment::At(1_800_000_000)));
        assert_eq!(moment("+10m"), Ok(Moment::In(Duration::from_secs(600))));
        assert_eq!(moment("+2d"), Ok(Moment::In(Duration::from_secs(172_800))));
        for wrong in ["", "+", "10m", "+m", "+10", "+10y", "@x", "+99999999999999999999s", "+é"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
