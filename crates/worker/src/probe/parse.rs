//! What the kernel's files say. Pure; what makes no sense is `None`, whatever it is.

/// The part of `/proc/PID/stat` that is used here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: u8,
    pub(super) parent: u32,
    /// CPU time of its own, in clock ticks.
    pub(super) used: u64,
    /// CPU time of children that have ended and were waited for, and of theirs.
    pub(super) waited: u64,
    pub(super) threads: u64,
    /// When it started, in clock ticks since the machine did.
    pub(super) start_time: u64,
    /// Resident memory, in pages.
    pub(super) rss_pages: u64,
}

impl Stat {
    /// It has ended, and only waits for somebody who wants to know how. The threads of a process outlive its first one.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

/// `/proc/PID/stat`. A process chooses its name, brackets included: what counts is behind the last one.
pub(super) fn stat(text: &[u8]) -> Option<Stat> {
    let name_end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(name_end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let parent = fields.next()?.parse().ok()?;
    let mut times = fields.skip(9);
    let mut ticks = || Some(u64::try_from(times.next()?.parse::<i128>().ok()?).unwrap_or(0));
    let used = ticks()?.saturating_add(ticks()?);
    let waited = ticks()?.saturating_add(ticks()?);
    let mut rest = times.skip(2);
    let threads = rest.next()?.parse().ok()?;
    let start_time = rest.nth(1)?.parse().ok()?;
    let rss_pages = rest.nth(1)?.parse().ok()?;
    Some(Stat { state, parent, used, waited, threads, start_time, rss_pages })
}

/// The first word behind `key` at the start of a line, as a number.
pub(super) fn number(text: &str, key: &str) -> Option<u64> {
    value(text, key)?.split_ascii_whitespace().next()?.parse().ok()
}

/// What is behind `key` at the start of a line.
pub(super) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// Idle and all time of all processors since the machine started, in clock ticks: `/proc/stat`. A processor that waits for a
/// disk is idle.
pub(super) fn idle_and_all(text: &str) -> Option<(u64, u64)> {
    // user nice system idle iowait irq softirq steal; what guests use is in user.
    let fields: Option<Vec<u64>> =
        value(text, "cpu ")?.split_ascii_whitespace().take(8).map(|field| field.parse().ok()).collect();
    let fields = fields?;
    let idle = fields.get(3)?.saturating_add(fields.get(4).copied().unwrap_or(0));
    Some((idle, fields.iter().fold(0, |sum: u64, field| sum.saturating_add(*field))))
}

/// How many a list such as `0-3,7` names.
pub(super) fn count(list: &str) -> Option<u64> {
    list.trim().split(',').try_fold(0u64, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// The average of ten seconds in the line `kind` of a file of stalls, in percent.
pub(super) fn stalls(text: &str, kind: &str) -> Option<f64> {
    let averages = value(text, kind)?.strip_prefix("avg10=")?;
    let percent: f64 = averages.split_ascii_whitespace().next()?.parse().ok()?;
    (percent.is_finite() && percent >= 0.0).then_some(percent)
}

/// A line of `/proc/self/cgroup`: controllers (none in version 2) and path.
pub(super) fn membership(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    path.starts_with('/').then_some((controllers, path))
}

/// A mount of cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// What part of the hierarchy is mounted.
    pub(super) root: String,
    /// Where.
    pub(super) point: String,
    /// Its controllers in version 1; none in version 2.
    pub(super) controllers: Option<String>,
}

/// A line of `/proc/self/mountinfo`, if it is about cgroups.
pub(super) fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (unescape(place.next()?), unescape(place.next()?));
    let mut kind = kind.split(' ');
    let controllers = match kind.next()? {
        "cgroup2" => None,
        "cgroup" => Some(kind.nth(1)?.to_owned()),
        _ => return None,
    };
    (root.starts_with('/') && point.starts_with('/')).then_some(Mount { root, point, controllers })
}

/// Blanks in paths are written in octal there: `\040`.
fn unescape(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) if code.is_ascii() => {
                out.push(char::from(code));
                out.push_str(rest);
            }
            _ => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAT: &str = "71 (a) b (c) S 70 71 71 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 3 0 5555 7000000 420 18446744073709551615 1 1";

    #[test]
    fn a_process_may_have_brackets_in_its_name() {
        let expected = Stat {
            state: b'S',
            parent: 70,
            used: 33,
            waited: 77,
            threads: 3,
            start_time: 5555,
            rss_pages: 420,
        };
        assert_eq!(stat(STAT.as_bytes()), Some(expected));
        assert_eq!(stat(b"71 )("), None);
        assert_eq!(stat(b""), None);
    }

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!(count("0-3,7\n"), Some(5));
        assert_eq!(count("0"), Some(1));
        for wrong in ["", "3-0", "a", "0-18446744073709551615", "1,"] {
            assert_eq!(count(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn idle_time_includes_waiting_for_disks() {
        assert_eq!(idle_and_all("cpu  1 2 3 40 5 6 7 8 100 100\ncpu0 9"), Some((45, 72)));
        assert_eq!(idle_and_all("cpu0 1 2 3 4 5 6 7 8"), None);
        assert_eq!(idle_and_all("cpu  1 2 x 4"), None);
    }

    #[test]
    fn stalls_are_numbers_from_0() {
        let text = "some avg10=1.50 avg60=0.00\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(stalls(text, "some "), Some(1.5));
        assert_eq!(stalls(text, "full "), Some(0.25));
        for wrong in ["some avg10=nan", "some avg10=-1", "some avg10=inf", "some avg60=1", ""] {
            assert_eq!(stalls(wrong, "some "), None, "{wrong}");
        }
    }

    #[test]
    fn mounts_of_cgroups_are_found_among_others() {
        let v2 =
            mount("41 31 0:38 /a\\040b /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate");
        let expected =
            Mount { root: "/a b".to_owned(), point: "/sys/fs/cgroup".to_owned(), controllers: None };
        assert_eq!(v2, Some(expected));
        let v1 = mount("35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory");
        assert_eq!(v1.and_then(|mount| mount.controllers), Some("rw,memory".to_owned()));
        assert_eq!(mount("22 27 0:21 / /proc rw,relatime - proc proc rw"), None);
        assert_eq!(unescape("a\\0"), "a\\0");
    }

    proptest! {
        #[test]
        fn garbage_is_no_reading_and_no_panic(bytes: Vec<u8>, at: prop::sample::Index, with: u8) {
            let mut near = STAT.as_bytes().to_vec();
            let at = at.index(near.len());
            near[at] = with;
            for text in [&bytes, &near] {
                let _ = stat(text);
                let text = String::from_utf8_lossy(text);
                let _ = (idle_and_all(&text), idle_and_all(&format!("cpu {text}")), count(&text));
                let _ = (stalls(&format!("some avg10={text}"), "some "), number(&text, ""), membership(&text));
                let _ = (mount(&text), mount(&format!("1 2 3 {text} {text} - cgroup {text} {text}")), unescape(&text));
            }
        }
    }
}
