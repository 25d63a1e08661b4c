//! Several servers, and lost ones: every job's fate is accounted for.

use crate::support::{PATIENCE, Peer, Server, lasting_port};
use crate::{eventually, hire, on_both, outcome, soon};
use conveyor_client::{Client, ErrorKind, Job, MayHaveRun, Options, Outcome, Unique, Update};
use std::collections::HashSet;
use std::io::{BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

/// Jobs of the runs under load.
const JOBS: usize = 2000;

on_both!(equal_jobs_of_different_clients_meet_on_one_server, a_job_without_unique_is_not_submitted_twice,);

fn farm(servers: &[Server]) -> Options {
    Options::new(servers.iter().map(|server| server.address.to_string()))
        .backoff(Duration::from_millis(20), Duration::from_millis(200))
}

async fn equal_jobs_of_different_clients_meet_on_one_server(first: Server) {
    let servers = [first, Server::conveyor(&[]), Server::conveyor(&[])];
    let (one, other) = (Client::connect(farm(&servers)).await.unwrap(), farm(&servers));
    let other = Client::connect(other).await.unwrap();
    for client in [&one, &other] {
        soon("echo", async {
            // In turns: every server is connected.
            for _ in 0..servers.len() {
                client.echo("").await.unwrap();
            }
        })
        .await;
    }
    for number in 0..30 {
        let job = || Job::new("f", format!("{number}")).unique(Unique::OfPayload).background();
        let handles = [outcome(&one, job()).await.unwrap(), outcome(&other, job()).await.unwrap()];
        assert_eq!(handles[0], handles[1]);
    }
    let queued = servers.each_ref().map(|server| server.status().iter().map(|row| row.1).sum::<u64>());
    assert_eq!(queued.iter().sum::<u64>(), 30, "{queued:?}");
    assert!(queued.iter().all(|jobs| *jobs > 0), "each has some: {queued:?}");
}

async fn a_job_without_unique_is_not_submitted_twice(server: Server) {
    let servers = [server];
    let client = Client::connect(farm(&servers)).await.unwrap();
    let mut job = client.submit(Job::new("nobody", "")).await.unwrap();
    assert!(soon("a handle", job.next()).await.is_some());
    let [mut server] = servers;
    server.process.signal("KILL");
    server.process.exit_code();
    let error = soon("the job ends", job.outcome()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Lost(_)), "{error}");
    assert_eq!(error.may_have_run, MayHaveRun::Perhaps);
    assert_eq!(error.server.as_deref(), Some(&*server.address.to_string()));
}

/// Two servers, one killed while jobs run: with a unique every job completes; without, it completes or is
/// said to have perhaps run. Never more than one end, never none.
async fn one_of_two_is_killed_under_load(servers: [Server; 2], unique: Unique) {
    let _workers: Vec<_> = servers.iter().map(|server| hire(server.address)).collect();
    let client = Client::connect(farm(&servers).in_flight(200)).await.unwrap();
    let working = |server: &Server| server.status().iter().any(|row| row.0 == "echo" && row.3 == 1);
    eventually("both have a worker", || servers.iter().all(working)).await;
    let submitting = tokio::spawn({
        let (client, unique) = (client.clone(), unique.clone());
        async move {
            let job = |number: usize| Job::new("echo", number.to_string()).unique(unique.clone());
            let mut ends = tokio::task::JoinSet::new();
            for number in 0..JOBS {
                let job = client.submit(job(number)).await.unwrap();
                ends.spawn(async move { (number, job.outcome().await) });
            }
            ends.join_all().await
        }
    });
    let [mut killed, _other] = servers;
    // Handles are numbered: when number 100 is there, jobs are running and most are still to come.
    let mut peer = killed.connect();
    let looking = tokio::task::spawn_blocking(move || {
        crate::support::wait_for("the load has begun", || {
            peer.send(18, &[b"probe", b"", b""]);
            let (_, handle) = peer.receive();
            let handle = String::from_utf8(handle).unwrap();
            (handle.rsplit(':').next().unwrap().parse::<u64>().unwrap() > 100).then_some(())
        });
        killed.process.signal("KILL");
        killed.process.exit_code();
    });
    soon("one is killed", looking).await.unwrap();
    let ends = tokio::time::timeout(PATIENCE * 2, submitting).await.expect("every job ends").unwrap();
    let numbers: HashSet<usize> = ends.iter().map(|(number, _)| *number).collect();
    assert_eq!((ends.len(), numbers.len()), (JOBS, JOBS), "one end each");
    let mut perhaps = 0;
    for (number, end) in ends {
        match end {
            Ok(done) => assert_eq!(done, Outcome::Complete(number.to_string().into())),
            Err(error) => {
                assert!(unique == Unique::None, "job {number} could be submitted again: {error}");
                assert!(matches!(error.kind, ErrorKind::Lost(_)), "{error}");
                assert!(error.may_have_run >= MayHaveRun::Perhaps, "{error}");
                perhaps += 1;
            }
        }
    }
    assert!(perhaps <= 200, "no more than were in flight: {perhaps}");
}

#[tokio::test]
async fn with_uniques_every_job_survives_the_death_of_a_conveyor() {
    one_of_two_is_killed_under_load([Server::conveyor(&[]), Server::conveyor(&[])], Unique::Random).await;
}

#[tokio::test]
async fn with_uniques_every_job_survives_the_death_of_a_gearmand() {
    one_of_two_is_killed_under_load([Server::gearmand(&[]), Server::gearmand(&[])], Unique::OfPayload).await;
}

#[tokio::test]
async fn without_uniques_every_job_completes_or_is_said_to_have_perhaps_run() {
    one_of_two_is_killed_under_load([Server::conveyor(&[]), Server::gearmand(&[])], Unique::None).await;
}

#[tokio::test]
async fn jobs_wait_for_a_server_that_returns_and_those_with_a_unique_are_submitted_again() {
    let mut server = Server::conveyor_at(lasting_port(), &[]);
    let address = server.address.to_string();
    let backoff = (Duration::from_millis(20), Duration::from_millis(100));
    let options = Options::new([address.clone()]).backoff(backoff.0, backoff.1).give_up(PATIENCE);
    let client = Client::connect(options).await.unwrap();
    let mut kept = client.submit(Job::new("talk", "").unique(Unique::Random)).await.unwrap();
    assert!(matches!(soon("a handle", kept.next()).await, Some(Update::Created(_))));
    server.kill();
    let unreachable = loop {
        // The client learns of it by itself; an echo says when.
        if let Err(error) = soon("echo", client.echo("")).await {
            break error;
        }
    };
    assert!(matches!(unreachable.kind, ErrorKind::Unreachable(_) | ErrorKind::Lost(_)), "{unreachable}");
    let new = client.submit(Job::new("echo", "new")).await.unwrap();
    server.start_again();
    let _worker = hire(server.address);
    assert_eq!(soon("the new one", new.outcome()).await.unwrap(), Outcome::Complete("new".into()));
    assert!(matches!(soon("the second handle", kept.next()).await, Some(Update::Created(_))));
    assert_eq!(soon("the kept one", kept.outcome()).await.unwrap(), Outcome::Complete("end".into()));
}

#[tokio::test]
async fn jobs_that_never_left_end_when_no_server_returns_and_have_not_run() {
    let mut server = Server::conveyor(&[]);
    let options = Options::new([server.address.to_string()])
        .backoff(Duration::from_millis(10), Duration::from_millis(20))
        .give_up(Duration::from_millis(200));
    let client = Client::connect(options).await.unwrap();
    server.process.signal("KILL");
    server.process.exit_code();
    while soon("echo", client.echo("")).await.is_ok() {}
    let error = outcome(&client, Job::new("echo", "")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unreachable(_)), "{error}");
    assert_eq!(error.may_have_run, MayHaveRun::No);
}

#[tokio::test]
async fn a_server_that_talks_nonsense_is_left() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Nobody listens from here on: a listener without accept would look like a silent server.
        drop(listener);
        std::io::Write::write_all(&mut stream, b"HTTP/1.0 400 Bad Request\r\n").unwrap();
    });
    let options = Options::new([address]).give_up(Duration::from_millis(1));
    let client = Client::connect(options).await.unwrap();
    let error = outcome(&client, Job::new("f", "")).await.unwrap_err();
    let expected = matches!(error.kind, ErrorKind::Lost(_) | ErrorKind::Unreachable(_));
    assert!(expected, "{error}");
    server.join().unwrap();
}

/// A server that takes one submission on each of its connections, and closes the first without an answer.
fn forgetful(connections: u32) -> (String, std::thread::JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = move || {
        let mut taken = Vec::new();
        for number in 0..connections {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut peer = Peer { stream: BufReader::new(stream) };
            let mut header = [0_u8; 12];
            peer.stream.read_exact(&mut header).unwrap();
            let length = u32::from_be_bytes(header[8..].try_into().unwrap());
            let mut body = vec![0; length as usize];
            peer.stream.read_exact(&mut body).unwrap();
            taken.push([&header[4..8], &body].concat());
            if number > 0 {
                peer.write(b"\0RES\0\0\0\x08\0\0\0\x03H:1");
                assert!(peer.is_closed(), "the client goes last");
            }
        }
        taken
    };
    (address, std::thread::spawn(serve))
}

#[tokio::test]
async fn a_background_job_that_was_not_acknowledged_is_submitted_again_only_with_a_unique() {
    let (address, server) = forgetful(2);
    let options = Options::new([address]).exceptions(false);
    let client = Client::connect(options.backoff(Duration::from_millis(5), Duration::from_millis(5))).await;
    let client = client.unwrap();
    let job = Job::new("f", "p").background();
    let again = job.clone().unique(Unique::Given("u".into()));
    assert_eq!(outcome(&client, again).await.unwrap(), Outcome::Accepted("H:1".into()));
    drop(client);
    let joining = tokio::task::spawn_blocking(|| server.join().unwrap());
    let taken = soon("the server ends", joining).await.unwrap();
    assert_eq!(taken[0], taken[1]);
    assert_eq!(taken[0], b"\0\0\0\x12f\0u\0p");

    let (address, _server) = forgetful(1);
    let client = Client::connect(Options::new([address]).exceptions(false)).await.unwrap();
    let error = outcome(&client, job).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Lost(_)), "{error}");
    assert_eq!(error.may_have_run, MayHaveRun::Perhaps);
}

#[tokio::test]
async fn a_job_dropped_before_it_left_never_leaves() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = Client::connect(Options::new([address]).exceptions(false).in_flight(1)).await.unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The task of the server has had no turn yet.
    drop(client.submit(Job::new("dropped", "p")).await.unwrap());
    let _kept = soon("the room of the dropped one", client.submit(Job::new("kept", "p"))).await.unwrap();
    let expected = crate::support::packet(7, &[b"kept", b"", b"p"]);
    let length = expected.len();
    let reading = tokio::task::spawn_blocking(move || {
        let mut first = vec![0_u8; length];
        stream.read_exact(&mut first).unwrap();
        first
    });
    assert_eq!(soon("the first job", reading).await.unwrap(), expected);
}

#[tokio::test]
async fn jobs_submitted_in_one_call_leave_together() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = Client::connect(Options::new([address]).exceptions(false)).await.unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let jobs = client.submit_all((0..50).map(|_| Job::new("f", "p"))).await;
    let reading = tokio::task::spawn_blocking(move || {
        let mut first = [0_u8; 4096];
        stream.read(&mut first).unwrap()
    });
    let bytes = soon("the first read", reading).await.unwrap();
    assert_eq!(bytes, jobs.len() * crate::support::packet(7, &[b"f", b"", b"p"]).len());
}
