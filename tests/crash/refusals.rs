//! What is found at the start cannot be used: the server says why, in words that help, and ends with 1; or it serves
//! what it can read.

use crate::conn::Conn;
use crate::disk::take_all;
use crate::server::{Victim, command};
use crate::support::{Process, lasting_port, require, run};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of a page of the file.
const PAGE: u64 = 4096;

/// Starts a server that is to refuse: its words.
fn refused(start: &mut Command) -> String {
    let output = run(start);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.starts_with("conveyor server: "), "{words}");
    words
}

fn refused_by(directory: &Path) -> String {
    refused(&mut command(lasting_port(), directory))
}

/// A stopped server with jobs; the last one is of another function.
fn with_jobs(below: &Path, jobs: usize) -> Victim {
    let mut server = Victim::new(below, &[]);
    server.start();
    let mut conn = Conn::open(server.address).unwrap();
    for id in 0..jobs {
        conn.submit("f", "", format!("{id}:{:x<2000}", "").as_bytes()).unwrap().unwrap();
    }
    server.stop();
    server
}

/// Runs a script in Python with a path.
fn python(script: &str, path: &Path) -> Command {
    require("python3");
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(path);
    python
}

#[test]
fn a_file_in_place_of_the_directory() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("queue");
    std::fs::write(&file, "mine").unwrap();
    let words = refused_by(&file);
    assert!(words.contains("cannot use the data directory") && words.contains("--data-dir"), "{words}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_directory_that_cannot_be_written_to() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("queue");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut start = command(lasting_port(), &directory);
    if rustix::process::geteuid().is_root() {
        // Nothing is forbidden to root.
        let nobody = ["--reuid", "65534", "--clear-groups"];
        let plain = start;
        // The binary may be where nobody else may look.
        let binary = place.path().join("conveyor");
        std::fs::copy(env!("CARGO_BIN_EXE_conveyor"), &binary).unwrap();
        start = Command::new("setpriv");
        let rest = plain.get_args().skip(3);
        start.args(["--pdeathsig", "KILL"]).args(nobody).arg(binary).args(rest);
    }
    let words = refused(&mut start);
    assert!(words.contains("cannot use the data directory") && words.contains("ermission denied"), "{words}");
    assert!(words.contains("--queue-type builtin"), "{words}");
}

#[test]
fn a_file_that_another_program_keeps_locked() {
    let place = tempfile::tempdir().unwrap();
    let mut server = with_jobs(place.path(), 10);
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('PRAGMA locking_mode = EXCLUSIVE')
db.execute('BEGIN EXCLUSIVE')
db.execute('UPDATE meta SET value = value + 0')
print('locked', flush=True)
sys.stdin.read()";
    let mut python = python(script, &server.directory.join("queue.db"));
    let mut owner = Process::spawn(python.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(owner.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    let words = refused_by(&server.directory);
    assert!(words.contains("another program keeps ") && words.contains("close it"), "{words}");
    drop(owner);
    server.start();
    server.wait_to_say("all stored jobs are read");
    assert_eq!(take_all(&server, "f").len(), 10);
    server.stop();
}

#[test]
fn a_file_that_is_no_database() {
    let place = tempfile::tempdir().unwrap();
    let server = with_jobs(place.path(), 10);
    let path = server.directory.join("queue.db");
    std::fs::File::options().write(true).open(&path).unwrap().write_all_at(&[0x5a; 100], 0).unwrap();
    let before = std::fs::read(&path).unwrap();
    let words = refused_by(&server.directory);
    assert!(words.contains("cannot be read") && words.contains("conveyor store repair"), "{words}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "the file stays as it is");
}

#[test]
fn a_database_of_another_program() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("queue.db");
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('CREATE TABLE bills (euro INTEGER)')
db.commit()";
    assert!(run(&mut python(script, &path)).status.success());
    let before = std::fs::read(&path).unwrap();
    let words = refused_by(place.path());
    assert!(words.contains("a database of another program"), "{words}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "the file stays as it is");
}

#[test]
fn a_file_of_a_newer_version() {
    let place = tempfile::tempdir().unwrap();
    let server = with_jobs(place.path(), 10);
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('PRAGMA user_version = 77')
db.commit()";
    assert!(run(&mut python(script, &server.directory.join("queue.db"))).status.success());
    let words = refused_by(&server.directory);
    assert!(words.contains("a newer version of conveyor (format 77)"), "{words}");
}

#[test]
fn a_directory_of_another_server() {
    let place = tempfile::tempdir().unwrap();
    let mut first = Victim::new(place.path(), &[]);
    first.start();
    Conn::open(first.address).unwrap().submit("f", "", b"0:").unwrap().unwrap();
    let words = refused_by(&first.directory);
    let owner = format!("in use by another server (process {})", first.pid());
    assert!(words.contains(&owner) && words.contains("--data-dir"), "{words}");
    assert_eq!(take_all(&first, "f").len(), 1);
    first.stop();
}

#[test]
fn a_file_that_was_cut_off() {
    let place = tempfile::tempdir().unwrap();
    let server = with_jobs(place.path(), 1_000);
    let path = server.directory.join("queue.db");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let half = file.metadata().unwrap().len() / PAGE / 2 * PAGE;
    file.set_len(half).unwrap();
    let before = std::fs::read(&path).unwrap();
    let words = refused_by(&server.directory);
    assert!(words.contains("cannot be read") && words.contains("conveyor store repair"), "{words}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "the file stays as it is");
}

/// It starts, says what is wrong, refuses background jobs and serves what it could read; the file keeps what it had.
#[test]
fn a_file_with_a_broken_page_in_the_middle() {
    const JOBS: usize = 4_000;
    let place = tempfile::tempdir().unwrap();
    let mut server = with_jobs(place.path(), JOBS);
    let path = server.directory.join("queue.db");
    let size = std::fs::metadata(&path).unwrap().len();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; PAGE as usize], size / PAGE / 2 * PAGE).unwrap();
    server.start();
    server.wait_to_say("stored jobs cannot be read; those that were read are served");
    server.wait_to_say("conveyor store repair");
    let mut conn = Conn::open(server.address).unwrap();
    let refusal = conn.submit("f", "", b"0:").unwrap().unwrap_err();
    assert!(refusal.starts_with("QUEUE_ERROR"), "{refusal}");
    let found = take_all(&server, "f");
    assert!(!found.is_empty() && found.len() < JOBS, "{} of {JOBS} are served", found.len());
    server.stop();
    assert!(std::fs::metadata(&path).unwrap().len() >= size, "nothing is cut off");
    // What was served does not come back, and what could not be read is still there.
    server.start();
    server.wait_to_say("stored jobs cannot be read; those that were read are served");
    let again = take_all(&server, "f");
    assert!(again.is_disjoint(&found), "{} jobs ran twice", again.intersection(&found).count());
    server.stop();
}
