//! The loads: what is put on a server, by how many.

use super::args::Args;

/// What clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// ECHO_REQ, and its answer.
    Echo,
    /// A foreground job, and its result.
    Foreground,
    /// Foreground jobs at three priorities in turn, counted apart.
    Priorities,
    /// A background job, and its JOB_CREATED.
    Background,
    /// Nothing: workers empty a queue that was filled before.
    Drain,
    /// A client with single jobs, alone and then beside a flood of background jobs and one of large payloads.
    Mixed,
}

/// One load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) operation: Operation,
    pub(super) clients: u32,
    /// Requests that each client keeps open; for [`Operation::Drain`] jobs that each worker has at a time.
    pub(super) in_flight: u32,
    pub(super) workers: u32,
    pub(super) payload: u32,
    pub(super) functions: u32,
    /// For [`Operation::Background`] and [`Operation::Drain`].
    pub(super) jobs: u32,
    pub(super) idle: u32,
    pub(super) backlog: u32,
}

const PLAIN: Load = Load {
    name: "",
    about: "",
    operation: Operation::Foreground,
    clients: 8,
    in_flight: 16,
    workers: 8,
    payload: 64,
    functions: 1,
    jobs: 300_000,
    idle: 0,
    backlog: 0,
};

/// Every load, in the order of the table in docs/performance.md.
pub(super) const LOADS: [Load; 16] = [
    Load {
        name: "echo",
        about: "ECHO_REQ on 8 connections with 16 in flight",
        operation: Operation::Echo,
        workers: 0,
        ..PLAIN
    },
    Load {
        name: "echo-single",
        about: "ECHO_REQ one after the other: the shortest way through the server",
        operation: Operation::Echo,
        clients: 1,
        in_flight: 1,
        workers: 0,
        ..PLAIN
    },
    Load { name: "foreground", about: "foreground jobs of 8 clients with 16 in flight, 8 workers", ..PLAIN },
    Load {
        name: "foreground-single",
        about: "foreground jobs one after the other, 1 worker",
        clients: 1,
        in_flight: 1,
        workers: 1,
        ..PLAIN
    },
    Load {
        name: "foreground-many",
        about: "foreground jobs of 64 clients with 2 in flight, 32 workers",
        clients: 64,
        in_flight: 2,
        workers: 32,
        ..PLAIN
    },
    Load {
        name: "background",
        about: "background jobs of 4 clients with 64 in flight, no worker; memory a queued job",
        operation: Operation::Background,
        clients: 4,
        in_flight: 64,
        workers: 0,
        ..PLAIN
    },
    Load {
        name: "stored",
        about: "background jobs of 16 clients with 16 in flight, for a server that stores them before it answers",
        operation: Operation::Background,
        clients: 16,
        workers: 0,
        jobs: 60_000,
        ..PLAIN
    },
    Load {
        name: "stored-single",
        about: "background jobs one after the other, for such a server",
        operation: Operation::Background,
        clients: 1,
        in_flight: 1,
        workers: 0,
        jobs: 10_000,
        ..PLAIN
    },
    Load {
        name: "drain",
        about: "8 workers empty a queue of 300,000 background jobs",
        operation: Operation::Drain,
        clients: 0,
        in_flight: 1,
        ..PLAIN
    },
    Load {
        name: "drain-deep",
        about: "the same, each worker with 16 jobs at a time",
        operation: Operation::Drain,
        clients: 0,
        ..PLAIN
    },
    Load {
        name: "functions",
        about: "foreground jobs over 200 functions that every worker can do",
        functions: 200,
        ..PLAIN
    },
    Load {
        name: "sleepers",
        about: "1,004 workers of one function, of which 4 foreground jobs at a time keep 4 busy",
        clients: 4,
        in_flight: 1,
        workers: 1004,
        ..PLAIN
    },
    Load {
        name: "sleepers-10k",
        about: "the same with 10,004 workers",
        clients: 4,
        in_flight: 1,
        workers: 10_004,
        ..PLAIN
    },
    Load {
        name: "large",
        about: "foreground jobs with 256 KiB, 4 clients with 2 in flight, 4 workers",
        clients: 4,
        in_flight: 2,
        workers: 4,
        payload: 256 << 10,
        ..PLAIN
    },
    Load {
        name: "priorities",
        about: "foreground jobs at high, normal and low priority in turn, 2 workers",
        operation: Operation::Priorities,
        workers: 2,
        ..PLAIN
    },
    Load {
        name: "mixed",
        about: "one client's single jobs, alone and beside a flood of background jobs and one of 256 KiB payloads",
        operation: Operation::Mixed,
        clients: 1,
        in_flight: 1,
        workers: 1,
        ..PLAIN
    },
];

/// The loads asked for, with what the command line sets differently.
pub(super) fn chosen(args: &Args) -> Vec<Load> {
    let wanted = |load: &&Load| args.load.is_empty() || args.load.iter().any(|name| name == load.name);
    LOADS.iter().filter(wanted).map(|load| load.with(args)).collect()
}

impl Load {
    fn with(&self, args: &Args) -> Self {
        Self {
            clients: args.clients.unwrap_or(self.clients),
            in_flight: args.in_flight.unwrap_or(self.in_flight),
            workers: args.workers.unwrap_or(self.workers),
            payload: args.payload.unwrap_or(self.payload),
            functions: args.functions.unwrap_or(self.functions),
            jobs: args.jobs.unwrap_or(self.jobs),
            idle: args.idle.unwrap_or(self.idle),
            backlog: args.backlog.unwrap_or(self.backlog),
            ..*self
        }
    }
}
