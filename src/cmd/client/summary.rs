//! How it all went: the exit code, and a line for people.

use super::output::Ending;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code when a job has no outcome.
pub(super) const NO_OUTCOME: u8 = 3;

/// How many jobs ended how, and which took longest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    done: u64,
    failed: u64,
    unknown: u64,
    /// The number of the slowest job, and the time from submitting it to its end.
    slowest: Option<(u64, Duration)>,
}

impl Summary {
    /// One more job.
    pub(super) fn count(&mut self, number: u64, ending: Ending, took: Duration) {
        match ending {
            Ending::Done => self.done += 1,
            Ending::Failed => self.failed += 1,
            Ending::Unknown => self.unknown += 1,
        }
        if self.slowest.is_none_or(|(_, slowest)| took > slowest) {
            self.slowest = Some((number, took));
        }
    }

    /// Jobs in all.
    pub(super) const fn jobs(&self) -> u64 {
        self.done + self.failed + self.unknown
    }

    /// What the process ends with.
    pub(super) fn code(&self) -> ExitCode {
        match (self.unknown, self.failed) {
            (0, 0) => ExitCode::SUCCESS,
            (0, _) => ExitCode::FAILURE,
            _ => ExitCode::from(NO_OUTCOME),
        }
    }

    /// The line, when all of it took `elapsed`.
    pub(super) fn line(&self, elapsed: Duration) -> String {
        let Self { done, failed, unknown, slowest } = self;
        let jobs = self.jobs();
        // Numbers of jobs are far below what a float tells apart.
        let rate = jobs as f64 / elapsed.as_secs_f64().max(0.001);
        let slowest = slowest.map_or_else(String::new, |(number, took)| {
            format!(", slowest {:.3} s (job {number})", took.as_secs_f64())
        });
        format!(
            "{jobs} jobs: {done} done, {failed} failed, {unknown} without outcome; {:.1} s, {rate:.1} jobs/s{slowest}",
            elapsed.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_counts_time_rate_and_the_slowest_job() {
        let mut summary = Summary::default();
        for (number, ending, ms) in
            [(1, Ending::Done, 5), (2, Ending::Failed, 1500), (3, Ending::Unknown, 20)]
        {
            summary.count(number, ending, Duration::from_millis(ms));
        }
        let line = "3 jobs: 1 done, 1 failed, 1 without outcome; 2.0 s, 1.5 jobs/s, slowest 1.500 s (job 2)";
        assert_eq!(summary.line(Duration::from_secs(2)), line);
    }
}
