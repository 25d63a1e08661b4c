//! `conveyor bench`: every load runs on conveyor and on gearmand, says what it measured, and leaves nothing behind.

use crate::support::{GEARMAND, Server, require, run, wait_for};
use serde_json::Value;
use std::process::Command;

/// Small enough for a test, whatever the load.
const SHORT: [&str; 8] = ["--seconds", "0.1", "--jobs", "2000", "--rounds", "2", "--quiet", "--json"];

fn bench(args: &[&str]) -> (Option<i32>, String, String) {
    let output = run(Command::new(env!("CARGO_BIN_EXE_conveyor")).arg("bench").args(args));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn document(args: &[&str]) -> Value {
    let (code, stdout, stderr) = bench(args);
    assert_eq!(code, Some(0), "{args:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// A run says how often, how fast, and at what cost.
fn check(run: &Value, what: &str) {
    let figure = |name: &str| run[name].as_f64().unwrap_or_else(|| panic!("{what}: no {name} in {run}"));
    assert!(figure("operations") > 0.0 && figure("per_second") > 0.0, "{what}: {run}");
    assert!(figure("memory") > 1e6, "{what}: {run}");
    assert!(figure("cpu_us") >= 0.0, "{what}: {run}");
    let mut latencies = vec![&run["latency"]];
    latencies.extend(run["classes"].as_array().unwrap().iter().map(|class| &class[1]));
    for latency in latencies.into_iter().filter(|latency| !latency.is_null()) {
        let ordered = ["p50_us", "p99_us", "p999_us", "max_us"].map(|name| latency[name].as_f64().unwrap());
        assert!(ordered[0] > 0.0 && ordered.is_sorted(), "{what}: {latency}");
    }
}

#[test]
fn every_load_runs_and_leaves_no_job_behind() {
    let server = Server::conveyor(&["--backlog", "1024"]);
    let address = server.address.to_string();
    let (_, list, _) = bench(&["--list"]);
    let loads: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(loads.len() >= 12, "{list}");
    for load in loads {
        let workers = ["--workers", "50"];
        let more: &[&str] = if load.starts_with("sleepers") { &workers } else { &[] };
        let measured = document(&[&[&address, "--load", load], &SHORT[..], more].concat());
        let runs = measured["results"][0]["servers"][0]["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2);
        runs.iter().for_each(|run| check(run, load));
    }
    let extra = ["--load", "foreground", "--idle", "20", "--backlog", "500", "--functions", "3"];
    document(&[&[address.as_str()], &extra[..], &SHORT[..]].concat());
    wait_for("nothing is queued or running", || {
        server.status().iter().all(|row| row.1 == 0 && row.2 == 0).then_some(())
    });
}

#[test]
fn two_servers_are_compared_round_by_round() {
    require(GEARMAND);
    let (ours, theirs) = (Server::conveyor(&[]), Server::gearmand(&[]));
    let (ours, theirs) = (ours.address.to_string(), theirs.address.to_string());
    let loads = "echo,foreground,background,drain,functions,large,priorities,mixed";
    let measured = document(&[&[&ours, "--vs", &theirs, "--load", loads], &SHORT[..]].concat());
    assert_eq!(measured["servers"].as_array().unwrap().len(), 2);
    for result in measured["results"].as_array().unwrap() {
        let rate = &result["ratios"]["rate"];
        let [min, median, max] = ["min", "median", "max"].map(|name| rate[name].as_f64().unwrap());
        assert!(0.0 < min && min <= median && median <= max, "{rate}");
        let servers = result["servers"].as_array().unwrap();
        servers.iter().for_each(|server| check(&server["median"], &result["load"].to_string()));
    }
}

#[test]
fn people_get_a_table_and_a_way_out_of_errors() {
    let server = Server::conveyor(&[]);
    let address = server.address.to_string();
    let (code, table, _) = bench(&[&address, "--load", "echo", "--seconds", "0.1", "--rounds", "1"]);
    assert_eq!(code, Some(0));
    assert!(
        table.contains("per second") && table.contains("CPU us/op") && table.contains(&address),
        "{table}"
    );
    drop(server);
    let (code, _, stderr) = bench(&[&address, "--load", "echo"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&address) && stderr.contains("conveyor server"), "{stderr}");
    let (code, _, stderr) = bench(&["--load", "everything"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("foreground"), "{stderr}");
}
