//! Many jobs of `conveyor client submit`: how many are under way, in which order results come, and memory.

use crate::support::{PATIENCE, Process, packet, wait_for};
use crate::wire;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Lines of the file of the test of memory.
const LINES: u64 = 1_000_000;

/// Most memory that may take, in KiB. A line in memory for each would take more.
const MOST_KIB: u64 = 100 << 10;

/// A stand-in for a server that answers at once, so that only the client is looked at.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

fn answer(opcode: u32, args: &[&[u8]]) -> Vec<u8> {
    let mut packet = packet(opcode, args);
    packet[..4].copy_from_slice(b"\0RES");
    packet
}

/// The next job's payload; options are granted on the way.
fn next_job(stream: &mut (impl Read + Write)) -> std::io::Result<Vec<u8>> {
    loop {
        let mut header = [0_u8; 12];
        stream.read_exact(&mut header)?;
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let mut body = vec![0; number(8) as usize];
        stream.read_exact(&mut body)?;
        match number(4) {
            wire::SUBMIT_JOB => return Ok(body.splitn(3, |byte| *byte == 0).nth(2).unwrap().to_vec()),
            wire::OPTION_REQ => stream.write_all(&answer(wire::OPTION_RES, &[&body]))?,
            other => panic!("packet {other}"),
        }
        stream.flush()?;
    }
}

fn created(number: u64) -> Vec<u8> {
    answer(wire::JOB_CREATED, &[format!("H:x:{number}").as_bytes()])
}

fn complete(number: u64, result: &[u8]) -> Vec<u8> {
    answer(wire::WORK_COMPLETE, &[format!("H:x:{number}").as_bytes(), result])
}

fn submit(port: &str, args: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    command.args(["client", "submit", "-p", port, "-f", "f"]).args(args);
    Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()))
}

/// The first of so many jobs does not end: the number of jobs that come nevertheless, and the connection.
fn held_up(listener: &TcpListener, most: u64) -> (u64, TcpStream) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut jobs = 0;
    loop {
        match next_job(&mut stream) {
            Ok(payload) => {
                jobs += 1;
                stream.write_all(&created(jobs)).unwrap();
                if jobs > 1 {
                    stream.write_all(&complete(jobs, &payload)).unwrap();
                }
            }
            Err(_) => return (jobs, stream),
        }
        if jobs >= most {
            // Nothing more may come: what would, comes at once.
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        }
    }
}

#[test]
fn a_slow_job_holds_up_no_more_results_than_may_be_in_flight() {
    let (listener, port) = listen();
    let payloads: Vec<String> = (1..=30).map(|number| format!("{number},")).collect();
    let mut args = vec!["--in-flight", "10"];
    args.extend(payloads.iter().map(String::as_str));
    let mut client = submit(&port, &args);
    let (jobs, mut stream) = held_up(&listener, 10);
    assert_eq!(jobs, 10);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&complete(1, b"1,")).unwrap();
    for number in 11..=30 {
        let payload = next_job(&mut stream).unwrap();
        stream.write_all(&[created(number), complete(number, &payload)].concat()).unwrap();
    }
    let mut results = String::new();
    client.child.stdout.take().unwrap().read_to_string(&mut results).unwrap();
    assert_eq!(results, payloads.concat());
    assert_eq!(client.exit_code(), Some(0));
}

#[test]
fn unordered_results_come_as_jobs_end() {
    let (listener, port) = listen();
    let payloads: Vec<String> = (1..=30).map(|number| format!("{number}\n")).collect();
    let mut args = vec!["--in-flight", "10", "--unordered"];
    args.extend(payloads.iter().map(String::as_str));
    let mut client = submit(&port, &args);
    let (jobs, mut stream) = held_up(&listener, 30);
    assert_eq!(jobs, 30, "a slow job holds up nothing");
    let mut output = BufReader::new(client.child.stdout.take().unwrap());
    let mut lines = Vec::new();
    for _ in 2..=30 {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        lines.push(line);
    }
    lines.sort();
    let mut expected = payloads[1..].to_vec();
    expected.sort();
    assert_eq!(lines, expected);
    stream.write_all(&complete(1, b"slow\n")).unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), client.exit_code()), ("slow\n", Some(0)));
}

/// The most memory that a process has had, in KiB.
fn peak_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_million_lines_take_little_memory() {
    let (listener, port) = listen();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut both =
            Both { read: BufReader::new(stream.try_clone().unwrap()), write: BufWriter::new(stream) };
        let mut jobs = 0;
        while let Ok(payload) = next_job(&mut both) {
            jobs += 1;
            both.write.write_all(&created(jobs)).unwrap();
            both.write.write_all(&complete(jobs, &payload)).unwrap();
            if both.read.buffer().is_empty() {
                both.write.flush().unwrap();
            }
        }
        jobs
    });
    let mut client = submit(&port, &["-n", "--file", "/dev/stdin"]);
    let mut input = BufWriter::new(client.child.stdin.take().unwrap());
    let writer = std::thread::spawn(move || {
        for number in 0..LINES {
            writeln!(input, "line {number} of a file that nobody wants to have in memory as a whole")
                .unwrap();
        }
        // Not closed before the memory was looked at.
        input.flush().unwrap();
        input
    });
    let mut output = BufReader::new(client.child.stdout.take().unwrap());
    let mut line = Vec::new();
    for _ in 0..LINES {
        line.clear();
        assert!(output.read_until(b'\n', &mut line).unwrap() > 0);
    }
    let peak = peak_kib(&client);
    drop(writer.join().unwrap());
    let code = wait_for("its end", || client.child.try_wait().unwrap()).code();
    assert_eq!((code, server.join().unwrap()), (Some(0), LINES));
    println!("peak {peak} KiB");
    assert!(peak < MOST_KIB, "{peak} KiB");
}

/// A connection with a buffer in each direction.
struct Both {
    read: BufReader<TcpStream>,
    write: BufWriter<TcpStream>,
}

impl Read for Both {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.read.read(into)
    }
}

impl Write for Both {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        self.write.write(from)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.write.flush()
    }
}
