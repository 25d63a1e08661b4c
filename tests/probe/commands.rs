//! `conveyor manager sensors` and `conveyor manager simulate`.

use crate::machine::{Machine, Made};
use crate::support::{Process, bound, wait_for};
use serde_json::Value;
use std::process::{Command, Output, Stdio};

fn manager(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.arg("manager").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complaint(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn concept_26_sensors_are_printed_with_their_sources() {
    let machine = Machine::new();
    machine.process(Made { pid: 7, pss_kib: Some(2048), start_time: 9, ..Made::default() });
    machine.process(Made { pid: 8, parent: 7, pss_kib: None, start_time: 9, ..Made::default() });
    let root = machine.root().to_str().unwrap();
    let printed = text(&manager(&["sensors", "--pid", "7", "--interval", "10ms", "--root", root]));
    for expected in [
        "memory                    8192.0 MiB  /proc/meminfo: MemAvailable\n",
        "processors                      4.00  /proc/self/status: Cpus_allowed_list\n",
        "no cgroups: ",
        "no stalls for memory: /proc/pressure/memory: ",
        " ms of CPU time for this measurement\n",
        "         7          2        2.0 MiB    0.0 %  stat: rss; smaps_rollup cannot be read\n",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    let missing = complaint(&manager(&["sensors", "--pid", "9", "--root", root]), 1);
    assert!(missing.contains("there is no process 9"), "{missing}");
    complaint(&manager(&["sensors", "--interval", "never"]), 2);
}

#[test]
fn concept_26_sensors_of_this_machine_as_json_and_as_a_trace_that_can_be_played() {
    let busy = Process::spawn(bound("sh").args(["-c", "while :; do :; done"]));
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace.csv");
    let trace = trace.to_str().unwrap();
    let pid = busy.id().to_string();
    let arguments =
        ["sensors", "--pid", &pid, "--json", "--count", "3", "--interval", "300ms", "--record", trace];
    let printed = text(&manager(&arguments));
    let seen: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(seen.len(), 3);
    for one in &seen {
        assert!(one["free_kib"].as_f64().unwrap() > 1024.0, "{one}");
        assert_eq!(one["performers"][0]["pid"], busy.id());
        assert!(one["cost_ms"].as_f64().is_some_and(|cost| cost > 0.0), "{one}");
        assert!(one["performers"][0]["cpu_percent"].as_f64().unwrap() > 0.0, "{one}");
        assert!(one["memory"][0]["source"].as_str().is_some_and(|source| !source.is_empty()), "{one}");
    }
    let decided = text(&manager(&["simulate", trace, "--json", "--wanted", "4", "--cpu-percent", "1"]));
    let decided: Vec<Value> = decided.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(decided.len(), 3);
    for (seen, decided) in seen.iter().zip(&decided) {
        assert_eq!(seen["time_ms"], decided["time_ms"]);
        assert_eq!(seen["free_kib"], decided["free_kib"]);
        assert_eq!(decided["performers"], 1);
        // More than a hundredth of all processors is in use.
        assert_eq!(decided["start"], 0, "{decided}");
        assert_eq!(decided["why"], "another one might be too much for the processors");
    }
}

#[test]
fn concept_26_sensors_watch_until_the_process_has_ended() {
    let mut process = Process::spawn(bound("cat").stdin(Stdio::piped()));
    let pid = process.id();
    // `setpriv` has become `cat`.
    wait_for("cat", || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|name| name == "cat\n")
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    let pid = pid.to_string();
    command.args(["manager", "sensors", "--watch", "--interval", "10ms", "--json", "--pid", &pid]);
    let mut watching = Process::spawn(command.stdout(Stdio::piped()));
    let mut output = std::io::BufReader::new(watching.child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert!(line.contains("\"gone\":[]"), "{line}");
    drop(process.child.stdin.take());
    process.exit_code();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    assert_eq!(watching.exit_code(), Some(0));
    let last = rest.lines().last().unwrap_or(&line);
    assert!(last.contains(&format!("\"gone\":[{pid}]")), "{last}");
}

const TRACE: &str = "\
# conveyor trace 1, cores 2
time_ms,free_kib,idle_percent,memory_full,cpu_some,performers,own
1000,4000000,50,,,,
2000,3800000,50,0,1.5,7:0:200000:40,1:0:5000:0.1
3000,3600000,0,0,20,7:0:200000:120;8:0:200000:120,
9000,3600000,0,0,20,7:0:200000:120;8:0:200000:120,
10000,3600000,80,30,0,7:0:200000:10;8:0:200000:0,
11000,290000,80,0,0,,
";

fn simulate(trace: &str, options: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace.csv");
    std::fs::write(&path, trace).unwrap();
    let mut arguments = vec!["simulate", path.to_str().unwrap()];
    arguments.extend(options);
    manager(&arguments)
}

#[test]
fn decisions_are_printed_with_what_was_measured_and_why() {
    let printed = text(&simulate(TRACE, &[]));
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 6, "{printed}");
    let ends = [
        "start 1",
        "start 1",
        "start none: another one might be too much for the processors",
        "pause 8, for too much load, start none: another one might be too much for the processors",
        "shed 8, for too much memory, start none: tasks of the machine wait for memory",
        "tell the client that there is no memory for its work, start none: the machine is nearly out of memory",
    ];
    for (line, end) in lines.iter().zip(ends) {
        assert!(line.ends_with(end), "{line}: {end}");
    }
    assert_eq!(
        lines[1],
        "2.000 s: 3710.9 MiB free, 50.0 % idle, stalls 0.0 % memory 1.5 % processors; 1 performers, 200.2 MiB and 40.1 % load: start 1"
    );
}

#[test]
fn the_other_policy_and_other_limits_decide_otherwise() {
    let printed = text(&simulate(TRACE, &["--policy", "legacy", "--wanted", "0"]));
    assert!(printed.lines().next().unwrap().ends_with("no more are wanted"), "{printed}");
    assert!(
        printed.lines().nth(2).unwrap().contains("pause 7, for too much load"),
        "the oldest first: {printed}"
    );
    let printed = text(&simulate(TRACE, &["--no-pause", "--cores", "1"]));
    assert!(printed.lines().nth(3).unwrap().contains("performers may not be paused"), "{printed}");
    let refused = complaint(&simulate(TRACE, &["--policy", "legacy", "--step-percent", "5"]), 1);
    assert!(refused.contains("--step-percent"), "{refused}");
}

#[test]
fn a_line_that_makes_no_sense_is_told_by_its_number_behind_what_was_decided_before() {
    let output = simulate(&TRACE.replace("9000,3600000,0", "9000,much,0"), &[]);
    let told = complaint(&output, 1);
    assert!(told.contains("line 6 of the trace: free_kib"), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    let told = complaint(&manager(&["simulate", "no/such/trace.csv"]), 1);
    assert!(told.contains("cannot read no/such/trace.csv"), "{told}");
}
