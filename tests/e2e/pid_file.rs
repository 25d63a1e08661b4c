//! `-i` of `conveyor client submit` and `conveyor worker` beside `gearman`: written before a server is asked, over
//! what is there, and gone when the process ends by itself.

use crate::support::{GEARMAND, Process, Server, bound, require, run, wait_for};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whose programs: the client and the worker with all they need before their options.
fn programs(server: &Server) -> [(Command, Command); 2] {
    let command = |program: &str, words: &[&str]| {
        let mut command = bound(program);
        command.args(words).args(["-h", "127.0.0.1", "-p", &server.port().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let conveyor = env!("CARGO_BIN_EXE_conveyor");
    [
        (command(conveyor, &["client", "submit"]), command(conveyor, &["worker"])),
        (command("gearman", &[]), command("gearman", &["-w"])),
    ]
}

fn compare(server: &Server) {
    require("gearman");
    for (mut client, mut worker) in programs(server) {
        let directory = tempfile::tempdir().unwrap();
        let (asks, works) = (directory.path().join("client"), directory.path().join("worker"));
        let holds = |path: &Path, process: &Process| {
            let own = format!("{}\n", process.id());
            wait_for("its file", || (fs::read_to_string(path).ok()? == own).then_some(()));
        };
        // Longer than what will be there.
        fs::write(&asks, "1234567890\n").unwrap();
        let mut worker =
            Process::spawn(worker.args(["-f", "up", "-c", "1", "-i"]).arg(&works).args(["--", "cat"]));
        holds(&works, &worker);
        let mut waiting = Process::spawn(client.args(["-f", "nobody", "x", "-i"]).arg(&asks));
        holds(&asks, &waiting);
        waiting.signal("TERM");
        assert_eq!(waiting.exit_code(), None);
        assert!(asks.exists(), "nobody removes it after a signal");

        // The same program once more, for a job that ends.
        let mut again = Command::new(client.get_program());
        let words: Vec<_> =
            client.get_args().map(|word| if word == "nobody" { "up".as_ref() } else { word }).collect();
        let mut client = Process::spawn(again.args(words).stdout(Stdio::null()));
        assert_eq!((client.exit_code(), worker.exit_code()), (Some(0), Some(0)));
        assert!(!asks.exists() && !works.exists());
    }
    let missing = Path::new("/no/such/directory/pid");
    for (mut client, mut worker) in programs(server) {
        let status = run(client.args(["-f", "up", "-b", "x", "-i"]).arg(missing)).status;
        assert!(status.code().is_some_and(|code| code != 0), "{client:?}");
        let status = run(worker.args(["-f", "up", "-i"]).arg(missing).args(["--", "cat"])).status;
        assert_eq!(status.code(), Some(1), "{worker:?}");
    }
}

#[test]
fn a_pid_file_is_as_gearman_has_it() {
    compare(&Server::conveyor(&[]));
}

#[test]
fn a_pid_file_is_as_gearman_has_it_on_gearmand_too() {
    require(GEARMAND);
    compare(&Server::gearmand(&[]));
}
