//! Journals that are whole, torn, damaged, locked and large.

use super::*;
use crate::options::Options;
use crate::run::ledger::{Abort, TaskIndex, TaskState};
use crate::run::policy::Policy;
use crate::run::report::RunOutcome;
use crate::run::verdict::{OutcomeKind, Verdict};
use bytes::Bytes;
use conveyor_common::Priority;
use conveyor_common::payload::php::{Key, Value};
use conveyor_common::payload::{Codec, Content, Limits, TaskId};
use std::time::Instant;

fn spec(tasks: Vec<RunTask>) -> RunSpec {
    RunSpec {
        name: "nightly".to_owned(),
        run: "r-1".to_owned(),
        options: Options::new(["127.0.0.1:1"]),
        function: "work".to_owned(),
        priority: Priority::Normal,
        codec: Codec::Json,
        limits: Limits::default(),
        tasks: Arc::new(tasks),
        policy: Policy { jitter: 0.3, ..Policy::default() },
        task_timeout: Some(Duration::from_millis(1500)),
        run_timeout: None,
        manager: None,
    }
}

fn numbered(tasks: i64) -> RunSpec {
    spec((0..tasks).map(|id| RunTask::new(id, "body")).collect())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("run.jsonl")
    }

    fn append(&self, text: &[u8]) {
        OpenOptions::new().append(true).open(self.file()).unwrap().write_all(text).unwrap();
    }
}

#[test]
fn every_body_and_every_id_comes_back() {
    let folder = Folder::new();
    let array = Value::Array(vec![
        (Key::new("task_id"), Value::Int(7)),
        (Key::Int(0), Value::Bytes("\u{ff}".into())),
    ]);
    let bytes = Bytes::from_static(b"\x00\xff\xfe");
    let task = |id: TaskId, body: Content| RunTask { id, body, function: None, priority: None };
    let tasks = vec![
        task(7.into(), Content::from("text \"quoted\"\n")),
        task("7".into(), Content::Bytes(bytes.clone())),
        task(TaskId::Text(bytes), array.into()),
        task("".into(), Value::Null.into()),
        RunTask {
            function: Some("crop".to_owned()),
            priority: Some(Priority::Low),
            ..task(0.into(), Content::from("{\"hex\":\"00\"}"))
        },
    ];
    let given = spec(tasks);
    drop(Journal::create(folder.file(), &given, Millis(5)).unwrap());
    let saved = Saved::read(folder.file()).unwrap();
    assert_eq!(saved.tasks, given.tasks);
    assert_eq!(
        (saved.policy, saved.task_timeout, saved.run_timeout),
        (given.policy, given.task_timeout, None)
    );
    let Saved { name, run, started, finished, resumed, .. } = saved;
    assert_eq!(
        (name.as_str(), run.as_str(), started, finished, resumed),
        ("nightly", "r-1", Millis(5), None, 0)
    );
}

#[test]
fn a_journal_is_of_one_client_at_a_time_and_is_never_replaced() {
    let folder = Folder::new();
    let journal = Journal::create(folder.file(), &numbered(2), Millis(1)).unwrap();
    let busy = Journal::open(folder.file()).unwrap_err();
    assert!(matches!(busy, JournalError::Busy { .. }), "{busy}");
    assert!(Saved::read(folder.file()).is_ok(), "who only reads may");
    drop(journal);
    let again = Journal::create(folder.file(), &numbered(2), Millis(1)).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    assert!(Journal::open(folder.file()).is_ok());
}

#[test]
fn a_line_that_was_being_written_is_cut_off_and_the_next_one_follows_what_is_whole() {
    let folder = Folder::new();
    drop(Journal::create(folder.file(), &numbered(2), Millis(1)).unwrap());
    folder.append(
        b"{\"what\":\"submitted\",\"at\":9,\"task\":1,\"attempt\":1}\n{\"what\":\"ended\",\"at\":10,\"ta",
    );
    assert_eq!(Saved::read(folder.file()).unwrap().last, Millis(9));
    let (mut journal, saved) = Journal::open(folder.file()).unwrap();
    assert_eq!(saved.ledger.state(TaskIndex(1)), Some(TaskState::InFlight));
    let verdict = Verdict::of(OutcomeKind::Ok);
    journal.line(&Record::ended(20, TaskIndex(1), 1, &verdict, true)).unwrap();
    journal.flush().unwrap();
    let saved = Saved::read(folder.file()).unwrap();
    assert_eq!(saved.ledger.state(TaskIndex(1)), Some(TaskState::Ended(OutcomeKind::Ok)));
    let report = saved.report(Millis(50));
    assert_eq!((report.ok, report.durations.max_ms, report.times.ended_ms), (1, 11, 50));
    assert_eq!(report.outcome, RunOutcome::Unfinished);
}

#[test]
fn a_damaged_line_is_named_with_its_file() {
    let folder = Folder::new();
    drop(Journal::create(folder.file(), &numbered(2), Millis(1)).unwrap());
    folder.append(b"{\"what\":\"submitted\",\"at\":9,\"task\":1,\"atte\0\0\n{\"what\":\"stop\n");
    let error = Journal::open(folder.file()).unwrap_err().to_string();
    let expected = format!("{}, line 4, is damaged: ", folder.file().display());
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn what_is_no_journal_is_said_so() {
    for (text, expected) in [
        ("", "list of tasks is not complete"),
        (
            "{\"what\":\"finished\",\"at\":1,\"ok\":0,\"error\":0,\"missing\":0}\n",
            "line 1, is damaged: a journal begins",
        ),
        ("hello\n", "line 1, is damaged"),
    ] {
        let folder = Folder::new();
        std::fs::write(folder.file(), text).unwrap();
        let error = Saved::read(folder.file()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Its client was killed before all tasks were written.
    let folder = Folder::new();
    drop(Journal::create(folder.file(), &numbered(3), Millis(1)).unwrap());
    let whole = std::fs::read_to_string(folder.file()).unwrap();
    let cut = whole.rfind("{\"what\":\"task\"").unwrap();
    std::fs::write(folder.file(), &whole[..cut]).unwrap();
    assert!(matches!(Journal::open(folder.file()), Err(JournalError::Incomplete { .. })));
    // Of another time.
    std::fs::write(folder.file(), whole.replace("\"format\":1", "\"format\":2")).unwrap();
    let error = Journal::open(folder.file()).unwrap_err().to_string();
    assert!(error.contains("format 2 is not known"), "{error}");
}

#[test]
fn a_run_that_goes_on_must_be_the_same() {
    let folder = Folder::new();
    let given = numbered(2);
    let journal = Journal::create(folder.file(), &given, Millis(1)).unwrap();
    assert_eq!(journal.disagrees(&given), None);
    assert_eq!(
        journal.disagrees(&RunSpec { function: "other".to_owned(), ..given.clone() }),
        Some("function")
    );
    assert_eq!(journal.disagrees(&RunSpec { codec: Codec::Php, ..given.clone() }), Some("codec"));
    assert_eq!(journal.disagrees(&numbered(3)), Some("list of tasks"));
    assert_eq!(journal.disagrees(&RunSpec { policy: Policy::default(), ..given }), None);
}

#[test]
fn an_id_that_has_no_room_in_a_unique_is_refused() {
    for run in ["", "a b", "ä", &"r".repeat(33)] {
        let folder = Folder::new();
        let given = RunSpec { run: run.to_owned(), ..numbered(1) };
        let error = Journal::create(folder.file(), &given, Millis(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{run}");
        assert!(!folder.file().exists());
    }
}

#[test]
fn results_are_kept_when_asked_for() {
    let verdict = Verdict { result: Some(Content::from("large")), ..Verdict::of(OutcomeKind::Ok) };
    let text = |keep| serde_json::to_string(&Record::ended(1, TaskIndex(0), 1, &verdict, keep)).unwrap();
    assert_eq!(text(true), r#"{"what":"ended","at":1,"task":0,"attempt":1,"outcome":"ok","result":"large"}"#);
    assert!(!text(false).contains("large"));
}

#[test]
fn what_aborted_and_resumed_a_run_comes_back() {
    let folder = Folder::new();
    let mut journal = Journal::create(folder.file(), &numbered(2), Millis(1)).unwrap();
    let lines = [
        Record::Submitted { at: 2, task: 0, attempt: 1 },
        Record::Aborted { at: 3, why: Abort::Stopped("by hand".to_owned()).into() },
        Record::Cancelled { at: 4, cancelled: 1, asked: 1 },
        Record::Finished { at: 5, ok: 0, error: 0, missing: 2, open: false },
    ];
    lines.iter().for_each(|line| journal.line(line).unwrap());
    journal.flush().unwrap();
    let saved = Saved::read(folder.file()).unwrap();
    assert_eq!(saved.finished, Some(Millis(5)));
    let report = saved.report(Millis(99));
    assert_eq!(report.outcome, RunOutcome::Aborted { critical: false, reason: "by hand".to_owned() });
    assert_eq!((report.times.ended_ms, report.missing), (5, 2));
    journal.line(&Record::Resumed { at: 9, policy: Policy { attempts: 5, ..Policy::default() } }).unwrap();
    journal.flush().unwrap();
    let saved = Saved::read(folder.file()).unwrap();
    assert_eq!((saved.finished, saved.resumed, saved.policy.attempts), (None, 1, 5));
    assert!(saved.aborted().is_none());
}

#[tokio::test]
async fn a_hundred_thousand_tasks_are_written_and_read_in_seconds() {
    const TASKS: usize = 100_000;
    let folder = Folder::new();
    let start = Instant::now();
    let given = numbered(TASKS as i64);
    let mut journal = Journal::create(folder.file(), &given, Millis(1)).unwrap();
    let verdict = Verdict::of(OutcomeKind::Ok);
    for task in 0..TASKS {
        let handle = Content::from(format!("H:some.host:{task}").as_str());
        journal.line(&Record::Submitted { at: 2, task, attempt: 1 }).unwrap();
        journal.line(&Record::Created { at: 3, task, attempt: 1, handle }).unwrap();
        journal.line(&Record::ended(4, TaskIndex(task), 1, &verdict, false)).unwrap();
        if task % 100 == 0 {
            journal.flush().unwrap();
        }
    }
    journal.sync().await.unwrap();
    let written = start.elapsed();
    drop(journal);
    let (_, saved) = Journal::open(folder.file()).unwrap();
    let read = start.elapsed() - written;
    println!("written in {written:?}, read in {read:?}");
    assert_eq!(saved.ledger.counts().ok, TASKS);
    assert!(written + read < Duration::from_secs(30), "{written:?}, {read:?}");
}
