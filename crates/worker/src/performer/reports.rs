//! What a command says while it works: lines on descriptor 3.
//!
//! | line | sent on as |
//! |---|---|
//! | `progress 3 10` | WORK_STATUS, 3 of 10 |
//! | `data some text` | WORK_DATA with `some text` |
//! | `warning some text` | WORK_WARNING with `some text` |
//! | `data: 5` and then 5 bytes of any kind | WORK_DATA with those bytes; `warning:` likewise |
//!
//! Anything else is passed on as a warning, so that a mistake is seen and not lost.

use bytes::{Buf, Bytes, BytesMut};

/// Longest line, in bytes. What is longer is cut into several warnings.
const LINE_BYTES: usize = 64 * 1024;

/// Most bytes announced by `data:` or `warning:`.
const BLOCK_BYTES: usize = 16 << 20;

/// One thing a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// So many parts of so many are done.
    Progress {
        /// Parts done.
        numerator: u64,
        /// Parts in all.
        denominator: u64,
    },
    /// A part of the result.
    Data(Bytes),
    /// A warning.
    Warning(Bytes),
}

/// Which report a block of bytes becomes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Data,
    Warning,
}

impl Kind {
    const fn report(self, bytes: Bytes) -> Report {
        match self {
            Self::Data => Report::Data(bytes),
            Self::Warning => Report::Warning(bytes),
        }
    }
}

/// Cuts the stream into reports, at any split of the bytes, and holds at most one of them.
#[derive(Debug, Default)]
pub struct Reports {
    input: BytesMut,
    /// Bytes at the head of `input` known to hold no line end.
    scanned: usize,
    /// A block that has been announced.
    block: Option<(Kind, usize)>,
}

impl Reports {
    /// Where to append what is read.
    pub const fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// The next report that is complete.
    pub fn take(&mut self) -> Option<Report> {
        loop {
            if let Some((kind, length)) = self.block {
                if self.input.len() < length {
                    return None;
                }
                self.block = None;
                return Some(kind.report(self.input.split_to(length).freeze()));
            }
            let line = self.line()?;
            match read(&line) {
                Line::Report(report) => return Some(report),
                Line::Block(kind, length) => self.block = Some((kind, length)),
                Line::Nothing => {}
            }
        }
    }

    /// What is left when the command has closed the descriptor: a line without its end counts.
    pub fn finish(&mut self) -> Option<Report> {
        let rest = self.input.split().freeze();
        self.scanned = 0;
        match (self.block.take(), rest.is_empty()) {
            (_, true) => None,
            (Some((kind, _)), false) => Some(kind.report(rest)),
            (None, false) => match read(&rest) {
                Line::Report(report) => Some(report),
                Line::Block(..) | Line::Nothing => None,
            },
        }
    }

    fn line(&mut self) -> Option<Bytes> {
        let fresh = self.input.get(self.scanned..).unwrap_or_default();
        let end = fresh.iter().position(|byte| *byte == b'\n').map(|at| self.scanned + at);
        let line = match end {
            Some(end) if end <= LINE_BYTES => {
                let line = self.input.split_to(end).freeze();
                self.input.advance(1);
                line
            }
            _ if self.input.len() > LINE_BYTES => self.input.split_to(LINE_BYTES).freeze(),
            _ => {
                self.scanned = self.input.len();
                return None;
            }
        };
        self.scanned = 0;
        Some(line)
    }
}

/// What a line means.
enum Line {
    Report(Report),
    Block(Kind, usize),
    Nothing,
}

fn read(line: &Bytes) -> Line {
    let trimmed = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.slice_ref(trimmed);
    let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (line.slice(..at), line.slice(at + 1..)),
        None => (line.clone(), Bytes::new()),
    };
    let block = |kind| match number(&rest).and_then(|length| usize::try_from(length).ok()) {
        Some(length @ 0..=BLOCK_BYTES) => Line::Block(kind, length),
        _ => Line::Report(Report::Warning(line.clone())),
    };
    match word.as_ref() {
        b"" if rest.is_empty() => Line::Nothing,
        b"data" => Line::Report(Report::Data(rest)),
        b"warning" => Line::Report(Report::Warning(rest)),
        b"data:" => block(Kind::Data),
        b"warning:" => block(Kind::Warning),
        b"progress" => match progress(&rest) {
            Some(report) => Line::Report(report),
            None => Line::Report(Report::Warning(line)),
        },
        _ => Line::Report(Report::Warning(line)),
    }
}

fn progress(text: &[u8]) -> Option<Report> {
    let mut numbers = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (numerator, denominator) = (number(numbers.next()?)?, number(numbers.next()?)?);
    numbers.next().is_none().then_some(Report::Progress { numerator, denominator })
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(input: &[u8], step: usize) -> Vec<Report> {
        let mut reports = Reports::default();
        let mut found = Vec::new();
        for chunk in input.chunks(step) {
            reports.input().extend_from_slice(chunk);
            found.extend(std::iter::from_fn(|| reports.take()));
        }
        found.extend(reports.finish());
        found
    }

    fn data(bytes: &'static [u8]) -> Report {
        Report::Data(Bytes::from_static(bytes))
    }

    fn warning(bytes: &'static [u8]) -> Report {
        Report::Warning(Bytes::from_static(bytes))
    }

    #[test]
    fn lines_and_blocks_become_reports_at_any_split() {
        let input =
            b"progress 3 10\ndata some text\r\n\nwarning  two\ndata: 7\na\nb\0c\n\nprogress x\nhello\ndata";
        let expected = [
            Report::Progress { numerator: 3, denominator: 10 },
            data(b"some text"),
            warning(b" two"),
            data(b"a\nb\0c\n\n"),
            warning(b"progress x"),
            warning(b"hello"),
            data(b""),
        ];
        for step in 1..input.len() {
            assert_eq!(all(input, step), expected, "{step}");
        }
    }

    #[test]
    fn a_block_larger_than_allowed_or_a_line_without_end_is_a_warning() {
        assert_eq!(all(b"data: 99999999999\n", 7), [warning(b"data: 99999999999")]);
        let endless = vec![b'x'; LINE_BYTES * 2 + 10];
        let found = all(&endless, 1000);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|report| matches!(report, Report::Warning(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_give_the_same_reports_at_any_split(
            input in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), any::<u8>()], 0..300),
            step in 1..50_usize,
        ) {
            prop_assert_eq!(all(&input, step), all(&input, input.len().max(1)));
        }
    }
}
