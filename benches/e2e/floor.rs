//! The floor: the least that any Gearman server can do. One thread, one epoll, one queue; no uniques, no
//! priorities, no functions, no status, no store, and no care for peers that misbehave. What is left is system calls and
//! copies: a server that does the real work can come close to it, hardly below.

use rustix::event::epoll;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const READ_BYTES: usize = 64 << 10;

/// The listening socket's place among the event tokens.
const LISTENER: u64 = u64::MAX;

#[derive(Default)]
struct Job {
    client: Option<usize>,
    payload: Vec<u8>,
}

struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    touched: bool,
}

/// All there is.
struct Floor {
    epoll: std::os::fd::OwnedFd,
    peers: Vec<Option<Peer>>,
    jobs: slab::Slab<Job>,
    ready: VecDeque<usize>,
    sleepers: VecDeque<usize>,
    touched: Vec<usize>,
}

/// Serves until the process is ended.
pub(crate) fn serve(port: u16) -> ! {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN).unwrap();
    let mut floor = Floor {
        epoll,
        peers: Vec::new(),
        jobs: slab::Slab::new(),
        ready: VecDeque::new(),
        sleepers: VecDeque::new(),
        touched: Vec::new(),
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&floor.epoll, rustix::buffer::spare_capacity(&mut events), None).unwrap();
        for event in &events {
            let (data, flags) = (event.data, event.flags);
            if data.u64() == LISTENER {
                floor.accept(&listener);
            } else {
                let peer = usize::try_from(data.u64()).unwrap();
                if flags.contains(epoll::EventFlags::OUT) {
                    floor.touch(peer);
                }
                if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    floor.receive(peer, &mut buffer);
                }
            }
        }
        floor.flush();
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            let token = epoll::EventData::new_u64(self.peers.len() as u64);
            epoll::add(&self.epoll, &stream, token, epoll::EventFlags::IN).unwrap();
            let (input, output) = (Vec::new(), Vec::new());
            self.peers.push(Some(Peer { stream, input, output, touched: false }));
        }
    }

    fn touch(&mut self, at: usize) -> Option<&mut Peer> {
        let peer = self.peers[at].as_mut()?;
        if !peer.touched {
            peer.touched = true;
            self.touched.push(at);
        }
        Some(peer)
    }

    fn receive(&mut self, at: usize, buffer: &mut [u8]) {
        let Some(peer) = self.peers[at].as_mut() else { return };
        let read = peer.stream.read(buffer).unwrap_or(0);
        if read == 0 {
            self.peers[at] = None;
            return;
        }
        if peer.input.is_empty() {
            let used = self.take(at, &buffer[..read]);
            if let Some(peer) = self.peers[at].as_mut() {
                peer.input.extend_from_slice(&buffer[used..read]);
            }
        } else {
            peer.input.extend_from_slice(&buffer[..read]);
            let mut input = std::mem::take(&mut peer.input);
            let used = self.take(at, &input);
            input.drain(..used);
            if let Some(peer) = self.peers[at].as_mut() {
                peer.input = input;
            }
        }
    }

    fn take(&mut self, at: usize, input: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if rest.first().is_some_and(|byte| *byte != 0) {
                let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return used };
                let answer = match rest[..end].trim_ascii() {
                    b"getpid" => format!("OK {}\n", std::process::id()),
                    _ => "OK floor\n".to_owned(),
                };
                self.touch(at).unwrap().output.extend_from_slice(answer.as_bytes());
                used += end + 1;
                continue;
            }
            if rest.len() < 12 {
                return used;
            }
            let number = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
            let whole = 12 + number(8) as usize;
            if rest.len() < whole {
                return used;
            }
            self.packet(at, number(4), &rest[12..whole]);
            used += whole;
        }
    }

    fn packet(&mut self, at: usize, opcode: u32, body: &[u8]) {
        match opcode {
            16 => self.send(at, 17, &[body]),
            7 | 21 | 33 => self.submit(at, Some(at), body),
            18 | 32 | 34 => self.submit(at, None, body),
            9 => match self.ready.pop_front() {
                Some(job) => {
                    let payload = std::mem::take(&mut self.jobs[job].payload);
                    self.send(at, 11, &[&handle(job), b"f", &payload]);
                }
                None => self.send(at, 10, &[]),
            },
            4 if self.ready.is_empty() => self.sleepers.push_back(at),
            4 => self.send(at, 6, &[]),
            13 => {
                let end = body.iter().position(|byte| *byte == 0).unwrap();
                let number = body[..end].strip_prefix(b"H:floor:").unwrap();
                let number = std::str::from_utf8(number).unwrap().parse().unwrap();
                if let Some(client) = self.jobs.remove(number).client {
                    self.send(client, 13, &[body]);
                }
            }
            _ => {}
        }
    }

    fn submit(&mut self, at: usize, client: Option<usize>, body: &[u8]) {
        let payload = body.splitn(3, |byte| *byte == 0).nth(2).unwrap_or_default().to_vec();
        let job = self.jobs.insert(Job { client, payload });
        self.send(at, 8, &[&handle(job)]);
        self.ready.push_back(job);
        while let Some(sleeper) = self.sleepers.pop_front() {
            // Those that have gone stay in the queue until they are met.
            if self.peers[sleeper].is_some() {
                return self.send(sleeper, 6, &[]);
            }
        }
    }

    fn send(&mut self, at: usize, opcode: u32, args: &[&[u8]]) {
        let Some(peer) = self.touch(at) else { return };
        let length = args.iter().map(|arg| arg.len()).sum::<usize>() + args.len().saturating_sub(1);
        peer.output.extend_from_slice(b"\0RES");
        peer.output.extend_from_slice(&opcode.to_be_bytes());
        peer.output.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        for (number, arg) in args.iter().enumerate() {
            if number > 0 {
                peer.output.push(0);
            }
            peer.output.extend_from_slice(arg);
        }
    }

    fn flush(&mut self) {
        for at in std::mem::take(&mut self.touched) {
            let Some(peer) = self.peers[at].as_mut() else { continue };
            peer.touched = false;
            let mut sent = 0;
            while sent < peer.output.len() {
                match peer.stream.write(&peer.output[sent..]) {
                    Ok(taken) => sent += taken,
                    Err(_) => break,
                }
            }
            let blocked = sent < peer.output.len();
            peer.output.drain(..sent);
            let mut interest = epoll::EventFlags::IN;
            interest.set(epoll::EventFlags::OUT, blocked);
            if blocked || sent == 0 {
                let token = epoll::EventData::new_u64(at as u64);
                epoll::modify(&self.epoll, &peer.stream, token, interest).unwrap();
            }
        }
    }
}

fn handle(job: usize) -> Vec<u8> {
    format!("H:floor:{job}").into_bytes()
}
