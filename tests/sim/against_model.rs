//! The core and the model answer every connection the same, whatever is done to them.

use crate::model::{Model, Replies};
use crate::rig::{Rig, bytes, handle, rules};
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, Priority};
use conveyor_server::core::{Compat, Event, Reply, Rules};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeMap;
use std::num::NonZeroU8;

/// Something a connection does. Connections are counted from 0; one that is closed comes back when it acts.
#[derive(Clone, Debug)]
enum Op {
    Submit {
        kind: SubmitKind,
        function: usize,
        unique: usize,
        payload: usize,
    },
    CanDo {
        function: usize,
        timeout_ms: i64,
    },
    CantDo {
        function: usize,
    },
    Reset,
    PreSleep,
    Grab(GrabForm),
    /// A report on one of its own jobs, counted from 0; on any job when it has none so high.
    Report {
        job: usize,
        report: Report,
    },
    Option {
        known: bool,
    },
    ClientId,
    GetStatus {
        job: usize,
    },
    GetStatusUnique {
        unique: usize,
    },
    MaxQueue {
        function: usize,
        limits: PerPriority<u32>,
    },
    Create {
        function: usize,
    },
    Drop {
        function: usize,
    },
    Cancel {
        job: usize,
    },
    Pass {
        ms: u64,
    },
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Report {
    Complete,
    Fail { junk: bool },
    Exception,
    Data,
    Warning,
    Status { numerator: &'static str, denominator: &'static str },
}

const FUNCTIONS: [&str; 4] = ["f", "g", "h", ""];
const PAYLOADS: [&str; 3] = ["", "x", "y"];

fn unique(number: usize) -> Bytes {
    match number {
        0 => bytes(""),
        1 => bytes("-"),
        2 => bytes(&"u".repeat(64)),
        3 => bytes(&"u".repeat(65)),
        _ => bytes(&format!("u{number}")),
    }
}

fn submission() -> impl Strategy<Value = Op> {
    let priority = prop::sample::select(Priority::ALL.to_vec());
    let kind = prop_oneof![
        8 => (priority, any::<bool>()).prop_map(|(priority, background)| SubmitKind::Job { priority, background }),
        1 => (-1..9_i64).prop_map(|when| SubmitKind::Epoch { when }),
        1 => (any::<bool>(), prop::sample::select(vec![1_usize, 64, 65])).prop_map(|(background, length)| {
            SubmitKind::Reduce { reducer: bytes(&"r".repeat(length)), ignored: bytes(""), background }
        }),
    ];
    let unique = prop_oneof![4 => Just(0_usize), 2 => Just(1), 1 => 2..4_usize, 8 => 4..7_usize];
    (kind, 0..FUNCTIONS.len(), unique, 0..PAYLOADS.len())
        .prop_map(|(kind, function, unique, payload)| Op::Submit { kind, function, unique, payload })
}

fn report() -> impl Strategy<Value = Op> {
    let progress = prop::sample::select(vec!["3", "100", "abc", "-1", "7x", "12345678901", "123456789012"]);
    let report = prop_oneof![
        4 => Just(Report::Complete),
        1 => any::<bool>().prop_map(|junk| Report::Fail { junk }),
        1 => Just(Report::Exception),
        1 => Just(Report::Data),
        1 => Just(Report::Warning),
        1 => (progress.clone(), progress)
            .prop_map(|(numerator, denominator)| Report::Status { numerator, denominator }),
    ];
    (prop_oneof![5 => Just(0), 1 => 1..8_usize], report).prop_map(|(job, report)| Op::Report { job, report })
}

fn op() -> impl Strategy<Value = Op> {
    let function = 0..FUNCTIONS.len();
    let form = prop::sample::select(vec![GrabForm::Plain, GrabForm::Unique, GrabForm::All]);
    let timeout = prop::sample::select(vec![-5_i64, 0, 0, 300, 1500]);
    let limits =
        (0..4_u32, 0..4_u32, 0..4_u32).prop_map(|(high, normal, low)| PerPriority { high, normal, low });
    prop_oneof![
        22 => submission(),
        12 => (function.clone(), timeout).prop_map(|(function, timeout_ms)| Op::CanDo { function, timeout_ms }),
        2 => function.clone().prop_map(|function| Op::CantDo { function }),
        1 => Just(Op::Reset),
        5 => Just(Op::PreSleep),
        22 => form.prop_map(Op::Grab),
        16 => report(),
        2 => any::<bool>().prop_map(|known| Op::Option { known }),
        1 => Just(Op::ClientId),
        2 => (0..8_usize).prop_map(|job| Op::GetStatus { job }),
        2 => (0..7_usize).prop_map(|unique| Op::GetStatusUnique { unique }),
        1 => (function.clone(), limits).prop_map(|(function, limits)| Op::MaxQueue { function, limits }),
        1 => function.clone().prop_map(|function| Op::Create { function }),
        1 => function.prop_map(|function| Op::Drop { function }),
        3 => (0..8_usize).prop_map(|job| Op::Cancel { job }),
        4 => prop_oneof![0..30_u64, 0..2500_u64].prop_map(|ms| Op::Pass { ms }),
        6 => Just(Op::Close),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let compat = prop::sample::select(vec![Compat::V1_1, Compat::V2_0]);
    let losses = prop::sample::select(vec![None, NonZeroU8::new(1), NonZeroU8::new(2)]);
    (compat, any::<bool>(), losses, any::<bool>()).prop_map(
        |(compat, round_robin, max_losses, exceptions)| Rules {
            compat,
            round_robin,
            max_losses,
            exceptions,
            ..rules()
        },
    )
}

/// The core and the model, side by side.
struct Pair {
    core: Rig,
    model: Model,
    conns: BTreeMap<usize, ConnId>,
    admin: ConnId,
}

impl Pair {
    fn new(rules: Rules) -> Self {
        let mut core = Rig::new(rules.clone());
        let mut model = Model::new(rules, core.now.0);
        let admin = core.connect();
        model.connected(admin);
        Self { core, model, conns: BTreeMap::new(), admin }
    }

    fn conn(&mut self, number: usize) -> ConnId {
        if let Some(conn) = self.conns.get(&number) {
            return *conn;
        }
        let conn = self.core.connect();
        self.model.connected(conn);
        self.conns.insert(number, conn);
        conn
    }

    /// The job with this position among those that `conn` works on, else among all, else one that never was.
    fn job(&self, conn: Option<ConnId>, position: usize) -> u64 {
        let jobs = &self.model.jobs;
        let own = jobs.iter().filter(|job| job.worker.is_some_and(|(worker, ..)| Some(worker) == conn));
        let own: Vec<u64> = own.map(|job| job.number).collect();
        let found = own.get(position).copied().or_else(|| jobs.get(position).map(|job| job.number));
        found.unwrap_or(1 + position as u64)
    }

    /// What both answer. NOOPs of the core's own accord are left out.
    fn step(&mut self, number: usize, op: &Op) -> (Replies, Replies) {
        let conn = self.conn(number);
        let function = |number: usize| bytes(FUNCTIONS[number]);
        let model = &mut self.model;
        let (request, expected) = match op {
            Op::Submit { kind, function: name, unique: number, payload } => {
                let (function, unique, payload) =
                    (function(*name), unique(*number), bytes(PAYLOADS[*payload]));
                let expected = model.submit(conn, kind, (&function, &unique, &payload));
                (Request::Submit { kind: kind.clone(), function, unique, payload }, expected)
            }
            Op::CanDo { function: name, timeout_ms } => {
                let (function, timeout_ms) = (function(*name), *timeout_ms);
                model.can_do(conn, &function, timeout_ms);
                let request = match timeout_ms {
                    0 => Request::CanDo { function },
                    _ => Request::CanDoTimeout { function, timeout_ms },
                };
                (request, vec![])
            }
            Op::CantDo { function: name } => {
                let function = function(*name);
                let expected = model.cant_do(conn, Some(&function));
                (Request::CantDo { function }, expected)
            }
            Op::Reset => (Request::ResetAbilities, model.cant_do(conn, None)),
            Op::PreSleep => (Request::PreSleep, model.pre_sleep(conn)),
            Op::Grab(form) => (Request::Grab(*form), model.grab(conn, *form)),
            Op::Report { job, report } => {
                let job = self.job(Some(conn), *job);
                self.report(conn, job, *report)
            }
            Op::Option { known } => {
                let option = bytes(if *known { "Exceptions" } else { "exception" });
                let expected = model.option(conn, &option);
                (Request::Option { option }, expected)
            }
            Op::ClientId => {
                model.client_id(conn, &bytes("me"));
                (Request::SetClientId { id: bytes("me\0and more") }, vec![])
            }
            Op::GetStatus { job } => {
                let handle = handle(self.job(None, *job));
                let expected = self.model.get_status(conn, &handle);
                (Request::GetStatus { handle }, expected)
            }
            Op::GetStatusUnique { unique: number } => {
                let unique = unique(*number);
                let expected = model.get_status_unique(conn, &unique);
                (Request::GetStatusUnique { unique }, expected)
            }
            Op::MaxQueue { .. } | Op::Create { .. } | Op::Drop { .. } | Op::Cancel { .. } => {
                return self.command(conn, op);
            }
            Op::Pass { ms } => return (self.core.pass(*ms), self.model.pass(*ms)),
            Op::Close => {
                self.conns.remove(&number);
                return (self.core.close(conn), self.model.closed(conn));
            }
        };
        let mut replies = self.core.ask(conn, request);
        if matches!(op, Op::PreSleep) {
            replies.retain(|(to, _)| *to == conn);
        } else {
            replies.retain(|(_, reply)| *reply != Reply::Noop);
        }
        (replies, expected)
    }

    fn report(&mut self, conn: ConnId, number: u64, report: Report) -> (Request, Replies) {
        let (handle, payload, model) = (handle(number), bytes("r"), &mut self.model);
        match report {
            Report::Complete => {
                let expected = model.complete(conn, number, &handle, &payload);
                (Request::WorkComplete { handle, payload }, expected)
            }
            Report::Fail { junk } => {
                let junk: &[u8] = if junk { b"\0junk" } else { b"" };
                let handle = Bytes::from([&handle, junk].concat());
                let expected = model.fail(conn, &handle);
                (Request::WorkFail { handle }, expected)
            }
            Report::Exception => {
                let expected = model.exception(conn, number, &handle, &payload);
                (Request::WorkException { handle, payload }, expected)
            }
            Report::Data => {
                let expected = model.part(conn, &handle, &payload, false);
                (Request::WorkData { handle, payload }, expected)
            }
            Report::Warning => {
                let expected = model.part(conn, &handle, &payload, true);
                (Request::WorkWarning { handle, payload }, expected)
            }
            Report::Status { numerator, denominator } => {
                let (numerator, denominator) = (bytes(numerator), bytes(denominator));
                let expected = model.progress(conn, &handle, (&numerator, &denominator));
                (Request::WorkStatus { handle, numerator, denominator }, expected)
            }
        }
    }

    fn command(&mut self, conn: ConnId, op: &Op) -> (Replies, Replies) {
        let name = |number: usize| bytes(FUNCTIONS[number]);
        let (command, (mut expected, text)) = match op {
            Op::MaxQueue { function, limits } => {
                let (function, limits) = (name(*function), *limits);
                let text = self.model.max_queue(&function, limits);
                (Command::MaxQueue { function, limits }, (vec![], text))
            }
            Op::Create { function } => {
                let function = name(*function);
                let text = self.model.create_function(&function);
                (Command::CreateFunction(function), (vec![], text))
            }
            Op::Drop { function } => {
                let function = name(*function);
                let expected = self.model.drop_function(&function);
                (Command::DropFunction(function), expected)
            }
            Op::Cancel { job } => {
                let number = self.job(None, *job);
                (Command::CancelJob(handle(number)), self.model.cancel(number))
            }
            other => panic!("{other:?} is not a command"),
        };
        expected.push((conn, Reply::Text(bytes(text))));
        (self.core.replies(Event::Command { conn, command }), expected)
    }

    /// The tables of the core, and those of the model.
    fn tables(&mut self) -> [(String, String); 5] {
        let model = &self.model;
        let expected = [
            ("status", model.status()),
            ("prioritystatus", model.priority_status()),
            ("show jobs", model.show_jobs()),
            ("show unique jobs", model.show_unique_jobs()),
            ("workers", model.workers()),
        ];
        expected.map(|(line, expected)| (self.core.command(self.admin, line), expected))
    }
}

/// Replies by connection; what matters is the order within each.
fn by_conn(replies: &Replies) -> BTreeMap<ConnId, Vec<&Reply>> {
    let mut sorted: BTreeMap<ConnId, Vec<&Reply>> = BTreeMap::new();
    for (conn, reply) in replies {
        sorted.entry(*conn).or_default().push(reply);
    }
    sorted
}

fn config() -> ProptestConfig {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sim/against_model.proptest-regressions");
    let mut config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(path))),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 1_000;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_core_answers_as_the_model_does(
        rules in any_rules(),
        ops in prop::collection::vec((0..5_usize, op()), 1..150),
    ) {
        let mut pair = Pair::new(rules);
        for (step, (conn, op)) in ops.iter().enumerate() {
            let (replies, expected) = pair.step(*conn, op);
            let replies = replies.into_iter().filter(|(_, reply)| matches!(op, Op::PreSleep) || *reply != Reply::Noop);
            let replies: Replies = replies.collect();
            prop_assert_eq!(by_conn(&replies), by_conn(&expected), "step {}: {:?}", step, op);
            for (table, expected) in pair.tables() {
                prop_assert_eq!(table, expected, "after step {}: {:?}", step, op);
            }
        }
    }
}
