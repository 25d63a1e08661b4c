//! `conveyor store`: looked into beside a running server, carried elsewhere, damaged and repaired.

use crate::support::{Process, Server, require, run, wait_for};
use crate::wire;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PAGE: usize = 4096;

/// `conveyor store` with these words on a data directory.
fn command(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.arg("store").args(words).env("CONVEYOR_DATA_DIR", directory);
    command
}

fn store(directory: &Path, words: &[&str]) -> Output {
    run(&mut command(directory, words))
}

/// What it prints when all goes well.
fn told(directory: &Path, words: &[&str]) -> String {
    let output = store(directory, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How it refuses: exit code and message.
fn refused(directory: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = store(directory, words);
    assert!(!output.status.success(), "{words:?} went well");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn server(directory: &Path) -> Server {
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
fn stop(mut server: Server) {
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
fn filled(jobs: u64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let lines: Vec<String> =
        (1..=jobs).map(|number| line(number, &format!("{number}-").repeat(200 / 5))).collect();
    let file = directory.path().join("lines");
    fs::write(&file, lines.join("\n")).unwrap();
    told(directory.path(), &["import", file.to_str().unwrap()]);
    directory
}

/// The exported jobs of a directory, a line each.
fn exported(directory: &Path) -> Vec<String> {
    told(directory, &["export"]).lines().skip(1).map(str::to_owned).collect()
}

fn queue(directory: &Path) -> PathBuf {
    directory.join("queue.db")
}

/// Pages of the queue that begin with this byte, from 0, the first apart.
fn pages(bytes: &[u8], kind: u8) -> Vec<usize> {
    (1..bytes.len() / PAGE).filter(|page| bytes[page * PAGE] == kind).collect()
}

/// Changes the file of a queue.
fn damage(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(queue(directory)).unwrap();
    change(&mut bytes);
    fs::write(queue(directory), bytes).unwrap();
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
        assert_eq!((number("format"), number("next_start")), (1, 4_102_444_800));
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
        (line(31, "x").replace("u31", "u1").replace("f1", "f1"), "would not be in order"),
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

/// Repairs, and says what is left: the report, and the jobs of before that are not there any more.
fn repaired(directory: &Path, before: &[String]) -> (serde_json::Value, BTreeSet<u64>) {
    let damaged = fs::read(queue(directory)).unwrap();
    assert_eq!(store(directory, &["check"]).status.code(), Some(1));
    assert_eq!(fs::read(queue(directory)).unwrap(), damaged, "a check changes nothing");
    let report = json(&told(directory, &["repair", "--json"]));
    assert_eq!(fs::read(report["damaged"].as_str().unwrap()).unwrap(), damaged, "it is kept as it was");
    assert_eq!(told(directory, &["check"]), "OK\n");
    let after: BTreeSet<String> = exported(directory).into_iter().collect();
    assert_eq!(report["jobs"], after.len());
    let number = |line: &String| json(line)["number"].as_u64().unwrap();
    let lost = before.iter().filter(|line| !after.contains(*line)).map(number).collect();
    // Nothing came into being.
    assert!(
        after.iter().all(|line| before.contains(line)) || !report["unnamed"].as_object().unwrap().is_empty()
    );
    (report, lost)
}

/// Numbers that a repair says may be lost.
fn reported(report: &serde_json::Value) -> BTreeSet<u64> {
    let ranges = report["lost"].as_array().unwrap().iter();
    ranges.flat_map(|lost| lost["from"].as_u64().unwrap()..=lost["to"].as_u64().unwrap()).collect()
}

#[test]
fn a_bad_page_of_jobs_costs_its_own_jobs_only() {
    let directory = filled(3000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| {
        let leaves = pages(bytes, 0x0d);
        // The first and the last page of jobs, and one in between; the first leaf is that of the functions.
        for leaf in [leaves[1], leaves[leaves.len() / 2], leaves[leaves.len() - 1]] {
            bytes[leaf * PAGE..(leaf + 1) * PAGE].fill(0xa5);
        }
    });
    let (report, lost) = repaired(at, &before);
    assert!((3..200).contains(&lost.len()), "{lost:?}");
    assert_eq!(reported(&report), lost);

    // And a server serves what is left.
    let running = server(at);
    wait_for("all jobs are read", || {
        let jobs: u64 = running.status().iter().map(|row| row.1).sum();
        (jobs == 3000 - lost.len() as u64).then_some(())
    });
    stop(running);
}

#[test]
fn jobs_are_found_without_the_tree_that_leads_to_them() {
    let directory = filled(3000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| {
        let inner = pages(bytes, 0x05);
        assert!(!inner.is_empty());
        for page in inner {
            bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        }
    });
    let (report, lost) = repaired(at, &before);
    assert!(lost.is_empty() && reported(&report).is_empty(), "{report}");
}

#[test]
fn a_queue_is_repaired_without_its_first_page() {
    let directory = filled(1000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| bytes[..PAGE].fill(0));
    assert!(refused(at, &["list"]).1.contains("conveyor store repair"));
    let (report, lost) = repaired(at, &before);
    assert!(
        lost.is_empty() && report["without_head"] == true && report["numbers_guessed"] == false,
        "{report}"
    );
}

#[test]
fn jobs_of_nameless_functions_keep_their_payloads() {
    let directory = filled(1000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| bytes[2 * PAGE..3 * PAGE].fill(0xff));
    let (report, _) = repaired(at, &before);
    assert_eq!(report["jobs"], 1000);
    let unnamed = report["unnamed"].as_object().unwrap();
    assert_eq!(unnamed.values().map(|jobs| jobs.as_u64().unwrap()).sum::<u64>(), 1000);
    assert!(unnamed.keys().all(|name| name.starts_with("lost-function-")), "{report}");
    assert_eq!(json(&exported(at)[0])["payload"], json(&before[0])["payload"]);
}

#[test]
fn a_queue_that_was_cut_off_gives_what_is_left() {
    let directory = filled(3000);
    let at = directory.path();
    let before = exported(at);
    damage(at, |bytes| bytes.truncate(bytes.len() / 2 / PAGE * PAGE + 100));
    let output = at.join("rescued");
    let damaged = fs::read(queue(at)).unwrap();
    told(at, &["repair", "--output", output.to_str().unwrap()]);
    assert!(output.exists() && fs::read(queue(at)).unwrap() == damaged, "it stays in its place");
    assert!(refused(at, &["repair", "-o", output.to_str().unwrap()]).1.contains("there already"));
    let (report, lost) = repaired(at, &before);
    assert!((1000..2000).contains(&lost.len()), "{}", lost.len());
    assert!(reported(&report).is_superset(&lost), "{report}");
}

#[test]
fn flipped_bytes_never_bring_jobs_that_were_not_there() {
    for seed in 1..=12_usize {
        let directory = filled(600);
        let at = directory.path();
        let before: BTreeSet<u64> =
            exported(at).iter().map(|line| json(line)["number"].as_u64().unwrap()).collect();
        damage(at, |bytes| {
            let mut at = seed * 7919;
            for _ in 0..40 {
                at = (at * 1_103_515_245 + 12_345) % 2_147_483_648;
                let byte = at % bytes.len();
                bytes[byte] ^= 1 << (at % 8);
            }
        });
        let output = store(at, &["check"]);
        assert!(output.status.code() == Some(1), "seed {seed}: {output:?}");
        let output = store(at, &["repair", "--json"]);
        // Whatever it is, it is no panic and no endless loop.
        assert!(matches!(output.status.code(), Some(0 | 1)), "seed {seed}: {output:?}");
        if output.status.success() {
            let report = json(&String::from_utf8(output.stdout).unwrap());
            let after: BTreeSet<u64> =
                exported(at).iter().filter_map(|line| json(line)["number"].as_u64()).collect();
            let lost = reported(&report);
            assert!(after.len() > 200, "seed {seed}: {report}");
            assert!(before.difference(&after).all(|number| lost.contains(number)), "seed {seed}: {report}");
        }
    }
}
