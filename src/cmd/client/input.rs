//! Where payloads come from.

use super::args::Submit;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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

    /// The jobs that they are for so many functions, where that is known.
    pub(super) fn count(&self, functions: usize) -> Option<u64> {
        match self {
            Self::Given(given) => u64::try_from(given.len().saturating_mul(functions)).ok(),
            Self::Lines { .. } => None,
        }
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

/// The lines of a file.
///
/// # Errors
/// It cannot be read.
pub(super) fn lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let (mut chunk, mut ends, mut last) = (vec![0; 1 << 16], 0_u64, b'\n');
    loop {
        let read = file.read(&mut chunk)?;
        let Some(part @ [.., end]) = chunk.get(..read) else { break };
        ends += part.iter().filter(|byte| **byte == b'\n').count() as u64;
        last = *end;
    }
    Ok(ends + u64::from(last != b'\n'))
}
