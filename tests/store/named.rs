//! Under the name `gearmand` gearmand's own command line chooses its stores.

use crate::support::{Peer, Process, free_port, run, wait_for};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

fn gearmand(directory: &Path) -> PathBuf {
    let path = directory.join("gearmand");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_conveyor"), &path).unwrap();
    path
}

#[test]
fn a_queue_in_libsqlite3_outlives_a_server_called_gearmand() {
    let directory = tempfile::tempdir().unwrap();
    let program = gearmand(directory.path());
    let port = free_port();
    for life in 0..2 {
        let mut command = Command::new(&program);
        command.args(["--listen=127.0.0.1", &format!("--port={port}"), "--log-file=none"]);
        command.args(["-q", "LibSQLite3", "--libsqlite3-table", "jobs", "--libsqlite3-db"]);
        command.arg(directory.path().join("queue.db")).arg("--pid-file").arg(directory.path().join("pid"));
        let _process = Process::spawn(command.env_remove("CONVEYOR_DATA_DIR"));
        let address = ([127, 0, 0, 1], port).into();
        wait_for("it accepts", || TcpStream::connect(address).ok());
        let mut peer = Peer::connect(address);
        if life == 0 {
            // SUBMIT_JOB_BG, and JOB_CREATED.
            peer.send(18, &[b"f", b"u", b""]);
            assert_eq!(peer.receive().0, 8);
        }
        wait_for("the job is there", || (peer.table("status") == ["f\t1\t0\t0"]).then_some(()));
    }
}

#[test]
fn what_a_store_needs_is_asked_for_as_by_gearmand() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(Command::new(gearmand(directory.path())).args(["--queue-type=libsqlite3", "--port=0"]));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(message, "gearmand: missing required --libsqlite3-db=<dbfile> argument\n");
}
