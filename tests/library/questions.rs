//! Status, echo, options.

use crate::support::{PATIENCE, Server, free_port};
use crate::{connect, hire, on_both, soon};
use conveyor_client::{Client, ErrorKind, Job, Options, Status, Update};
use std::net::{Ipv4Addr, TcpListener};

on_both!(
    status_tells_queued_running_and_gone,
    echo_returns_the_same_bytes,
    an_unknown_option_is_refused_and_a_known_one_granted,
    questions_that_no_server_answers_are_not_sent,
);

async fn status_tells_queued_running_and_gone(server: Server) {
    let client = connect(&server).await;
    let mut job = client.submit(Job::new("f", "")).await.unwrap();
    let Some(Update::Created(handle)) = soon("a handle", job.next()).await else { panic!("no handle") };
    let status = || async { soon("status", client.status(&handle)).await.unwrap() };
    assert_eq!(status().await, Status { known: true, ..Status::default() });
    let mut peer = server.connect();
    peer.send(1, &[b"f"]);
    peer.send(9, &[]);
    assert_eq!(peer.receive().0, 11, "the job");
    peer.send(12, &[&handle, b"3", b"4"]);
    assert_eq!(soon("progress", job.next()).await, Some(Update::Status { numerator: 3, denominator: 4 }));
    let running = Status { known: true, running: true, numerator: 3, denominator: 4, clients: None };
    assert_eq!(status().await, running);
    peer.send(13, &[&handle, b""]);
    soon("the end", job.outcome()).await.unwrap();
    assert_eq!(status().await, Status::default());
    assert!(!soon("status", client.status_unique(b"nobody's")).await.unwrap().known);
}

async fn echo_returns_the_same_bytes(server: Server) {
    let client = connect(&server).await;
    for payload in ["", "a\0b", &"x".repeat(100_000)] {
        let answer = soon("echo", client.echo(payload.to_owned())).await.unwrap();
        assert_eq!(answer, payload.as_bytes());
    }
}

async fn an_unknown_option_is_refused_and_a_known_one_granted(server: Server) {
    let _worker = hire(server.address);
    let client = connect(&server).await;
    soon("an option", client.option("exceptions")).await.unwrap();
    let job = client.submit(Job::new("echo", "between")).await.unwrap();
    let error = soon("an option", client.option("magic")).await.unwrap_err();
    assert!(matches!(&error.kind, ErrorKind::Refused { code, .. } if code == "UNKNOWN_OPTION"), "{error}");
    assert_eq!(error.server.as_deref(), Some(&*server.address.to_string()));
    soon("the job is not hit", job.outcome()).await.unwrap();
}

async fn questions_that_no_server_answers_are_not_sent(server: Server) {
    let client = connect(&server).await;
    for name in ["", "a\0b", &"h".repeat(64)] {
        let (handle, unique) = (client.status(name.as_bytes()), client.status_unique(name.as_bytes()));
        assert!(matches!(soon("no", handle).await.unwrap_err().kind, ErrorKind::Invalid(_)));
        assert!(matches!(soon("no", unique).await.unwrap_err().kind, ErrorKind::Invalid(_)));
    }
}

/// A server that takes connections and never says anything holds up nobody who asks where a job is.
#[tokio::test]
async fn all_servers_are_asked_at_once_where_a_job_is() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = Server::conveyor(&[]);
    let addresses = [silent.local_addr().unwrap(), server.address, silent.local_addr().unwrap()];
    let options = Options::new(addresses.map(|address| address.to_string())).answer_timeout(PATIENCE * 2);
    let client = Client::connect(options).await.unwrap();
    let mut peer = server.connect();
    peer.send(18, &[b"f", b"mine", b""]);
    let (_, handle) = peer.receive();
    assert!(soon("status", client.status(&handle)).await.unwrap().known);
    assert!(soon("status", client.status_unique(b"mine")).await.is_ok_and(|status| status.known));
}

#[tokio::test]
async fn a_client_without_servers_or_with_none_that_answers_is_an_error() {
    let none = Client::connect(Options::new(Vec::<String>::new())).await.unwrap_err();
    assert!(matches!(none.kind, ErrorKind::Invalid(_)));
    let address = format!("127.0.0.1:{}", free_port());
    let silent = soon("refused", Client::connect(Options::new([address]))).await.unwrap_err();
    assert!(matches!(silent.kind, ErrorKind::Unreachable(_)), "{silent}");
}
