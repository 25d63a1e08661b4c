//! One connection as a plain value: requests in, bytes out; bytes in, what happened out. No socket, no clock.
//!
//! Servers answer submissions in the order they got them, so JOB_CREATED (or ERROR) belongs to the oldest one that has
//! no answer yet; everything after it is found by the handle. Questions are answered in order by type.

use crate::inflight::JobKey;
use crate::job_handle::{Outcome, Update};
use bytes::{Bytes, BytesMut};
use conveyor_common::protocol::{Decoder, ErrorCode, Frame, Opcode, Request, Response};
use std::collections::{HashMap, VecDeque};

/// A question, so that its answer finds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// Answer to a question about a job.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Status {
    /// The server knows the job: it is queued or running.
    pub known: bool,
    /// A worker has it.
    pub running: bool,
    /// Parts done, as last reported.
    pub numerator: u64,
    /// Parts in all, as last reported.
    pub denominator: u64,
    /// Submissions that wait for it; only asked by unique.
    pub clients: Option<u64>,
}

/// What a server answers to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(Status),
    Echo(Bytes),
    Granted,
    Refused { code: Bytes, text: Bytes },
}

/// What came of the bytes of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// A submission got its handle.
    Created(JobKey, Bytes),
    /// A job reports.
    Update(JobKey, Update),
    /// A job is over.
    Done(JobKey, Outcome),
    /// A submission was answered by ERROR.
    Refused { key: JobKey, code: Bytes, text: Bytes },
    /// A question was answered.
    Answered(Token, Answer),
    /// A packet that belongs to nothing here.
    Stray(Opcode),
}

/// The submissions that wait for one handle. Coalesced ones share it, and the server sends every packet once for
/// each: the first copy is for the first, and so on in turns.
#[derive(Debug, Default)]
struct Attached {
    keys: Vec<JobKey>,
    turn: usize,
}

/// A question that has no answer yet.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    Status(Bytes),
    Unique(Bytes),
    Echo,
    Option,
}

/// One connection.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    decoder: Decoder,
    /// What is to be sent.
    pub(crate) output: BytesMut,
    submitted: VecDeque<(JobKey, bool)>,
    attached: HashMap<Bytes, Attached>,
    questions: VecDeque<(Question, Token)>,
    waiting: usize,
}

impl Connection {
    /// Submits a job.
    pub(crate) fn submit(&mut self, key: JobKey, background: bool, request: &Request) {
        request.encode(&mut self.output);
        self.submitted.push_back((key, background));
        self.waiting += 1;
    }

    /// Asks a question. Other requests than those are not sent.
    pub(crate) fn ask(&mut self, token: Token, request: &Request) {
        let question = match request {
            Request::GetStatus { handle } => Question::Status(handle.clone()),
            Request::GetStatusUnique { unique } => Question::Unique(unique.clone()),
            Request::Echo { .. } => Question::Echo,
            Request::Option { .. } => Question::Option,
            _ => return,
        };
        request.encode(&mut self.output);
        self.questions.push_back((question, token));
    }

    /// Submissions and questions that the server has not done with, forgotten ones included.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting + self.questions.len()
    }

    /// Takes what is whole off the head of `input` and appends what it means to `happened`.
    ///
    /// # Errors
    /// The stream makes no sense: the connection has to go. Says why.
    pub(crate) fn receive(
        &mut self,
        input: &mut BytesMut,
        happened: &mut Vec<Happened>,
    ) -> Result<(), String> {
        while let Some(frame) = self.decoder.decode(input).map_err(|error| error.to_string())? {
            let Frame::Packet(packet) = frame else {
                return Err("a text line where a packet belongs".to_owned());
            };
            let response = Response::from_packet(packet).map_err(|error| error.to_string())?;
            self.respond(response, happened);
        }
        Ok(())
    }

    fn respond(&mut self, response: Response, happened: &mut Vec<Happened>) {
        let opcode = response.opcode();
        let found = match response {
            Response::JobCreated { handle } => self.created(handle),
            Response::WorkStatus { handle, numerator, denominator } => {
                let (numerator, denominator) = (number(&numerator), number(&denominator));
                self.update(&handle, Update::Status { numerator, denominator })
            }
            Response::WorkData { handle, payload } => self.update(&handle, Update::Data(payload)),
            Response::WorkWarning { handle, payload } => self.update(&handle, Update::Warning(payload)),
            Response::WorkComplete { handle, payload } => self.done(&handle, Outcome::Complete(payload)),
            // For an exception that was not asked for, servers end the handle with NUL.
            Response::WorkFail { handle } => self.done(until_nul(&handle), Outcome::Failed),
            Response::WorkException { handle, payload } => {
                let found = self.done(&handle, Outcome::Exception(payload.clone()));
                if let Some(Happened::Done(key, _)) = found {
                    happened.push(Happened::Update(key, Update::Exception(payload)));
                }
                found
            }
            Response::StatusRes { handle, known, running, numerator, denominator } => {
                let (numerator, denominator) = (number(&numerator), number(&denominator));
                let status = Status { known, running, numerator, denominator, clients: None };
                self.answered(&Question::Status(handle), Answer::Status(status))
            }
            Response::StatusResUnique { unique, known, running, numerator, denominator, clients } => {
                let (numerator, denominator) = (number(&numerator), number(&denominator));
                let status =
                    Status { known, running, numerator, denominator, clients: Some(number(&clients)) };
                self.answered(&Question::Unique(unique), Answer::Status(status))
            }
            Response::Echo { payload } => self.answered(&Question::Echo, Answer::Echo(payload)),
            Response::Option { .. } => self.answered(&Question::Option, Answer::Granted),
            Response::Error { code, text } => self.refused(code, text),
            Response::Noop
            | Response::NoJob
            | Response::JobAssign { .. }
            | Response::JobAssignUniq { .. }
            | Response::JobAssignAll { .. } => None,
        };
        happened.push(found.unwrap_or(Happened::Stray(opcode)));
    }

    fn created(&mut self, handle: Bytes) -> Option<Happened> {
        let (key, background) = self.submitted.pop_front()?;
        if background {
            self.waiting -= 1;
        } else {
            self.attached.entry(handle.clone()).or_default().keys.push(key);
        }
        Some(Happened::Created(key, handle))
    }

    /// The submission whose turn it is to get a copy of what the server says about `handle`.
    fn next_of(&mut self, handle: &[u8]) -> Option<JobKey> {
        let attached = self.attached.get_mut(handle)?;
        let key = attached.keys.get(attached.turn).copied()?;
        attached.turn = (attached.turn + 1) % attached.keys.len();
        Some(key)
    }

    fn update(&mut self, handle: &[u8], update: Update) -> Option<Happened> {
        self.next_of(handle).map(|key| Happened::Update(key, update))
    }

    fn done(&mut self, handle: &[u8], outcome: Outcome) -> Option<Happened> {
        let attached = self.attached.get_mut(handle)?;
        // A server that stops in the middle of a round starts no other: what is over is taken out.
        let turn = attached.turn.min(attached.keys.len().checked_sub(1)?);
        let key = attached.keys.remove(turn);
        attached.turn = if turn < attached.keys.len() { turn } else { 0 };
        if attached.keys.is_empty() {
            self.attached.remove(handle);
        }
        self.waiting -= 1;
        Some(Happened::Done(key, outcome))
    }

    fn answered(&mut self, question: &Question, answer: Answer) -> Option<Happened> {
        let at = self.questions.iter().position(|(asked, _)| asked == question)?;
        let (_, token) = self.questions.remove(at)?;
        Some(Happened::Answered(token, answer))
    }

    /// ERROR does not say what it answers. Only options have a code of their own; no question else is ever
    /// refused, so that it must be the oldest submission.
    fn refused(&mut self, code: Bytes, text: Bytes) -> Option<Happened> {
        if code == ErrorCode::UnknownOption.as_str() {
            return self.answered(&Question::Option, Answer::Refused { code, text });
        }
        let (key, _) = self.submitted.pop_front()?;
        self.waiting -= 1;
        Some(Happened::Refused { key, code, text })
    }

    /// What is left when the connection is lost: jobs and questions without an end.
    pub(crate) fn lose(self) -> (Vec<JobKey>, Vec<Token>) {
        let attached = self.attached.into_values().flat_map(|attached| attached.keys);
        let mut jobs: Vec<JobKey> = self.submitted.into_iter().map(|(key, _)| key).chain(attached).collect();
        jobs.sort_unstable();
        (jobs, self.questions.into_iter().map(|(_, token)| token).collect())
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads a number; servers relay what a worker wrote, whatever that was.
fn number(text: &[u8]) -> u64 {
    str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "tests/connection.rs"]
mod tests;
