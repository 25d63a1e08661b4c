//! What became of every job, and what the workers did.

use crate::kinds::{Kind, result};
use conveyor_client::{Error, ErrorKind, JobHandle, MayHaveRun, Outcome, Update};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// How often each job was started, written by the workers: a byte a job.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<Vec<u8>>);

impl Runs {
    pub(crate) fn add(&self, number: usize) {
        let mut runs = self.0.lock().unwrap();
        if runs.len() <= number {
            runs.resize(number + 1, 0);
        }
        runs[number] = runs[number].saturating_add(1);
    }

    fn of(&self, number: usize) -> u8 {
        self.0.lock().unwrap().get(number).copied().unwrap_or(0)
    }
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Fate {
    number: usize,
    kind: Kind,
    end: Result<Outcome, Error>,
}

impl Fate {
    /// Waits for the end; what is told on the way must be of this job.
    pub(crate) async fn follow(number: usize, kind: Kind, submitted: Result<JobHandle, Error>) -> Self {
        let mut job = match submitted {
            Ok(job) => job,
            Err(error) => return Self { number, kind, end: Err(error) },
        };
        while let Some(update) = job.next().await {
            match update {
                Update::Created(_) => {}
                Update::Status { numerator, denominator } => assert_eq!((numerator, denominator), (1, 2)),
                Update::Data(data) => assert_eq!(data, result(number), "data of another job"),
                other => panic!("job {number} says {other:?}"),
            }
        }
        Self { number, kind, end: job.outcome().await }
    }
}

/// Counts of what happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    submitted: usize,
    complete: usize,
    lost: usize,
    late: usize,
    /// Errors by what they say.
    claims: HashMap<MayHaveRun, usize>,
    run_twice: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { submitted, complete, lost, late, claims, run_twice } = self;
        let claimed = |claim| claims.get(&claim).copied().unwrap_or(0);
        let (no, perhaps, yes) =
            (claimed(MayHaveRun::No), claimed(MayHaveRun::Perhaps), claimed(MayHaveRun::Yes));
        write!(f, "{submitted} submissions: {complete} complete, {lost} lost, {late} late; ")?;
        write!(f, "has run: no {no}, perhaps {perhaps}, yes {yes}; {run_twice} jobs ran more than once")
    }
}

/// What became of every job.
#[derive(Debug)]
pub(crate) struct Ledger {
    runs: Arc<Runs>,
    counts: Counts,
    /// Jobs of which it was said that they have not run.
    not_run: Vec<usize>,
    /// Fates so far of each job, to see that no submission has two and none has none.
    fates: Vec<u8>,
}

impl Ledger {
    pub(crate) fn new(runs: Arc<Runs>) -> Self {
        Self { runs, counts: Counts::default(), not_run: Vec::new(), fates: Vec::new() }
    }

    /// One more job was submitted.
    pub(crate) const fn submitted(&mut self) {
        self.counts.submitted += 1;
    }

    /// A job has ended. What can be judged by now is.
    pub(crate) fn settle(&mut self, fate: Fate) {
        let Fate { number, kind, end } = fate;
        if self.fates.len() <= number {
            self.fates.resize(number + 1, 0);
        }
        self.fates[number] += 1;
        let runs = self.runs.of(number);
        match end {
            Ok(outcome) => {
                assert_eq!(outcome, Outcome::Complete(result(number).into()), "job {number}");
                assert!(runs > 0, "job {number} is complete and nobody did it");
                self.counts.complete += 1;
            }
            Err(error) => {
                assert!(!kind.must_complete(), "job {number} could be submitted again: {error}");
                match error.kind {
                    ErrorKind::Lost(_) => {
                        assert!(!kind.may_run_twice(), "job {number} could be submitted again: {error}");
                        self.counts.lost += 1;
                    }
                    ErrorKind::Deadline => {
                        assert!(kind.is_hasty(), "job {number} has no deadline: {error}");
                        self.counts.late += 1;
                    }
                    _ => panic!("job {number}: {error}"),
                }
                *self.counts.claims.entry(error.may_have_run).or_default() += 1;
                match error.may_have_run {
                    MayHaveRun::No => self.not_run.push(number),
                    MayHaveRun::Perhaps => {}
                    MayHaveRun::Yes => assert!(runs > 0, "job {number} has not run: {error}"),
                }
            }
        }
    }

    /// When nothing runs any more: the counts, if both sides agree.
    pub(crate) fn close(mut self) -> Counts {
        for number in self.not_run {
            let runs = self.runs.of(number);
            assert_eq!(runs, 0, "job {number} ran {runs} times, and it was said that it has not");
        }
        let submitted: usize = (0..self.fates.len()).map(|number| Kind::of(number).copies()).sum();
        assert_eq!(submitted, self.counts.submitted);
        for (number, fates) in self.fates.iter().enumerate() {
            let (kind, runs) = (Kind::of(number), self.runs.of(number));
            assert_eq!(usize::from(*fates), kind.copies(), "job {number} has {fates} fates");
            // The room was tried with copies of job 0.
            if runs > 1 && number > 0 {
                assert!(kind.may_run_twice(), "job {number} has no unique and ran {runs} times");
                self.counts.run_twice += 1;
            }
        }
        self.counts
    }
}
