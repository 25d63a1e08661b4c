//! What a function is, and layers around it: limits, retries, concurrency, traces.

use crate::error::Cancelled;
use crate::job::{Job, Outcome};
use bytes::{Bytes, BytesMut};
use conveyor_common::protocol::Request;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// A job being done.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Does jobs of a function.
pub trait Handler: Send + Sync {
    /// Does one job.
    fn call(&self, job: Job) -> Running;
}

impl<F, R> Handler for F
where
    F: Fn(Job) -> R + Send + Sync,
    R: Future<Output = Outcome> + Send + 'static,
{
    fn call(&self, job: Job) -> Running {
        Box::pin(self(job))
    }
}

/// Wraps the handler of a function in another one.
///
/// ```
/// use conveyor_worker::{Function, Handler, Job, Layer, Outcome, Running};
/// use std::sync::Arc;
///
/// /// Refuses empty jobs.
/// struct NotEmpty;
///
/// impl Layer for NotEmpty {
///     fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
///         Arc::new(move |job: Job| -> Running {
///             if job.payload().is_empty() { Box::pin(async { Outcome::Fail }) } else { inner.call(job) }
///         })
///     }
/// }
///
/// let echo = |job: Job| async move { Outcome::Complete(job.payload().clone()) };
/// let function = Function::new(echo).layer(NotEmpty);
/// ```
pub trait Layer {
    /// The handler around `inner`.
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler>;
}

/// Ends jobs that take too long with an exception, and tells them by [`Job::checkpoint`]. The future of an
/// async function is dropped at its next wait; a blocking one runs on in its thread until it looks. The job is reported
/// at once, but its slot stays taken until that thread ends: so there are never more such threads than
/// [slots](crate::Worker::jobs), and a worker whose functions all hang takes no more jobs. Time that a job waits at a
/// [`checkpoint`](Job::checkpoint) for the end of a pause does not count.
#[derive(Clone, Copy, Debug)]
pub struct Timeout(pub Duration);

impl Layer for Timeout {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        let limit = self.0;
        Arc::new(move |job: Job| {
            let mut running = inner.call(job.clone());
            async move {
                let mut waiting = job.waiting();
                let mut left = limit;
                loop {
                    let waits = *waiting.borrow_and_update() > 0;
                    let since = tokio::time::Instant::now();
                    tokio::select! {
                        biased;
                        outcome = &mut running => return outcome,
                        // The sender is part of this job.
                        _ = waiting.changed() => {}
                        () = tokio::time::sleep(left), if !waits => break,
                    }
                    if !waits {
                        left = left.saturating_sub(since.elapsed());
                    }
                }
                job.cancel(Cancelled::TimedOut);
                Outcome::Exception(format!("the job took longer than {} ms", limit.as_millis()).into())
            }
        })
    }
}

/// Tries again what did not complete; what was cancelled or given back is not tried again. What a try has reported stays reported.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all; at least one is made.
    pub tries: u32,
    /// Pause before each further try. The job keeps its slot.
    pub pause: Duration,
}

impl Layer for Retry {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        let Self { tries, pause } = *self;
        Arc::new(move |job: Job| {
            let inner = inner.clone();
            async move {
                for _ in 1..tries {
                    let outcome = inner.call(job.clone()).await;
                    let ended = matches!(outcome, Outcome::Complete(_) | Outcome::Return { .. });
                    if ended || job.is_cancelled().is_some() {
                        return outcome;
                    }
                    tokio::time::sleep(pause).await;
                }
                inner.call(job).await
            }
        })
    }
}

/// Runs at most so many jobs of the function at once. Others wait in the slot they have.
#[derive(Clone, Copy, Debug)]
pub struct Concurrency(pub usize);

impl Layer for Concurrency {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        let turns = Arc::new(Semaphore::new(self.0.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(move |job: Job| {
            let (inner, turns) = (inner.clone(), turns.clone());
            async move {
                // Nobody closes the semaphore.
                let _turn = turns.acquire().await;
                inner.call(job).await
            }
        })
    }
}

/// Logs start and end of every job, at debug; never payloads.
#[derive(Clone, Copy, Debug)]
pub struct Trace;

impl Layer for Trace {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(move |job: Job| {
            let inner = inner.clone();
            async move {
                let (handle, start) = (job.handle().clone(), tokio::time::Instant::now());
                tracing::debug!(?handle, function = ?job.function(), "job started");
                let outcome = inner.call(job).await;
                let ended = match outcome {
                    Outcome::Complete(_) => "complete",
                    Outcome::Fail => "failed",
                    Outcome::Exception(_) => "exception",
                    Outcome::Return { .. } => "returned",
                };
                tracing::debug!(?handle, ended, elapsed = ?start.elapsed(), "job ended");
                outcome
            }
        })
    }
}

/// A function as registered with the servers: its handler with the layers around it.
#[derive(Clone)]
pub struct Function {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) announced: Option<Duration>,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("announced", &self.announced).finish_non_exhaustive()
    }
}

impl Function {
    /// An async function.
    #[must_use]
    pub fn new(handler: impl Handler + 'static) -> Self {
        Self { handler: Arc::new(handler), announced: None }
    }

    /// A function that blocks: each job has a thread of tokio's pool for them, and its slot until that thread ends, be
    /// the job [out of time](Timeout) or not. A runtime that is dropped waits for these threads.
    #[must_use]
    pub fn blocking(function: impl Fn(Job) -> Outcome + Send + Sync + 'static) -> Self {
        let function = Arc::new(function);
        Self::new(move |job: Job| {
            let function = function.clone();
            let slot = job.slot();
            async move {
                let run = move || {
                    let outcome = function(job);
                    drop(slot);
                    outcome
                };
                match tokio::task::spawn_blocking(run).await {
                    Ok(outcome) => outcome,
                    // Caught again where panics of async functions are.
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => Outcome::Fail,
                }
            }
        })
    }

    /// Puts a layer around what is there: the last one added is the outermost.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.handler = layer.wrap(self.handler);
        self
    }

    /// Ends jobs after `limit`: short for the layer [`Timeout`].
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        self.layer(Timeout(limit))
    }

    /// Has the servers, too, take a job back after `limit` and give it to another worker (CAN_DO_TIMEOUT).
    /// gearmand rounds less than a second up to one.
    #[must_use]
    pub const fn announce_timeout(mut self, limit: Duration) -> Self {
        self.announced = Some(limit);
        self
    }
}

impl Function {
    /// Tells a server that the worker can do it.
    pub(crate) fn announce(&self, name: Bytes, output: &mut BytesMut) {
        match self.announced {
            None => Request::CanDo { function: name },
            Some(limit) => {
                let timeout_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
                Request::CanDoTimeout { function: name, timeout_ms }
            }
        }
        .encode(output);
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> Bytes {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Bytes::copy_from_slice(text.unwrap_or("the function panicked").as_bytes())
}

/// Does a job; a panic becomes an exception with its message.
pub(crate) async fn call_caught(handler: Arc<dyn Handler>, job: Job) -> Outcome {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    // Nothing of the job is used after a panic, so that no broken state is seen.
    let caught = |panic: Box<dyn std::any::Any + Send>| Outcome::Exception(panic_message(panic.as_ref()));
    let mut running = match catch_unwind(AssertUnwindSafe(|| handler.call(job))) {
        Ok(running) => running,
        Err(panic) => return caught(panic),
    };
    std::future::poll_fn(move |context| {
        catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context)))
            .unwrap_or_else(|panic| std::task::Poll::Ready(caught(panic)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    async fn call(function: &Function, job: &Job) -> Outcome {
        call_caught(function.handler.clone(), job.clone()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_takes_too_long_is_an_exception_and_is_told() {
        let function = Function::new(|_| std::future::pending()).timeout(Duration::from_millis(1500));
        let (job, start) = (Job::unheard(), tokio::time::Instant::now());
        assert_eq!(
            call(&function, &job).await,
            Outcome::Exception("the job took longer than 1500 ms".into())
        );
        assert_eq!(start.elapsed(), Duration::from_millis(1500));
        assert_eq!(job.checkpoint().await, Err(Cancelled::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_a_pause_does_not_count() {
        let step = || tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>());
        let function = Function::new(move |job: Job| async move {
            for _ in 0..3 {
                let _ = step().await;
                if let Err(reason) = job.checkpoint().await {
                    return Outcome::Exception(reason.to_string().into());
                }
            }
            Outcome::Complete(Bytes::new())
        });
        let function = function.timeout(Duration::from_millis(3500));
        let (job, start) = (Job::unheard(), tokio::time::Instant::now());
        let stop = job.stop();
        let pausing = async {
            let _ = tokio::time::timeout(Duration::from_millis(1500), std::future::pending::<()>()).await;
            stop.pause();
            let _ = tokio::time::timeout(Duration::from_secs(60), std::future::pending::<()>()).await;
            stop.resume();
        };
        let (outcome, ()) = tokio::join!(call(&function, &job), pausing);
        assert_eq!(outcome, Outcome::Complete(Bytes::new()));
        // It stopped after two seconds, until 61.5 s.
        assert_eq!(start.elapsed(), Duration::from_millis(62_500));
        let slow = Function::new(|_| std::future::pending()).timeout(Duration::from_secs(5));
        stop.pause();
        let start = tokio::time::Instant::now();
        // Who does not look at checkpoints has no pause.
        assert!(matches!(call(&slow, &job).await, Outcome::Exception(_)));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_blocking_job_waits_at_its_checkpoint() {
        let (sender, reached) = std::sync::mpsc::sync_channel(1);
        let function = Function::blocking(move |job| {
            // The test listens until the end.
            let _ = sender.send(());
            let told = job.blocking_checkpoint();
            Outcome::Complete(format!("{told:?}").into())
        });
        let job = Job::unheard();
        let stop = job.stop();
        stop.pause();
        let mut waiting = job.waiting();
        let ordering = async {
            tokio::task::spawn_blocking(move || reached.recv()).await.unwrap().unwrap();
            waiting.wait_for(|parts| *parts == 1).await.unwrap();
            stop.resume();
        };
        let (outcome, ()) = tokio::join!(call(&function, &job), ordering);
        assert_eq!(outcome, Outcome::Complete("Ok(())".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_job_is_told_that_its_worker_is_to_end() {
        let job = Job::unheard();
        job.stop().pause();
        let stop = job.stop();
        let (told, ()) = tokio::join!(job.checkpoint(), async move { stop.terminate() });
        assert_eq!(told, Err(Cancelled::Terminated));
        assert_eq!(job.is_cancelled(), None, "what it answers still counts");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_after_a_pause() {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let function = Function::new(move |_| {
            let third = counted.fetch_add(1, Ordering::Relaxed) == 2;
            async move { if third { Outcome::Complete(Bytes::new()) } else { Outcome::Fail } }
        });
        let start = tokio::time::Instant::now();
        let retry = Retry { tries: 5, pause: Duration::from_secs(10) };
        let outcome = call(&function.clone().layer(retry), &Job::unheard()).await;
        assert_eq!((outcome, tries.load(Ordering::Relaxed)), (Outcome::Complete(Bytes::new()), 3));
        assert_eq!(start.elapsed(), Duration::from_secs(20));
        let never = Retry { tries: 2, pause: Duration::ZERO };
        assert_eq!(call(&function.layer(never), &Job::unheard()).await, Outcome::Fail);
        assert_eq!(tries.load(Ordering::Relaxed), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_jobs_run_at_once_than_the_layer_says() {
        let function = Function::new(|_| async {
            let second = tokio::time::timeout(Duration::from_secs(1), std::future::pending());
            second.await.unwrap_or(Outcome::Fail)
        });
        let (function, start, job) =
            (function.layer(Concurrency(2)), tokio::time::Instant::now(), Job::unheard());
        tokio::join!(call(&function, &job), call(&function, &job), call(&function, &job));
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test]
    async fn panics_say_what_happened() {
        let at_once = Function::new(|_| -> Running { panic!("at {}", "once") });
        assert_eq!(call(&at_once, &Job::unheard()).await, Outcome::Exception("at once".into()));
        let later = Function::new(|_| async {
            tokio::task::yield_now().await;
            panic!("later")
        });
        assert_eq!(call(&later, &Job::unheard()).await, Outcome::Exception("later".into()));
        let blocking = Function::blocking(|_| panic!("blocking")).layer(Trace);
        assert_eq!(call(&blocking, &Job::unheard()).await, Outcome::Exception("blocking".into()));
    }
}
