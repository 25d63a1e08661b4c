//! The programs in `examples/`, as somebody who tries them runs them.

use crate::support::{Process, Server, example, run};
use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Command, Stdio};

/// An example that goes on until it is told to end.
struct Running {
    process: Process,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(name: &str, servers: &[String]) -> Self {
        let mut process = Process::spawn(Command::new(example(name)).args(servers).stdout(Stdio::piped()));
        let lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("it says something").unwrap()
    }

    /// Sends INT, as Ctrl-C does; the last line it prints.
    fn interrupt(mut self) -> String {
        self.process.signal("INT");
        let last = self.line();
        assert_eq!(self.process.exit_code(), Some(0));
        last
    }
}

/// Runs the client example and looks at everything it prints.
fn client_is_served(servers: &[String]) {
    let output = run(Command::new(example("client")).args(servers));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("count: Created("), "{printed}");
    let steps =
        ["one", "1 of 3", "two", "2 of 3", "three", "3 of 3", "3 words"].map(|step| format!("count: {step}"));
    assert_eq!(lines[1..8], steps);
    assert_eq!(lines[8], "reverse: 1000 of 1000 complete");
    assert!(lines[9].starts_with("in the background: H:"), "{printed}");
    // By the time it asks, the job may be done.
    assert!(lines[10].starts_with("known to the server: "), "{printed}");
}

fn client_and_worker_do(servers: &[String]) {
    let mut worker = Running::start("worker", servers);
    assert_eq!(worker.line(), "working");
    client_is_served(servers);
    assert_eq!(worker.interrupt(), "ended: Drained");
}

#[test]
fn client_and_worker_work_with_conveyor() {
    let server = Server::conveyor(&[]);
    client_and_worker_do(&[server.address.to_string()]);
}

#[test]
fn client_and_worker_work_with_gearmand() {
    let server = Server::gearmand(&[]);
    client_and_worker_do(&[server.address.to_string()]);
}

#[test]
fn client_and_worker_work_with_several_servers() {
    let servers = [Server::conveyor(&[]), Server::gearmand(&[])];
    client_and_worker_do(&servers.each_ref().map(|server| server.address.to_string()));
}

#[test]
fn the_server_serves_the_client_and_the_worker_and_ends_when_interrupted() {
    let mut server = Running::start("server", &["127.0.0.1:0".to_owned()]);
    let address = server.line().strip_prefix("listening on ").expect("it says where").to_owned();
    client_and_worker_do(&[address]);
    assert_eq!(server.interrupt(), "ended");
}

#[test]
fn all_in_one_ends_by_itself() {
    let output = run(&mut Command::new(example("all_in_one")));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = "\
the squares of 1 to 10 are 385 in all
seven: send a number below 2^32
the worker ended: Drained
";
    assert_eq!(printed, expected);
}
