//! Runs the fuzz targets for a few seconds each, on mutations of real packets and payloads and on noise.
//!
//! `CONVEYOR_FUZZ_SECONDS` sets how long; `CONVEYOR_TEST_SEED` repeats a run.

use crate::{control, golden, payload, php, targets};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a target runs unless told otherwise.
const SECONDS: f64 = 3.0;

/// Longest input; larger ones only make a run slower.
const INPUT_BYTES: usize = 3 * 8192;

/// Values that have broken parsers before.
const EDGES: [u32; 14] =
    [0, 1, 5, 12, 42, 43, 0x7f, 0x80, 0xff, 0x2000, 0x2001, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

const WORDS: [&[u8]; 16] = [
    b"status",
    b"maxqueue",
    b"create",
    b"drop",
    b"function",
    b"show",
    b"unique",
    b"jobs",
    b"cancel",
    b"job",
    b" ",
    b"-1",
    b"99999999999999999999",
    b"\r\n",
    b"\n",
    b"\0",
];

/// What payloads are made of.
const PARTS: [&[u8]; 16] = [
    b"N;",
    b"i:0;",
    b"a:1:{",
    b"}",
    b"O:1:\"A\":1:{",
    b"s:1:\"x\";",
    b"s:9:\"\0*\0taskId\";",
    b"s:7:\"task_id\";",
    b"R:1;",
    b"r:2;",
    b"d:1.0E+25;",
    b"E:3:\"A:B\";",
    b"18446744073709551615",
    b"\"",
    b"{\"php\":",
    b"{\"hex\":\"ff\"}",
];

/// What a persistent command says.
const SAYINGS: [&[u8]; 16] = [
    b"ready 1\n",
    b"ready 1 check pause\n",
    b"progress 3 10\n",
    b"data 5\na\nb\0c",
    b"warning 0\n",
    b"complete 3\nabc",
    b"fail 2\nno",
    b"exception 4096\n",
    b"complete 4097\n",
    b"data ",
    b"18446744073709551616",
    b"\n",
    b"\r\n",
    b" ",
    b"-1",
    b"007\n",
];

/// What is said on a control channel.
const ORDERS: [&[u8]; 16] = [
    b"{\"type\":\"pause\",\"sequence\":1}\n",
    b"{\"type\":\"",
    b"hello",
    b"terminate",
    b"job_ended",
    b"\",\"sequence\":",
    b"18446744073709551616",
    b"null",
    b"\\u0000",
    b"{}",
    b"[]",
    b"\n",
    b"\x01",
    b"\x01\x02\x00\x00\x00\x01\x05",
    b"\xfb",
    b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
];

/// A generator that a seed repeats exactly (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn one<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Makes inputs: known packets and lines, joined and damaged.
struct Inputs {
    random: Random,
    known: Vec<Vec<u8>>,
    words: &'static [&'static [u8]],
}

impl Inputs {
    fn new(seed: u64) -> Self {
        let mut known: Vec<Vec<u8>> = Vec::new();
        known.extend(golden::requests().iter().map(|(bytes, _)| bytes.to_vec()));
        known.extend(golden::responses().iter().map(|(bytes, _)| bytes.to_vec()));
        let lines = ["status\r\n", "maxqueue f 1 2 3\r\n", "create function f\n", "cancel job H:box:1\r\n"];
        known.extend(lines.iter().map(|line| line.as_bytes().to_vec()));
        Self { random: Random(seed), known, words: &WORDS }
    }

    fn of_payloads(seed: u64, known: Vec<Vec<u8>>) -> Self {
        Self { random: Random(seed), known, words: &PARTS }
    }

    fn of_performers(seed: u64) -> Self {
        let known = SAYINGS.iter().take(9).map(|saying| saying.to_vec()).collect();
        Self { random: Random(seed), known, words: &SAYINGS }
    }

    fn of_channels(seed: u64) -> Self {
        Self { random: Random(seed), known: control::known(), words: &ORDERS }
    }

    fn next(&mut self) -> Vec<u8> {
        let mut input = Vec::new();
        if self.random.below(8) == 0 {
            let length = self.random.below(64);
            input.extend((0..length).map(|_| self.random.byte()));
        } else {
            for _ in 0..=self.random.below(3) {
                let known = self.random.one::<Vec<u8>>(&self.known);
                input.extend_from_slice(known);
            }
        }
        for _ in 0..self.random.below(6) {
            self.damage(&mut input);
        }
        input.truncate(INPUT_BYTES);
        input
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len() + 1);
        let until = at + self.random.below(input.len() - at + 1);
        match self.random.below(10) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..until)),
            2 => {
                let copy = input[at..until].to_vec();
                input.splice(at..at, copy);
            }
            3 => input.insert(at, self.random.byte()),
            4 => input.insert(at, 0),
            5 => {
                let word = self.random.one(self.words).to_vec();
                input.splice(at..at, word);
            }
            6 => {
                let number = self.random.one(&EDGES).to_be_bytes();
                input.iter_mut().skip(at).zip(number).for_each(|(byte, edge)| *byte = edge);
            }
            7 => {
                let other = self.random.one(&self.known).clone();
                input.splice(at..until, other);
            }
            8 => {
                let long = vec![self.random.byte(); 8190 + self.random.below(4)];
                input.splice(at..at, long);
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.random.below(8);
                }
            }
        }
    }
}

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

/// Feeds inputs to `target` until the time is over; a panic is reported with the input that caused it.
fn run(name: &str, target: fn(&[u8]), inputs: impl Fn(u64) -> Inputs) {
    let by_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs());
    let seed = from_environment("CONVEYOR_TEST_SEED").unwrap_or_else(by_clock);
    let seconds = from_environment("CONVEYOR_FUZZ_SECONDS").unwrap_or(SECONDS);
    println!("{name}: CONVEYOR_TEST_SEED={seed} repeats this run");
    let mut inputs = inputs(seed);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut count = 0_u64;
    while Instant::now() < end {
        let input = inputs.next();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            report(name, seed, count, &input, panic);
        }
        count += 1;
    }
    println!("{name}: {count} inputs");
    assert!(count > 0, "no input was tried: CONVEYOR_FUZZ_SECONDS is too short");
}

fn report(name: &str, seed: u64, count: u64, input: &[u8], panic: Box<dyn Any + Send>) -> ! {
    println!("{name}: input {count} of CONVEYOR_TEST_SEED={seed} fails: b\"{}\"", input.escape_ascii());
    resume_unwind(panic)
}

#[test]
fn fuzz_frame_for_some_seconds() {
    run("frame", targets::frame, Inputs::new);
}

#[test]
fn fuzz_request_for_some_seconds() {
    run("request", targets::request, Inputs::new);
}

#[test]
fn fuzz_response_for_some_seconds() {
    run("response", targets::response, Inputs::new);
}

#[test]
fn fuzz_text_for_some_seconds() {
    run("text", targets::text, Inputs::new);
}

#[test]
fn fuzz_php_for_some_seconds() {
    run("php", targets::php, |seed| Inputs::of_payloads(seed, php::known()));
}

#[test]
fn fuzz_payload_for_some_seconds() {
    run("payload", targets::payload, |seed| Inputs::of_payloads(seed, payload::known()));
}

#[test]
fn fuzz_performer_for_some_seconds() {
    run("performer", targets::performer, Inputs::of_performers);
}

#[test]
fn fuzz_control_for_some_seconds() {
    run("control", targets::control, Inputs::of_channels);
}

#[test]
fn a_seed_repeats_its_inputs() {
    let take = |seed| {
        let mut inputs = Inputs::new(seed);
        (0..200).map(|_| inputs.next()).collect::<Vec<_>>()
    };
    assert_eq!(take(7), take(7));
    assert_ne!(take(7), take(8));
}

#[test]
fn what_is_known_passes_every_target() {
    for input in Inputs::new(0).known {
        for target in [targets::frame, targets::request, targets::response, targets::text] {
            target(&input);
        }
    }
    for input in payload::known() {
        targets::php(&input);
        targets::payload(&input);
    }
}
