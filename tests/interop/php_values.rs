//! PHP's serialize format beside PHP itself: what we write it reads and writes alike, what it writes we do.

use crate::php_strategy;
use crate::support::{require, run};
use bytes::Bytes;
use conveyor_common::payload::Limits;
use conveyor_common::payload::php::{decode, encode};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Values in each direction.
const VALUES: usize = 2000;

fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let given = std::env::var("CONVEYOR_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(clock);
    println!("seed {seed} (replay with CONVEYOR_TEST_SEED={seed})");
    seed
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(line: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    (0..line.len()).step_by(2).map(byte).collect()
}

/// The lines that `php/values.php` prints.
fn php(settings: &[&str], arguments: &[&str]) -> Vec<Vec<u8>> {
    require("php");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/php/values.php");
    let mut command = Command::new("php");
    for setting in settings {
        command.args(["-d", setting]);
    }
    let output = run(command.arg(script).args(arguments));
    let printed = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{complaint}");
    printed.lines().map(from_hex).collect()
}

#[test]
fn php_reads_what_we_write_and_writes_the_same() {
    let mut material = [0; 32];
    material[..8].copy_from_slice(&seed().to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &material);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = php_strategy::value();
    let mut value = || strategy.new_tree(&mut runner).unwrap().current();
    let written: Vec<Vec<u8>> = (0..VALUES).map(|_| encode(&value(), &Limits::default()).unwrap()).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values");
    let lines: Vec<String> = written.iter().map(|bytes| hex(bytes)).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let back = php(&[], &["again", path.to_str().unwrap()]);
    assert_eq!(back.len(), VALUES);
    for (ours, theirs) in written.iter().zip(&back) {
        assert_eq!(ours.escape_ascii().to_string(), theirs.escape_ascii().to_string());
    }
}

#[test]
fn we_read_what_php_writes_and_write_the_same() {
    let seed = (seed() & 0x7fff_ffff).to_string();
    for precision in ["serialize_precision=-1", "serialize_precision=17", "serialize_precision=5"] {
        let written = php(&[precision], &["random", &seed, &VALUES.to_string()]);
        assert_eq!(written.len(), VALUES);
        for bytes in written {
            let value = decode(&Bytes::from(bytes.clone()), &Limits::default());
            let value = value.unwrap_or_else(|error| panic!("{}: {error}", bytes.escape_ascii()));
            assert_eq!(encode(&value, &Limits::default()), Ok(bytes));
        }
    }
}
