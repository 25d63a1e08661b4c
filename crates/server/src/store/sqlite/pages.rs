//! Rows without the tree that leads to them: read from the leaves in the file of a damaged queue.
//!
//! The layout of pages, cells and records is that of SQLite's file format, version 3. Pages on the list of free ones
//! hold jobs that are over, and are left out.

use super::inspect::Entry;
use super::salvage::{Gap, Rescue};
use super::{NUMBER_BITS, StoreError, job_of};
use bytes::Bytes;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a page; those of our files are of SQLite's default.
pub(super) const PAGE: usize = 4096;

/// First byte of a page with rows.
const LEAF: u8 = 0x0d;

/// Bytes of a page of rows before the places of its cells.
const LEAF_HEADER: usize = 8;

/// Columns of a job.
const COLUMNS: usize = 8;

/// The file of a queue, page by page.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    count: u32,
    free: HashSet<u32>,
    /// Whether that is all of them.
    free_are_known: bool,
}

/// A row as it lies in its page.
struct Cell {
    id: i64,
    length: usize,
    /// What of the record is in the page, and the page with the rest.
    local: Vec<u8>,
    more: u32,
}

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let count = u32::try_from(file.metadata()?.len() / PAGE as u64).unwrap_or(u32::MAX);
        let mut pages = Self { file, count, free: HashSet::new(), free_are_known: false };
        let head = pages.page(1)?;
        let mut trunk = number(&head, 32).unwrap_or(0);
        while trunk != 0 && pages.free.insert(trunk) {
            let Ok(page) = pages.page(trunk) else { break };
            let leaves = number(&page, 4).unwrap_or(0).min(PAGE as u32 / 4);
            pages.free.extend((0..leaves as usize).filter_map(|leaf| number(&page, 8 + leaf * 4)));
            trunk = number(&page, 0).unwrap_or(0);
        }
        pages.free_are_known = number(&head, 36).is_some_and(|free| free as usize == pages.free.len());
        Ok(pages)
    }

    fn page(&self, page: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PAGE];
        let at = u64::from(page).saturating_sub(1) * PAGE as u64;
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// Looks for jobs that nobody has found yet, and says which keys may still be lost. When the list of free pages is
    /// damaged, only for those in the gaps, which are in order: others may be over.
    pub(super) fn search(
        &self,
        gaps: &[Gap],
        name: impl Fn(i64) -> Bytes,
        rescue: &mut dyn Rescue,
    ) -> Result<Vec<Gap>, StoreError> {
        let mut known = Vec::new();
        let mut lost = Vec::new();
        for page in (2..=self.count).filter(|page| !self.free.contains(page)) {
            let Some(Leaf { cells, holes }) = self.page(page).ok().as_deref().and_then(leaf) else {
                continue;
            };
            let mut unknown = holes;
            for cell in &cells {
                let next = gaps.partition_point(|gap| gap.high < cell.id);
                let in_gap = gaps.get(next).is_some_and(|gap| gap.low <= cell.id);
                if !(in_gap || self.free_are_known) || rescue.has(job_of(cell.id).0)? {
                    continue;
                }
                match self.record(cell).and_then(|record| job(cell.id, &record)) {
                    Some((function, job)) => rescue.take(Entry { function: name(function), ..job })?,
                    None => unknown.push(Gap { low: cell.id, high: cell.id }),
                }
            }
            // A page has all rows between its first and its last.
            if let (Some(first), Some(last)) = (cells.first(), cells.last()) {
                unknown.sort_unstable_by_key(|gap| gap.low);
                known.extend(without(Gap { low: first.id, high: last.id }, &unknown));
            }
            for gap in unknown {
                if self.free_are_known && !rescue.has_between(gap.low - 1, gap.high + 1)? {
                    lost.push(gap);
                }
            }
        }
        known.sort_unstable_by_key(|gap| gap.low);
        let left: Vec<Gap> = gaps.iter().flat_map(|gap| without(*gap, &known)).collect();
        lost.sort_unstable_by_key(|gap| gap.low);
        let lost: Vec<Gap> = lost.iter().flat_map(|gap| without(*gap, &left)).collect();
        Ok([left, lost].concat())
    }

    /// All bytes of a record.
    fn record(&self, cell: &Cell) -> Option<Vec<u8>> {
        if cell.length / PAGE > self.count as usize {
            return None;
        }
        let mut record = cell.local.clone();
        let mut more = cell.more;
        while record.len() < cell.length {
            // Every page brings us on, so that a chain in a circle ends too.
            let page = self.page(more).ok().filter(|_| more > 1 && more <= self.count)?;
            let rest = cell.length - record.len();
            record.extend_from_slice(page.get(4..4 + rest.min(PAGE - 4))?);
            more = number(&page, 0)?;
        }
        Some(record)
    }
}

/// What is left of a gap when some of it is known: what is known is in order and does not overlap.
fn without(gap: Gap, known: &[Gap]) -> Vec<Gap> {
    let mut low = gap.low;
    let mut left = Vec::new();
    let begin = known.partition_point(|known| known.high < gap.low);
    for known in known.iter().skip(begin) {
        if known.low > gap.high {
            break;
        }
        if known.low > low {
            left.push(Gap { low, high: known.low - 1 });
        }
        low = low.max(known.high.saturating_add(1));
    }
    if low <= gap.high {
        left.push(Gap { low, high: gap.high });
    }
    left
}

/// The rows of a page in the order of their keys, and keys whose rows are not legible there.
struct Leaf {
    cells: Vec<Cell>,
    holes: Vec<Gap>,
}

/// What is in a page, if it is one of jobs.
fn leaf(page: &[u8]) -> Option<Leaf> {
    if page.first() != Some(&LEAF) {
        return None;
    }
    let short = |at: usize| Some(u16::from_be_bytes(page.get(at..at + 2)?.try_into().ok()?));
    let legible = |at: usize| {
        let cell = cell(page, short(at)?.into())?;
        let fits = cell.id > 0 && cell.id >> NUMBER_BITS <= 2 && columns(&cell.local)?.len() == COLUMNS;
        fits.then_some(cell)
    };
    let count = usize::from(short(3)?);
    let mut found = (0..count).map(|index| legible(LEAF_HEADER + index * 2)).peekable();
    let mut leaf = Leaf { cells: Vec::new(), holes: Vec::new() };
    let (mut last, mut torn) = (0, false);
    while let Some(cell) = found.next() {
        // A key that is damaged stands above the next one, or below the last.
        let next = found.peek().and_then(Option::as_ref).map_or(i64::MAX, |next| next.id);
        match cell.filter(|cell| last < cell.id && (cell.id < next || next <= last)) {
            Some(cell) => {
                if torn && last > 0 && last + 1 < cell.id {
                    leaf.holes.push(Gap { low: last + 1, high: cell.id - 1 });
                }
                (last, torn) = (cell.id, false);
                leaf.cells.push(cell);
            }
            None => torn = true,
        }
    }
    // Other pages may begin like one of rows.
    (leaf.cells.len() * 2 > count).then_some(leaf)
}

fn cell(page: &[u8], at: usize) -> Option<Cell> {
    let mut rest = page.get(at..)?;
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let id = varint(&mut rest)?.cast_signed();
    let most = PAGE - 35;
    let least = (PAGE - 12) * 32 / 255 - 23;
    let local = if length <= most {
        length
    } else {
        let fitting = least + (length - least) % (PAGE - 4);
        if fitting <= most { fitting } else { least }
    };
    let more = if local < length { number(rest, local)? } else { 0 };
    Some(Cell { id, length, local: rest.get(..local)?.to_vec(), more })
}

/// The types of a record's columns.
fn columns(record: &[u8]) -> Option<Vec<u64>> {
    let mut rest = record;
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let mut types = record.get(record.len() - rest.len()..length)?;
    let mut columns = Vec::new();
    while !types.is_empty() {
        columns.push(varint(&mut types)?);
    }
    Some(columns)
}

/// The function and the job in a record.
fn job(id: i64, record: &[u8]) -> Option<(i64, Entry)> {
    let types = columns(record)?;
    let length = usize::try_from(varint(&mut &record[..])?).ok()?;
    let mut rest = record.get(length..)?;
    let [_, place, function, retries, start, unique, reducer, payload] = types.try_into().ok()?;
    let place = integer(&mut rest, place)?;
    let function = integer(&mut rest, function)?;
    let retries = u32::try_from(integer(&mut rest, retries)?).ok()?;
    let start = integer(&mut rest, start)?;
    let unique = blob(&mut rest, unique)?;
    let reducer = if reducer == 0 { None } else { Some(blob(&mut rest, reducer)?) };
    let payload = blob(&mut rest, payload)?;
    let (number, priority) = job_of(id);
    let job = Entry {
        number,
        priority,
        function: Bytes::new(),
        unique,
        reducer,
        place: place.cast_unsigned(),
        start,
        retries,
        size: payload.len() as u64,
        payload: Some(payload),
    };
    Some((function, job))
}

fn integer(rest: &mut &[u8], kind: u64) -> Option<i64> {
    let width = match kind {
        1..=4 => usize::try_from(kind).ok()?,
        5 => 6,
        6 => 8,
        8 | 9 => return i64::try_from(kind - 8).ok(),
        _ => return None,
    };
    let (bytes, behind) = rest.split_at_checked(width)?;
    *rest = behind;
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let first = if negative { -1 } else { 0 };
    Some(bytes.iter().fold(first, |value: i64, byte| value << 8 | i64::from(*byte)))
}

fn blob(rest: &mut &[u8], kind: u64) -> Option<Bytes> {
    let length = kind.checked_sub(12).filter(|twice| twice % 2 == 0)? / 2;
    let (bytes, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(Bytes::copy_from_slice(bytes))
}

/// Four bytes, the highest first.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Seven bits a byte, eight in the ninth.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for index in 0..9 {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        if index == 8 {
            return Some(value << 8 | u64::from(*byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_splits_a_gap() {
        let gap = |low, high| Gap { low, high };
        assert_eq!(without(gap(1, 10), &[]), [gap(1, 10)]);
        assert_eq!(without(gap(1, 10), &[gap(3, 4), gap(6, 20)]), [gap(1, 2), gap(5, 5)]);
        assert_eq!(without(gap(5, 10), &[gap(1, 4), gap(5, 7), gap(8, 10)]), []);
        assert_eq!(without(gap(5, 10), &[gap(1, 3), gap(11, 12)]), [gap(5, 10)]);
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (bytes, value) in [
            (&[0x7f][..], 127),
            (&[0x81, 0x00], 128),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], u64::MAX),
        ] {
            assert_eq!(varint(&mut &bytes[..]), Some(value));
            assert_eq!(varint(&mut &bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(integer(&mut &[0xff, 0xfe][..], 2), Some(-2));
        assert_eq!(integer(&mut &[][..], 9), Some(1));
        assert_eq!(blob(&mut &b"ab"[..], 16).as_deref(), Some(&b"ab"[..]));
        assert_eq!(blob(&mut &b"ab"[..], 18), None);
    }
}
