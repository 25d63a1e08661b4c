//! Processes that are kept, with real programs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

use bytes::Bytes;
use conveyor_worker::performer::frames::Malformed;
use conveyor_worker::performer::{Command, Context, Keeping, Limits, Persistent, Reason, Reply, Report};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Says that it is ready and answers jobs by running `work` with the header's words in $1 to $5: job, and the four
/// lengths. `body` reads what follows.
fn sh(work: &str) -> Command {
    let script = format!(
        "body() {{ head -c $(($2 + $3 + $4 + $5)) <&4 > /dev/null; }}\n\
         payload() {{ head -c $(($2 + $3 + $4)) <&4 > /dev/null; p=$(head -c $5 <&4); }}\n\
         answer() {{ printf '%s %d\\n%s' $1 ${{#2}} \"$2\" >&3; }}\n\
         echo ready 1 later words >&3\n\
         while read -r line <&4; do set -- $line; [ $1 = stop ] && exit 0; {work}; done"
    );
    raw(&script)
}

fn raw(script: &str) -> Command {
    Command { program: "sh".into(), arguments: vec!["-c".into(), script.into()], ..Command::default() }
}

fn short() -> Limits {
    Limits { grace: Duration::from_millis(300), ..Limits::default() }
}

fn keep(command: Command) -> Persistent {
    Persistent::new(command, short(), Keeping::default())
}

/// Has a job done; the reply, and what was reported on the way.
async fn perform(persistent: &Persistent, payload: impl Into<Bytes>) -> (Reply, Vec<Report>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let context = Context {
        handle: Bytes::from_static(b"H:test:1"),
        function: Bytes::from_static(b"reverse"),
        unique: Bytes::from_static(b"u\0n\n"),
    };
    let performing = persistent.perform(&context, payload.into(), sender, std::future::pending());
    let listening = async {
        let mut reports = Vec::new();
        while let Some(report) = receiver.recv().await {
            reports.push(report);
        }
        reports
    };
    tokio::join!(performing, listening)
}

async fn reply(persistent: &Persistent, payload: impl Into<Bytes>) -> Reply {
    perform(persistent, payload).await.0
}

fn complete(text: &str) -> Reply {
    Reply::Complete(Bytes::copy_from_slice(text.as_bytes()))
}

/// Waits until no process has `mark` among its arguments.
fn nobody_runs(mark: &str) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let runs = |path: &Path| {
            std::fs::read(path.join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
        };
        if !processes.into_iter().any(|process| runs(&process.path())) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// The process id that a job was answered with.
fn id(reply: &Reply) -> String {
    match reply {
        Reply::Complete(id) => String::from_utf8(id.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_process_does_job_after_job() {
    let counting = keep(sh("payload $line; n=$((n + 1)); answer complete \"$n $p\""));
    for number in 1..=20 {
        assert_eq!(reply(&counting, "x").await, complete(&format!("{number} x")));
    }
    counting.close().await;
}

#[tokio::test]
async fn everything_a_command_can_say_arrives() {
    let talking = keep(sh("body $line; echo progress 1 2 >&3; answer data 'a\nb'; answer warning careful; \
                           echo complete 9 is noise here; case $5 in 0) answer fail '';; 1) answer fail no;; \
                           *) answer exception luck;; esac"));
    let (failed, reports) = perform(&talking, "").await;
    assert_eq!(failed, Reply::Fail(Bytes::new()));
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let progress = Report::Progress { numerator: 1, denominator: 2 };
    assert_eq!(reports, [progress, Report::Data(text("a\nb")), Report::Warning(text("careful"))]);
    assert_eq!(reply(&talking, "1").await, Reply::Fail(text("no")));
    assert_eq!(reply(&talking, "12").await, Reply::Exception(text("luck")));
}

#[tokio::test]
async fn a_crash_leaves_the_job_undone_with_the_last_words_and_a_growing_pause() {
    let crashing = keep(sh(
        "payload $line; echo out; echo err >&2; case $p in good) answer complete $$;; *) exit 3;; esac",
    ));
    let first = reply(&crashing, "good").await;
    let start = Instant::now();
    for expected in [100, 200] {
        match reply(&crashing, "bad").await {
            Reply::Crashed { failure, pause } => {
                assert_eq!(failure.reason, Reason::Code(3));
                let words = String::from_utf8_lossy(&failure.stderr).into_owned();
                assert!(words.contains("out") && words.contains("err"), "{words}");
                assert_eq!(pause, Duration::from_millis(expected));
            }
            other => panic!("{other:?}"),
        }
    }
    let second = reply(&crashing, "good").await;
    assert_ne!(id(&first), id(&second));
    assert!(start.elapsed() >= Duration::from_millis(300), "no process starts during the pauses");
    let again = reply(&crashing, "bad").await;
    assert!(
        matches!(again, Reply::Crashed { pause, .. } if pause == Duration::from_millis(100)),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_process_that_ends_between_two_jobs_is_started_again_without_a_crash() {
    // The end and the next job race: whoever wins, the job is done.
    let ending = keep(sh("body $line; answer complete $$; exit 1"));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        assert!(seen.insert(id(&reply(&ending, vec![b'x'; 100_000]).await)));
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_is_stopped() {
    let malformed = |text: &'static str| Malformed::Line(Bytes::from_static(text.as_bytes()));
    let cases = [
        ("echo hello >&3", malformed("hello")),
        ("echo complete x >&3", malformed("complete x")),
        ("echo ready 1 >&3", Malformed::OutOfPlace("ready")),
        ("head -c 300 /dev/zero >&3", Malformed::LongLine),
        ("exec 3>&-", Malformed::Closed),
    ];
    for (script, expected) in cases {
        let breaking = keep(sh(&format!("body $line; {script}; sleep 987611")));
        match reply(&breaking, "x").await {
            Reply::Crashed { failure, .. } => {
                assert_eq!(failure.reason, Reason::Malformed(expected), "{script}")
            }
            other => panic!("{script}: {other:?}"),
        }
        assert!(nobody_runs("987611"), "{script}");
    }
    // In the middle of a message.
    let torn = keep(sh("body $line; echo complete 10 >&3; printf abc >&3; exit 0"));
    let torn = reply(&torn, "x").await;
    assert!(matches!(&torn, Reply::Crashed { failure, .. } if failure.reason == Reason::Code(0)), "{torn:?}");
}

#[tokio::test]
async fn who_speaks_out_of_turn_or_skips_its_job_gets_no_other() {
    // The second answer is not taken for that of the next job.
    let hasty = keep(sh("body $line; printf 'complete 1\nacomplete 1\nb' >&3"));
    for _ in 0..5 {
        assert_eq!(reply(&hasty, "x").await, complete("a"));
    }
    let lazy = keep(sh("answer complete $$"));
    let (first, second) = (reply(&lazy, vec![b'\n'; 500_000]).await, reply(&lazy, "job 1 1 1 1").await);
    assert_ne!(id(&first), id(&second));
}

#[tokio::test]
async fn a_process_that_is_not_ready_in_time_or_speaks_another_version_does_no_job() {
    let keeping = Keeping { handshake: Duration::from_millis(100), ..Keeping::default() };
    let reason = async |command| match reply(&Persistent::new(command, short(), keeping), "x").await {
        Reply::Crashed { failure, .. } => failure.reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(raw("sleep 987612")).await, Reason::NotReady(keeping.handshake));
    assert!(nobody_runs("987612"));
    assert_eq!(reason(raw("echo ready 2 >&3; sleep 9")).await, Reason::Malformed(Malformed::Version(2)));
    let early = reason(raw("echo progress 1 1 >&3; sleep 9")).await;
    assert_eq!(early, Reason::Malformed(Malformed::OutOfPlace("progress")));
    assert_eq!(reason(raw("exit 7")).await, Reason::Code(7));
    let missing = Command { program: "/nowhere/at-all".into(), ..Command::default() };
    assert!(matches!(reason(missing).await, Reason::NotStarted(_)));
}

#[tokio::test]
async fn a_job_that_takes_too_long_or_says_too_much_fails_and_its_process_goes_with_all_it_started() {
    let limits = Limits { timeout: Some(Duration::from_millis(200)), output_bytes: 1000, ..short() };
    let slow = sh("payload $line; case $p in slow) trap '' TERM; sleep 987613 & sleep 987613;; \
                   large) echo complete 1001 >&3;; *) answer complete $$;; esac");
    let slow = Persistent::new(slow, limits, Keeping::default());
    let first = reply(&slow, "quick").await;
    let stopped = reply(&slow, "slow").await;
    assert!(matches!(&stopped, Reply::Stopped(failure) if failure.reason == Reason::TimedOut), "{stopped:?}");
    assert!(nobody_runs("987613"));
    let second = reply(&slow, "quick").await;
    let stopped = reply(&slow, "large").await;
    assert!(
        matches!(&stopped, Reply::Stopped(failure) if failure.reason == Reason::TooMuchOutput),
        "{stopped:?}"
    );
    let third = reply(&slow, "quick").await;
    assert!(id(&first) != id(&second) && id(&second) != id(&third));
}

#[tokio::test]
async fn processes_are_replaced_after_so_many_jobs_and_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let stopped = directory.path().join("stopped");
    let command = Command {
        directory: Some(directory.path().to_owned()),
        ..sh("body $line; answer complete $$; trap 'echo >> stopped' EXIT")
    };
    let keeping = Keeping { jobs_per_process: Some(3), ..Keeping::default() };
    let replaced = Persistent::new(command, short(), keeping);
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(id(&reply(&replaced, "x").await));
    }
    assert!(ids[0] == ids[2] && ids[2] != ids[3] && ids[3] == ids[5] && ids[5] != ids[6], "{ids:?}");
    replaced.close().await;
    assert_eq!(std::fs::read(&stopped).unwrap(), b"\n\n\n", "all three were told, and ended by themselves");
}

#[tokio::test]
async fn who_does_not_stop_when_told_is_made_to() {
    let stubborn = keep(sh("body $line; answer complete ''; trap '' TERM; while :; do sleep 987614; done"));
    assert_eq!(reply(&stubborn, "x").await, complete(""));
    stubborn.close().await;
    assert!(nobody_runs("987614"));
}

#[tokio::test]
async fn a_job_nobody_waits_for_may_end_in_time_and_is_stopped_after() {
    let directory = tempfile::tempdir().unwrap();
    let command = Command {
        directory: Some(directory.path().to_owned()),
        ..sh("payload $line; [ $p = id ] || touch $p; [ $p = long ] && sleep 987615; answer complete $$")
    };
    let limits = Limits { grace: Duration::from_millis(500), ..Limits::default() };
    let persistent = Persistent::new(command, limits, Keeping::default());
    let given_up = async |payload: &'static str, file: &Path| {
        let (sender, _receiver) = mpsc::channel(1);
        let started = async {
            while !file.exists() {
                tokio::task::yield_now().await;
            }
        };
        persistent.perform(&Context::default(), payload.into(), sender, started).await
    };
    let first = reply(&persistent, "id").await;
    assert_eq!(given_up("short", &directory.path().join("short")).await, first);
    let stopped = given_up("long", &directory.path().join("long")).await;
    assert!(matches!(stopped, Reply::Stopped(_)), "{stopped:?}");
    assert!(nobody_runs("987615"));
    assert_ne!(reply(&persistent, "id").await, first);
}

#[tokio::test]
async fn dropping_kills() {
    let persistent = keep(sh("sleep 987616"));
    let (sender, _receiver) = mpsc::channel(1);
    let context = Context::default();
    let performing = persistent.perform(&context, Bytes::new(), sender, std::future::pending());
    assert!(tokio::time::timeout(Duration::from_millis(100), performing).await.is_err());
    assert!(nobody_runs("987616"));
    let idle = keep(sh("body $line; answer complete ''; sleep 987617"));
    assert_eq!(reply(&idle, "").await, complete(""));
    drop(idle);
    assert!(nobody_runs("987617"));
}

#[tokio::test]
async fn there_are_as_many_processes_as_jobs_at_a_time_and_no_more_than_allowed() {
    let keeping = Keeping { processes: 2, ..Keeping::default() };
    // Each job waits for a second one at the same time, in a directory of their own.
    let directory = tempfile::tempdir().unwrap();
    let command = Command {
        directory: Some(directory.path().to_owned()),
        ..sh(
            "payload $line; if [ $p = meet ]; then touch $$; while [ $(ls | wc -l) -lt 2 ]; do :; done; fi; \
              answer complete $$",
        )
    };
    let two = Persistent::new(command, short(), keeping);
    let (one, other) = tokio::join!(reply(&two, "meet"), reply(&two, "meet"));
    assert_ne!(id(&one), id(&other));
    let (a, b, c) = tokio::join!(reply(&two, "x"), reply(&two, "x"), reply(&two, "x"));
    for reply in [a, b, c] {
        assert!([id(&one), id(&other)].contains(&id(&reply)));
    }
}

#[tokio::test]
async fn noise_of_any_size_harms_nothing() {
    let noisy = keep(sh(
        "body $line; head -c 300000 /dev/urandom; head -c 300000 /dev/urandom >&2; answer complete ok",
    ));
    for _ in 0..5 {
        assert_eq!(reply(&noisy, "x").await, complete("ok"));
    }
}
