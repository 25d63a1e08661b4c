//! Functions that take tasks and give results, in a codec.

use crate::job::{Job, Outcome};
use crate::layer::Function;
use bytes::Bytes;
use conveyor_common::payload::{Codec, ExecutionResult, Limits, Outcome as Result, TaskPayload};

impl Function {
    /// An async function of tasks in `codec`.
    ///
    /// A payload that is none in the codec is an exception that says why; the function is not called. A result, an
    /// error too, is WORK_COMPLETE with the result in the codec, since that is how clients of the PHP family learn of
    /// errors; a critical one tells them to end their run. [`Codec::Raw`] has no bytes for an error: there it is an
    /// exception with its message, or a plain failure without. A result without a task gets that of the payload.
    ///
    /// ```
    /// use conveyor_worker::payload::{Codec, ExecutionResult, TaskPayload};
    /// use conveyor_worker::{Function, Job, Worker};
    ///
    /// let resize = Function::task(Codec::Json, |task: TaskPayload, job: Job| async move {
    ///     job.progress(1, 2).await;
    ///     ExecutionResult::ok(7, format!("attempt {}", task.attempt).as_str())
    /// });
    /// let worker = Worker::new("127.0.0.1:4730").register("resize", resize);
    /// ```
    #[must_use]
    pub fn task<F, R>(codec: Codec, function: F) -> Self
    where
        F: Fn(TaskPayload, Job) -> R + Send + Sync + 'static,
        R: Future<Output = ExecutionResult> + Send + 'static,
    {
        Self::task_within(codec, Limits::default(), function)
    }

    /// [`Function::task`] with other limits of payloads.
    #[must_use]
    pub fn task_within<F, R>(codec: Codec, limits: Limits, function: F) -> Self
    where
        F: Fn(TaskPayload, Job) -> R + Send + Sync + 'static,
        R: Future<Output = ExecutionResult> + Send + 'static,
    {
        Self::new(move |job: Job| {
            let name = String::from_utf8_lossy(job.function()).into_owned();
            let doing = codec.decode::<TaskPayload>(job.payload(), &limits).map(|task| {
                let id = task.task_id.clone();
                (id, function(task, job))
            });
            async move {
                let (id, running) = match doing {
                    Ok(doing) => doing,
                    Err(error) => {
                        return Outcome::Exception(format!("{name} cannot read its task: {error}").into());
                    }
                };
                let mut result = running.await;
                result.task_id = result.task_id.or(id);
                outcome(codec, &result, &limits).unwrap_or_else(|error| {
                    Outcome::Exception(format!("{name} cannot write its result: {error}").into())
                })
            }
        })
    }
}

/// The one packet that a result becomes.
fn outcome(
    codec: Codec,
    result: &ExecutionResult,
    limits: &Limits,
) -> std::result::Result<Outcome, conveyor_common::payload::PayloadError> {
    if codec == Codec::Raw && result.outcome != Result::Ok {
        return Ok(result.error_message.clone().map_or(Outcome::Fail, Outcome::Exception));
    }
    Ok(Outcome::Complete(Bytes::from(codec.encode(result, limits)?)))
}
