//! Tasks and results in the codec of their function, on top of plain jobs.

use crate::client::Client;
use crate::error::{Error, ErrorKind, JobName, MayHaveRun};
use crate::job::Job;
use crate::job_handle::{JobHandle, Outcome, Update};
use bytes::Bytes;
use conveyor_common::payload::{Codec, ExecutionResult, Limits, Payload};
use std::collections::BTreeMap;

/// Which function has which codec, and what a payload may hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codecs {
    pub(crate) of_function: BTreeMap<Bytes, Codec>,
    pub(crate) limits: Limits,
}

impl Codecs {
    fn of(&self, function: &[u8]) -> Codec {
        self.of_function.get(function).copied().unwrap_or_default()
    }
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskOutcome {
    /// The worker answered; the answer says whether the task is done, failed, or ends the whole run.
    Answered(ExecutionResult),
    /// The job failed, and there is nothing to say about it.
    Failed,
    /// The job failed with this message.
    Exception(Bytes),
    /// A background job: the server has it and calls it this.
    Accepted(Bytes),
}

impl Job {
    /// A foreground job of `function` that carries `task` in `codec`: a [`TaskPayload`](crate::payload::TaskPayload) for
    /// a performer, a [`ManagerTask`](crate::payload::ManagerTask) for a manager.
    ///
    /// # Errors
    /// The codec cannot write the task, or not within `limits`. The error names the function.
    pub fn task(
        function: impl Into<Bytes>,
        codec: Codec,
        task: &impl Payload,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let function = function.into();
        match codec.encode(task, limits) {
            Ok(payload) => Ok(Self::new(function, payload)),
            Err(error) => {
                let job = Some(Box::new(JobName { function, unique: Bytes::new(), handle: None }));
                Err(Error { job, ..Error::new(ErrorKind::Payload(error)) })
            }
        }
    }
}

impl Outcome {
    /// What a worker of a function with `codec` means by it.
    ///
    /// # Errors
    /// The result is none in this codec, or is beyond `limits`. The error knows neither job nor server;
    /// [`TaskHandle::outcome`] does.
    pub fn result(self, codec: Codec, limits: &Limits) -> Result<TaskOutcome, Error> {
        Ok(match self {
            Self::Complete(result) => {
                let result = codec.decode(&result, limits);
                let malformed =
                    |error| Error { may_have_run: MayHaveRun::Yes, ..Error::new(ErrorKind::Payload(error)) };
                TaskOutcome::Answered(result.map_err(malformed)?)
            }
            Self::Failed => TaskOutcome::Failed,
            Self::Exception(message) => TaskOutcome::Exception(message),
            Self::Accepted(handle) => TaskOutcome::Accepted(handle),
        })
    }
}

impl Client {
    /// A job that carries `task` in the codec of `function`, as the [options](crate::Options::codec) have it. It is
    /// given to [`Client::submit_task`], after priority, unique and so on are set.
    ///
    /// # Errors
    /// The codec cannot write the task.
    pub fn task(&self, function: impl Into<Bytes>, task: &impl Payload) -> Result<Job, Error> {
        let (function, codecs) = (function.into(), self.codecs());
        let codec = codecs.of(&function);
        Job::task(function, codec, task, &codecs.limits)
    }

    /// Submits a job whose result is in the codec of its function.
    ///
    /// # Errors
    /// Those of [`Client::submit`].
    pub async fn submit_task(&self, job: Job) -> Result<TaskHandle, Error> {
        let (codec, limits) = (self.codecs().of(&job.function), self.codecs().limits);
        let function = job.function.clone();
        let job = self.submit(job).await?;
        Ok(TaskHandle { job, codec, limits, function, handle: None, data: Vec::new() })
    }
}

/// A submitted task.
#[derive(Debug)]
pub struct TaskHandle {
    job: JobHandle,
    codec: Codec,
    limits: Limits,
    function: Bytes,
    handle: Option<Bytes>,
    /// Parts of the result that came ahead.
    data: Vec<u8>,
}

impl TaskHandle {
    /// The next update; none when the outcome is there. [`Update::Data`] is a part of the result, too: some workers
    /// send all of it so.
    pub async fn next(&mut self) -> Option<Update> {
        let update = self.job.next().await?;
        match &update {
            // Whatever was sent before belongs to a try that is lost.
            Update::Created(handle) => {
                self.handle = Some(handle.clone());
                self.data.clear();
            }
            // One byte more than is allowed is enough to be refused.
            Update::Data(part) if self.data.len() <= self.limits.bytes => self.data.extend_from_slice(part),
            _ => {}
        }
        Some(update)
    }

    /// Waits for the end: parts sent ahead and the result, put together, are decoded.
    ///
    /// # Errors
    /// There is no outcome, or the result is malformed ([`ErrorKind::Payload`]): the error names function, server and
    /// job.
    pub async fn outcome(mut self) -> Result<TaskOutcome, Error> {
        while self.next().await.is_some() {}
        let Self { job, codec, limits, function, handle, mut data } = self;
        let (outcome, server) = job.end().await;
        let outcome = match outcome? {
            Outcome::Complete(rest) if !data.is_empty() => {
                data.extend_from_slice(&rest);
                Outcome::Complete(data.into())
            }
            outcome => outcome,
        };
        outcome.result(codec, &limits).map_err(|error| {
            let job = Some(Box::new(JobName { function, unique: Bytes::new(), handle }));
            Error { server, job, ..error }
        })
    }
}
