//! The core and the model answer every connection the same, whatever is done to them.

use crate::model::{Model, Replies, by_conn, comparable};
use crate::rig::{Rig, bytes, handle, rules};
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{GrabForm, Request, SubmitKind};
use conveyor_common::{ConnId, Priority};
use conveyor_server::core::{Compat, Event, Peer, Rules};
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
    connects: u32,
    admin: ConnId,
}

impl Pair {
    fn new(rules: Rules) -> Self {
        let admin = ConnId { index: 0, generation: 1 };
        let mut pair = Self {
            core: Rig::new(rules.clone()),
            model: Model::new(rules),
            conns: BTreeMap::new(),
            connects: 0,
            admin,
        };
        pair.apply(Event::Connected { conn: admin, peer: Peer::default() });
        pair
    }

    fn conn(&mut self, number: usize) -> ConnId {
        if let Some(conn) = self.conns.get(&number) {
            return *conn;
        }
        self.connects += 1;
        let conn = ConnId { index: 1 + u32::try_from(number).unwrap(), generation: self.connects };
        self.apply(Event::Connected { conn, peer: Peer::default() });
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

    /// The event that the operation stands for.
    fn event(&mut self, number: usize, op: &Op) -> Event {
        let conn = self.conn(number);
        let function = |number: usize| bytes(FUNCTIONS[number]);
        let command = |command| Event::Command { conn, command };
        let request = match op {
            Op::Submit { kind, function: name, unique: number, payload } => {
                let (function, unique, payload) =
                    (function(*name), unique(*number), bytes(PAYLOADS[*payload]));
                Request::Submit { kind: kind.clone(), function, unique, payload }
            }
            Op::CanDo { function: name, timeout_ms: 0 } => Request::CanDo { function: function(*name) },
            Op::CanDo { function: name, timeout_ms } => {
                Request::CanDoTimeout { function: function(*name), timeout_ms: *timeout_ms }
            }
            Op::CantDo { function: name } => Request::CantDo { function: function(*name) },
            Op::Reset => Request::ResetAbilities,
            Op::PreSleep => Request::PreSleep,
            Op::Grab(form) => Request::Grab(*form),
            Op::Report { job, report } => report_on(handle(self.job(Some(conn), *job)), *report),
            Op::Option { known } => {
                Request::Option { option: bytes(if *known { "Exceptions" } else { "exception" }) }
            }
            Op::ClientId => Request::SetClientId { id: bytes("me\0and more") },
            Op::GetStatus { job } => Request::GetStatus { handle: handle(self.job(None, *job)) },
            Op::GetStatusUnique { unique: number } => Request::GetStatusUnique { unique: unique(*number) },
            Op::MaxQueue { function: name, limits } => {
                return command(Command::MaxQueue { function: function(*name), limits: *limits });
            }
            Op::Create { function: name } => return command(Command::CreateFunction(function(*name))),
            Op::Drop { function: name } => return command(Command::DropFunction(function(*name))),
            Op::Cancel { job } => return command(Command::CancelJob(handle(self.job(None, *job)))),
            Op::Pass { ms } => {
                self.core.now = self.core.now.plus(*ms);
                return Event::Tick;
            }
            Op::Close => {
                self.conns.remove(&number);
                return Event::Closed { conn };
            }
        };
        Event::Request { conn, request }
    }

    /// What the core and the model answer.
    fn apply(&mut self, event: Event) -> (Replies, Replies) {
        let expected = self.model.handle(self.core.now, &event);
        let effects = self.core.apply(event.clone());
        (comparable(&event, &effects), expected)
    }
}

fn report_on(handle: Bytes, report: Report) -> Request {
    let payload = bytes("r");
    match report {
        Report::Complete => Request::WorkComplete { handle, payload },
        Report::Fail { junk } => {
            let junk: &[u8] = if junk { b"\0junk" } else { b"" };
            Request::WorkFail { handle: Bytes::from([&handle, junk].concat()) }
        }
        Report::Exception => Request::WorkException { handle, payload },
        Report::Data => Request::WorkData { handle, payload },
        Report::Warning => Request::WorkWarning { handle, payload },
        Report::Status { numerator, denominator } => {
            Request::WorkStatus { handle, numerator: bytes(numerator), denominator: bytes(denominator) }
        }
    }
}

const TABLES: [Command; 5] =
    [Command::Status, Command::PriorityStatus, Command::ShowJobs, Command::ShowUniqueJobs, Command::Workers];

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
            let event = pair.event(*conn, op);
            let (replies, expected) = pair.apply(event);
            prop_assert_eq!(by_conn(&replies), by_conn(&expected), "step {}: {:?}", step, op);
            for command in TABLES {
                let (replies, expected) = pair.apply(Event::Command { conn: pair.admin, command });
                prop_assert_eq!(replies, expected, "after step {}: {:?}", step, op);
            }
        }
    }
}
