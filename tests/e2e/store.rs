//! `conveyor store`: looked into beside a running server, and carried elsewhere.

use crate::support::{Process, Server, require, run, wait_for};
use crate::wire;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// `conveyor store` with these words on a data directory.
pub(crate) fn command(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.arg("store").args(words).env("CONVEYOR_DATA_DIR", directory);
    command
}

pub(crate) fn store(directory: &Path, words: &[&str]) -> Output {
    run(&mut command(directory, words))
}

/// What it prints when all goes well.
pub(crate) fn told(directory: &Path, words: &[&str]) -> String {
    let output = store(directory, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How it refuses: exit code and message.
pub(crate) fn refused(directory: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = store(directory, words);
    assert!(!output.status.success(), "{words:?} went well");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn server(directory: &Path) -> Server {
    Server::conveyor(&["--data-dir", directory.to_str().unwrap()])
}

/// One background job by the stock tool.
fn gearman(server: &Server, words: &[&str]) {
    require("gearman");
    let mut command = Command::new("gearman");
    command.args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "-b"]).args(words);
    let output = run(command.stdin(Stdio::null()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Ends a server in order.
pub(crate) fn stop(mut server: Server) {
    server.process.signal("TERM");
    assert_eq!(server.process.exit_code(), Some(0));
}

/// A line of an export.
fn line(number: u64, payload: &str) -> String {
    format!(
        r#"{{"number":{number},"function":"f{}","priority":"normal","unique":"u{number}","payload":"{payload}"}}"#,
        number % 3
    )
}

/// A directory with jobs 1 to `jobs`, of about 200 bytes each.
pub(crate) fn filled(jobs: u64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let lines: Vec<String> =
        (1..=jobs).map(|number| line(number, &format!("{number}-").repeat(200 / 5))).collect();
    let file = directory.path().join("lines");
    fs::write(&file, lines.join("\n")).unwrap();
    told(directory.path(), &["import", file.to_str().unwrap()]);
    directory
}

/// The exported jobs of a directory, a line each.
pub(crate) fn exported(directory: &Path) -> Vec<String> {
    told(directory, &["export"]).lines().skip(1).map(str::to_owned).collect()
}

pub(crate) fn queue(directory: &Path) -> PathBuf {
    directory.join("queue.db")
}

#[test]
fn a_running_queue_is_looked_into_and_a_stopped_one_too() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let running = server(at);
    gearman(&running, &["-f", "resize", "-u", "one", "first payload"]);
    gearman(&running, &["-f", "resize", "-I", "-u", "two", "urgent"]);
    gearman(&running, &["-f", "mail", "-L", "-u", "three", "later"]);
    let mut peer = running.connect();
    peer.send(wire::SUBMIT_JOB_EPOCH, &[b"mail", b"four", b"4102444800", b"\xff\0\xfe"]);
    assert_eq!(peer.receive().0, wire::JOB_CREATED);

    let mut before = Vec::new();
    for pid in [Some(running.process.id()), None] {
        let stats = json(&told(at, &["stats", "--json"]));
        if let Some(pid) = pid {
            assert_eq!((&stats["running"], &stats["pid"]), (&true.into(), &pid.into()));
        }
        let number = |name: &str| stats[name].as_u64().unwrap();
        assert_eq!((number("jobs"), number("bytes"), number("scheduled")), (4, 13 + 6 + 5 + 3, 1));
        assert_eq!((number("format"), number("next_start")), (2, 4_102_444_800));
        assert!(number("reserved_numbers") >= 4 && number("file_bytes") + number("log_bytes") > 0);
        let table = told(at, &["stats"]);
        assert!(table.contains("resize\thigh\t1\t6\t0\n"), "{table}");

        let rows: Vec<String> = told(at, &["list"]).lines().map(str::to_owned).collect();
        assert_eq!(rows[0], "NUMBER\tFUNCTION\tPRIORITY\tUNIQUE\tSTART\tRETRIES\tBYTES");
        assert_eq!(rows[1], "2\tresize\thigh\ttwo\t-\t0\t6");
        assert_eq!(rows[3], "4\tmail\tnormal\tfour\t2100-01-01T00:00:00Z\t0\t3");
        assert_eq!(rows.len(), 5);
        assert_eq!(told(at, &["list", "-f", "mail"]).lines().count(), 3);
        assert_eq!(told(at, &["list", "--priority", "low"]).lines().count(), 2);
        assert_eq!(told(at, &["list", "-u", "one"]).lines().count(), 2);
        assert_eq!(told(at, &["list", "--limit", "3"]).lines().count(), 4);
        assert_eq!(json(&told(at, &["list", "--json"])).as_array().unwrap().len(), 4);
        assert_eq!(json(&told(at, &["list", "--json", "-f", "nobody"])), json("[]"));

        assert_eq!(told(at, &["show", "1", "--payload"]), "first payload");
        assert_eq!(store(at, &["show", "H:elsewhere:4", "--payload"]).stdout, b"\xff\0\xfe");
        assert_eq!(json(&told(at, &["show", "4", "--json"]))["payload_base64"], "/wD+");
        assert!(told(at, &["show", "H:x:3"]).contains("unique    three\n"));
        let (code, message) = refused(at, &["show", "99"]);
        assert!(code == Some(4) && message.contains("99"), "{message}");
        assert_eq!(told(at, &["check"]), "OK\n");

        let jobs = exported(at);
        if before.is_empty() {
            before = jobs;
            // Only a server that runs keeps others out.
            for words in [&["import", "-"][..], &["repair"], &["import", "-", "--dry-run"]] {
                let (code, message) = refused(at, words);
                assert!(code == Some(1) && message.contains("in use by another server"), "{message}");
            }
            running.process.signal("TERM");
            wait_for("the server ends", || {
                let stats = json(&told(at, &["stats", "--json"]));
                (stats["running"] == false).then_some(())
            });
        } else {
            assert_eq!(jobs, before);
        }
    }
}

#[test]
fn wrong_usage_and_an_absent_queue_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for words in [&["stats"][..], &["list"], &["show", "1"], &["export"], &["check"], &["repair"]] {
        let (code, message) = refused(at, words);
        assert!(code == Some(1) && message.contains("there is no queue in"), "{words:?}: {message}");
    }
    assert_eq!(fs::read_dir(at).unwrap().count(), 0, "looking makes nothing");
    for words in [&["show", "x"][..], &["list", "--priority", "urgent"], &["import"], &[]] {
        assert_eq!(refused(at, words).0, Some(2), "{words:?}");
    }
    fs::write(queue(at), "not a database, but long enough to be looked at as one".repeat(100)).unwrap();
    assert!(refused(at, &["stats"]).1.contains("conveyor store repair"));
    assert_eq!(store(at, &["check"]).status.code(), Some(1));
}

#[test]
fn python_reads_the_same() {
    require("python3");
    let directory = filled(500);
    let at = directory.path();
    let script = "import json, sqlite3, sys
base = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)
rows = base.execute('SELECT number, function, priority, uniq, retries, bytes FROM queue ORDER BY number').fetchall()
print(json.dumps([dict(zip(['number', 'function', 'priority', 'unique', 'retries', 'bytes'], row)) for row in rows]))";
    let output = run(Command::new("python3").args(["-c", script]).arg(queue(at)));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = json(&String::from_utf8(output.stdout).unwrap());
    let ours = json(&told(at, &["list", "--json"]));
    let (theirs, ours) = (theirs.as_array().unwrap(), ours.as_array().unwrap());
    assert_eq!((theirs.len(), ours.len()), (500, 500));
    for (theirs, ours) in theirs.iter().zip(ours) {
        for field in ["number", "function", "priority", "unique", "retries", "bytes"] {
            assert_eq!(theirs[field], ours[field], "{field} of {ours}");
        }
    }
    let bytes: u64 = theirs.iter().map(|row| row["bytes"].as_u64().unwrap()).sum();
    let stats = json(&told(at, &["stats", "--json"]));
    assert_eq!((&stats["jobs"], &stats["bytes"]), (&500.into(), &bytes.into()));
    assert_eq!(stats["functions"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_exported_comes_back_with_its_handles() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let running = server(from.path());
    gearman(&running, &["-f", "a", "-u", "x", "text \"quoted\"\n"]);
    gearman(&running, &["-f", "b", "-I", "plain"]);
    assert_eq!(running.connect().line("maxqueue a 7 8 9"), "OK\r\n");
    let mut peer = running.connect();
    peer.send(wire::SUBMIT_JOB_BG, &[b"b", b"\xfe", b"\0\xff"]);
    let (_, handle) = peer.receive();
    let file = from.path().join("export");
    let file = file.to_str().unwrap();
    told(from.path(), &["export", "--output", file]);
    assert!(refused(from.path(), &["export", "-o", file]).1.contains("exists"));
    stop(running);

    let place = to.path().join("new");
    assert!(told(&place, &["import", file, "--dry-run"]).starts_with("3 jobs can be"));
    assert!(!place.exists(), "a dry run makes nothing");
    assert!(told(&place, &["import", file]).starts_with("3 jobs are now in"));
    assert_eq!(told(&place, &["export"]), fs::read_to_string(file).unwrap());
    assert_eq!(told(&place, &["check"]), "OK\n");

    let running = server(&place);
    wait_for("all jobs are read", || (running.connect().line("readiness") == "OK ready\n").then_some(()));
    let handles: BTreeSet<String> = running
        .connect()
        .table("show jobs")
        .iter()
        .map(|row| row.split('\t').next().unwrap().to_owned())
        .collect();
    assert!(handles.len() == 3 && handles.contains(std::str::from_utf8(&handle).unwrap()), "{handles:?}");
    let mut worker = running.connect();
    worker.send(wire::CAN_DO, &[b"b"]);
    worker.send(wire::GRAB_JOB, &[]);
    assert!(worker.receive().1.ends_with(b"b\0plain"));
    worker.send(wire::GRAB_JOB, &[]);
    assert_eq!(worker.receive().1, [&handle[..], b"\0b\0\0\xff"].concat());
    stop(running);

    // Numbers that were given out are not given out again.
    let running = server(&place);
    let mut peer = running.connect();
    peer.send(wire::SUBMIT_JOB_BG, &[b"b", b"", b"new"]);
    let created = String::from_utf8(peer.receive().1).unwrap();
    let number: u64 = created.rsplit(':').next().unwrap().parse().unwrap();
    assert!(number > 3 && !handles.contains(&created), "{created}");
    stop(running);
}

#[test]
fn an_import_takes_all_or_nothing() {
    let directory = filled(20);
    let at = directory.path();
    let before = told(at, &["export"]);
    let file = at.join("wrong");
    for (second, why) in [
        (line(7, "x"), "line 2 of"),
        ("{\"number\":31}".to_owned(), "function is missing"),
        ("[1".to_owned(), "line 2 of"),
        (line(31, "x").replace("u31", "u1"), "would not be in order"),
    ] {
        fs::write(&file, format!("{}\n{second}\n", line(30, "new"))).unwrap();
        for dry in [&["--dry-run"][..], &[]] {
            let words = [&["import", file.to_str().unwrap()], dry].concat();
            let (code, message) = refused(at, &words);
            assert!(code == Some(1) && message.contains(why), "{second}: {message}");
            assert!(message.ends_with("Nothing was imported.\n"), "{message}");
        }
        assert_eq!(told(at, &["export"]), before);
    }
}

#[test]
fn two_hundred_thousand_jobs_leave_in_little_memory() {
    const JOBS: u64 = 200_000;
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let file = at.join("lines");
    let payload = "x".repeat(600);
    {
        let mut out = std::io::BufWriter::new(fs::File::create(&file).unwrap());
        for number in 1..=JOBS {
            std::io::Write::write_all(&mut out, (line(number, &payload) + "\n").as_bytes()).unwrap();
        }
    }
    told(at, &["import", file.to_str().unwrap()]);
    fs::remove_file(&file).unwrap();
    let mut exporting = Process::spawn(command(at, &["export"]).stdout(Stdio::piped()));
    let mut lines = BufReader::new(exporting.child.stdout.take().unwrap()).lines();
    // The rest is more than a pipe and buffers hold, so it cannot have ended.
    let most = lines.by_ref().take(JOBS as usize - 2000).filter(|line| line.is_ok()).count();
    let status = fs::read_to_string(format!("/proc/{}/status", exporting.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100 * 1024, "{peak} KiB");
    assert_eq!(most as u64 + lines.count() as u64, JOBS + 1);
    assert_eq!(exporting.exit_code(), Some(0));
}
