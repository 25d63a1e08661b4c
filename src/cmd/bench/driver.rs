//! The loop of the load generator: one thread, one epoll, every ready connection read and written once a turn.

use super::peer::{Peer, READ_BYTES};
use super::role::{Client, Worker, histogram};
use hdrhistogram::Histogram;
use rustix::event::epoll;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Events taken at once.
const EVENTS: usize = 256;

/// Nothing happening for this long means that the server has stopped answering.
const STALL: Duration = Duration::from_secs(60);

/// Longest wait for events, so that the time is looked at.
const TICK: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// What a connection is for.
#[derive(Debug)]
enum Role {
    Client(Client),
    Worker(Worker),
    Idle,
}

/// What has been counted since the last [`Driver::reset`].
#[derive(Debug)]
pub(super) struct Counts {
    /// Answers that clients waited for.
    pub(super) answers: u64,
    /// Jobs that workers did.
    pub(super) jobs: u64,
    /// Latencies in nanoseconds, by class.
    pub(super) latencies: Vec<Histogram<u64>>,
}

/// All connections of one thread, and their loop.
#[derive(Debug)]
pub(super) struct Driver {
    epoll: OwnedFd,
    peers: Vec<(Peer, Role)>,
    buffer: Vec<u8>,
    start: Instant,
    sleeping: usize,
    pub(super) counts: Counts,
    /// Clients send no more when they are told so.
    pub(super) submitting: bool,
}

fn failed(what: &str, error: impl std::fmt::Display) -> String {
    format!("{what}: {error}")
}

impl Driver {
    pub(super) fn new(classes: usize) -> Result<Self, String> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| failed("no event queue", error))?;
        let latencies = (0..classes).map(|_| histogram()).collect::<Result<_, _>>()?;
        Ok(Self {
            epoll,
            peers: Vec::new(),
            buffer: vec![0; READ_BYTES],
            start: Instant::now(),
            sleeping: 0,
            counts: Counts { answers: 0, jobs: 0, latencies },
            submitting: true,
        })
    }

    fn add(&mut self, peer: Peer, role: Role) -> Result<(), String> {
        let token = epoll::EventData::new_u64(self.peers.len() as u64);
        epoll::add(&self.epoll, peer.fd(), token, epoll::EventFlags::IN)
            .map_err(|error| failed("the event queue refuses a connection", error))?;
        self.peers.push((peer, role));
        Ok(())
    }

    /// Adds a client that keeps `in_flight` requests open, and lets it begin.
    pub(super) fn add_client(
        &mut self,
        mut peer: Peer,
        mut client: Client,
        in_flight: usize,
    ) -> Result<(), String> {
        let count = client.send(self.now(), in_flight);
        peer.request(count);
        self.add(peer, Role::Client(client))?;
        self.flush(self.peers.len() - 1)
    }

    /// Adds a worker that does `at_a_time` jobs, and lets it begin.
    pub(super) fn add_worker(&mut self, mut peer: Peer, at_a_time: u32) -> Result<(), String> {
        (0..at_a_time).for_each(|_| peer.packet(conveyor_common::protocol::Opcode::GrabJob.to_wire(), &[]));
        self.add(peer, Role::Worker(Worker::default()))?;
        self.flush(self.peers.len() - 1)
    }

    /// Adds a connection that says nothing.
    pub(super) fn add_idle(&mut self, peer: Peer) -> Result<(), String> {
        self.add(peer, Role::Idle)
    }

    /// Workers that sleep.
    pub(super) const fn sleeping(&self) -> usize {
        self.sleeping
    }

    /// Requests without their answer.
    pub(super) fn in_flight(&self) -> usize {
        let of = |role: &Role| if let Role::Client(client) = role { client.in_flight() } else { 0 };
        self.peers.iter().map(|(_, role)| of(role)).sum()
    }

    /// Starts counting anew.
    pub(super) fn reset(&mut self) {
        self.counts.answers = 0;
        self.counts.jobs = 0;
        self.counts.latencies.iter_mut().for_each(Histogram::reset);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Goes on until `done`, which is asked once a turn.
    ///
    /// # Errors
    /// A connection broke, or nothing happened for a minute.
    pub(super) fn run(&mut self, mut done: impl FnMut(&Self) -> bool) -> Result<(), String> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        let mut active = Instant::now();
        while !done(self) {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&TICK)) {
                Ok(0) if active.elapsed() > STALL => {
                    return Err("the server has not answered anything for a minute".to_owned());
                }
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => active = Instant::now(),
                Err(error) => return Err(failed("cannot wait for the server", error)),
            }
            for event in &events {
                let (data, flags) = (event.data, event.flags);
                let at = usize::try_from(data.u64()).unwrap_or(usize::MAX);
                if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    self.receive(at)?;
                }
                self.flush(at)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, at: usize) -> Result<(), String> {
        let start = self.start;
        let elapsed = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let Some((peer, role)) = self.peers.get_mut(at) else { return Ok(()) };
        // One look at the clock for everything that came in one read.
        let mut read_at = None;
        let counts = &mut self.counts;
        let mut error = None;
        let mut answered = 0;
        let was_asleep = matches!(role, Role::Worker(worker) if worker.asleep);
        let read = peer.receive(&mut self.buffer, |packet, out| {
            let now = *read_at.get_or_insert_with(elapsed);
            let taken = match role {
                Role::Client(client) => client.take(&packet).map(|answer| {
                    if let Some((sent, class)) = answer {
                        answered += 1;
                        if let Some(histogram) = counts.latencies.get_mut(class) {
                            histogram.saturating_record(now.saturating_sub(sent));
                        }
                    }
                }),
                Role::Worker(worker) => worker.take(&packet, out).map(|job| counts.jobs += u64::from(job)),
                Role::Idle => Err("the server speaks to a connection that has asked nothing".to_owned()),
            };
            if let Err(text) = taken {
                error.get_or_insert(text);
            }
        });
        read.map_err(|error| explain(&error))?;
        if let Some(error) = error {
            return Err(error);
        }
        match role {
            Role::Client(client) => {
                counts.answers += answered as u64;
                if self.submitting {
                    peer.request(client.send(read_at.unwrap_or(0), answered));
                }
            }
            Role::Worker(worker) => {
                self.sleeping = self.sleeping + usize::from(worker.asleep) - usize::from(was_asleep);
            }
            Role::Idle => {}
        }
        Ok(())
    }

    fn flush(&mut self, at: usize) -> Result<(), String> {
        let Some((peer, _)) = self.peers.get_mut(at) else { return Ok(()) };
        let was_blocked = peer.blocked;
        peer.flush().map_err(|error| explain(&error))?;
        if peer.blocked != was_blocked {
            let mut interest = epoll::EventFlags::IN;
            interest.set(epoll::EventFlags::OUT, peer.blocked);
            epoll::modify(&self.epoll, peer.fd(), epoll::EventData::new_u64(at as u64), interest)
                .map_err(|error| failed("the event queue refuses a connection", error))?;
        }
        Ok(())
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the server closed a connection".to_owned()
        }
        _ => error.to_string(),
    }
}
