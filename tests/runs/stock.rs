//! Performers that know nothing of Conveyor: PHP with the classes of the original, and the `gearman` command.

use crate::rig::{carry_out, numbered, on_both, spec};
use crate::support::{Process, Server, bound, require};
use conveyor_client::payload::{Codec, Content, TaskId};
use conveyor_client::run::{OutcomeKind, RunEvent, RunOutcome, read_tasks};
use std::path::Path;
use std::process::Stdio;

on_both!(a_performer_of_the_original_is_served_in_its_own_format, the_gearman_command_is_served_with_bytes,);

async fn a_performer_of_the_original_is_served_in_its_own_format(server: Server) {
    require("php");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/original.php");
    let mut command = bound("php");
    let _php = Process::spawn(command.arg(script).args(["127.0.0.1", &server.port().to_string()]));
    // An array that names its task arrives as it is; the text of the last one comes in an envelope.
    let list = r#"{"id":7,"body":{"task_id":7,"parts":[1,2.5,"x"],"more":{"b":true,"a":null}}}
        {"id":"a-7","body":{"task_id":"a-7","parts":[]}}
        {"id":0,"body":"plain"}"#;
    let mut spec = spec(server.address, read_tasks(list.as_bytes(), Codec::Php).unwrap());
    spec.codec = Codec::Php;
    spec.policy.attempts = 1;
    let (report, heard) = carry_out(spec).await;
    assert_eq!((report.ok, report.error), (2, 1), "{report}");
    let said = |wanted: usize| {
        heard.iter().find_map(|event| match event {
            RunEvent::Ended { task, verdict, .. } if *task == wanted => Some(verdict.clone()),
            _ => None,
        })
    };
    let first = Content::from(r#"array {"task_id":7,"parts":[1,2.5,"x"],"more":{"b":true,"a":null}}"#);
    assert_eq!(said(0).unwrap().result, Some(first));
    assert_eq!(said(1).unwrap().kind, OutcomeKind::Error);
    assert_eq!(report.errors[0].id, TaskId::from("a-7"));
    assert_eq!(report.errors[0].message.as_deref(), Some("no parts"));
    let last = Content::from(r#"array {"task_id":0,"attempt":1,"run":"r-1","body":"plain"}"#);
    assert_eq!(said(2).unwrap().result, Some(last));
}

async fn the_gearman_command_is_served_with_bytes(server: Server) {
    require("gearman");
    let mut command = bound("gearman");
    command.args(["-w", "-h", "127.0.0.1", "-p", &server.port().to_string(), "-f", "work", "cat"]);
    let _stock = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    let mut spec = spec(server.address, numbered(20));
    spec.codec = Codec::Raw;
    let (report, heard) = carry_out(spec).await;
    assert_eq!((report.outcome.clone(), report.attempts), (RunOutcome::Complete, 20), "{report}");
    for event in heard {
        if let RunEvent::Ended { verdict, .. } = event {
            assert_eq!(verdict.result, Some(Content::from("go")));
        }
    }
}
