//! Small histories that are told, and long ones that chance makes up.

use super::*;
use crate::run::report::{Report, RunOutcome, Times};
use crate::run::task::RunTask;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const KINDS: [OutcomeKind; 7] = OutcomeKind::ALL;

fn policy(attempts: u32, in_flight: usize) -> Policy {
    Policy { attempts, in_flight, ..Policy::default() }
}

/// A run without sockets: its ledger, its journal, and what servers would have.
struct World {
    ledger: Ledger,
    now: Millis,
    journal: Vec<(Millis, Past)>,
    /// Jobs of tasks, and which try they are.
    flying: BTreeMap<TaskIndex, u32>,
    manager: Option<u32>,
    /// The last try of each task, and how often it may be exceeded: once for each critical error that was resumed.
    tries: Vec<(u32, u32)>,
    policy: Policy,
    finished: bool,
    aborted: Option<Abort>,
    again: Vec<(TaskIndex, Millis)>,
    cancelled: Vec<Bytes>,
}

impl World {
    fn new(tasks: usize, policy: Policy, managed: bool) -> Self {
        let mut world = Self {
            ledger: Ledger::new("r", tasks, policy.clone(), managed),
            now: Millis(1000),
            journal: Vec::new(),
            flying: BTreeMap::new(),
            manager: None,
            tries: vec![(0, 0); tasks],
            policy,
            finished: false,
            aborted: None,
            again: Vec::new(),
            cancelled: Vec::new(),
        };
        world.apply(Event::Start);
        world
    }

    /// What the driver does with an event: a line, the ledger, lines for what it wants.
    fn apply(&mut self, event: Event) {
        let past = match &event {
            Event::Created { task, attempt, handle } => {
                Some(Past::Created { task: *task, attempt: *attempt, handle: handle.clone() })
            }
            Event::Ended { task, attempt, verdict } => {
                if self.flying.get(task) == Some(attempt) {
                    self.flying.remove(task);
                }
                Some(Past::Ended { task: *task, attempt: *attempt, verdict: verdict.clone() })
            }
            Event::ManagerEnded(verdict) => {
                self.manager = None;
                Some(Past::ManagerEnded(verdict.clone()))
            }
            _ => None,
        };
        self.journal.extend(past.map(|past| (self.now, past)));
        // The only events after which a job is submitted that was submitted before.
        let again = matches!(event, Event::Start | Event::Vanished { .. });
        let mut effects = Vec::new();
        self.ledger.handle(self.now, event, &mut effects);
        self.ledger.check().unwrap();
        for effect in effects {
            self.carry_out(effect, again);
        }
    }

    fn carry_out(&mut self, effect: Effect, again: bool) {
        assert!(!self.finished, "{effect:?} after the end");
        match effect {
            Effect::Submit { task, attempt } => {
                assert_eq!(self.aborted, None, "{effect:?}");
                let (last, more) = self.tries[task.0];
                assert!(attempt == last + 1 || again && attempt == last, "{effect:?} behind try {last}");
                assert!(attempt <= self.policy.attempts.max(1) + more, "{effect:?}");
                self.tries[task.0].0 = attempt;
                let before = self.flying.insert(task, attempt);
                assert!(before.is_none() || again, "{effect:?} while {before:?} is not answered");
                self.journal.push((self.now, Past::Submitted { task, attempt }));
            }
            Effect::SubmitManager { attempt, tasks } => {
                assert!(tasks > 0 && self.manager.is_none(), "{effect:?}");
                self.manager = Some(attempt);
                self.journal.push((self.now, Past::ManagerSubmitted { attempt }));
            }
            Effect::Abort(why) => {
                self.aborted = Some(why.clone());
                self.journal.push((self.now, Past::Aborted(why)));
            }
            Effect::Finish => {
                assert_eq!(self.flying, BTreeMap::new());
                self.finished = true;
                self.journal.push((self.now, Past::Finished));
            }
            Effect::Again { task, at } => self.again.push((task, at)),
            Effect::Cancel { handle } => self.cancelled.push(handle),
        }
    }

    fn end(&mut self, task: usize, attempt: u32, kind: OutcomeKind) {
        let verdict = Verdict::because(kind, &format!("{kind} of {task}"));
        self.apply(Event::Ended { task: TaskIndex(task), attempt, verdict });
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.apply(Event::Tick);
    }

    fn over(&self) -> bool {
        self.finished || self.aborted.is_some()
    }

    /// What the journal says, up to line `lines`.
    fn restored(&self, lines: usize) -> Ledger {
        let mut ledger =
            Ledger::new("r", self.tries.len(), self.policy.clone(), self.ledger.manager.is_some());
        for (at, past) in &self.journal[..lines] {
            ledger.restore(*at, past);
            ledger.check().unwrap();
        }
        ledger
    }

    /// The client is killed after line `lines`, and another one goes on.
    fn resume(&mut self, lines: usize) {
        let mut ledger = self.restored(lines);
        self.journal.truncate(lines);
        for (index, (last, more)) in self.tries.iter_mut().enumerate() {
            *last = ledger.tasks[index].attempts;
            *more +=
                u32::from(ledger.state(TaskIndex(index)) == Some(TaskState::Ended(OutcomeKind::Critical)));
        }
        ledger.set_policy(self.policy.clone());
        self.ledger = ledger;
        self.journal.push((self.now, Past::Resumed(self.policy.clone())));
        (self.flying, self.manager) = (BTreeMap::new(), None);
        (self.finished, self.aborted) = (false, None);
        self.apply(Event::Start);
    }

    /// Answers everything until the run is over.
    fn drive(&mut self, script: &mut impl Iterator<Item = u64>) {
        let mut turns = 0;
        while !self.over() {
            turns += 1;
            assert!(turns < 100_000, "the run does not end: {:?}, {:?}", self.ledger.counts(), self.flying);
            let luck = script.next().unwrap_or_default();
            if let Some((task, attempt)) = self.flying.pop_first() {
                self.flying.insert(task, attempt);
                // None of them critical.
                let kind = OutcomeKind::RETRYABLE.get(luck as usize % 10).copied().unwrap_or(OutcomeKind::Ok);
                self.end(task.0, attempt, kind);
            } else {
                let next = self.ledger.next_deadline().expect("something is to happen");
                self.now = self.now.max(next);
                self.apply(Event::Tick);
            }
        }
    }

    fn report_of(&self, ledger: &Ledger) -> Report {
        let tasks: Vec<RunTask> = (0..).map(|id| RunTask::new(id, "")).take(self.tries.len()).collect();
        ledger.report("test", &tasks, Times::default())
    }

    fn report(&self) -> Report {
        let report = self.report_of(&self.ledger);
        assert_eq!(report.created, report.ok + report.error + report.missing);
        assert_eq!(report.created, report.by_outcome.values().sum::<usize>());
        assert_eq!(report, self.report_of(&self.restored(self.journal.len())), "the journal says the same");
        report
    }

    /// One event, as `x` decides.
    fn step(&mut self, x: u64) {
        let (what, x) = (x % 32, x / 32);
        let pick = |limit: usize| usize::try_from(x).unwrap_or_default() % limit.max(1);
        let flying: Vec<(TaskIndex, u32)> =
            self.flying.iter().map(|(task, attempt)| (*task, *attempt)).collect();
        let one = flying.get(pick(flying.len())).copied();
        let kind = |luck: u64| KINDS.get(luck as usize % 12).copied().unwrap_or(OutcomeKind::Ok);
        match (what, one) {
            (0..=12, Some((TaskIndex(task), attempt))) => self.end(task, attempt, kind(x >> 20)),
            (13 | 14, Some((task, attempt))) => {
                self.apply(Event::Created { task, attempt, handle: format!("H:{}", x % 100).into() });
            }
            // Late and early ends, and those of tasks that are not there.
            (15, _) => self.end(pick(self.tries.len() + 1), (x >> 20) as u32 % 5, kind(x >> 30)),
            (16 | 17, Some((task, attempt))) => self.apply(Event::Vanished { task, attempt }),
            (18, _) => {
                if self.manager.is_some() {
                    self.apply(Event::ManagerEnded(Verdict::of(kind(x))));
                }
            }
            (19, _) => {
                if let Some(attempt) = self.manager {
                    self.manager = None;
                    self.apply(Event::ManagerVanished { attempt });
                }
            }
            (20, _) => self.apply(Event::Unreachable { until: self.now.plus(x % 100_000) }),
            (21, _) => self.apply(Event::Reachable),
            (22, _) if x.is_multiple_of(4) => self.resume(pick(self.journal.len() + 1)),
            (22, _) => self.resume(self.journal.len()),
            (23, _) if x.is_multiple_of(40) => self.apply(Event::Stop(Abort::Deadline)),
            (24..=28, _) => {
                self.now = self.ledger.next_deadline().unwrap_or(self.now).max(self.now);
                self.apply(Event::Tick);
            }
            _ => self.wait(x % 5000),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens in whatever order, every task is in one place, and the journal says what the ledger does.
    #[test]
    fn every_history_adds_up_and_every_part_of_its_journal_can_be_gone_on_with(
        tasks in 0_usize..12,
        attempts in 0_u32..4,
        in_flight in 0_usize..6,
        managed: bool,
        script in prop::collection::vec(any::<u64>(), 0..500),
        cut: u64,
    ) {
        let mut world = World::new(tasks, policy(attempts, in_flight), managed);
        for x in &script {
            if world.over() {
                world.report();
                world.resume(world.journal.len());
            }
            world.step(*x);
            let ledger = &world.ledger;
            let at_work: BTreeMap<TaskIndex, u32> = ledger.in_flight().collect();
            if !world.over() {
                prop_assert_eq!(&at_work, &world.flying);
                prop_assert_eq!(ledger.manager_in_flight(), world.manager);
            }
        }
        let lines = world.journal.len();
        if !world.over() {
            world.report();
        }
        world.resume(usize::try_from(cut).unwrap() % (lines + 1));
        let mut luck = script.into_iter();
        while !world.finished {
            // The manager may have failed too often.
            if world.over() {
                world.resume(world.journal.len());
            }
            if world.manager.is_some() {
                let kind = if luck.next().is_some_and(|x| x % 3 == 0) { OutcomeKind::Error } else { OutcomeKind::Ok };
                world.apply(Event::ManagerEnded(Verdict::of(kind)));
            }
            world.drive(&mut luck);
        }
        let report = world.report();
        prop_assert_eq!(world.ledger.counts().open(), 0);
        prop_assert!(matches!(report.outcome, RunOutcome::Complete | RunOutcome::Incomplete));
    }
}

#[test]
fn only_leftovers_are_tried_again_and_only_as_often_as_they_may() {
    let mut world = World::new(3, policy(2, 10), false);
    assert_eq!(world.flying, BTreeMap::from([(TaskIndex(0), 1), (TaskIndex(1), 1), (TaskIndex(2), 1)]));
    world.end(0, 1, OutcomeKind::Ok);
    world.end(1, 1, OutcomeKind::Error);
    world.end(2, 1, OutcomeKind::Lost);
    let due = world.now.plus(30_000);
    assert_eq!(world.again, [(TaskIndex(1), due), (TaskIndex(2), due)]);
    assert_eq!(world.ledger.next_deadline(), Some(due));
    world.wait(29_999);
    assert!(world.flying.is_empty());
    world.wait(1);
    assert_eq!(world.flying, BTreeMap::from([(TaskIndex(1), 2), (TaskIndex(2), 2)]));
    world.end(1, 2, OutcomeKind::Ok);
    world.end(2, 2, OutcomeKind::Malformed);
    assert!(world.finished);
    let report = world.report();
    assert_eq!((report.ok, report.error, report.attempts, report.retried), (2, 1, 5, 2));
}

#[test]
fn a_critical_error_ends_the_run_and_a_resumed_one_tries_the_task_again() {
    let mut world = World::new(4, policy(2, 2), false);
    world.end(1, 1, OutcomeKind::Critical);
    assert_eq!(world.aborted, Some(Abort::Critical(TaskIndex(1))));
    // What comes in later still counts, and starts nothing.
    world.end(0, 1, OutcomeKind::Ok);
    assert_eq!(world.ledger.next_deadline(), None);
    let report = world.report();
    assert_eq!(
        report.outcome,
        RunOutcome::Aborted { critical: true, reason: "task 1: critical of 1".to_owned() }
    );
    assert_eq!((report.ok, report.error, report.missing), (1, 1, 2));

    world.resume(world.journal.len());
    assert_eq!(world.flying, BTreeMap::from([(TaskIndex(1), 2), (TaskIndex(2), 1)]));
    world.drive(&mut std::iter::repeat(9));
    assert_eq!(world.report().outcome, RunOutcome::Complete);
}

#[test]
fn a_try_that_timed_out_is_taken_back_and_its_late_answer_changes_nothing() {
    let mut world = World::new(1, policy(2, 1), false);
    world.apply(Event::Created { task: TaskIndex(0), attempt: 1, handle: "H:1".into() });
    world.end(0, 1, OutcomeKind::TimedOut);
    assert_eq!(world.cancelled, ["H:1"]);
    world.wait(30_000);
    world.end(0, 1, OutcomeKind::Ok);
    assert_eq!(world.ledger.state(TaskIndex(0)), Some(TaskState::InFlight));
    world.end(0, 2, OutcomeKind::Ok);
    assert!(world.finished);
}

#[test]
fn a_resumed_run_counts_the_same_try() {
    let mut world = World::new(3, policy(2, 2), true);
    assert_eq!(world.manager, Some(1));
    world.end(0, 1, OutcomeKind::Ok);
    world.resume(world.journal.len());
    assert_eq!(world.flying, BTreeMap::from([(TaskIndex(1), 1), (TaskIndex(2), 1)]));
    assert_eq!(world.manager, Some(1), "the manager that is at work is joined");
    world.end(1, 1, OutcomeKind::Error);
    world.resume(world.journal.len());
    // What waits goes on waiting.
    assert!(matches!(world.ledger.state(TaskIndex(1)), Some(TaskState::Waiting(_))));
    world.end(2, 1, OutcomeKind::Ok);
    world.wait(30_000);
    world.end(1, 2, OutcomeKind::Error);
    world.apply(Event::ManagerEnded(Verdict::of(OutcomeKind::Ok)));
    assert!(world.finished);
    assert_eq!(world.report().attempts, 4);
}

#[test]
fn a_manager_that_fails_as_often_as_a_task_may_ends_the_run() {
    let mut world = World::new(1, policy(2, 1), true);
    world.apply(Event::ManagerEnded(Verdict::because(OutcomeKind::Failed, "no memory")));
    assert_eq!((world.manager, &world.aborted), (None, &None));
    world.wait(30_000);
    assert_eq!(world.manager, Some(2));
    world.apply(Event::ManagerEnded(Verdict::because(OutcomeKind::Failed, "no memory")));
    assert_eq!(world.aborted, Some(Abort::Manager("no memory".to_owned())));
}

#[test]
fn a_manager_that_is_done_at_once_is_asked_again_after_a_pause() {
    let mut world = World::new(2, policy(2, 1), true);
    for round in 1..=5 {
        assert_eq!(world.manager, Some(round));
        world.apply(Event::ManagerEnded(Verdict::of(OutcomeKind::Ok)));
        assert_eq!(world.manager, None);
        world.wait(29_999);
        assert_eq!(world.manager, None);
        world.wait(1);
    }
    world.end(0, 1, OutcomeKind::Ok);
    world.end(1, 1, OutcomeKind::Ok);
    world.apply(Event::ManagerEnded(Verdict::of(OutcomeKind::Ok)));
    assert!(world.finished);
}

#[test]
fn a_silent_manager_is_waited_for_no_longer_than_its_grace() {
    let grace = |manager_grace| Policy { manager_grace, ..policy(2, 1) };
    let mut world = World::new(1, grace(Duration::from_secs(5)), true);
    world.end(0, 1, OutcomeKind::Ok);
    assert_eq!(world.ledger.next_deadline(), Some(world.now.plus(5000)));
    world.wait(4999);
    assert!(!world.finished);
    world.wait(1);
    assert!(world.finished);

    let mut world = World::new(1, grace(Duration::ZERO), true);
    world.end(0, 1, OutcomeKind::Ok);
    assert!(world.finished, "nobody waits");
}

#[test]
fn nothing_is_submitted_while_no_server_can_be_reached() {
    let mut world = World::new(5, policy(2, 2), false);
    world.apply(Event::Unreachable { until: world.now.plus(60_000) });
    world.end(0, 1, OutcomeKind::Lost);
    world.end(1, 1, OutcomeKind::Lost);
    assert!(world.flying.is_empty());
    world.wait(59_999);
    assert!(world.flying.is_empty());
    assert_eq!(world.ledger.next_deadline(), Some(world.now.plus(1)));
    world.wait(1);
    assert_eq!(world.flying.len(), 2, "it is tried all the same, as many as there is room for");
    world.apply(Event::Unreachable { until: world.now.plus(60_000) });
    world.end(2, 1, OutcomeKind::Lost);
    assert_eq!(world.flying.len(), 1);
    world.apply(Event::Reachable);
    assert_eq!(world.flying.len(), 2);
}

#[test]
fn a_hundred_thousand_tasks_are_restored_at_once() {
    let mut world = World::new(0, policy(2, 100), false);
    world.tries = vec![(0, 0); 100_000];
    // The line about the first one is lost, and it stays at the head of the queue.
    let mut ledger = world.restored(0);
    let start = std::time::Instant::now();
    for task in (1..100_000).map(TaskIndex) {
        ledger.restore(world.now, &Past::Submitted { task, attempt: 1 });
        let verdict = Verdict::of(OutcomeKind::Error);
        ledger.restore(world.now, &Past::Ended { task, attempt: 1, verdict });
        ledger.restore(world.now, &Past::Submitted { task, attempt: 2 });
    }
    ledger.check().unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
