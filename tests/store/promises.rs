//! The promises: what was committed comes back, as it was, in its order, once.

use bytes::Bytes;
use conveyor_common::{JobNumber, Priority};
use conveyor_server::core::{Change, Record};
use conveyor_server::store::{Backend, Opened};

/// A store under test.
pub(crate) struct Subject<'a> {
    /// An empty one of this name; the same one for the same name.
    pub(crate) fresh: &'a dyn Fn(&str) -> Backend,
    /// Jobs of one priority come back in the order in which they were stored.
    pub(crate) in_order: bool,
    /// Names may hold any bytes.
    pub(crate) any_bytes: bool,
}

/// What is compared of a job: handles are given anew by gearmand's stores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    function: Bytes,
    unique: Bytes,
    priority: Priority,
    when: i64,
    payload: Bytes,
}

/// An open store that gives numbers out as the core does.
struct Session {
    opened: Opened,
    number: u64,
}

impl Session {
    fn start(backend: &Backend) -> Self {
        let opened = backend.open().unwrap_or_else(|error| panic!("{backend}: {error}"));
        let reserved = opened.head.iter().find_map(|change| match change {
            Change::NumbersReserved { through, .. } => Some(through.0),
            _ => None,
        });
        Self { opened, number: reserved.expect("numbers go on") }
    }

    fn record(&mut self, function: &[u8], unique: &[u8], priority: Priority, payload: &[u8]) -> Record {
        self.number += 1;
        Record {
            number: JobNumber(self.number),
            order: self.number,
            function: Bytes::copy_from_slice(function),
            unique: Bytes::copy_from_slice(unique),
            priority,
            reducer: None,
            when: 0,
            retries: 0,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn normal(&mut self, function: &[u8], unique: &[u8], payload: &[u8]) -> Record {
        self.record(function, unique, Priority::Normal, payload)
    }

    /// Stores what the core would: a reservation, functions, jobs.
    fn add(&mut self, records: &[Record]) {
        let through = JobNumber(self.number);
        let reserved = Change::NumbersReserved { through, orders: self.number };
        let functions =
            records.iter().map(|record| Change::FunctionCreated { name: record.function.clone() });
        let added = records.iter().cloned().map(Change::Added);
        self.commit(&std::iter::once(reserved).chain(functions).chain(added).collect::<Vec<_>>());
    }

    fn commit(&mut self, changes: &[Change]) {
        self.opened.store.commit(changes).unwrap();
    }

    fn load(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut room = usize::MAX;
        loop {
            let (jobs, next) = self.opened.loader.next_jobs(&mut room).unwrap();
            assert!(jobs.iter().all(|job| !job.spilled), "there was room");
            records.extend(jobs.into_iter().map(|job| job.record));
            if next.is_none() {
                return records;
            }
        }
    }

    fn close(self) {
        self.opened.store.close();
    }
}

fn seen(record: &Record) -> Seen {
    let Record { function, unique, priority, when, payload, .. } = record.clone();
    Seen { function, unique, priority, when, payload }
}

fn removed(record: &Record) -> Change {
    Change::Removed {
        number: record.number,
        priority: record.priority,
        function: record.function.clone(),
        unique: !record.unique.is_empty(),
    }
}

/// What a new process finds, which changes nothing of it.
fn found(subject: &Subject<'_>, backend: &Backend) -> Vec<Seen> {
    let mut session = Session::start(backend);
    let records = session.load();
    session.close();
    let numbers: std::collections::BTreeSet<JobNumber> = records.iter().map(|record| record.number).collect();
    assert_eq!(numbers.len(), records.len(), "a number a job");
    let mut list: Vec<Seen> = records.iter().map(seen).collect();
    assert!(list.is_sorted_by_key(|seen| seen.priority), "high before low");
    if !subject.in_order {
        list.sort();
    }
    list
}

fn expect(subject: &Subject<'_>, backend: &Backend, records: &[&Record]) {
    let mut expected: Vec<Seen> = records.iter().copied().map(seen).collect();
    expected.sort_by_key(|seen| seen.priority);
    if !subject.in_order {
        expected.sort();
    }
    let found = found(subject, backend);
    assert_eq!(found.len(), expected.len(), "jobs of {backend}");
    let wrong = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    // The payloads may be long.
    assert!(wrong.is_none(), "{backend}: {wrong:.300?}");
}

/// All promises, each on a store of its own.
pub(crate) fn check(subject: &Subject<'_>) {
    order_and_priorities(subject);
    any_payload(subject);
    jobs_without_a_unique(subject);
    names_that_run_into_each_other(subject);
    start_times(subject);
    removed_jobs(subject);
    a_unique_used_again(subject);
    many_at_once(subject);
    if subject.any_bytes {
        any_name(subject);
    }
}

fn order_and_priorities(subject: &Subject<'_>) {
    let backend = (subject.fresh)("order");
    let mut session = Session::start(&backend);
    let records: Vec<Record> = (0..12_u8)
        .map(|n| {
            let priority = Priority::ALL[usize::from(n) % 3];
            session.record(b"f", format!("u{n}").as_bytes(), priority, &[n])
        })
        .collect();
    // Several commits are in order, and so are the jobs of one.
    records.chunks(5).for_each(|some| session.add(some));
    session.close();
    expect(subject, &backend, &records.iter().collect::<Vec<_>>());
}

fn any_payload(subject: &Subject<'_>) {
    let backend = (subject.fresh)("payloads");
    let mut session = Session::start(&backend);
    let long: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let every: Vec<u8> = (0..=255).collect();
    let payloads: [&[u8]; 6] = [b"", b"\0", b"a\0b", b"\0\0end", &every, &long];
    let records: Vec<Record> = (0..)
        .zip(payloads)
        .map(|(n, payload)| session.normal(b"f", format!("u{n}").as_bytes(), payload))
        .collect();
    session.add(&records);
    session.close();
    expect(subject, &backend, &records.iter().collect::<Vec<_>>());
}

fn jobs_without_a_unique(subject: &Subject<'_>) {
    let backend = (subject.fresh)("nameless");
    let mut session = Session::start(&backend);
    let records: Vec<Record> = [(&b""[..], &b"1"[..]), (b"", b"1"), (b"", b"2"), (b"-", b"1"), (b"-", b"2")]
        .map(|(unique, payload)| session.normal(b"f", unique, payload))
        .into();
    session.add(&records);
    session.commit(&[removed(&records[1]), removed(&records[3])]);
    session.close();
    let left = [&records[0], &records[2], &records[4]];
    expect(subject, &backend, &left);
    // Another process finds other numbers and still ends the right ones.
    let mut session = Session::start(&backend);
    let loaded = session.load();
    let one = loaded.iter().find(|record| record.payload == "2" && record.unique.is_empty()).unwrap();
    session.commit(&[removed(one)]);
    let another = session.normal(b"f", b"", b"3");
    session.add(std::slice::from_ref(&another));
    session.close();
    expect(subject, &backend, &[&records[0], &records[4], &another]);
}

fn names_that_run_into_each_other(subject: &Subject<'_>) {
    let backend = (subject.fresh)("hyphens");
    let mut session = Session::start(&backend);
    let names: [(&[u8], &[u8]); 6] =
        [(b"a-b", b"c"), (b"a", b"b-c"), (b"a-b-c", b""), (b"a", b"b-"), (b"a-b", b"-"), (b"-", b"-b")];
    let records: Vec<Record> = (0..)
        .zip(names)
        .map(|(n, (function, unique))| session.normal(function, unique, format!("{n}").as_bytes()))
        .collect();
    session.add(&records);
    session.close();
    expect(subject, &backend, &records.iter().collect::<Vec<_>>());
    let mut session = Session::start(&backend);
    let loaded = session.load();
    let one = loaded.iter().find(|record| record.payload == "1").unwrap();
    session.commit(&[removed(one)]);
    session.close();
    let left: Vec<&Record> = records.iter().filter(|record| record.payload != "1").collect();
    expect(subject, &backend, &left);
}

fn start_times(subject: &Subject<'_>) {
    let backend = (subject.fresh)("times");
    if !backend.keeps().start_times {
        return;
    }
    let mut session = Session::start(&backend);
    let mut later = session.normal(b"f", b"later", b"p");
    later.when = 2_000_000_000;
    let soon = session.normal(b"f", b"soon", b"p");
    session.add(&[later.clone(), soon.clone()]);
    session.close();
    expect(subject, &backend, &[&later, &soon]);
}

fn removed_jobs(subject: &Subject<'_>) {
    let backend = (subject.fresh)("removed");
    let mut session = Session::start(&backend);
    let records: Vec<Record> =
        (0..4).map(|n| session.normal(b"f", format!("u{n}").as_bytes(), b"p")).collect();
    session.add(&records);
    session.commit(&[removed(&records[0])]);
    // One that nobody knows is no error.
    let unknown = Record { number: JobNumber(9999), ..records[0].clone() };
    session.commit(&[removed(&unknown)]);
    session.close();
    let mut session = Session::start(&backend);
    let loaded = session.load();
    assert_eq!(loaded.len(), 3);
    session.commit(&loaded.iter().map(removed).collect::<Vec<_>>());
    session.close();
    expect(subject, &backend, &[]);
}

fn a_unique_used_again(subject: &Subject<'_>) {
    let backend = (subject.fresh)("again");
    let mut session = Session::start(&backend);
    let first = session.normal(b"f", b"u", b"1");
    session.add(std::slice::from_ref(&first));
    let second = session.normal(b"f", b"u", b"2");
    let reserved = Change::NumbersReserved { through: second.number, orders: second.order };
    session.commit(&[reserved, removed(&first), Change::Added(second.clone())]);
    session.close();
    expect(subject, &backend, &[&second]);
}

fn many_at_once(subject: &Subject<'_>) {
    let backend = (subject.fresh)("many");
    let mut session = Session::start(&backend);
    let records: Vec<Record> =
        (0..1000).map(|n| session.normal(b"f", format!("u{n}").as_bytes(), &[7; 100])).collect();
    session.add(&records);
    let (gone, left) = records.split_at(500);
    session.commit(&gone.iter().map(removed).collect::<Vec<_>>());
    session.close();
    expect(subject, &backend, &left.iter().collect::<Vec<_>>());
}

fn any_name(subject: &Subject<'_>) {
    let backend = (subject.fresh)("names");
    let mut session = Session::start(&backend);
    let records: Vec<Record> = [(&b"\xff\xfe f"[..], &b"\xc3("[..]), (b"f'\"`;", b"'\"\\"), (b"f", b"a\0b")]
        .map(|(function, unique)| session.normal(function, unique, b"p"))
        .into();
    session.add(&records);
    session.close();
    expect(subject, &backend, &records.iter().collect::<Vec<_>>());
    let mut session = Session::start(&backend);
    let loaded = session.load();
    session.commit(&loaded.iter().map(removed).collect::<Vec<_>>());
    session.close();
    expect(subject, &backend, &[]);
}
