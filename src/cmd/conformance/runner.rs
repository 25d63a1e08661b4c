//! Runs rules in threads: which server each gets, what is skipped, and how each ended.

use super::args::Compat;
use super::ctx::{Ctx, Failure, Peer};
use super::rule::Rule;
use super::spawn::{Server, Template};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A server that crashes takes a moment to be gone.
const DEATH_GRACE: Duration = Duration::from_millis(300);

/// What the rules are run against.
pub(crate) enum Target {
    /// A server that is not ours to start or to harm.
    Running(SocketAddr),
    Spawn(Template),
}

/// How the rules are run.
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) compat: Compat,
    pub(crate) timeout: Duration,
    pub(crate) jobs: usize,
}

/// How a rule ended.
pub(crate) enum Outcome {
    Pass,
    Fail(Failure),
    Skip(String),
}

/// A rule and how it ended.
pub(crate) struct RuleResult {
    pub(crate) rule: Rule,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

impl Plan {
    /// Makes sure that there is a server at all.
    pub(crate) fn reachable(&self) -> Result<(), String> {
        match &self.target {
            Target::Running(address) => {
                let answer = Peer::connect(*address, self.timeout).and_then(|mut peer| peer.sync());
                answer.map_err(|failure| format!("{address} does not answer: {}", failure.what))
            }
            Target::Spawn(template) => template.start("").map(drop),
        }
    }

    /// Runs all rules and gives the results in the order of the rules; `each` sees them in that order too.
    pub(crate) fn run(&self, rules: &[Rule], mut each: impl FnMut(&RuleResult)) -> Vec<RuleResult> {
        let mut order: Vec<usize> = (0..rules.len()).collect();
        order.sort_by_key(|index| rules.get(*index).is_some_and(|rule| !rule.slow));
        let next = AtomicUsize::new(0);
        let (sender, receiver) = sync_channel::<(usize, RuleResult)>(rules.len().max(1));
        let mut done: Vec<Option<RuleResult>> = rules.iter().map(|_| None).collect();
        let mut results = Vec::with_capacity(rules.len());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                let (sender, order, next) = (sender.clone(), &order, &next);
                scope.spawn(move || {
                    let mut lane = Lane { plan: self, shared: None };
                    while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(rule) = rules.get(*index) else { continue };
                        // Fails only when the receiver is gone, and then nobody wants the result.
                        let _ = sender.send((*index, lane.run(rule)));
                    }
                });
            }
            drop(sender);
            for (index, result) in receiver {
                if let Some(place) = done.get_mut(index) {
                    *place = Some(result);
                }
                while let Some(result) = done.get_mut(results.len()).and_then(Option::take) {
                    each(&result);
                    results.push(result);
                }
            }
        });
        results
    }

    /// Why a rule cannot be run here.
    fn skip(&self, rule: &Rule) -> Option<String> {
        if let Some(only) = rule.only.filter(|only| *only != self.compat) {
            return Some(format!("only with --compat {}", only.name()));
        }
        match &self.target {
            Target::Running(_) if !rule.options.is_empty() => {
                Some(format!("needs --spawn: the server must have {}", rule.options))
            }
            Target::Running(_) if rule.fresh => {
                Some("needs --spawn: may harm the server, or needs it for itself".to_owned())
            }
            Target::Spawn(template) if !rule.options.is_empty() && !template.takes_options() => {
                Some("the command of --spawn has no {options} in it".to_owned())
            }
            _ => None,
        }
    }
}

/// One thread's servers.
struct Lane<'a> {
    plan: &'a Plan,
    /// The server of the rules that need nothing special.
    shared: Option<Server>,
}

impl Lane<'_> {
    fn run(&mut self, rule: &Rule) -> RuleResult {
        let started = Instant::now();
        let outcome = match self.plan.skip(rule) {
            Some(reason) => Outcome::Skip(reason),
            None => self.run_on_server(rule),
        };
        RuleResult { rule: *rule, outcome, took: started.elapsed() }
    }

    fn run_on_server(&mut self, rule: &Rule) -> Outcome {
        let template = match &self.plan.target {
            Target::Running(address) => return self.check(rule, *address),
            Target::Spawn(template) => template,
        };
        let kept = if rule.needs_own_server() { None } else { self.shared.take() };
        let started = kept.map_or_else(|| template.start(rule.options), Ok);
        let mut server = match started {
            Ok(server) => server,
            Err(message) => return Outcome::Fail(Failure::new(message)),
        };
        let outcome = self.check(rule, server.address);
        if matches!(outcome, Outcome::Fail(_)) {
            std::thread::sleep(DEATH_GRACE);
        }
        match (outcome, server.exited()) {
            (Outcome::Fail(failure), Some(status)) => {
                let what = format!("the server died ({status}); {}", failure.what);
                Outcome::Fail(Failure { what, ..failure })
            }
            (_, Some(status)) => Outcome::Fail(Failure::new(format!("the server died ({status})"))),
            (outcome, None) => {
                // After a failure the server may be in any state, so the next rule gets another.
                if !rule.needs_own_server() && matches!(outcome, Outcome::Pass) {
                    self.shared = Some(server);
                }
                outcome
            }
        }
    }

    fn check(&self, rule: &Rule, address: SocketAddr) -> Outcome {
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let ctx = Ctx {
            address,
            timeout: self.plan.timeout,
            tag: format!("{}.{:x}", rule.id, nanoseconds & 0xfff_ffff_ffff),
        };
        match (rule.run)(&ctx) {
            Ok(()) => Outcome::Pass,
            Err(failure) => Outcome::Fail(failure),
        }
    }
}
