//! `conveyor worker` without a command: as `gearman -w` does, every payload is written to standard output as it is, and
//! answered with an empty result.

use bytes::Bytes;
use conveyor_worker::{Job, Outcome};
use std::io::Write;

/// Writes one payload, whole and at once. May block: for [`conveyor_worker::Worker::blocking`].
pub(super) fn perform(job: &Job) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(job.payload()).and_then(|()| stdout.flush());
    match written {
        Ok(()) => Outcome::Complete(Bytes::new()),
        Err(error) => {
            tracing::error!(%error, "cannot write a payload to standard output");
            Outcome::Fail
        }
    }
}
