//! Addresses for manager and performers.

use crate::rig::{Stage, names, on_both, said};
use crate::support::{Server, wait_for};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

on_both!(concept_11_endpoints);

/// What managers were told, once a run: one that is done before its performers are is asked again.
fn endpoints(stage: &Stage) -> Vec<Value> {
    let asked = fs::read_to_string(stage.path("managers")).unwrap_or_default();
    let tasks = asked.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let first = tasks.filter(|task| task["task_id"].as_str().unwrap().ends_with("/1"));
    first.map(|task| task["endpoints"].clone()).collect()
}

fn concept_11_endpoints(server: Server) {
    const RUNS: usize = 20;
    let mut stage = Stage::new(server, 1);
    stage.hire("managers", "manager.sh");
    let tasks = stage.tasks(&["gate"]);
    let managed = ["--manager", "managers", "--manager-command", "true", "--tasks", &tasks];
    let parallel = [&managed[..], &["--mode", "parallel"]].concat();
    let mut clients: Vec<_> = (0..RUNS).map(|_| stage.start(&parallel)).collect();
    let alive = stage.state().join("run");
    wait_for("all of them", || (endpoints(&stage).len() == RUNS).then_some(()));
    assert_eq!(names(&alive).len(), RUNS);
    let told = endpoints(&stage);
    let mut sockets = BTreeSet::new();
    for endpoints in &told {
        for key in ["publisher_pm", "request_pulsar", "publisher_pulsar", "push_pulsar"] {
            let address = endpoints[key].as_str().unwrap();
            let path = address.strip_prefix("ipc://").unwrap();
            assert!(path.len() < 108 && sockets.insert(address.to_owned()), "{address}");
            assert!(std::path::Path::new(path).parent().unwrap().is_dir(), "{address}");
        }
    }
    assert_eq!(sockets.len(), 4 * RUNS, "no two runs have the same");
    clients[0].child.kill().unwrap();
    clients[0].exit_code();
    assert_eq!(names(&alive).len(), RUNS, "it could not take its directory away");
    stage.open_gate();
    for client in &mut clients[1..] {
        assert_eq!(client.exit_code(), Some(0));
    }
    assert_eq!(names(&alive).len(), 1, "all others have");

    // Addresses that are fixed belong to one run at a time.
    fs::remove_file(stage.path("go")).unwrap();
    let fixed = [&parallel[..], &["--endpoint", "tcp://127.0.0.1:6267"]].concat();
    let before = stage.done().len();
    let mut first = stage.start(&fixed);
    stage.wait_for_done(before + 1);
    let second = stage.run(&fixed);
    assert_eq!(second.status.code(), Some(75), "{}", said(&second));
    assert!(said(&second).contains("fixed endpoints can be had by one run only: mode is consistent"));
    stage.open_gate();
    assert_eq!(first.exit_code(), Some(0));
    let last = endpoints(&stage).pop().unwrap();
    let nobody = serde_json::Value::Null;
    assert_eq!(
        last,
        serde_json::json!({
            "publisher_pm": "tcp://127.0.0.1:6267", "request_pulsar": nobody, "publisher_pulsar": nobody,
            "push_pulsar": nobody,
        })
    );

    let next = stage.run(&managed);
    assert_eq!(next.status.code(), Some(0), "{}", said(&next));
    assert_eq!(names(&alive), Vec::<String>::new(), "nothing of the killed run is left either");
}
