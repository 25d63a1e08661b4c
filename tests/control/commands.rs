//! Commands of `conveyor worker` know nothing of the channel: they are stopped for a pause, and their clocks with them.

use crate::rig::{Count, Rig, WORK_COMPLETE, conveyor, on_both, outcome, performers, submit};
use crate::support::require;
use conveyor_common::control::Order;
use std::time::{Duration, Instant};

/// Pauses a worker whose job may take 3 s for longer than that, and has it end afterwards.
fn is_held(server: &crate::support::Server, options: &[&str], program: &[&str], count: &Count) {
    let mut all = vec!["--timeout-ms", "3000"];
    all.extend(options);
    let mut rig = Rig::start(&conveyor(server, &all, program));
    server.wait_for_workers("count", 1);
    let mut client = server.connect();
    let handle = submit(&mut client, count.file().to_str().unwrap());
    count.wait_above(3);
    assert!(rig.obeyed(Order::Pause) < Duration::from_secs(1));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(3300) {
        count.assert_still();
    }
    rig.obeyed(Order::Resume);
    let (kind, of, result) = outcome(&mut client);
    assert_eq!((kind, of), (WORK_COMPLETE, handle), "{}", String::from_utf8_lossy(&result));
    assert_eq!(count.value(), 50);
    rig.obeyed(Order::Terminate { shed: false });
    assert!(rig.end().0.success());
}

#[test]
fn concept_24_a_process_a_job_is_stopped_and_goes_on() {
    let script = "f=$(cat); n=0; while [ $n -lt 50 ]; do n=$((n+1)); echo $n >> \"$f\"; sleep 0.01; done";
    on_both(|server| is_held(server, &[], &["sh", "-c", script], &Count::new()));
}

#[test]
fn concept_24_a_kept_process_is_stopped_and_goes_on() {
    require("python3");
    on_both(|server| {
        let count = Count::new();
        let text = format!(
            "import sys, time
sys.path.insert(0, {:?})
import conveyor_performer
def work(job):
    for n in range(1, 51):
        with open(job.payload, 'a') as file:
            file.write('%d\\n' % n)
        time.sleep(0.01)
conveyor_performer.run(work)
",
            performers("python")
        );
        let program = count.program("work.py", &text);
        is_held(server, &["--persistent"], &["python3", &program], &count);
    });
}
