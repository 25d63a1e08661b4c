//! One command a job, with real programs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

use bytes::Bytes;
use conveyor_worker::performer::{Command, Context, Ending, Failure, Limits, Reason, Report};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

fn sh(script: &str) -> Command {
    Command { program: "sh".into(), arguments: vec!["-c".into(), script.into()], ..Command::default() }
}

/// Runs a command to its end, and returns what it reported on the way.
async fn perform(command: &Command, limits: &Limits, payload: impl Into<Bytes>) -> (Ending, Vec<Report>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let context = Context {
        handle: Bytes::from_static(b"H:test:1"),
        function: Bytes::from_static(b"reverse"),
        unique: Bytes::from_static(b"u\0nseen"),
    };
    let performing = command.perform(limits, &context, payload.into(), sender);
    let listening = async {
        let mut reports = Vec::new();
        while let Some(report) = receiver.recv().await {
            reports.push(report);
        }
        reports
    };
    tokio::join!(performing, listening)
}

async fn run(script: &str, payload: &'static [u8]) -> Ending {
    perform(&sh(script), &Limits::default(), payload).await.0
}

fn failed(reason: Reason, stderr: &'static str) -> Ending {
    Ending::Failed(Failure { reason, stderr: Bytes::from_static(stderr.as_bytes()) })
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

#[tokio::test]
async fn the_payload_goes_in_and_the_result_comes_out() {
    assert_eq!(run("rev", b"hello").await, Ending::Complete(Bytes::from_static(b"olleh")));
    let large: Bytes = (0..=255_u8).cycle().take(5_000_000).collect();
    let (ending, reports) = perform(&sh("cat"), &Limits::default(), large.clone()).await;
    assert!(ending == Ending::Complete(large.clone()) && reports.is_empty());
    // Most commands read their input; one that does not is no reason to wait or to fail.
    assert_eq!(perform(&sh("echo x"), &Limits::default(), large).await.0, Ending::Complete("x\n".into()));
}

#[tokio::test]
async fn a_failure_says_how_and_shows_the_end_of_what_was_written() {
    assert_eq!(run("echo no >&2; echo luck >&2; exit 3", b"").await, failed(Reason::Code(3), "no\nluck"));
    assert_eq!(run("kill -SEGV $$", b"").await, failed(Reason::Signal(11), ""));
    let short = Limits { stderr_bytes: 6, ..Limits::default() };
    let (ending, _) = perform(&sh("seq 100000 >&2; exit 1"), &short, "").await;
    assert_eq!(ending, failed(Reason::Code(1), "00000"));
    let Ending::Failed(failure) = run("echo no >&2; exit 3", b"").await else { panic!("it cannot succeed") };
    assert_eq!(failure.to_string(), "exit code 3\nno");
    let missing = Command { program: "/nowhere/at-all".into(), ..Command::default() };
    let (ending, _) = perform(&missing, &Limits::default(), "").await;
    assert!(matches!(ending, Ending::Failed(Failure { reason: Reason::NotStarted(_), .. })), "{ending:?}");
}

#[tokio::test]
async fn descriptor_3_reports_while_standard_output_stays_the_result() {
    let script = "echo progress 1 2 >&3; echo data part >&3; printf 'data: 3\\na\\nb' >&3; echo noise >&2; \
                  echo warning careful >&3; echo result";
    let (ending, reports) = perform(&sh(script), &Limits::default(), "").await;
    assert_eq!(ending, Ending::Complete(Bytes::from_static(b"result\n")));
    let data = |text: &'static str| Report::Data(Bytes::from_static(text.as_bytes()));
    let warning = Report::Warning(Bytes::from_static(b"careful"));
    let progress = Report::Progress { numerator: 1, denominator: 2 };
    assert_eq!(reports, [progress, data("part"), data("a\nb"), warning]);
}

#[tokio::test]
async fn a_command_that_runs_too_long_is_stopped_with_all_it_started() {
    let limits = Limits {
        timeout: Some(Duration::from_millis(200)),
        grace: Duration::from_millis(200),
        ..Limits::default()
    };
    // One goes when asked, and may say so; the other has to be killed.
    let polite = "trap 'echo bye >&2; exit 9' TERM; echo hi >&2; sleep 987601 & wait";
    let (ending, _) = perform(&sh(polite), &limits, "").await;
    assert!(matches!(&ending, Ending::Failed(failure) if failure.reason == Reason::TimedOut), "{ending:?}");
    assert!(nobody_runs("987601"));
    let stubborn = "trap '' TERM; sleep 987602 & sleep 987602";
    let (ending, _) = perform(&sh(stubborn), &limits, "").await;
    assert!(matches!(&ending, Ending::Failed(failure) if failure.reason == Reason::TimedOut), "{ending:?}");
    assert!(nobody_runs("987602"));
}

#[tokio::test]
async fn what_a_command_leaves_running_is_not_waited_for_and_ends_with_it() {
    let start = Instant::now();
    assert_eq!(run("sleep 987603 & echo done", b"").await, Ending::Complete(Bytes::from_static(b"done\n")));
    assert!(start.elapsed() < Duration::from_secs(60));
    assert!(nobody_runs("987603"));
}

#[tokio::test]
async fn whoever_stops_waiting_stops_the_command() {
    let (sender, _receiver) = mpsc::channel(1);
    let (command, limits, context) = (sh("sleep 987604"), Limits::default(), Context::default());
    let performing = command.perform(&limits, &context, Bytes::new(), sender);
    assert!(tokio::time::timeout(Duration::from_millis(100), performing).await.is_err());
    assert!(nobody_runs("987604"));
}

#[tokio::test]
async fn limits_hold() {
    let small = Limits { output_bytes: 1000, ..Limits::default() };
    let (ending, _) = perform(&sh("yes"), &small, "").await;
    assert!(
        matches!(&ending, Ending::Failed(failure) if failure.reason == Reason::TooMuchOutput),
        "{ending:?}"
    );
    let little_memory = Limits { memory_bytes: Some(200 << 20), ..Limits::default() };
    let hungry = "cat > /dev/null; python3 -c 'x = bytearray(1 << 30)'";
    let (ending, _) = perform(&sh(hungry), &little_memory, "").await;
    assert!(matches!(&ending, Ending::Failed(failure) if failure.reason == Reason::Code(1)), "{ending:?}");
    let little_time = Limits { cpu_seconds: Some(1), ..Limits::default() };
    let (ending, _) = perform(&sh("while :; do :; done"), &little_time, "").await;
    assert!(
        matches!(&ending, Ending::Failed(failure) if matches!(failure.reason, Reason::Signal(_))),
        "{ending:?}"
    );
}

#[tokio::test]
async fn surroundings_are_given() {
    let directory = tempfile::tempdir().unwrap();
    let command = Command {
        variables: vec![("COLOUR".into(), "blue".into())],
        directory: Some(directory.path().to_owned()),
        ..sh("pwd; echo $COLOUR $CONVEYOR_HANDLE $CONVEYOR_FUNCTION $CONVEYOR_UNIQUE")
    };
    let (ending, _) = perform(&command, &Limits::default(), "").await;
    let path = directory.path().canonicalize().unwrap();
    let expected = format!("{}\nblue H:test:1 reverse u\n", path.display());
    assert_eq!(ending, Ending::Complete(Bytes::from(expected)));
}
