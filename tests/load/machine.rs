//! A machine of made-up processes, for what a policy does over time.

use conveyor_common::Millis;
use conveyor_worker::manager::load::{Adaptive, AdaptiveSettings, Plan, Process, Snapshot};

/// A made-up performer.
#[derive(Clone, Debug)]
pub(crate) struct Performer {
    pub(crate) pid: u32,
    /// Memory when it has grown, in KiB, and what it grows by in a second.
    pub(crate) most_kib: f64,
    pub(crate) grows_kib: f64,
    pub(crate) resident_kib: f64,
    /// Load it would have on a machine of its own, in percent of one core.
    pub(crate) wants_cpu: f64,
    pub(crate) paused: bool,
    /// Times it was paused or went on.
    pub(crate) flips: u32,
    /// Seconds of work left.
    pub(crate) left: f64,
}

/// A made-up machine, one second a step.
pub(crate) struct Machine {
    pub(crate) policy: Adaptive,
    pub(crate) now: Millis,
    pub(crate) total_kib: f64,
    /// What other programs take, in KiB.
    pub(crate) others_kib: f64,
    pub(crate) cores: f64,
    pub(crate) performers: Vec<Performer>,
    /// What new ones are like: pid and the rest is filled in.
    pub(crate) kind: Performer,
    pub(crate) wanted: u32,
    pub(crate) ended: u32,
    pub(crate) shed: Vec<u32>,
    next_pid: u32,
    noise: u64,
}

impl Machine {
    pub(crate) fn new(settings: AdaptiveSettings, total_kib: f64, kind: Performer, wanted: u32) -> Self {
        let cores = settings.cores;
        Self {
            policy: Adaptive::new(settings),
            now: Millis(1000),
            total_kib,
            others_kib: 0.0,
            cores,
            performers: Vec::new(),
            kind,
            wanted,
            ended: 0,
            shed: Vec::new(),
            next_pid: 100,
            noise: 0x9e37_79b9_7f4a_7c15,
        }
    }

    pub(crate) fn start(&mut self) {
        self.performers.push(Performer { pid: self.next_pid, ..self.kind.clone() });
        self.next_pid += 1;
    }

    /// Load of each now, the processors being shared fairly enough.
    fn loads(&self) -> Vec<f64> {
        let wants: Vec<f64> =
            self.performers.iter().map(|one| if one.paused { 0.0 } else { one.wants_cpu }).collect();
        let all: f64 = wants.iter().sum();
        let part = (self.cores * 100.0 / all.max(1.0)).min(1.0);
        wants.into_iter().map(|load| load * part).collect()
    }

    pub(crate) fn load(&self) -> f64 {
        self.loads().iter().sum()
    }

    pub(crate) fn free_kib(&self) -> f64 {
        let used: f64 = self.performers.iter().map(|one| one.resident_kib).sum();
        (self.total_kib - self.others_kib - used).max(0.0)
    }

    /// Three percent more or less than it is.
    fn measured(&mut self, value: f64) -> f64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let chance = (self.noise >> 33) as f64 / f64::from(u32::MAX >> 1);
        value * 0.06f64.mul_add(chance, 0.97)
    }

    /// What a sensor sees.
    pub(crate) fn snapshot(&mut self) -> Snapshot {
        let loads = self.loads();
        let idle_percent = (100.0 - loads.iter().sum::<f64>() / self.cores).max(0.0);
        let seen: Vec<(u32, f64)> = self.performers.iter().map(|one| (one.pid, one.resident_kib)).collect();
        let performers = seen
            .into_iter()
            .zip(loads)
            .map(|((pid, resident_kib), load)| {
                let cpu_percent = self.measured(load);
                Process { pid, kind: 0, resident_kib, cpu_percent }
            })
            .collect();
        Snapshot { free_kib: self.free_kib(), idle_percent, performers, own: Vec::new(), pressure: None }
    }

    /// A second passes; what the policy says is done at once.
    pub(crate) fn step(&mut self) -> Plan {
        let loads = self.loads();
        for (one, load) in self.performers.iter_mut().zip(loads) {
            if !one.paused {
                one.resident_kib = (one.resident_kib + one.grows_kib).min(one.most_kib);
                one.left -= load / one.wants_cpu.max(1.0);
            }
        }
        let before = self.performers.len();
        self.performers.retain(|one| one.left > 0.0);
        self.ended += u32::try_from(before - self.performers.len()).unwrap();
        let snapshot = self.snapshot();
        self.now = self.now.plus(1000);
        let plan = self.policy.decide(self.now, &snapshot, self.wanted, 0);
        self.apply(&plan);
        plan
    }

    fn apply(&mut self, plan: &Plan) {
        for one in &mut self.performers {
            if plan.pause.contains(&one.pid) {
                assert!(!one.paused, "{} is paused already", one.pid);
                (one.paused, one.flips) = (true, one.flips + 1);
            }
            if plan.resume.contains(&one.pid) {
                assert!(one.paused, "{} runs already", one.pid);
                (one.paused, one.flips) = (false, one.flips + 1);
            }
        }
        for pid in plan.pause.iter().chain(&plan.resume).chain(&plan.shed) {
            assert!(self.performers.iter().any(|one| one.pid == *pid), "{pid} is not there: {plan:?}");
        }
        self.performers.retain(|one| !plan.shed.contains(&one.pid));
        self.shed.extend(&plan.shed);
        self.wanted += u32::try_from(plan.shed.len()).unwrap();
        assert!(plan.start <= self.wanted);
        for _ in 0..plan.start {
            self.start();
            self.wanted -= 1;
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.performers.iter().filter(|one| !one.paused).count()
    }
}
