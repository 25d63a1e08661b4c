//! `conveyor worker --persistent` with the helpers for PHP, Python and sh, on both servers.

use crate::support::{Peer, Process, Server, require, wait_for};
use crate::wire;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// WORK_STATUS, WORK_FAIL, WORK_EXCEPTION, WORK_WARNING and what asks for exceptions.
const WORK_STATUS: u32 = 12;
const WORK_FAIL: u32 = 14;
const WORK_EXCEPTION: u32 = 25;
const OPTION_REQ: u32 = 26;
const WORK_DATA: u32 = 28;
const WORK_WARNING: u32 = 29;

fn on_both(test: impl Fn(&Server)) {
    test(&Server::conveyor(&[]));
    test(&Server::gearmand(&[]));
}

fn performers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("performers")
}

/// Starts a worker that keeps the processes of `command`.
fn keep(server: &Server, function: &str, options: &[&str], command: &[&str]) -> Process {
    let mut conveyor = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    conveyor.args(["worker", "-p", &server.port().to_string(), "-f", function, "--persistent"]);
    conveyor.args(options).arg("--").args(command);
    let worker = Process::spawn(conveyor.stdout(Stdio::null()).stderr(Stdio::null()));
    server.wait_for_workers(function, 1);
    worker
}

/// A program that uses the Python helper, in a directory of the test.
fn python(directory: &Path, body: &str) -> String {
    let path = directory.join("worker.py");
    let head = format!(
        "import sys\nsys.path.insert(0, {:?})\nimport conveyor_performer\n",
        performers().join("python")
    );
    std::fs::write(&path, head + body).unwrap();
    path.to_str().unwrap().to_owned()
}

fn submit(client: &mut Peer, function: &str, payload: &[u8]) -> Vec<u8> {
    client.send(wire::SUBMIT_JOB, &[function.as_bytes(), b"", payload]);
    loop {
        // Jobs before this one may end meanwhile only where the test waits for them.
        if let (wire::JOB_CREATED, handle) = client.receive() {
            return handle;
        }
    }
}

/// The next packet of a job: its type and what follows the handle.
fn next(client: &mut Peer) -> (u32, Vec<u8>) {
    let (kind, body) = client.receive();
    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    (kind, body.get(end + 1..).unwrap_or_default().to_vec())
}

fn outcome(client: &mut Peer) -> (u32, Vec<u8>) {
    loop {
        let (kind, body) = next(client);
        if !matches!(kind, WORK_STATUS | WORK_DATA | WORK_WARNING) {
            return (kind, body);
        }
    }
}

/// Payloads of any kind, by number.
fn payload(number: usize) -> Vec<u8> {
    match number % 10 {
        0 => Vec::new(),
        1 => (0..=255).collect(),
        2 => b"\n\n\0job 1 1 1 1\nstop\n".to_vec(),
        3 if number % 100 == 3 => (0..=255).cycle().skip(number).take(1 << 20).collect(),
        _ => (0..number).map(|at| u8::try_from((at * 7 + number) % 256).unwrap()).collect(),
    }
}

/// Jobs one after the other on each of several connections, each payload its own, each result that payload reversed.
fn reverses(server: &Server, command: &[&str], jobs: usize) {
    let _worker = keep(server, "reverse", &["--jobs", "4"], command);
    let lane = |lane: usize| {
        let mut client = server.connect();
        for number in (lane..jobs).step_by(8) {
            let payload = payload(number);
            submit(&mut client, "reverse", &payload);
            let (kind, result) = outcome(&mut client);
            let expected: Vec<u8> = payload.into_iter().rev().collect();
            assert_eq!(kind, wire::WORK_COMPLETE, "job {number}");
            assert!(result == expected, "job {number}: {} bytes", result.len());
        }
    };
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || lane(number));
        }
    });
}

fn example(path: &str) -> String {
    performers().join(path).to_str().unwrap().to_owned()
}

#[test]
fn php_reverses_a_thousand_payloads_of_any_bytes_beside_noise() {
    require("php");
    on_both(|server| reverses(server, &["php", &example("php/examples/reverse.php")], 1000));
}

#[test]
fn python_reverses_a_thousand_payloads_of_any_bytes_beside_noise() {
    require("python3");
    on_both(|server| reverses(server, &["python3", &example("python/examples/reverse.py")], 1000));
}

/// Eight of them of 1 MiB at most: sh is slow with single bytes.
#[test]
fn dash_reverses_payloads_of_any_bytes_beside_noise() {
    require("dash");
    on_both(|server| reverses(server, &["dash", &example("sh/examples/reverse.sh")], 104));
}

/// The same program in three languages: what each payload does is in `says`.
fn program(directory: &Path, language: &str) -> Vec<String> {
    let (name, text) = match language {
        "php" => (
            "worker.php",
            format!(
                "<?php require '{}';
                Conveyor\\Performer::run(function ($job) {{
                    echo \"noise\\n\";
                    if ($job->payload === 'throw') throw new Exception('no luck');
                    if ($job->payload === 'fail') throw new Conveyor\\Failed('not today');
                    if ($job->payload === 'pid') return getmypid();
                    if ($job->payload === 'array') return [];
                    $job->progress(1, 2); $job->data(\"a\\0b\"); $job->warning('care');
                    return \"$job->function $job->unique\";
                }});",
                example("php/Performer.php")
            ),
        ),
        "python3" => {
            let body = "def work(job):
    print('noise')
    if job.payload == b'throw': raise ValueError('no luck')
    if job.payload == b'fail': raise conveyor_performer.Failed('not today')
    if job.payload == b'pid':
        import os
        return str(os.getpid())
    if job.payload == b'array': return []
    job.progress(1, 2); job.data(b'a\\0b'); job.warning('care')
    return job.function + b' ' + job.unique
conveyor_performer.run(work)
";
            return vec![language.to_owned(), python(directory, body)];
        }
        shell => (
            "worker.sh",
            format!(
                ". {}
                perform() {{
                    echo noise
                    case $(cat \"$JOB_PAYLOAD\") in
                        throw) job_exception 'no luck' ;;
                        fail) job_fail 'not today' ;;
                        pid) printf %s $$ > \"$JOB_RESULT\" ;;
                        array) return 3 ;;
                        *) job_progress 1 2; printf 'a\\000b' | job_data; printf care | job_warning
                           printf '%s %s' \"$JOB_FUNCTION\" \"$JOB_UNIQUE\" > \"$JOB_RESULT\" ;;
                    esac
                }}
                performer_run # {shell}",
                example("sh/performer.sh")
            ),
        ),
    };
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    vec![language.to_owned(), path.to_str().unwrap().to_owned()]
}

#[test]
fn every_helper_reports_fails_and_throws_and_its_process_lives_on() {
    on_both(|server| {
        for language in ["php", "python3", "dash"] {
            require(language);
            let directory = tempfile::tempdir().unwrap();
            let command = program(directory.path(), language);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            let _worker = keep(server, language, &["--exceptions"], &command);
            let mut client = server.connect();
            client.send(OPTION_REQ, &[b"exceptions"]);
            client.receive();
            let mut end = |payload: &[u8]| {
                submit(&mut client, language, payload);
                outcome(&mut client)
            };
            let (done, first) = end(b"pid");
            assert_eq!(done, wire::WORK_COMPLETE, "{language}");
            let (kind, message) = end(b"throw");
            assert_eq!(kind, WORK_EXCEPTION);
            assert!(message.ends_with(b"no luck"), "{}", message.escape_ascii());
            assert_eq!(end(b"array").0, WORK_EXCEPTION, "{language}");
            assert_eq!(end(b"fail").0, WORK_FAIL);
            assert_eq!(end(b"pid"), (wire::WORK_COMPLETE, first), "{language}: the process lives on");
            client.send(wire::SUBMIT_JOB, &[language.as_bytes(), b"key", b"x"]);
            assert_eq!(client.receive().0, wire::JOB_CREATED);
            assert_eq!(next(&mut client), (WORK_STATUS, b"1\x002".to_vec()));
            assert_eq!(next(&mut client), (WORK_DATA, b"a\0b".to_vec()));
            assert_eq!(next(&mut client), (WORK_WARNING, b"care".to_vec()));
            let expected = format!("{language} key").into_bytes();
            assert_eq!(next(&mut client), (wire::WORK_COMPLETE, expected));
        }
    });
}

/// Lines of a file that is appended to; none while it is not there.
fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_job_whose_process_crashes_goes_back_and_another_worker_does_it_once() {
    on_both(|server| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let crashing = "import os\ndef work(job):\n    open('tries', 'a').write('crash\\n')\n    os._exit(3)\n\
                        conveyor_performer.run(work)\n";
        let program = python(directory.path(), crashing);
        let _crashing = keep(server, "work", &["--directory", path], &["python3", &program]);
        let mut client = server.connect();
        submit(&mut client, "work", b"x");
        let tries = directory.path().join("tries");
        wait_for("it was tried twice", || (lines(&tries).len() >= 2).then_some(()));
        let mut other = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        other.args(["worker", "-p", &server.port().to_string(), "-f", "work", "--directory", path, "--"]);
        other.args(["sh", "-c", "echo done >> tries; echo done"]);
        let _other = Process::spawn(&mut other);
        assert_eq!(outcome(&mut client), (wire::WORK_COMPLETE, b"done\n".to_vec()));
        assert_eq!(lines(&tries).iter().filter(|line| *line == "done").count(), 1);
        // Nothing follows.
        client.send(wire::ECHO_REQ, &[b"end"]);
        assert_eq!(client.receive(), (wire::ECHO_RES, b"end".to_vec()));
    });
}

#[test]
fn a_job_whose_process_crashes_fails_where_that_is_wanted() {
    let server = Server::conveyor(&[]);
    let script = "echo ready 1 >&3; read -r line <&4; echo no luck; exit 3";
    let _worker = keep(&server, "work", &["--on-crash", "fail"], &["sh", "-c", script]);
    let mut client = server.connect();
    submit(&mut client, "work", b"x");
    let (kind, text) = next(&mut client);
    assert_eq!((kind, text.as_slice()), (WORK_WARNING, &b"exit code 3\nno luck"[..]));
    assert_eq!(next(&mut client).0, WORK_FAIL);
}

/// Kills a process if it still is one of `program`, and not another one that got its number.
fn kill(process: &str, program: &str) -> bool {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(program)
        && Command::new("kill").args(["-9", process]).stderr(Stdio::null()).status().unwrap().success()
}

/// Kills processes at any time, until all jobs are done: each ends once, whatever became of its processes.
#[test]
fn processes_killed_at_random_lose_no_job() {
    on_both(|server| {
        const JOBS: usize = 400;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let body = "import os, time\npids = open('pids', 'a')\npids.write('%d\\n' % os.getpid())\npids.flush()\n\
                    def work(job):\n    time.sleep(0.004)\n    job.progress(1, 1)\n    return job.payload * 100\n\
                    conveyor_performer.run(work)\n";
        let program = python(directory.path(), body);
        let _worker = keep(server, "work", &["--jobs", "4", "--directory", path], &["python3", &program]);
        let mut client = server.connect();
        for number in 0..JOBS {
            client.send(wire::SUBMIT_JOB, &[b"work", b"", number.to_string().as_bytes()]);
        }
        let mut payloads: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let (mut created, mut killed, mut ended) = (0, 0, BTreeMap::new());
        while ended.len() < JOBS {
            let (kind, body) = client.receive();
            match kind {
                wire::JOB_CREATED => {
                    payloads.insert(body, created);
                    created += 1;
                }
                WORK_STATUS => {}
                wire::WORK_COMPLETE => {
                    let at = body.iter().position(|byte| *byte == 0).unwrap();
                    let number = payloads[&body[..at]];
                    assert_eq!(body[at + 1..], number.to_string().repeat(100).into_bytes());
                    assert!(ended.insert(number, ()).is_none(), "{number} ended twice");
                    // Whatever it does right now: mostly, the next job.
                    if number % 10 == 9 {
                        let pids = lines(&directory.path().join("pids"));
                        let victim = pids.iter().rev().nth(number / 10 % 4);
                        killed += usize::from(victim.is_some_and(|victim| kill(victim, &program)));
                    }
                }
                other => panic!("packet {other}: {}", body.escape_ascii()),
            }
        }
        assert!(killed >= 5, "{killed} were killed: this proves little");
    });
}

#[test]
fn a_job_that_takes_too_long_fails_with_all_its_processes_and_the_next_one_is_done() {
    on_both(|server| {
        let directory = tempfile::tempdir().unwrap();
        let body = "import subprocess\ndef work(job):\n    if job.payload == b'slow':\n        \
                    subprocess.run(['sleep', '987621'])\n    return 'done'\nconveyor_performer.run(work)\n";
        let program = python(directory.path(), body);
        let options = ["--timeout-ms", "1000", "--grace-ms", "100"];
        let _worker = keep(server, "work", &options, &["python3", &program]);
        let mut client = server.connect();
        submit(&mut client, "work", b"slow");
        assert_eq!(outcome(&mut client).0, WORK_FAIL);
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let sleeps =
            |path: PathBuf| std::fs::read(path).is_ok_and(|line| line.starts_with(b"sleep\0987621\0"));
        assert!(!processes.into_iter().any(|process| sleeps(process.path().join("cmdline"))));
        submit(&mut client, "work", b"quick");
        assert_eq!(outcome(&mut client), (wire::WORK_COMPLETE, b"done".to_vec()));
    });
}

#[test]
fn told_to_end_it_lets_the_running_job_end_and_then_its_processes() {
    on_both(|server| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let body = "import os, time\ndef work(job):\n    open('started', 'w')\n    while not os.path.exists('go'):\n        \
                    time.sleep(0.01)\n    return 'done'\nconveyor_performer.run(work)\nopen('stopped', 'w')\n";
        let program = python(directory.path(), body);
        let mut worker = keep(server, "work", &["--directory", path], &["python3", &program]);
        let mut client = server.connect();
        submit(&mut client, "work", b"x");
        wait_for("the job runs", || directory.path().join("started").exists().then_some(()));
        worker.signal("TERM");
        std::fs::write(directory.path().join("go"), "").unwrap();
        assert_eq!(outcome(&mut client), (wire::WORK_COMPLETE, b"done".to_vec()));
        assert_eq!(worker.exit_code(), Some(0));
        assert!(directory.path().join("stopped").exists(), "the process was told, and went by itself");
    });
}

#[test]
fn told_twice_it_gives_the_running_job_back_and_kills_its_process() {
    on_both(|server| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let body = "import os, time\ndef work(job):\n    open('started', 'w').write(str(os.getpid()))\n    \
                    time.sleep(3600)\nconveyor_performer.run(work)\n";
        let program = python(directory.path(), body);
        let mut worker = keep(server, "work", &["--directory", path], &["python3", &program]);
        let mut client = server.connect();
        submit(&mut client, "work", b"x");
        let process = wait_for("the job runs", || lines(&directory.path().join("started")).pop());
        // Two that are sent together may arrive as one.
        wait_for("the end", || {
            let ended = worker.child.try_wait().unwrap().is_some();
            if !ended {
                worker.signal("TERM");
            }
            ended.then_some(())
        });
        assert_eq!(worker.exit_code(), Some(0));
        let proc = PathBuf::from(format!("/proc/{process}/cmdline"));
        wait_for("the process is gone", || {
            let line = std::fs::read(&proc).unwrap_or_default();
            (!String::from_utf8_lossy(&line).contains(&program)).then_some(())
        });
        let _next = hire_to_say_done(server);
        assert_eq!(outcome(&mut client), (wire::WORK_COMPLETE, b"done".to_vec()));
    });
}

fn hire_to_say_done(server: &Server) -> Process {
    let mut other = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    other.args(["worker", "-p", &server.port().to_string(), "-f", "work", "--", "printf", "done"]);
    Process::spawn(&mut other)
}

/// As `gearman -w` without a command has it.
#[test]
fn without_a_command_payloads_are_written_and_results_are_empty() {
    require("gearman");
    on_both(|server| {
        let port = server.port().to_string();
        let ours = env!("CARGO_BIN_EXE_conveyor");
        let printed = |program: &str, args: &[&str], function: &str| {
            let mut command = Command::new(program);
            command.args(args).args(["-p", &port, "-c", "3", "-f", function]);
            let mut worker = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
            server.wait_for_workers(function, 1);
            let mut client = server.connect();
            for payload in [&b"one"[..], b"", b"two\n\0three"] {
                submit(&mut client, function, payload);
                assert_eq!(outcome(&mut client), (wire::WORK_COMPLETE, Vec::new()), "{program}");
            }
            assert_eq!(worker.exit_code(), Some(0));
            let mut text = Vec::new();
            worker.child.stdout.take().unwrap().read_to_end(&mut text).unwrap();
            text
        };
        let stock = printed("gearman", &["-w", "-h", "127.0.0.1"], "stock");
        assert_eq!(stock, b"onetwo\n\0three");
        assert_eq!(printed(ours, &["worker"], "ours"), stock);
    });
}
