//! What workers report, as the model sees it.

use super::{Job, Model, Replies, error};
use bytes::Bytes;
use conveyor_common::protocol::ErrorCode;
use conveyor_common::{ConnId, JobNumber};
use conveyor_server::core::Reply;

/// As C's atoi, put into an unsigned 32-bit number.
fn atoi(text: &[u8]) -> u32 {
    let text = std::str::from_utf8(text).unwrap_or("").trim_start();
    let end = text.char_indices().skip(1).find(|(_, c)| !c.is_ascii_digit()).map_or(text.len(), |(at, _)| at);
    let number: i64 = text[..end].parse().unwrap_or(0);
    u32::try_from(number.rem_euclid(1 << 32)).unwrap()
}

impl Model {
    /// The job with this handle, if the connection works on it.
    fn working_on(&mut self, id: ConnId, handle: &[u8]) -> Option<&mut Job> {
        let at = self.jobs.iter().position(|job| self.handle_of(job) == handle)?;
        let job = &mut self.jobs[at];
        job.worker.is_some_and(|(worker, ..)| worker == id).then_some(job)
    }

    /// WORK_DATA and WORK_WARNING.
    pub(super) fn part(&mut self, id: ConnId, handle: &Bytes, payload: &Bytes, warning: bool) -> Replies {
        let Some(job) = self.working_on(id, handle) else {
            return vec![(id, error(ErrorCode::JobNotFound, "Job does not exist on server"))];
        };
        let (number, payload) = (JobNumber(job.number), payload.clone());
        let reply = match warning {
            true => Reply::Warning { job: number, payload },
            false => Reply::Data { job: number, payload },
        };
        job.attached.iter().map(|client| (*client, reply.clone())).collect()
    }

    /// WORK_STATUS.
    pub(super) fn progress(&mut self, id: ConnId, handle: &Bytes, of: (&Bytes, &Bytes)) -> Replies {
        let (numerator, denominator) = (of.0.clone(), of.1.clone());
        if denominator.len() > 11 {
            return Vec::new();
        }
        let Some(job) = self.working_on(id, handle) else {
            return vec![(id, error(ErrorCode::JobNotFound, "Job given in work result not found"))];
        };
        job.progress = (atoi(&numerator), atoi(&denominator));
        let reply = Reply::Status { job: JobNumber(job.number), numerator, denominator };
        job.attached.iter().map(|client| (*client, reply.clone())).collect()
    }

    /// The end of a job, as `reply` says it to a client with or without the option `exceptions`.
    fn over(
        &mut self,
        id: ConnId,
        handle: &[u8],
        refusal: &'static str,
        reply: impl Fn(JobNumber, bool) -> Reply,
    ) -> Replies {
        let Some(job) = self.working_on(id, handle) else {
            return vec![(id, error(ErrorCode::JobNotFound, refusal))];
        };
        let (number, clients) = (job.number, job.attached.clone());
        let reply = |client| (client, reply(JobNumber(number), self.conn(client).exceptions));
        let replies = clients.into_iter().map(reply).collect();
        self.jobs.retain(|job| job.number != number);
        replies
    }

    pub(super) fn complete(&mut self, id: ConnId, handle: &Bytes, payload: &Bytes) -> Replies {
        let reply = |job, _| Reply::Complete { job, payload: payload.clone() };
        self.over(id, handle, "Job given in work result not found", reply)
    }

    /// WORK_FAIL: relayed byte for byte, whatever stands behind the handle.
    pub(super) fn fail(&mut self, id: ConnId, argument: &Bytes) -> Replies {
        if argument.len() >= 64 {
            let text = "Error occurred due to GEARMAND_JOB_HANDLE_SIZE being too small from snprintf";
            return vec![(id, error(ErrorCode::ArgumentTooLarge, text))];
        }
        let handle = argument.split(|byte| *byte == 0).next().unwrap().to_vec();
        let reply = |_, _| Reply::FailAsSent(argument.clone());
        self.over(id, &handle, "Job given in work result not found", reply)
    }

    pub(super) fn exception(&mut self, id: ConnId, handle: &Bytes, payload: &Bytes) -> Replies {
        let reply = |job, wanted| match wanted {
            true => Reply::Exception { job, payload: payload.clone() },
            false => Reply::FailTerminated(job),
        };
        self.over(id, handle, "An exception was received for a job that does not exist", reply)
    }
}
