//! A run of many tasks, accounted for to the last one:
//! `seq 1000 | sed 's/.*/{"id": &}/' | cargo run --example run -- 127.0.0.1:4730 reverse run.jsonl`.
//!
//! Killed and started again with the same journal, it goes on with what is left. The report is the last line, as JSON.

use conveyor_client::payload::{Codec, Limits};
use conveyor_client::run::{Journal, Policy, RunEvent, RunSpec, Saved, read_tasks, run};
use conveyor_client::{Options, Priority};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, function, path] = arguments.as_slice() else {
        return Err("usage: run HOST:PORT FUNCTION JOURNAL < TASKS".into());
    };
    let path = Path::new(path);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut spec = RunSpec {
        name: "example".to_owned(),
        run: format!("{:x}-{}", now.as_millis(), std::process::id()),
        options: Options::new([server]),
        function: function.clone(),
        priority: Priority::Normal,
        codec: Codec::Json,
        limits: Limits::default(),
        tasks: Arc::default(),
        policy: Policy { delay: Duration::from_secs(1), in_flight: 200, ..Policy::default() },
        task_timeout: None,
        run_timeout: None,
        manager: None,
    };
    let journal = if path.exists() {
        let (journal, saved) = Journal::open(path)?;
        let Saved { run, tasks, .. } = saved;
        (spec.run, spec.tasks) = (run, tasks);
        journal
    } else {
        spec.tasks = Arc::new(read_tasks(std::io::stdin().lock(), spec.codec)?);
        Journal::create(path, &spec, conveyor_client::Millis(u64::try_from(now.as_millis())?))?
    };
    let tasks = Arc::clone(&spec.tasks);
    let mut observe = |event: &RunEvent| {
        if let RunEvent::Ended { task, attempt, verdict, again_ms: Some(again), .. } = event
            && let Some(task) = tasks.get(*task)
        {
            println!("task {}, try {attempt}: {}, again in {again} ms", task.id, verdict.kind);
        }
    };
    let (_stop, stop) = watch::channel(None);
    let report = run(spec, journal, stop, &mut observe).await?;
    print!("{report}");
    println!("{}", serde_json::to_string(&report)?);
    if report.is_ok() { Ok(()) } else { Err(report.headline().into()) }
}
